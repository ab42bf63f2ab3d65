"""What makes a paid order look unpaid: two ids, reads that lag behind, answers of somebody else."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import make_mocked_request

from paycollect import ipn
from paycollect.sandbox import Sandbox, gateway_page, stale_reads, stray_answer
from paycollect.sandbox.http.api import HttpExchange
from paycollect.sandbox.provider.envelope import Reply
from tests.sandbox.conftest import ORDER, Caller, Merchant


async def _paid(sandbox: Sandbox, merchant: Merchant) -> tuple[str, ipn.WebhookEvent]:
    record = await sandbox.create(ORDER | {"webhookUrl": merchant.url})
    await sandbox.pay(record.collection_id)
    await sandbox.drained()
    event = ipn.parse_webhook(merchant.bodies[-1], secret=sandbox.webhook_secret)
    return record.collection_id, event


@pytest.mark.parametrize("shapes", ["events", "concept"])
@pytest.mark.parametrize(
    ("event_ids", "prefix", "found"),
    [("own", "SCI", True), ("collection", "COL", False), ("both", "COL", True)],
)
async def test_events_can_name_a_collection_by_another_id(
    http: aiohttp.ClientSession,
    merchant: Merchant,
    *,
    event_ids: Any,
    prefix: str,
    shapes: Any,
    found: bool,
) -> None:
    """Which GET knows or not; if it does, it answers with the record under its own id."""
    async with Sandbox(event_ids=event_ids, shapes=shapes, time_scale=0) as sandbox:
        call = Caller(sandbox, http)
        collection_id, event = await _paid(sandbox, merchant)
        assert event.collection_id is not None
        assert event.collection_id.startswith(prefix)
        assert event.order_id == "INV-001"
        reply = await call("GET", f"/collections/{event.collection_id}")
        assert reply.status == (200 if found else 404)
        if found:
            assert reply.data["collectionId"] == collection_id
        assert (await call("GET", f"/collections/{collection_id}")).status == 200


@pytest.mark.parametrize("event_ids", ["own", "collection"])
async def test_a_refund_event_says_what_was_refunded(merchant: Merchant, event_ids: Any) -> None:
    """Order, collection, refund and amount, as the SDK reads them."""
    async with Sandbox(event_ids=event_ids) as sandbox:
        collection_id, paid = await _paid(sandbox, merchant)
        refund = await sandbox.refund(collection_id, Decimal(10))
        await sandbox.drained()
    event = ipn.parse_webhook(merchant.bodies[-1], secret=sandbox.webhook_secret)
    assert (event.order_id, event.collection_id) == ("INV-001", paid.collection_id)
    assert event.data["refundId"] == refund.refund_id
    assert event.data["refundedAmount"] == 10
    assert event.data["reason"] == "CUSTOMER_REQUEST"


async def test_a_refund_event_can_be_bare(merchant: Merchant) -> None:
    """Without the names that other events have for order and collection."""
    async with Sandbox(refund_events="bare") as sandbox:
        collection_id, _ = await _paid(sandbox, merchant)
        await sandbox.refund(collection_id)
        await sandbox.drained()
    assert not {"orderId", "collectionId"} & merchant.events[-1]["data"].keys()


async def test_a_read_can_lag_behind(call: Caller, sandbox: Sandbox) -> None:
    """It tells the state of some seconds ago, or that there was nothing yet."""
    collection_id = await call.create()
    sandbox.clock.advance(60)
    await sandbox.pay(collection_id)
    sandbox.clock.advance(5)
    sandbox.faults.always("GET *", stale_reads(10))
    assert (await call("GET", f"/collections/{collection_id}")).data["status"] == "PENDING"
    assert (await call("GET", "/collections")).data["collections"][0]["status"] == "PENDING"
    sandbox.clock.advance(5)
    assert (await call("GET", f"/collections/{collection_id}")).data["status"] == "COMPLETED"
    await sandbox.refund(collection_id)
    assert (await call("GET", "/refunds")).data["refunds"] == []
    sandbox.clock.advance(10)
    assert len((await call("GET", "/refunds")).data["refunds"]) == 1
    other = await call.create(orderId="B")
    assert (await call("GET", f"/collections/{other}")).code == "RESOURCE_NOT_FOUND"
    assert len((await call("GET", "/collections")).data["collections"]) == 1


async def test_a_session_is_over_at_its_time_for_a_late_reader_too(
    call: Caller, sandbox: Sandbox
) -> None:
    """However late somebody looks."""
    collection_id = await call.create()
    sandbox.faults.always("GET *", stale_reads(10))
    sandbox.clock.advance(3600 + 9)
    assert (await call("GET", f"/collections/{collection_id}")).data["status"] == "PENDING"
    sandbox.clock.advance(1)
    assert (await call("GET", f"/collections/{collection_id}")).data["status"] == "EXPIRED"


async def test_a_refund_that_takes_its_time_is_seen_on_its_way(
    http: aiohttp.ClientSession,
) -> None:
    """PENDING for a late reader as long as for others, only later."""
    async with Sandbox(refund_delay=60, time_scale=0) as sandbox:
        call = Caller(sandbox, http)
        record = await sandbox.create(ORDER)
        await sandbox.pay(record.collection_id)
        await sandbox.refund(record.collection_id)
        sandbox.clock.advance(65)
        assert (await call("GET", "/refunds")).data["refunds"][0]["status"] == "COMPLETED"
        sandbox.faults.always("GET *", stale_reads(10))
        assert (await call("GET", "/refunds")).data["refunds"][0]["status"] == "PENDING"


async def test_all_reads_can_lag_behind(http: aiohttp.ClientSession) -> None:
    """As an option of the sandbox; writes never do."""
    async with Sandbox(stale_reads=2, time_scale=0) as sandbox:
        call = Caller(sandbox, http)
        collection_id = await call.create()
        assert (await call("GET", f"/collections/{collection_id}")).status == 404
        assert (await call("POST", "/collections", ORDER)).status == 409
        sandbox.clock.advance(2)
        assert (await call("GET", f"/collections/{collection_id}")).status == 200


async def test_an_answer_can_come_that_nobody_asked_for(sandbox: Sandbox) -> None:
    """It waits on the connection for the next request."""
    sandbox.faults.next("GET /refunds", stray_answer(402, code="INSUFFICIENT_BALANCE"))
    address = sandbox.url.partition("//")[2].split(":")
    reader, writer = await asyncio.open_connection(address[0], int(address[1]))
    request = "GET /api/v3/refunds HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer x\r\n\r\n"
    writer.write(request.encode())
    assert b" 401 " in await reader.readline()
    assert b"AUTH_TOKEN_INVALID" in await reader.readuntil(b"}}")
    assert await reader.readline() == b"HTTP/1.1 402 Stray\r\n"
    assert b"INSUFFICIENT_BALANCE" in await reader.readuntil(b"}}")
    writer.write(request.encode())
    assert b" 401 " in await reader.readline()
    writer.close()
    await writer.wait_closed()


async def test_a_stray_answer_to_nobody_is_dropped(call: Caller, sandbox: Sandbox) -> None:
    """The client has closed the connection meanwhile."""
    await call("GET", "/refunds")
    request = make_mocked_request("GET", "/")
    request._protocol.transport = None
    exchange = HttpExchange(sandbox._parts, request, b"", sandbox.requests[0])
    await exchange.send(Reply(200, {}, b"{}"), Reply(409, {}, b"{}"))
    assert exchange.response.status == 200


async def test_a_gateway_can_answer_in_place_of_the_provider(
    call: Caller, sandbox: Sandbox
) -> None:
    """With a page for people, and nothing is done."""
    await call("GET", "/refunds")
    sandbox.faults.next("POST /collections", gateway_page(), gateway_page(502))
    for status, title in ((404, "404 Not Found"), (502, "502 Bad Gateway")):
        reply = await call("POST", "/collections", ORDER)
        assert (reply.status, reply.headers["Content-Type"]) == (status, "text/html")
        assert f"<h1>{title}</h1>" in reply.text
    assert sandbox.collections == []
