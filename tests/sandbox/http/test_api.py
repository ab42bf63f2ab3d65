"""Collections, refunds, prices and webhook settings over HTTP."""

import io
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from paycollect.models import Fee
from paycollect.sandbox import Sandbox
from tests.sandbox.conftest import ORDER, Caller, Merchant

SAMPLES = Path(__file__).parents[2] / "data" / "samples"


def _sample(name: str) -> Any:
    return json.loads((SAMPLES / name).read_text())["data"]


async def test_a_create_answers_as_the_sample_does(call: Caller) -> None:
    """201, the same members in the same order, and exact money."""
    reply = await call("POST", "/collections", ORDER)
    assert (reply.status, reply.json["status"]) == (201, 201)
    assert list(reply.data) == list(_sample("collection_create.json"))
    assert (reply.data["amount"], reply.data["fee"], reply.data["netAmount"]) == (
        Decimal("25.00"),
        Decimal("0.75"),
        Decimal("24.25"),
    )
    assert reply.data["status"] == "PENDING"
    url = f"{call.sandbox.url}/sci/checkout?batch={reply.data['collectionId']}"
    assert reply.data["checkoutUrl"] == url


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31"])
async def test_the_first_and_the_last_day_of_the_calendar_are_days(call: Caller, day: str) -> None:
    """No day comes after the last one."""
    assert (await call("GET", f"/collections?dateFrom={day}&dateTo={day}")).status == 200


async def test_a_path_may_hold_anything(call: Caller) -> None:
    """Also a line break: it is not found, in the provider's own envelope."""
    reply = await call("GET", "/collections/a%0Ab")
    assert (reply.status, reply.code) == (404, "RESOURCE_NOT_FOUND")


async def test_another_currency_is_ignored(call: Caller) -> None:
    """The provider does not refuse it, it charges dollars (provider docs: collections/create)."""
    reply = await call("POST", "/collections", ORDER | {"currency": "EUR"})
    assert (reply.status, reply.data["currency"]) == (201, "USD")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("amount", None),
        ("amount", 0.99),
        ("amount", 0),
        ("amount", -5),
        ("amount", "25.00"),
        ("amount", True),
        ("amount", 25.001),
        ("amount", 10_000_001),
        ("amount", 1e300),
        ("orderId", None),
        ("orderId", ""),
        ("orderId", "  "),
        ("orderId", 17),
        ("orderId", "x" * 101),
        ("description", None),
        ("description", "x" * 101),
        ("description", "\t\n"),
        ("callbackUrl", "/relative"),
        ("callbackUrl", "javascript:alert(1)"),
        ("callbackUrl", "https://"),
        ("callbackUrl", "https://shop.example/a b"),
        ("callbackUrl", "https://shop.example/\r\nSet-Cookie: x"),
        ("callbackUrl", "https://[shop"),
        ("callbackUrl", "https://shop.example:99999/"),
        ("webhookUrl", 5),
        ("webhookUrl", "ftp://shop.example"),
        ("webhookUrl", "https://shop.example/" + "x" * 2048),
        ("metadata", []),
        ("metadata", "text"),
    ],
)
async def test_a_wrong_field_is_named(call: Caller, field: str, value: object) -> None:
    """400, VALIDATION_ERROR, that field and no other; and nothing was created."""
    reply = await call("POST", "/collections", ORDER | {field: value})
    assert (reply.status, reply.code, list(reply.fields)) == (400, "VALIDATION_ERROR", [field])
    assert call.sandbox.collections == []


async def test_all_wrong_fields_are_named_at_once(call: Caller) -> None:
    """So that one attempt is enough to mend a request."""
    reply = await call("POST", "/collections", {"amount": 0.5, "metadata": 5})
    assert list(reply.fields) == ["amount", "orderId", "description", "metadata"]


async def test_a_hundred_characters_are_allowed(call: Caller) -> None:
    """Characters, not bytes."""
    order = ORDER | {"orderId": "é" * 100, "description": "語" * 100, "amount": 1}
    assert (await call("POST", "/collections", order)).status == 201


NO_OBJECTS = (
    b"{", b"[]", b"5", b"\xff", b'{"amount": NaN}', b"[" * 100_000, b"",
    rb'{"metadata": {"half": "\ud800"}}',
)  # fmt: skip


@pytest.mark.parametrize("body", NO_OBJECTS)
async def test_a_body_that_is_no_object_is_refused(call: Caller, body: bytes) -> None:
    """Never a 500; an empty body is an empty object, whose fields are all missing."""
    token = (await call.authenticate()).data["accessToken"]
    headers = {"Authorization": f"Bearer {token}"}
    url = f"{call.sandbox.base_url}/collections"
    reply = await call.send("POST", url, data=body, headers=headers)
    assert (reply.status, reply.code) == (400, "VALIDATION_ERROR")


async def test_a_huge_body_is_refused(call: Caller) -> None:
    """413, in the envelope."""
    reply = await call.send(
        "POST", f"{call.sandbox.base_url}/collections", data=io.BytesIO(b"x" * 2_000_000)
    )
    assert (reply.status, reply.code) == (413, "VALIDATION_ERROR")


async def test_a_repeated_order_id_is_a_conflict(call: Caller) -> None:
    """409, DUPLICATE_REFERENCE (provider docs: collections/create)."""
    await call.create()
    reply = await call("POST", "/collections", ORDER)
    assert (reply.status, reply.code) == (409, "DUPLICATE_REFERENCE")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/collections/SCI0"),
        ("POST", "/collections/SCI0/refund"),
        ("GET", "/nothing"),
        ("DELETE", "/collections"),
    ],
)
async def test_what_is_not_there_is_not_found(call: Caller, method: str, path: str) -> None:
    """404 in the envelope, for unknown ids and unknown paths alike."""
    reply = await call(method, path)
    assert (reply.status, reply.code) == (404, "RESOURCE_NOT_FOUND")


async def test_a_get_has_the_members_of_the_schema(call: Caller) -> None:
    """And the checkout URL, promised by a sentence, while it can be used."""
    collection_id = await call.create(metadata={"plan": "pro"}, callbackUrl="https://shop.example/")
    data = (await call("GET", f"/collections/{collection_id}")).data
    assert data.keys() == _sample("collection_get.json").keys() | {"checkoutUrl"}
    assert (data["payer"], data["completedAt"]) == (None, None)
    assert data["metadata"] == {"plan": "pro"}
    await call.sandbox.pay(collection_id)
    data = (await call("GET", f"/collections/{collection_id}")).data
    assert data.keys() == _sample("collection_get.json").keys()
    assert data["payer"].keys() == {"clientId", "name"}
    assert data["refunds"] == {
        "totalRefunded": 0,
        "remainingRefundable": Decimal("24.25"),
        "count": 0,
    }


async def test_the_concept_shape_is_the_other_one(http: aiohttp.ClientSession) -> None:
    """Another payer, a reason, another pagination."""
    async with Sandbox(shapes="concept") as sandbox:
        call = Caller(sandbox, http)
        collection_id = await call.create()
        assert (await call("GET", f"/collections/{collection_id}")).data["payer"] == {}
        await sandbox.pay(collection_id)
        data = (await call("GET", f"/collections/{collection_id}")).data
        assert data["payer"].keys() == {"email", "name", "accountName"}
        assert "statusReason" in data
        page = (await call("GET", "/collections")).data
        assert page["collections"][0]["payerEmail"] == "ada@example.com"
        assert page["pagination"].keys() == {
            "currentPage", "itemsPerPage", "totalItems", "totalPages",
        }  # fmt: skip


async def test_a_list_entry_has_the_members_of_the_schema(call: Caller) -> None:
    """As the sample."""
    await call.create()
    data = (await call("GET", "/collections")).data
    assert data["collections"][0].keys() == _sample("collection_list.json")["collections"][0].keys()
    assert data["pagination"] == {"page": 1, "perPage": 20, "totalItems": 1, "totalPages": 1}


async def test_a_list_comes_in_pages_newest_first(call: Caller) -> None:
    """Every entry is on exactly one page, and a page beyond the end is empty."""
    for number in range(5):
        await call.create(orderId=f"INV-{number}")
    seen = []
    for page in (1, 2, 3, 4):
        data = (await call("GET", f"/collections?page={page}&limit=2")).data
        assert (data["pagination"]["totalItems"], data["pagination"]["totalPages"]) == (5, 3)
        seen.append([entry["orderId"] for entry in data["collections"]])
    assert seen == [["INV-4", "INV-3"], ["INV-2", "INV-1"], ["INV-0"], []]


async def test_order_id_and_reference_match_partially(call: Caller) -> None:
    """Which is why a client must compare exactly (provider docs: collections/list)."""
    await call.create(orderId="A-1")
    wanted = await call.create(orderId="A-10")
    await call.create(orderId="B-2")
    data = (await call("GET", "/collections?orderId=A-1")).data
    assert [entry["orderId"] for entry in data["collections"]] == ["A-10", "A-1"]
    reference = call.sandbox.collection(wanted).reference[2:9]
    data = (await call("GET", f"/collections?reference={reference}")).data
    assert [entry["orderId"] for entry in data["collections"]] == ["A-10"]


async def test_a_list_can_be_cut_down_by_status(call: Caller) -> None:
    """Only the exact state counts."""
    await call.sandbox.pay(await call.create(orderId="A"))
    await call.create(orderId="B")
    data = (await call("GET", "/collections?status=COMPLETED")).data
    assert [entry["orderId"] for entry in data["collections"]] == ["A"]


async def test_a_list_can_be_cut_down_by_date(call: Caller) -> None:
    """Whole days in UTC, both included."""
    await call.create(orderId="A")
    first = call.sandbox.clock.now().date()
    call.sandbox.clock.advance(24 * 3600)
    call.token = None
    await call.create(orderId="B")
    second = call.sandbox.clock.now().date()
    for query, expected in (
        (f"dateFrom={second}", ["B"]),
        (f"dateTo={first}", ["A"]),
        (f"dateFrom={first}&dateTo={second}", ["B", "A"]),
    ):
        data = (await call("GET", f"/collections?{query}")).data
        assert [entry["orderId"] for entry in data["collections"]] == expected


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("page=0", "page"),
        ("page=x", "page"),
        ("limit=101", "limit"),
        ("limit=-1", "limit"),
        ("status=PAID", "status"),
        ("dateFrom=2026-13-01", "dateFrom"),
        ("dateTo=2026-1-8", "dateTo"),
    ],
)
async def test_a_wrong_query_is_named(call: Caller, query: str, field: str) -> None:
    """Nothing is silently corrected."""
    reply = await call("GET", f"/collections?{query}")
    assert (reply.status, list(reply.fields)) == (400, [field])


async def _paid(call: Caller, order_id: str = "INV-001") -> str:
    collection_id = await call.create(orderId=order_id)
    await call.sandbox.pay(collection_id)
    return collection_id


async def test_a_refund_answers_as_the_sample_does(call: Caller) -> None:
    """201; all of the net amount, for the default reason."""
    reply = await call("POST", f"/collections/{await _paid(call)}/refund")
    assert reply.status == 201
    assert list(reply.data) == list(_sample("refund_create.json"))
    assert (reply.data["amount"], reply.data["reason"]) == (Decimal("24.25"), "CUSTOMER_REQUEST")
    assert reply.data["reasonDescription"] == "Customer requested refund"


async def test_a_part_can_be_refunded_once(call: Caller) -> None:
    """The second attempt is refused, and GET tells what was given back."""
    collection_id = await _paid(call)
    body = {"mode": "PARTIAL", "amount": 10, "reason": "OTHER"}
    assert (await call("POST", f"/collections/{collection_id}/refund", body)).data["amount"] == 10
    reply = await call("POST", f"/collections/{collection_id}/refund")
    assert (reply.status, reply.code) == (409, "ALREADY_REFUNDED")
    data = (await call("GET", f"/collections/{collection_id}")).data
    assert data["status"] == "PARTIALLY_REFUNDED"
    assert data["refunds"] == {"totalRefunded": 10, "remainingRefundable": 0, "count": 1}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"mode": "HALF"}, "mode"),
        ({"reason": "BECAUSE"}, "reason"),
        ({"mode": "PARTIAL"}, "amount"),
        ({"mode": "PARTIAL", "amount": 0}, "amount"),
        ({"mode": "PARTIAL", "amount": 24.26}, "amount"),
    ],
)
async def test_a_wrong_refund_names_the_field(
    call: Caller, body: dict[str, object], field: str
) -> None:
    """The fee is not returned: 24.25 of 25.00 is the most."""
    reply = await call("POST", f"/collections/{await _paid(call)}/refund", body)
    assert (reply.status, reply.code, list(reply.fields)) == (400, "VALIDATION_ERROR", [field])


async def test_refunds_are_listed(call: Caller) -> None:
    """As the sample, newest first, by collection and by status."""
    first, second = await _paid(call, "A"), await _paid(call, "B")
    for collection_id in (first, second):
        await call("POST", f"/collections/{collection_id}/refund")
        call.sandbox.clock.advance(1)
    entries = (await call("GET", "/refunds")).data["refunds"]
    assert list(entries[0]) == list(_sample("refund_list.json")["refunds"][0])
    assert [entry["collectionId"] for entry in entries] == [second, first]
    for query, count in ((f"collectionId={first}", 1), ("status=PENDING", 0), ("limit=1", 1)):
        assert len((await call("GET", f"/refunds?{query}")).data["refunds"]) == count


async def test_a_pending_refund_has_no_end_yet(http: aiohttp.ClientSession) -> None:
    """Until its delay on the sandbox's clock is over."""
    async with Sandbox(refund_delay=60, time_scale=0) as sandbox:
        call = Caller(sandbox, http)
        reply = await call("POST", f"/collections/{await _paid(call)}/refund")
        assert reply.data["status"] == "PENDING"
        assert (await call("GET", "/refunds")).data["refunds"][0]["completedAt"] is None
        sandbox.clock.advance(60)
        assert (await call("GET", "/refunds")).data["refunds"][0]["status"] == "COMPLETED"


async def test_the_reasons_are_those_of_the_docs(call: Caller) -> None:
    """All eight, in order."""
    assert (await call("GET", "/refunds/reasons")).data == _sample("refund_reasons.json")


async def test_prices_are_told_and_applied(http: aiohttp.ClientSession) -> None:
    """What GET tells is what a create charges."""
    fee = Fee(code="COLLECTION_FEE", name="Collection Fee", type="PERCENTAGE", rate=Decimal("1.9"))
    async with Sandbox(fees=[fee]) as sandbox:
        call = Caller(sandbox, http)
        fees = (await call("GET", "/account/pricing")).data["fees"]
        assert list(fees[0]) == list(_sample("account_pricing.json")["fees"][0])
        assert fees[0]["rate"] == Decimal("1.9")
        reply = await call("POST", "/collections", ORDER | {"amount": 100})
        assert (reply.data["fee"], reply.data["netAmount"]) == (Decimal("1.90"), Decimal("98.10"))


async def test_the_webhook_secret_is_told_once(call: Caller) -> None:
    """With the first URL, and never again."""
    reply = await call("PUT", "/webhooks", {"webhookUrl": "https://shop.example/hook"})
    assert reply.data.keys() == _sample("webhook_config_update.json").keys()
    assert reply.data["webhookSecret"] == call.sandbox.webhook_secret
    again = await call("PUT", "/webhooks", {"webhookUrl": "https://shop.example/other"})
    assert "webhookSecret" not in again.data
    config = (await call("GET", "/webhooks")).data
    assert (config["webhookUrl"], config["isConfigured"], config["hasWebhookSecret"]) == (
        "https://shop.example/other",
        True,
        True,
    )


@pytest.mark.parametrize("nothing", [None, ""])
async def test_webhooks_can_be_switched_off(call: Caller, nothing: str | None) -> None:
    """By null or by an empty text."""
    await call("PUT", "/webhooks", {"webhookUrl": "https://shop.example/hook"})
    assert (await call("PUT", "/webhooks", {"webhookUrl": nothing})).data["isConfigured"] is False
    assert (await call("GET", "/webhooks")).data["webhookUrl"] is None


@pytest.mark.parametrize("body", [{}, {"webhookUrl": "http://shop.example"}, {"webhookUrl": 5}])
async def test_a_webhook_url_must_be_https(call: Caller, body: dict[str, object]) -> None:
    """Loopback excepted, as a service under development has nothing else."""
    assert list((await call("PUT", "/webhooks", body)).fields) == ["webhookUrl"]
    local = {"webhookUrl": "http://localhost:8000/hook"}
    assert (await call("PUT", "/webhooks", local)).status == 200


async def test_a_new_secret_replaces_the_old_one(call: Caller) -> None:
    """The sandbox signs with the new one at once."""
    old = call.sandbox.webhook_secret
    reply = await call("POST", "/webhooks/secret/regenerate")
    assert reply.data.keys() == _sample("webhook_config_regenerate.json").keys()
    assert reply.data["webhookSecret"] == call.sandbox.webhook_secret != old


async def test_a_test_delivery_says_that_it_is_one(call: Caller, merchant: Merchant) -> None:
    """Signed, with the marks inside the signed data, and its fate in the answer."""
    await call("PUT", "/webhooks", {"webhookUrl": merchant.url})
    reply = await call("POST", "/webhooks/test", {"event": "collection.received"})
    assert reply.data["delivered"] is True
    data = merchant.events[0]["data"]
    assert (data["_test"], data["reference"][:5]) == (True, "TEST_")
    assert reply.data["testData"] == data


async def test_a_test_delivery_is_tried_once(call: Caller, merchant: Merchant) -> None:
    """A refusal is told, and not retried."""
    merchant.answers = [401]
    await call("PUT", "/webhooks", {"webhookUrl": merchant.url})
    reply = await call("POST", "/webhooks/test", {"event": "refund.completed"})
    assert reply.data["delivered"] is False
    call.sandbox.clock.advance(3600)
    await call.sandbox.drained()
    assert len(merchant.bodies) == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [({}, "event"), ({"event": "x"}, "event"), ({"event": "refund.completed"}, "webhookUrl")],
)
async def test_a_test_delivery_needs_an_event_and_a_url(
    call: Caller, body: dict[str, str], field: str
) -> None:
    """Otherwise there is nothing to send, or nowhere to send it to."""
    assert list((await call("POST", "/webhooks/test", body)).fields) == [field]


async def test_requests_are_recorded_without_secrets(call: Caller, sandbox: Sandbox) -> None:
    """Method, path, query, headers, body and status; no token and no key."""
    await call.create()
    await call("GET", "/collections?limit=5")
    token, create, listing = sandbox.requests
    assert (token.name, token.status) == ("POST /auth/token", 200)
    assert token.json == {
        "appId": sandbox.app_id, "secretKey": "[redacted]", "grantType": "client_credentials",
    }  # fmt: skip
    assert (create.json, create.status) == (ORDER, 201)
    assert create.headers["authorization"] == "Bearer [redacted]"
    assert (listing.path, listing.query, listing.json) == ("/collections", {"limit": "5"}, None)


async def test_a_body_that_is_not_json_is_recorded_as_none(call: Caller, sandbox: Sandbox) -> None:
    """The record never fails a request."""
    await call.send("POST", f"{sandbox.base_url}/auth/token", data=b"{")
    await call.send("POST", f"{sandbox.base_url}/auth/token", data=b"[1]")
    assert [request.json for request in sandbox.requests] == [None, [1]]
