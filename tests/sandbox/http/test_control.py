"""The control routes and the console page over HTTP."""

import asyncio
import json
from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from paycollect.sandbox import Sandbox, drop_after_commit, duplicated, respond
from paycollect.sandbox.http import control
from paycollect.sandbox.http.console_panels import PANELS
from tests.sandbox.conftest import ORDER, Caller, Merchant, Reply, until
from tests.sandbox.http.test_checkout import EVIL, Page


async def _do(call: Caller, path: str, body: object = None) -> Reply:
    return await call.send("POST", f"/_sandbox{path}", json={} if body is None else body)


async def _form(call: Caller, path: str, **fields: str) -> Reply:
    csrf = Page((await call.send("GET", "/")).text).fields["csrf"]
    return await call.send(
        "POST", f"/_sandbox{path}", data={"csrf": csrf} | fields, headers={"Accept": "text/html"}
    )


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


async def test_a_program_gets_json_whatever_it_sends(call: Caller) -> None:
    """Such as curl, which sends a form unless it is told otherwise."""
    reply = await call.send("POST", "/_sandbox/clock", data={"advance": "60"})
    assert (reply.status, reply.code) == (403, "CSRF")
    assert "Content-Type: application/json" in reply.json["error"]["message"]


@pytest.mark.parametrize("path", ["/nosuch", "/_sandbox/nosuch", "/a%0Ab"])
async def test_what_is_not_there_says_so(call: Caller, path: str) -> None:
    """On a page of ours for a browser, as JSON for a program."""
    reply = await call.send("GET", path)
    assert (reply.status, reply.code) == (404, "RESOURCE_NOT_FOUND")
    page = await call.send("GET", path, headers={"Accept": "text/html,*/*"})
    assert (page.status, "Back to the console" in page.text) == (404, True)


async def test_a_part_can_be_refunded_by_a_form(call: Caller, sandbox: Sandbox) -> None:
    """All of it if the field is left empty."""
    for order_id, amount, left in (("A", "5", "PARTIALLY_REFUNDED"), ("B", "", "REFUNDED")):
        collection_id = await call.create(orderId=order_id)
        await sandbox.pay(collection_id)
        await _form(call, f"/collections/{collection_id}/refund", amount=amount)
        assert sandbox.collection(collection_id).status == left


async def test_a_request_shows_its_body(call: Caller) -> None:
    """Without secrets, cut if it is long."""
    await call.create(metadata={"x": "y" * 5000})
    await call.send("POST", f"{call.sandbox.base_url}/auth/token", data=b"nonsense")
    panel = Page((await call.send("GET", "/_sandbox/panels")).json["requests"]).text
    assert '"orderId": "INV-001"' in panel
    assert "yyy…" in panel
    assert "not JSON" in panel
    assert call.sandbox.secret_key not in panel


async def test_a_webhook_says_which_order_it_is_about(call: Caller, merchant: Merchant) -> None:
    """And a test delivery that it is one."""
    await call.sandbox.pay(await call.create(orderId="INV-777", webhookUrl=merchant.url))
    await call.sandbox.send_test(url=merchant.url)
    await call.sandbox.drained()
    panel = Page((await call.send("GET", "/_sandbox/panels")).json["deliveries"]).text
    assert "INV-777" in panel
    assert "test delivery" in panel


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
        "PENDING", "COMPLETED", "FAILED", "$24.25 refunded", "next at ", "HTTP 500",
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


async def test_long_lists_have_pages(call: Caller) -> None:
    """Each of its own, with the way to the others."""
    for number in range(60):
        await call.sandbox.create(ORDER | {"orderId": f"A{number}"})
        await call("GET", f"/collections/B{number}")
    pages = [
        Page((await call.send("GET", f"/?collections={page}&requests=2")).text)
        for page in (1, 2, 3)
    ]
    for page, part in zip(pages, ("1 to 25", "26 to 50", "51 to 60"), strict=True):
        assert f"{part} of 60" in page.text
        assert "26 to 50 of 61" in page.text
    assert ["Newer" in page.text for page in pages] == [True] * 3  # of the requests
    links = {item.get("href") for item in pages[1].attributes}
    assert "/?collections=3&requests=2#collections" in links
    assert "/?collections=2&requests=1#requests" in links


@pytest.mark.parametrize("query", ["collections=99", "q=nobody", "q=nobody&requests=3"])
async def test_an_empty_page_says_so(call: Caller, query: str) -> None:
    """With a way back if there are others."""
    await call.create()
    page = Page((await call.send("GET", f"/?{query}")).text)
    assert "Nothing here" in page.text
    assert ("Back to the first ones" in page.text) == (query == "collections=99")


@pytest.mark.parametrize("query", ["collections=0", "collections=x", "requests=-1", "checkout="])
async def test_an_address_that_cannot_be_read_shows_the_beginning(call: Caller, query: str) -> None:
    """And is no error."""
    await call.create()
    reply = await call.send("GET", f"/?{query}")
    assert (reply.status, "INV-001" in reply.text) == (200, True)


async def test_lists_can_be_searched(call: Caller, merchant: Merchant) -> None:
    """By order, by state, by address; the search goes with the pages."""
    ids = [await call.create(orderId=f"INV-{n}", webhookUrl=merchant.url) for n in range(3)]
    for collection_id in ids:
        await call.sandbox.pay(collection_id)
    await call.create(orderId="OTHER")
    await call.sandbox.send_test(url=merchant.url)
    await call.sandbox.drained()

    async def found(query: str) -> list[int]:
        panels = (await call.send("GET", f"/_sandbox/panels?{query}")).json
        words = {"collections": "/refund", "deliveries": "redeliver", "requests": "<li>"}
        return [panels[name].count(word) for name, word in words.items()]

    assert await found("q=INV-1") == [1, 1, 1]
    assert await found("q=OTHER") == [0, 0, 1]
    assert await found(f"q={ids[0]}") == [0, 1, 0]
    assert await found("q=collection.received") == [0, 4, 0]
    assert await found("q=/collections") == [0, 0, 4]
    assert await found("status=PENDING") == [0, 4, 5]
    assert "OTHER" in (await call.send("GET", "/?status=PENDING")).text


async def test_a_checkout_tells_its_story(call: Caller, merchant: Merchant) -> None:
    """Requests, states and webhooks, in the order in which they happened, and nothing of others."""
    merchant.answers = [500]
    sandbox = call.sandbox
    order_id = 'INV "7"'
    mine = await call.create(orderId=order_id, webhookUrl=merchant.url, metadata={"cart": 7})
    other = await call.create(orderId="OTHER", webhookUrl=merchant.url, description='"')
    await call.create(orderId="WITHOUT ESCAPES")
    await sandbox.pay(mine)
    await sandbox.drained()
    sandbox.clock.advance(60)
    await sandbox.drained()
    sandbox.clock.advance(1)
    sandbox.faults.next("GET /collections/{id}", respond(503))
    await call("GET", f"/collections/{mine}")
    await call("GET", "/collections?orderId=7")
    await call("GET", "/collections?orderId=OTHER")
    await call("POST", f"/collections/{mine}/refund", {"amount": 5, "mode": "PARTIAL"})
    await call("GET", f"/refunds?collectionId={mine}")
    await call.send("POST", f"{sandbox.base_url}/collections", data=b'["\\u0041"]')
    await sandbox.pay(other)
    panels = (await call.send("GET", f"/_sandbox/panels?checkout={mine}")).json
    assert panels.keys() == {"clock", "checkout", "story"}
    text = Page(panels["story"]).text
    places = [
        text.index(part)
        for part in (
            "POST /collections",
            "PENDING",
            "COMPLETED",
            "HTTP 500",
            "HTTP 200",
            "refund of $5.00 paid out",
            "GET /collections",
        )
    ]
    assert places == sorted(places)
    assert text.count("Request") == 5
    assert "respond" in text
    assert other not in text
    assert '"cart": 7' in Page(panels["checkout"]).text
    html = (await call.send("GET", f"/?checkout={mine}")).text
    assert all(panel in html for panel in panels.values())
    assert f"/?checkout={mine}" in (await call.send("GET", "/")).text


async def test_a_payment_under_way_is_told_in_the_story(call: Caller, sandbox: Sandbox) -> None:
    """And a refund, too."""
    collection_id = await call.create()
    sandbox.provider.ledger.pay_later(collection_id)
    assert "payment under way" in (await call.send("GET", f"/?checkout={collection_id}")).text
    async with Sandbox(refund_delay=60, time_scale=0) as slow:
        record = await slow.create(ORDER)
        await slow.pay(record.collection_id)
        await slow.refund(record.collection_id)
        other = Caller(slow, call.http)
        page = await other.send("GET", f"/?checkout={record.collection_id}")
    assert "refund of $24.25 under way" in page.text


@pytest.mark.parametrize("path", ["/", "/_sandbox/panels"])
async def test_an_unknown_checkout_has_no_story(call: Caller, path: str) -> None:
    """404, on a page that leads back."""
    reply = await call.send("GET", f"{path}?checkout=SCI1")
    assert reply.status == 404
    assert "Collection" in reply.text


async def test_logs_can_be_cleared(call: Caller, merchant: Merchant) -> None:
    """What is under way stays, and so does every collection."""
    merchant.answers = [200, 500]
    for number in range(2):
        collection_id = await call.create(orderId=str(number), webhookUrl=merchant.url)
        await call.sandbox.pay(collection_id)
        await call.sandbox.drained()
    await call.send("POST", "/_sandbox/clear", json={})
    assert call.sandbox.requests == []
    assert [entry.state for entry in call.sandbox.deliveries] == ["waiting"]
    assert len(call.sandbox.collections) == 2


async def _event(stream: aiohttp.ClientResponse) -> dict[str, Any]:
    line = await stream.content.readline()
    await stream.content.readline()
    return dict(json.loads(line.removeprefix(b"data: ")))


async def test_the_console_is_told_of_changes(call: Caller, sandbox: Sandbox) -> None:
    """By a stream that begins with the present state, and that also tells the time."""
    async with call.http.get(f"{sandbox.url}/_sandbox/events") as stream:
        assert stream.content_type == "text/event-stream"
        first = await _event(stream)
        await sandbox.create(ORDER)
        second = await _event(stream)
        sandbox.clock.advance(3600)
        third = await _event(stream)
    assert first["changes"] < second["changes"] <= third["changes"]
    assert first["clock"] != third["clock"]


async def test_a_page_that_is_closed_ends_its_stream(
    call: Caller, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the next thing that there is to tell."""
    monkeypatch.setattr(control, "_TICK", 0)
    monkeypatch.setattr(control, "_EASE", 0)
    before = len(asyncio.all_tasks())
    async with call.http.get(f"{sandbox.url}/_sandbox/events") as stream:
        await _event(stream)
        stream.close()
    await until(lambda: len(asyncio.all_tasks()) <= before)


@pytest.mark.parametrize(
    ("referer", "location"),
    [
        ("{url}/?q=INV&requests=2#requests", "/?q=INV&requests=2"),
        ("{url}/", "/"),
        ("{url}/?q=\u00e9", "/"),
    ],
)
async def test_a_button_leads_back_to_the_same_view(
    call: Caller, referer: str, location: str
) -> None:
    """Without JavaScript the browser says where it comes from."""
    fields = Page((await call.send("GET", "/")).text).fields
    reply = await call.send(
        "POST",
        "/_sandbox/clock",
        data={"csrf": fields["csrf"], "advance": "1"},
        headers={"Accept": "text/html", "Referer": referer.format(url=call.sandbox.url)},
    )
    assert reply.headers["Location"] == location


async def test_a_request_tells_how_long_it_took(call: Caller, sandbox: Sandbox) -> None:
    """In real time, on the page and in the state."""
    await call("GET", "/refunds")
    sandbox.requests[-1].seconds = 0.0123
    assert "12 ms" in (await call.send("GET", "/")).text
    state = (await call.send("GET", "/_sandbox/state")).json
    assert state["requests"][0]["milliseconds"] == 12
    assert sandbox.requests[0].seconds > 0


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
    assert "stands still" in (await call.send("GET", "/")).text
