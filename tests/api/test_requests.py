"""What each call sends, to the byte."""

from __future__ import annotations

import platform
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import date
from decimal import Decimal
from typing import Any

import aiohttp
import pytest

import paycollect
from paycollect import PayCollectError, PaymentStatus, RefundStatus, RetryPolicy, SessionManager
from tests.provider.clocks import FakeClock
from tests.provider.fixtures import MakeManager
from tests.provider.messages import APP_ID, BASE, SCOPES, SECRET_KEY
from tests.provider.server import Provider
from tests.support import no_network

USER_AGENT = (
    f"paycollect/{paycollect.__version__} Python/{platform.python_version()}"
    f" aiohttp/{aiohttp.__version__}"
)

Action = Callable[[SessionManager], Awaitable[Any]]
Case = tuple[Action, str, str, bytes | None]
CASES: dict[str, Case] = {
    "create, least": (
        lambda pay: pay.create_checkout(amount="25.00", order_id="INV-001", description="Plan"),
        "POST",
        "/collections",
        b'{"amount":25.00,"currency":"USD","orderId":"INV-001","description":"Plan"}',
    ),
    "create, all": (
        lambda pay: pay.create_checkout(
            amount=Decimal("1E+2"),
            order_id="INV/1 \u20ac",
            description='caf\u00e9 "x"',
            currency="USD",
            callback_url="https://shop.example/back?x=1",
            webhook_url="https://shop.example/hook",
            metadata={"a": [1, None, True, "\u00e9"], "b": {}},
        ),
        "POST",
        "/collections",
        (
            '{"amount":100,"currency":"USD","orderId":"INV/1 \u20ac",'
            '"description":"caf\u00e9 \\"x\\"",'
            '"callbackUrl":"https://shop.example/back?x=1",'
            '"webhookUrl":"https://shop.example/hook",'
            '"metadata":{"a":[1,null,true,"\u00e9"],"b":{}}}'
        ).encode(),
    ),
    "create, empty metadata": (
        lambda pay: pay.create_checkout(amount=1, order_id="a", description="b", metadata={}),
        "POST",
        "/collections",
        b'{"amount":1,"currency":"USD","orderId":"a","description":"b","metadata":{}}',
    ),
    "get": (lambda pay: pay.get_collection("SCI0001"), "GET", "/collections/SCI0001", None),
    "list, default": (
        lambda pay: pay.list_collections(),
        "GET",
        "/collections?page=1&limit=20",
        None,
    ),
    "list, all": (
        lambda pay: pay.list_collections(
            page=2,
            limit=100,
            status=PaymentStatus.PENDING,
            order_id="A&B=C /#\u00e9",
            reference="REF",
            date_from=date(2026, 1, 2),
            date_to="2026-01-31",
        ),
        "GET",
        (
            "/collections?page=2&limit=100&status=PENDING&orderId=A%26B%3DC+%2F%23%C3%A9"
            "&reference=REF&dateFrom=2026-01-02&dateTo=2026-01-31"
        ),
        None,
    ),
    "find": (
        lambda pay: pay.find_by_order_id("INV-001"),
        "GET",
        "/collections?page=1&limit=100&orderId=INV-001",
        None,
    ),
    "refund, full": (
        lambda pay: pay.create_refund("SCI0001"),
        "POST",
        "/collections/SCI0001/refund",
        b'{"mode":"FULL"}',
    ),
    "refund, partial": (
        lambda pay: pay.create_refund("SCI0001", amount="0.50", reason="FRAUDULENT"),
        "POST",
        "/collections/SCI0001/refund",
        b'{"mode":"PARTIAL","amount":0.50,"reason":"FRAUDULENT"}',
    ),
    "refunds, default": (lambda pay: pay.list_refunds(), "GET", "/refunds?page=1&limit=20", None),
    "refunds, all": (
        lambda pay: pay.list_refunds(
            page=3,
            limit=1,
            status=RefundStatus.FAILED,
            collection_id="SCI1",
            date_from="2026-01-01",
            date_to=date(2026, 2, 1),
        ),
        "GET",
        (
            "/refunds?page=3&limit=1&status=FAILED&collectionId=SCI1"
            "&dateFrom=2026-01-01&dateTo=2026-02-01"
        ),
        None,
    ),
    "refund reasons": (lambda pay: pay.list_refund_reasons(), "GET", "/refunds/reasons", None),
    "pricing": (lambda pay: pay.get_pricing(), "GET", "/account/pricing", None),
    "webhook": (lambda pay: pay.get_webhook_config(), "GET", "/webhooks", None),
    "webhook on": (
        lambda pay: pay.update_webhook_config("https://shop.example/hook"),
        "PUT",
        "/webhooks",
        b'{"webhookUrl":"https://shop.example/hook"}',
    ),
    "webhook off": (
        lambda pay: pay.update_webhook_config(None),
        "PUT",
        "/webhooks",
        b'{"webhookUrl":null}',
    ),
    "webhook secret": (
        lambda pay: pay.regenerate_webhook_secret(),
        "POST",
        "/webhooks/secret/regenerate",
        None,
    ),
    "webhook test": (
        lambda pay: pay.send_test_webhook("collection.received"),
        "POST",
        "/webhooks/test",
        b'{"event":"collection.received"}',
    ),
    "undocumented GET": (
        lambda pay: pay.request("GET", "/account/balance", query={"a": "1 2", "b": 3}),
        "GET",
        "/account/balance?a=1+2&b=3",
        None,
    ),
    "undocumented POST": (
        lambda pay: pay.request("POST", "/payouts", body={"amount": Decimal("5.00"), "to": "x"}),
        "POST",
        "/payouts",
        b'{"amount":5.00,"to":"x"}',
    ),
    "undocumented DELETE": (
        lambda pay: pay.request("DELETE", "/webhooks/x_1.y~z:@"),
        "DELETE",
        "/webhooks/x_1.y~z:@",
        None,
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_what_a_call_sends(make: MakeManager, provider: Provider, case: Case) -> None:
    """A call sends this method, path, query, body and headers, and nothing else."""
    action, method, target, body = case
    pay = make(retry=RetryPolicy(max_retries=0))
    with suppress(PayCollectError):  # what comes back is another test's matter
        await action(pay)
    request = provider.requests[1]
    assert (request.method, request.target) == (method, BASE + target)
    assert request.body == (body or b"")
    expected = {
        "host": f"127.0.0.1:{provider.port}",
        "accept": "application/json",
        "accept-encoding": request.headers["accept-encoding"],  # as this aiohttp can decode
        "user-agent": USER_AGENT,
        "authorization": f"Bearer tok-{provider.port}-0001",
    }
    if method != "GET":
        expected["content-type"] = "application/json"
        expected["content-length"] = str(len(request.body))
    assert request.headers == expected


async def test_a_filter_of_none_is_no_filter(pay: SessionManager, provider: Provider) -> None:
    """A filter that is None is left out, so that callers can pass on what they may not have."""
    given: dict[str, Any] = {"status": None, "order_id": None, "date_from": None}
    await pay.list_collections(**given)
    assert provider.requests[-1].target == f"{BASE}/collections?page=1&limit=20"


async def test_what_asking_for_a_token_sends(pay: SessionManager, provider: Provider) -> None:
    """A token is asked for by app id and secret key in the body, without an Authorization."""
    await pay.list_collections()
    request = provider.requests[0]
    assert (request.method, request.target) == ("POST", f"{BASE}/auth/token")
    assert request.json() == {
        "appId": APP_ID,
        "secretKey": SECRET_KEY,
        "grantType": "client_credentials",
    }
    assert "authorization" not in request.headers
    assert request.headers["content-type"] == "application/json"


async def test_what_revoking_sends(pay: SessionManager, provider: Provider) -> None:
    """A token is revoked by itself, with no body."""
    await pay.list_collections()
    await pay.revoke_token()
    request = provider.requests[-1]
    assert (request.method, request.target) == ("POST", f"{BASE}/auth/revoke")
    assert (request.bearer, request.body) == (f"tok-{provider.port}-0001", b"")


@pytest.mark.parametrize("name", ["refresh", "revoke", "regenerate"])
async def test_a_post_without_a_body_is_json_too(
    pay: SessionManager, provider: Provider, clock: FakeClock, name: str
) -> None:
    """Each POST says that it is JSON."""
    await pay.list_collections()
    if name == "refresh":
        clock.advance(86400 + 10)
        await pay.list_collections()
        request = provider.requests[-2]
    elif name == "revoke":
        await pay.revoke_token()
        request = provider.requests[-1]
    else:
        with suppress(PayCollectError):
            await pay.regenerate_webhook_secret()
        request = provider.requests[-1]
    assert request.method == "POST"
    assert request.headers["content-type"] == "application/json"


async def test_where_calls_go_by_default() -> None:
    """Without a base URL calls go to the provider's API, and aiohttp may follow no redirect."""
    live = "https://api.fyatu.com/api/v3"
    token = {"accessToken": "tok-1", "expiresIn": 86400, "scopes": SCOPES}
    with no_network() as answers:
        answers.add("POST", f"{live}/auth/token", payload={"success": True, "data": token})
        answers.add("GET", f"{live}/webhooks", payload={"success": True, "data": {}})
        async with SessionManager(app_id=APP_ID, secret_key=SECRET_KEY) as pay:
            await pay.get_webhook_config()
    assert [(method, url) for method, url, _ in answers.sent] == [
        ("POST", f"{live}/auth/token"),
        ("GET", f"{live}/webhooks"),
    ]
    assert [sent["allow_redirects"] for *_, sent in answers.sent] == [False, False]
