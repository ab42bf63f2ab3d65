"""The hosted checkout over HTTP, as a browser without JavaScript would use it."""

import asyncio
import re
from html.parser import HTMLParser

import aiohttp
import pytest

from paycollect.sandbox import CollectionRecord, Sandbox
from paycollect.sandbox.http.checkout import SLOW, return_url
from paycollect.status import PaymentStatus
from tests.sandbox.conftest import ORDER, Caller, Merchant, Reply, until

EVIL = '<script>alert("x")</script>&"\'{merchant}'


class Page(HTMLParser):
    """What is on a page: its elements, its fields, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.attributes: list[dict[str, str | None]] = []
        self.fields: dict[str, str] = {}
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element down."""
        attributes = dict(attrs)
        self.elements.append(tag)
        self.attributes.append(attributes)
        if tag == "input" and (name := attributes.get("name")):
            self.fields[name] = attributes.get("value") or ""

    def handle_data(self, data: str) -> None:
        """Note a text down."""
        self.text += data


async def _open(sandbox: Sandbox, **other: object) -> CollectionRecord:
    return await sandbox.create(ORDER | {"callbackUrl": "https://shop.example/return"} | other)


async def _show(call: Caller, record: CollectionRecord) -> Reply:
    return await call.send("GET", call.sandbox.checkout_url(record.collection_id))


async def _press(call: Caller, record: CollectionRecord, action: str) -> Reply:
    fields = Page((await _show(call, record)).text).fields
    url = call.sandbox.checkout_url(record.collection_id)
    return await call.send("POST", url, data=fields | {"action": action})


async def test_the_page_shows_what_is_to_be_paid(call: Caller, sandbox: Sandbox) -> None:
    """Merchant, description, amount, reference, order and the time that is left."""
    record = await _open(sandbox)
    sandbox.clock.advance(61)
    reply = await _show(call, record)
    text = Page(reply.text).text
    for part in ("Sandbox Merchant", "Premium plan", "$25.00", "INV-001", "58:59"):
        assert part in text
    assert record.reference in text
    assert "$0.75" not in text  # the fee is the merchant's
    assert reply.status == 200
    assert reply.headers["Content-Type"] == "text/html; charset=utf-8"


@pytest.mark.parametrize(
    ("action", "status"), [("pay", "COMPLETED"), ("decline", "FAILED"), ("cancel", "CANCELLED")]
)
async def test_each_button_leads_back_to_the_merchant(
    call: Caller, sandbox: Sandbox, action: str, status: str
) -> None:
    """With batch and status in the query (provider docs: collections, the payer's way)."""
    record = await _open(sandbox)
    reply = await _press(call, record, action)
    assert reply.status == 303
    expected = f"https://shop.example/return?batch={record.collection_id}&status={status}"
    assert reply.headers["Location"] == expected
    assert sandbox.collection(record.collection_id).status == status


async def test_paying_sends_the_webhook(call: Caller, merchant: Merchant) -> None:
    """The whole way: page, button, webhook."""
    record = await _open(call.sandbox, webhookUrl=merchant.url)
    await _press(call, record, "pay")
    await call.sandbox.drained()
    assert merchant.events[0]["data"]["status"] == "COMPLETED"


@pytest.mark.parametrize(
    ("callback", "expected"),
    [
        ("https://shop.example", "https://shop.example?<B>"),
        ("https://shop.example/r?", "https://shop.example/r?<B>"),
        ("https://shop.example/r?x=1&x=2", "https://shop.example/r?x=1&x=2&<B>"),
        ("https://shop.example/r?e=%2F+%20&b", "https://shop.example/r?e=%2F+%20&b&<B>"),
        ("https://shop.example/r?x=1#part", "https://shop.example/r?x=1&<B>#part"),
        ("https://shop.example/#a?b", "https://shop.example/?<B>#a?b"),
        ("https://shop.example/r?batch=mine", "https://shop.example/r?batch=mine&<B>"),
        ("https://shop.example/é?ü=1", "https://shop.example/%C3%A9?%C3%BC=1&<B>"),
    ],
)
async def test_the_callback_url_keeps_its_query(
    sandbox: Sandbox, callback: str, expected: str
) -> None:
    """Not a character of it is lost or changed, letters outside ASCII excepted."""
    record = await _open(sandbox, callbackUrl=callback)
    added = f"batch={record.collection_id}&status=FAILED"
    record = await sandbox.decline(record.collection_id)
    assert return_url(record) == expected.replace("<B>", added)


async def test_without_a_callback_url_the_outcome_is_shown(call: Caller, sandbox: Sandbox) -> None:
    """The payer stays on the provider's page."""
    record = await _open(sandbox, callbackUrl=None)
    reply = await _press(call, record, "pay")
    assert reply.headers["Location"] == f"/sci/checkout?batch={record.collection_id}"
    text = Page((await _show(call, record)).text).text
    assert "Payment complete" in text
    assert "You can close this page" in text


@pytest.mark.parametrize(
    ("step", "heading", "status"),
    [
        ("pay", "Payment complete", 200),
        ("decline", "Payment declined", 200),
        ("cancel", "Payment cancelled", 200),
        ("expire", "This checkout has expired", 410),
    ],
)
async def test_a_finished_session_has_its_own_page(
    call: Caller, sandbox: Sandbox, step: str, heading: str, status: int
) -> None:
    """Without buttons to pay, and with the way back."""
    record = await _open(sandbox)
    await getattr(sandbox, step)(record.collection_id)
    reply = await _show(call, record)
    page = Page(reply.text)
    assert reply.status == status
    assert heading in page.text
    assert "form" not in page.elements
    assert any("https://shop.example" in (item.get("href") or "") for item in page.attributes)


async def test_a_session_that_expired_is_told_from_one_that_failed(
    http: aiohttp.ClientSession,
) -> None:
    """Even if the provider calls both states the same."""
    async with Sandbox(expired_as=PaymentStatus.FAILED) as sandbox:
        record = await _open(sandbox)
        await sandbox.expire(record.collection_id)
        reply = await _show(Caller(sandbox, http), record)
        assert (reply.status, "has expired" in reply.text) == (410, True)


@pytest.mark.parametrize(
    ("amount", "heading"), [(None, "Payment refunded"), (5, "Payment partly refunded")]
)
async def test_a_refunded_session_says_so(
    call: Caller, sandbox: Sandbox, amount: int | None, heading: str
) -> None:
    """Wholly or in part."""
    record = await _open(sandbox)
    await sandbox.pay(record.collection_id)
    await sandbox.refund(record.collection_id, amount)  # type: ignore[arg-type]  # an int will do
    assert heading in Page((await _show(call, record)).text).text


async def test_a_session_expires_under_the_payers_eyes(call: Caller, sandbox: Sandbox) -> None:
    """The form of a page that was open too long does nothing."""
    record = await _open(sandbox)
    fields = Page((await _show(call, record)).text).fields
    sandbox.clock.advance(3600)
    url = sandbox.checkout_url(record.collection_id)
    reply = await call.send("POST", url, data=fields | {"action": "pay"})
    assert reply.status == 410
    assert sandbox.collection(record.collection_id).status == "EXPIRED"


async def test_a_second_click_changes_nothing(call: Caller, sandbox: Sandbox) -> None:
    """A session that was paid in another tab shows that it is paid."""
    record = await _open(sandbox)
    fields = Page((await _show(call, record)).text).fields
    await sandbox.pay(record.collection_id)
    url = sandbox.checkout_url(record.collection_id)
    reply = await call.send("POST", url, data=fields | {"action": "cancel"})
    assert "Payment complete" in Page(reply.text).text


@pytest.mark.parametrize("path", ["/sci/checkout", "/sci/checkout?batch=SCI1"])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_an_unknown_session_has_its_own_page(call: Caller, method: str, path: str) -> None:
    """404, for humans."""
    reply = await call.send(method, path)
    assert reply.status == 404
    assert "Checkout not found" in Page(reply.text).text


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"action": "pay"},
        {"action": "pay", "csrf": "guessed"},
        {"action": "pay", "csrf": "\u00e9"},
    ],
)
async def test_a_form_without_the_pages_token_does_nothing(
    call: Caller, sandbox: Sandbox, fields: dict[str, str]
) -> None:
    """Another site cannot read the token, so it cannot pay or cancel."""
    record = await _open(sandbox)
    url = sandbox.checkout_url(record.collection_id)
    reply = await call.send("POST", url, data=fields)
    assert reply.status == 403
    assert "Nothing was done" in Page(reply.text).text
    assert sandbox.collection(record.collection_id).status == "PENDING"


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b"{}"),
        ("multipart/form-data; boundary=x", b"nonsense"),
        ("application/x-www-form-urlencoded; charset=nonsense", b"csrf=\xff&action=pay"),
        ("application/x-www-form-urlencoded", b"a=1&" * 100),
    ],
)
async def test_a_form_that_is_none_does_nothing(
    call: Caller, sandbox: Sandbox, kind: str, body: bytes
) -> None:
    """Whatever is sent: never a 500."""
    record = await _open(sandbox)
    url, headers = sandbox.checkout_url(record.collection_id), {"Content-Type": kind}
    assert (await call.send("POST", url, data=body, headers=headers)).status == 403


async def test_the_token_of_one_session_does_not_serve_another(
    call: Caller, sandbox: Sandbox
) -> None:
    """A payer can act on their own session only."""
    mine, other = await _open(sandbox), await _open(sandbox, orderId="INV-002")
    fields = Page((await _show(call, mine)).text).fields
    url = sandbox.checkout_url(other.collection_id)
    assert (await call.send("POST", url, data=fields | {"action": "pay"})).status == 403


async def test_a_late_payment_sends_the_browser_back_first(
    call: Caller, sandbox: Sandbox, merchant: Merchant
) -> None:
    """As paid, while the provider still says PENDING; it is paid and told a minute later."""
    record = await _open(sandbox, webhookUrl=merchant.url)
    reply = await _press(call, record, "pay-late")
    assert reply.headers["Location"].endswith("&status=COMPLETED")
    page = Page((await _show(call, record)).text)
    assert "Payment under way" in page.text
    assert "form" not in page.elements
    sandbox.clock.advance(59)
    await sandbox.drained()
    assert (sandbox.collection(record.collection_id).status, merchant.bodies) == ("PENDING", [])
    sandbox.clock.advance(1)
    await sandbox.drained()
    assert sandbox.collection(record.collection_id).status == "COMPLETED"
    assert len(merchant.bodies) == 1


async def test_a_payment_can_be_told_twice(
    call: Caller, sandbox: Sandbox, merchant: Merchant
) -> None:
    """By two events about the same order, while the money came once."""
    record = await _open(sandbox, webhookUrl=merchant.url)
    assert (await _press(call, record, "pay-twice")).status == 303
    await sandbox.drained()
    first, second = merchant.events
    assert first["eventId"] != second["eventId"]
    assert first["data"] == second["data"]
    assert sandbox.balance == record.net_amount


async def test_a_payment_can_be_slow(call: Caller, sandbox: Sandbox) -> None:
    """The browser waits on the sandbox's clock."""
    record = await _open(sandbox)
    pressing = asyncio.create_task(_press(call, record, "pay-slowly"))
    await until(lambda: bool(sandbox.clock._moved._waiting) and not pressing.done())
    sandbox.clock.advance(SLOW - 1)
    assert sandbox.collection(record.collection_id).status == "PENDING"
    async with asyncio.timeout(5):
        while not pressing.done():
            sandbox.clock.advance(1)
            await asyncio.sleep(0.01)
    assert (await pressing).headers["Location"].endswith("&status=COMPLETED")


async def test_a_result_says_when_the_browser_goes_back(call: Caller, sandbox: Sandbox) -> None:
    """And lets it; without a callback URL it stays."""
    record, other = await _open(sandbox), await _open(sandbox, orderId="B", callbackUrl=None)
    for each in (record, other):
        await sandbox.pay(each.collection_id)
    page = Page((await _show(call, record)).text)
    assert "Your browser goes back to shop.example in 8 seconds." in page.text
    refresh = [item for item in page.attributes if item.get("http-equiv") == "refresh"]
    assert [item["content"] for item in refresh] == [
        f"8; url={return_url(record)}".replace("FAILED", "COMPLETED")
    ]
    assert "http-equiv" not in (await _show(call, other)).text


async def test_outcomes_for_tests_stand_apart(call: Caller, sandbox: Sandbox) -> None:
    """In a form of their own, marked as such; beside Pay there is only Cancel."""
    html = (await _show(call, await _open(sandbox))).text
    payer, tests = html.split("</main>")
    assert re.findall(r'value="([a-z-]+)"', payer.split("<form")[1])[-2:] == ["pay", "cancel"]
    assert "For tests" in tests
    outcomes = re.findall(r'name="action" value="([a-z-]+)"', tests)
    assert outcomes == ["decline", "pay-late", "pay-twice", "pay-slowly"]


async def test_an_unknown_action_does_nothing(call: Caller, sandbox: Sandbox) -> None:
    """Only the three buttons of the page are known."""
    assert (await _press(call, await _open(sandbox), "refund")).status == 403


@pytest.mark.parametrize("step", [None, "pay", "decline", "expire"])
async def test_nothing_that_is_given_becomes_markup(
    http: aiohttp.ClientSession, step: str | None
) -> None:
    """Not the order, not the description, not the merchant, not the URL, on any page."""
    async with Sandbox(merchant=EVIL) as sandbox:
        url = 'https://shop.example/"><script>alert(1)</script>'
        record = await _open(sandbox, orderId=EVIL, description=EVIL, callbackUrl=url)
        plain = await _open(sandbox, orderId="plain")
        if step:
            await getattr(sandbox, step)(record.collection_id)
            await getattr(sandbox, step)(plain.collection_id)
        call = Caller(sandbox, http)
        page = Page((await _show(call, record)).text)
        assert page.elements == Page((await _show(call, plain)).text).elements
        assert EVIL in page.text


async def test_the_page_lets_nothing_else_in(call: Caller, sandbox: Sandbox) -> None:
    """A strict policy, no caching, no framing; the form may lead to a shop."""
    headers = (await _show(call, await _open(sandbox))).headers
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "form-action 'self' https:;" in policy
    assert "unsafe" not in policy
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["X-Content-Type-Options"] == "nosniff"


async def test_the_page_loads_nothing_from_elsewhere(call: Caller, sandbox: Sandbox) -> None:
    """No external assets: the only addresses on it are its own."""
    html = (await _show(call, await _open(sandbox, callbackUrl=None))).text
    assert not re.search(r"""(?:src|href|url)\s*[=(]\s*["']?(?:https?:)?//""", html)


async def test_every_control_has_a_name(call: Caller, sandbox: Sandbox) -> None:
    """Buttons carry their text, the page its language and one main heading."""
    page = Page((await _show(call, await _open(sandbox))).text)
    assert page.elements.count("h1") == page.elements.count("main") == 1
    assert page.attributes[0] == {"lang": "en"}
    assert {"Pay $25.00", "Decline", "Cancel"} <= set(
        re.findall(r"Pay \$25\.00|Decline|Cancel", page.text)
    )
