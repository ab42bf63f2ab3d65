"""A sandbox that runs all day stays small."""

from __future__ import annotations

import pytest

from paycollect.sandbox import Sandbox, request_log
from paycollect.sandbox.http import delivery
from tests.sandbox.conftest import ORDER, Caller, Merchant, until


async def test_requests_are_remembered_by_size(
    call: Caller, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few large bodies push out many others; the newest stays in any case."""
    monkeypatch.setattr(request_log, "BYTES_KEPT", 100_000)
    for _ in range(200):
        await call("GET", "/refunds")
    assert 20 < len(sandbox.requests) < 50
    body = {"metadata": {"x": "y" * 60_000}}
    for number in range(9):
        await call("POST", "/collections", ORDER | body | {"orderId": str(number)})
    assert sum(entry.size for entry in sandbox.requests) < 165_000
    newest = sandbox.requests[-1].json
    assert isinstance(newest, dict)
    assert newest["orderId"] == "8"


async def test_metadata_has_a_limit(call: Caller) -> None:
    """The provider publishes none."""
    reply = await call("POST", "/collections", ORDER | {"metadata": {"x": "y" * 65_536}})
    assert (reply.status, list(reply.fields)) == (400, ["metadata"])


@pytest.mark.parametrize(
    "body",
    [
        b'{"secretKey": "s3cret"}',
        b'{"\\u0073ecretKey": "s3cret"}',
        b'{"secretKey": "s3cret"',
        b'{"a": "\\u0073", "secretKey": "s3cret"}',
    ],
)
async def test_no_secret_is_remembered(call: Caller, sandbox: Sandbox, body: bytes) -> None:
    """However its name is spelled."""
    await call.send("POST", f"{sandbox.base_url}/auth/token", data=body)
    (entry,) = sandbox.requests
    assert b"s3cret" not in entry.body
    assert "s3cret" not in str(entry.json)


async def test_a_body_with_escapes_is_remembered_as_it_came(call: Caller, sandbox: Sandbox) -> None:
    """If there is no secret in it."""
    await call.send("POST", f"{sandbox.base_url}/auth/token", data=b'["\\u0041"]')
    assert sandbox.requests[0].json == ["A"]


async def test_finished_deliveries_are_forgotten_in_the_end(
    sandbox: Sandbox, merchant: Merchant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that are under way are not."""
    monkeypatch.setattr(delivery, "DELIVERIES_KEPT", 10)
    merchant.answers = [500]
    for number in range(30):
        order = {
            "amount": 1,
            "orderId": str(number),
            "description": "x",
            "webhookUrl": merchant.url,
        }
        await sandbox.pay((await sandbox.create(order)).collection_id)
        await sandbox.drained()
    kept = [entry.delivery_id for entry in sandbox.deliveries]
    assert (kept[0], kept[-1]) == (1, 30)
    assert len(kept) <= 11
    sandbox.clock.advance(60)
    await until(lambda: sandbox.deliveries[0].state == "delivered")


async def test_the_state_comes_in_parts(call: Caller, sandbox: Sandbox) -> None:
    """The newest first, and how many there are."""
    for number in range(5):
        await sandbox.create(ORDER | {"orderId": str(number)})
    state = (await call.send("GET", "/_sandbox/state?page=2&limit=2")).json
    assert [entry["orderId"] for entry in state["collections"]] == ["2", "1"]
    assert state["totals"] == {"collections": 5, "deliveries": 0, "tokens": 0, "requests": 0}
    reply = await call.send("GET", "/_sandbox/state?limit=0")
    assert (reply.status, reply.code) == (400, "VALIDATION_ERROR")


async def test_deliveries_under_way_push_out_none_that_are_finished(
    sandbox: Sandbox, merchant: Merchant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many wait for a service that is down."""
    monkeypatch.setattr(delivery, "DELIVERIES_KEPT", 5)
    merchant.answers = [200] * 3 + [500] * 20
    for number in range(23):
        order = ORDER | {"orderId": str(number), "webhookUrl": merchant.url}
        await sandbox.pay((await sandbox.create(order)).collection_id)
        await sandbox.drained()
    states = [entry.state for entry in sandbox.deliveries]
    assert states == ["delivered"] * 3 + ["waiting"] * 20
