"""The control routes and the console page over HTTP."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from paycollect.sandbox import Sandbox, drop_after_commit, duplicated, respond
from paycollect.sandbox.panels import PANELS
from tests.sandbox.conftest import ORDER, Caller, Merchant, Reply
from tests.sandbox.test_checkout import EVIL, Page


async def _do(call: Caller, path: str, body: object = None) -> Reply:
    return await call.send("POST", f"/_sandbox{path}", json={} if body is None else body)


async def _form(call: Caller, path: str, **fields: str) -> Reply:
    csrf = Page((await call.send("GET", "/")).text).fields["csrf"]
    return await call.send("POST", f"/_sandbox{path}", data={"csrf": csrf} | fields)


async def _state(call: Caller) -> Any:
    return (await call.send("GET", "/_sandbox/state")).json


async def test_a_checkout_can_be_created(call: Caller) -> None:
    """Without a token, with the API's own checks."""
    reply = await _do(call, "/collections", ORDER)
    assert (reply.status, reply.json["status"]) == (200, "PENDING")
    reply = await _do(call, "/collections", ORDER | {"amount": 0})
    assert reply.status == 400
    assert reply.json["error"]["fields"] == {"amount": "must be more than 0 and at most 10000000"}


@pytest.mark.parametrize(
    ("action", "status"),
    [("pay", "COMPLETED"), ("decline", "FAILED"), ("cancel", "CANCELLED"), ("expire", "EXPIRED")],
)
async def test_a_checkout_can_be_moved(call: Caller, action: str, status: str) -> None:
    """The answer is the collection as it is then."""
    collection_id = await call.create()
    reply = await _do(call, f"/collections/{collection_id}/{action}")
    assert (reply.status, reply.json["status"]) == (200, status)


async def test_a_payment_can_be_refunded(call: Caller) -> None:
    """Wholly, or in part by an amount."""
    for order_id, body, left in (("A", {}, "REFUNDED"), ("B", {"amount": 5}, "PARTIALLY_REFUNDED")):
        collection_id = await call.create(orderId=order_id)
        await call.sandbox.pay(collection_id)
        reply = await _do(call, f"/collections/{collection_id}/refund", body)
        assert reply.json["status"] == left


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/collections/SCI1/pay", 404),
        ("/collections/SCI1/dance", 404),
        ("/deliveries/1/redeliver", 404),
    ],
)
async def test_what_cannot_be_done_is_refused(call: Caller, path: str, status: int) -> None:
    """With a code and a sentence."""
    reply = await _do(call, path)
    assert (reply.status, reply.code) == (status, "RESOURCE_NOT_FOUND")


async def test_the_clock_can_be_moved(call: Caller, sandbox: Sandbox) -> None:
    """By seconds."""
    before = sandbox.clock.now()
    reply = await _do(call, "/clock", {"advance": 90.5})
    assert (sandbox.clock.now() - before).total_seconds() == 90.5
    assert reply.json["now"].endswith("+00:00")


@pytest.mark.parametrize("body", [{}, {"advance": -1}, {"advance": "x"}, {"advance": 10**12}])
async def test_the_clock_refuses_what_is_no_time(call: Caller, body: dict[str, Any]) -> None:
    """400, never a 500."""
    assert (await _do(call, "/clock", body)).status == 400


async def test_faults_can_be_armed(call: Caller, sandbox: Sandbox) -> None:
    """By their names, with their options, once, several times, or always."""
    fault = {"target": "POST /collections", "fault": "drop_after_commit", "times": 2}
    assert len((await _do(call, "/faults", fault)).json["faults"]) == 2
    more = {"status": 429, "headers": {"Retry-After": "2"}}
    await _do(call, "/faults", {"target": "* *", "fault": "respond"} | more)
    await _do(call, "/faults", {"target": "webhook", "fault": "duplicated", "always": True})
    armed = [(entry.target, entry.fault, entry.once) for entry in sandbox.faults.armed]
    assert armed == [
        ("POST /collections", drop_after_commit(), True),
        ("POST /collections", drop_after_commit(), True),
        ("* *", respond(429, {"Retry-After": "2"}), True),
        ("webhook", duplicated(), False),
    ]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"target": "POST /collections"},
        {"target": "nowhere", "fault": "truncate"},
        {"target": "POST /collections", "fault": "truncate", "times": "many"},
        {"target": "POST /collections", "fault": "delay"},
        {"target": "POST /collections", "fault": "truncate", "colour": "red"},
        {"target": "POST /collections", "fault": ["truncate"]},
    ],
)
async def test_a_wrong_fault_is_refused(call: Caller, body: dict[str, Any]) -> None:
    """400, and nothing is armed."""
    reply = await _do(call, "/faults", body)
    assert (reply.status, reply.code) == (400, "VALIDATION_ERROR")
    assert call.sandbox.faults.armed == ()


async def test_faults_can_be_disarmed(call: Caller, sandbox: Sandbox) -> None:
    """One by its number, or all."""
    sandbox.faults.next("* *", respond(500), respond(502), respond(503))
    reply = await _do(call, "/faults/clear", {"number": sandbox.faults.armed[0].number})
    assert len(reply.json["faults"]) == 2
    assert (await _do(call, "/faults/clear")).json["faults"] == []


async def test_deliveries_can_be_sent_waited_for_and_made_again(
    call: Caller, merchant: Merchant
) -> None:
    """A test delivery, a redelivery, and the end of both."""
    body = {"event": "collection.received", "url": merchant.url}
    assert (await _do(call, "/webhooks/test", body)).json == {"delivered": True}
    assert (await _do(call, "/deliveries/1/redeliver")).json["id"] == 1
    assert (await _do(call, "/drain")).json == {"drained": True}
    assert len(merchant.bodies) == 2


async def test_the_state_tells_everything_but_secrets(call: Caller, merchant: Merchant) -> None:
    """Collections, deliveries with their attempts, faults, tokens and requests."""
    await call.sandbox.pay(await call.create(webhookUrl=merchant.url))
    await call.sandbox.drained()
    call.sandbox.faults.next("* *", respond(500))
    reply = await call.send("GET", "/_sandbox/state")
    state = reply.json
    assert state["collections"][0]["amount"] == Decimal("25.00")
    assert state["deliveries"][0]["attempts"][0]["status"] == 200
    assert state["faults"][0]["description"] == "respond(500)"
    assert [entry["what"] for entry in state["tokens"]] == ["issued"]
    assert [entry["status"] for entry in state["requests"]] == [201, 200]
    assert call.token is not None
    for secret in (call.token, call.sandbox.secret_key, call.sandbox.webhook_secret):
        assert secret not in reply.text


async def test_only_json_is_taken_without_the_consoles_token(call: Caller) -> None:
    """As a foreign page can send text, but not JSON."""
    reply = await call.send("POST", "/_sandbox/clock", data=b'{"advance": 60}')
    assert (reply.status, reply.code) == (415, "JSON_NEEDED")


@pytest.mark.parametrize("csrf", [{}, {"csrf": "guessed"}])
async def test_a_form_needs_the_consoles_token(call: Caller, csrf: dict[str, str]) -> None:
    """Another site cannot read it."""
    before = call.sandbox.clock.now()
    reply = await call.send("POST", "/_sandbox/clock", data={"advance": "60"} | csrf)
    assert (reply.status, "reload" in reply.text) == (403, True)
    assert call.sandbox.clock.now() == before


async def test_a_button_leads_back_to_the_console(call: Caller, sandbox: Sandbox) -> None:
    """So that it works without JavaScript."""
    collection_id = await call.create()
    reply = await _form(call, f"/collections/{collection_id}/pay")
    assert (reply.status, reply.headers["Location"]) == (303, "/")
    assert sandbox.collection(collection_id).status == "COMPLETED"


async def test_a_button_that_cannot_work_says_why(call: Caller) -> None:
    """On a page of its own."""
    reply = await _form(call, "/collections", amount="0.50", orderId=EVIL, description="x")
    text = Page(reply.text).text
    assert reply.status == 400
    assert "amount must be at least 1" in text


async def test_a_form_can_create_a_checkout(call: Caller, sandbox: Sandbox) -> None:
    """Fields that are left empty count as absent."""
    fields = {"amount": "12.50", "orderId": "A", "description": "x", "webhookUrl": ""}
    await _form(call, "/collections", **fields)
    (record,) = sandbox.collections
    assert (str(record.amount), record.order.webhook_url) == ("12.50", None)


async def test_a_form_can_arm_a_fault(call: Caller, sandbox: Sandbox) -> None:
    """Only the options of the chosen fault count."""
    fields = {"seconds": "5", "status": "429", "times": "1", "retryAfter": "7"}
    await _form(call, "/faults", target="POST /collections", fault="respond", **fields)
    await _form(call, "/faults", target="POST /collections", fault="truncate", **fields)
    await _form(call, "/faults", target="* *", fault="unknown", **fields)
    faults = [entry.fault for entry in sandbox.faults.armed]
    assert [str(fault) for fault in faults] == ["respond(429, Retry-After: 7)", "truncate()"]


async def test_an_empty_console_says_what_will_be_there(call: Caller) -> None:
    """And how to connect a service."""
    text = Page((await call.send("GET", "/")).text).text
    for part in ("No checkouts yet", "No webhooks yet", "Nobody has called", "No fault is armed"):
        assert part in text
    assert f"PAYCOLLECT_BASE_URL={call.sandbox.base_url}" in text


async def _fill(call: Caller, merchant: Merchant, text: str) -> None:
    merchant.answers = [500]
    webhook = {"webhookUrl": merchant.url}
    for number, step in enumerate(("pay", "decline", None)):
        collection_id = await call.create(orderId=f"{text}{number}", description=text, **webhook)
        if step:
            await getattr(call.sandbox, step)(collection_id)
    call.sandbox.faults.next("webhook", duplicated())
    await call.sandbox.drained()
    done = await call.create(orderId=f"{text}done")
    await call.sandbox.pay(done)
    await call.sandbox.refund(done)
    await call("GET", f"/collections/{text}")
    call.sandbox.faults.next("* *", respond(500, {"X-Text": text}, code=text))


async def test_the_console_shows_everything(call: Caller, merchant: Merchant) -> None:
    """States, the next retry, what was sent, requests, tokens and faults."""
    await _fill(call, merchant, "INV")
    text = Page((await call.send("GET", "/")).text).text
    for part in (
        "PENDING", "COMPLETED", "FAILED", "$24.25 refunded", "next in 1 min 00 s", "HTTP 500",
        "duplicated", '"amount": 25.00', "GET /collections/INV", "issued", "respond(500",
    ):  # fmt: skip
        assert part in text


async def test_nothing_that_is_given_becomes_markup(call: Caller, merchant: Merchant) -> None:
    """The console of an evil order has the elements of a harmless one."""
    await _fill(call, merchant, "INV")
    harmless = Page((await call.send("GET", "/")).text)
    async with Sandbox(time_scale=0) as sandbox:
        other = Caller(sandbox, call.http)
        await _fill(other, merchant, EVIL[:90])
        evil = Page((await other.send("GET", "/")).text)
    assert evil.elements == harmless.elements


async def test_the_panels_are_those_of_the_page(call: Caller) -> None:
    """What the script fetches is what the page was made of."""
    panels = (await call.send("GET", "/_sandbox/panels")).json
    html = (await call.send("GET", "/")).text
    assert panels.keys() == set(PANELS)
    assert all(panel in html for panel in panels.values())


async def test_old_entries_are_counted_not_listed(call: Caller) -> None:
    """The console stays readable."""
    for number in range(52):
        await call.sandbox.create(ORDER | {"orderId": str(number)})
    assert "and 2 older ones" in Page((await call.send("GET", "/")).text).text


async def test_a_request_that_got_no_answer_is_shown(call: Caller, sandbox: Sandbox) -> None:
    """As such."""
    await call("GET", "/refunds")
    sandbox.requests[0].status = None
    assert "no answer" in Page((await call.send("GET", "/")).text).text


async def test_the_console_lets_nothing_else_in(call: Caller) -> None:
    """A strict policy and no caching."""
    headers = (await call.send("GET", "/")).headers
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["Cache-Control"] == "no-store"


async def test_a_delivery_under_way_is_shown(call: Caller, merchant: Merchant) -> None:
    """With an attempt that has no outcome yet."""
    merchant.gate = asyncio.Event()
    await call.sandbox.pay(await call.create(webhookUrl=merchant.url))
    await merchant.arrived()
    text = Page((await call.send("GET", "/")).text).text
    assert "sending" in text
    assert "under way" in text
    merchant.gate.set()
    await call.sandbox.drained()


async def test_a_clock_that_runs_faster_says_so(call: Caller) -> None:
    """Only then."""
    async with Sandbox(time_scale=60) as sandbox:
        page = (await Caller(sandbox, call.http).send("GET", "/")).text
    assert "60 times as fast" in page
