"""What goes over the wire at the provider's own address, and what its published samples become.

No request leaves the process: aioresponses stands in for the network.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from yarl import URL

from paycollect import ConnectError, PaymentStatus, ResponseLostError, RetryPolicy, SessionManager
from tests.support import no_network

SAMPLES = Path(__file__).parent / "data" / "samples"
API = "https://api.fyatu.com/api/v3"
TOKEN = f"{API}/auth/token"
ONCE = RetryPolicy(max_retries=0)
ORDER: dict[str, Any] = {
    "amount": "25.00",
    "order_id": "INV-001",
    "description": "Premium Subscription",
}


def sample(name: str, **changes: Any) -> str:
    """Give a published answer, with what its page leaves open filled in."""
    document = json.loads((SAMPLES / f"{name}.json").read_text("utf-8"))
    document["data"].update(changes)
    return json.dumps(document)


def manager() -> SessionManager:
    """Give a manager for the provider's own address."""
    return SessionManager(app_id="A1B2C3D4E5F6G7H8", secret_key="your_secret_key_here", retry=ONCE)


Action = Callable[[SessionManager], Awaitable[Any]]
SHAPES: dict[str, tuple[Action, str, str, str | None, str]] = {
    "create": (
        lambda pay: pay.create_checkout(
            **ORDER,
            callback_url="https://yoursite.com/payment/complete",
            webhook_url="https://yoursite.com/webhook/fyatu",
            metadata={"userId": "12345", "plan": "premium"},
        ),
        "POST",
        "/collections",
        """{"amount":25.00,"currency":"USD","orderId":"INV-001","description":"Premium Subscription","callbackUrl":"https://yoursite.com/payment/complete","webhookUrl":"https://yoursite.com/webhook/fyatu","metadata":{"userId":"12345","plan":"premium"}}""",
        sample("collection_create"),
    ),
    "get": (
        lambda pay: pay.get_collection("SCI1"),
        "GET",
        "/collections/SCI1",
        None,
        sample("collection_get", collectionId="SCI1"),
    ),
    "list": (
        lambda pay: pay.list_collections(status=PaymentStatus.PENDING, page=2, limit=5),
        "GET",
        "/collections?page=2&limit=5&status=PENDING",
        None,
        sample("collection_list"),
    ),
    "refund": (
        lambda pay: pay.create_refund("SCI1", amount="1.50", reason="CUSTOMER_REQUEST"),
        "POST",
        "/collections/SCI1/refund",
        '{"mode":"PARTIAL","amount":1.50,"reason":"CUSTOMER_REQUEST"}',
        sample("refund_create", collectionId="SCI1", amount=1.5),
    ),
    "refunds": (
        lambda pay: pay.list_refunds(collection_id="SCI1"),
        "GET",
        "/refunds?page=1&limit=20&collectionId=SCI1",
        None,
        sample("refund_list"),
    ),
    "reasons": (
        lambda pay: pay.list_refund_reasons(),
        "GET",
        "/refunds/reasons",
        None,
        sample("refund_reasons"),
    ),
    "pricing": (
        lambda pay: pay.get_pricing(),
        "GET",
        "/account/pricing",
        None,
        sample("account_pricing"),
    ),
    "set webhook": (
        lambda pay: pay.update_webhook_config("https://example.com/webhooks/fyatu"),
        "PUT",
        "/webhooks",
        '{"webhookUrl":"https://example.com/webhooks/fyatu"}',
        sample("webhook_config_update"),
    ),
    "new secret": (
        lambda pay: pay.regenerate_webhook_secret(),
        "POST",
        "/webhooks/secret/regenerate",
        None,
        sample("webhook_config_regenerate"),
    ),
    "test delivery": (
        lambda pay: pay.send_test_webhook("card.created"),
        "POST",
        "/webhooks/test",
        '{"event":"card.created"}',
        sample("webhook_config_test"),
    ),
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
async def test_each_endpoint_as_published(shape: tuple[Action, str, str, str | None, str]) -> None:
    """Method, URL and body are those of the provider's page, and its sample is understood."""
    action, method, path, body, answer = shape
    with no_network() as answers:
        answers.add("POST", TOKEN, body=sample("auth_token"))
        answers.add(method, API + path, body=answer)
        async with manager() as pay:
            await action(pay)
        token, call = answers.sent
    assert token[:2] == ("POST", TOKEN)
    assert json.loads(token[2]["data"]) == {
        "appId": "A1B2C3D4E5F6G7H8",
        "secretKey": "your_secret_key_here",
        "grantType": "client_credentials",
    }
    assert "Authorization" not in token[2]["headers"]
    assert call[0] == method
    assert URL(call[1]).with_query(None) == URL(API + path).with_query(None)
    assert dict(URL(call[1]).query) == dict(URL(API + path).query)
    assert call[2]["data"] == (None if body is None else body.encode())
    assert call[2]["headers"]["Authorization"].startswith("Bearer eyJ0eXAi")
    assert call[2]["headers"].get("Content-Type") == (
        None if method == "GET" else "application/json"
    )
    assert call[2]["allow_redirects"] is False


async def test_every_field_of_a_created_checkout() -> None:
    """The answer of the create page arrives whole (provider docs: collections/create)."""
    with no_network() as answers:
        answers.add("POST", TOKEN, body=sample("auth_token"))
        answers.add("POST", f"{API}/collections", body=sample("collection_create"), status=201)
        async with manager() as pay:
            checkout = await pay.create_checkout(**ORDER)
    assert checkout.collection_id == "SCI679A1B2C3D4E5"
    assert checkout.reference == "A2B4C6D8E0F2"
    assert checkout.order_id == "INV-001"
    assert checkout.amount == Decimal(25)
    assert checkout.fee == Decimal("0.75")
    assert checkout.net_amount == Decimal("24.25")
    assert checkout.currency == "USD"
    assert checkout.status is PaymentStatus.PENDING
    assert checkout.checkout_url == "https://checkout.fyatu.com/sci/checkout?batch=SCI679A1B2C3D4E5"
    assert checkout.expires_at == datetime(2026, 1, 8, 12, 30, tzinfo=UTC)
    assert checkout.recovered is False


FAILURES = {
    "refused": (
        lambda: aiohttp.ClientConnectorError(None, OSError(111, "refused")),  # type: ignore[arg-type]  # only its text needs the key
        ConnectError,
    ),
    "connect timeout": (lambda: aiohttp.ConnectionTimeoutError("slow"), ConnectError),
    "read timeout": (lambda: aiohttp.SocketTimeoutError("slow"), ResponseLostError),
    "timeout": (TimeoutError, ResponseLostError),
    "reset": (lambda: aiohttp.ClientOSError(104, "reset"), ResponseLostError),
    "disconnected": (aiohttp.ServerDisconnectedError, ResponseLostError),
    "truncated": (lambda: aiohttp.ClientPayloadError("cut"), ResponseLostError),
}


@pytest.mark.parametrize(("failure", "kind"), FAILURES.values(), ids=FAILURES)
async def test_what_aiohttp_raises_becomes_ours(
    failure: Callable[[], Exception], kind: type[Exception]
) -> None:
    """Each failure of aiohttp has its place in the tree, and leaves no trace of itself."""
    with no_network() as answers:
        answers.add("POST", TOKEN, body=sample("auth_token"))
        answers.add("GET", f"{API}/account/pricing", exception=failure())
        async with manager() as pay:
            with pytest.raises(kind) as caught:
                await pay.get_pricing()
    assert type(caught.value) is kind
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None
