"""What a user would write, for mypy --strict and pyright to check; it is not run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import assert_type

import aiohttp

from paycollect import (
    Checkout,
    Collection,
    DuplicateOrderError,
    FileTokenStore,
    MemoryTokenStore,
    Outcome,
    PayCollectError,
    PaymentNotConfirmedError,
    PaymentStatus,
    RetryPolicy,
    SessionManager,
    Timeout,
    ipn,
)
from paycollect.models import JsonValue, Page, Payer, Pricing, Refund, Token
from paycollect.sandbox import Sandbox
from paycollect.tokens import TokenStore


class RedisTokenStore:
    """A user's own store: its methods may be async."""

    async def load(self) -> Token | None:
        return None

    async def save(self, token: Token) -> None: ...

    async def clear(self) -> None: ...


async def construct(http: aiohttp.ClientSession) -> None:
    stores: list[TokenStore] = [MemoryTokenStore(), FileTokenStore("token.json"), RedisTokenStore()]
    async with SessionManager(
        app_id="A1B2C3D4E5F6G7H8",
        secret_key="not_a_real_secret_key",
        http=http,
        timeout=Timeout(connect=2, read=10),
        deadline=30,
        retry=RetryPolicy(max_retries=1),
        token_store=stores[0],
        revoke_on_close=True,
    ) as pay:
        assert_type(pay, SessionManager)
    assert_type(SessionManager.from_env(timeout=10), SessionManager)


async def call(pay: SessionManager) -> None:
    checkout = await pay.create_checkout(
        amount=Decimal("25.00"),
        order_id="INV-001",
        description="Premium plan",
        metadata={"plan": "premium"},
        if_exists="return",
        timeout=aiohttp.ClientTimeout(total=5),
        deadline=10,
    )
    assert_type(checkout, Checkout)
    assert_type(checkout.amount, Decimal)
    assert_type(checkout.expires_at, datetime | None)
    assert_type(await pay.get_collection("SCI1"), Collection)
    assert_type(await pay.list_collections(status=PaymentStatus.PENDING), Page[Collection])
    assert_type(pay.iter_collections(order_id="INV"), AsyncIterator[Collection])
    assert_type(await pay.find_by_order_id("INV-001"), Collection | None)
    assert_type(await pay.create_refund("SCI1", amount="1.00", retry=RetryPolicy()), Refund)
    async for refund in pay.iter_refunds(collection_id="SCI1", deadline=5):
        assert_type(refund, Refund)
    pricing = await pay.get_pricing()
    assert_type(pricing, Pricing)
    assert_type(pricing.fee_for("25.00"), Decimal)
    assert_type(await pay.request("GET", "/refunds/reasons"), JsonValue)
    assert_type(await pay.wait_for_payment("SCI1", timeout=60), Collection)


async def receive(pay: SessionManager, body: bytes) -> None:
    event = ipn.parse_webhook(body, secret=["new", "old"])
    assert_type(event, ipn.WebhookEvent)
    assert_type(event.status, PaymentStatus | None)
    assert_type(event.amount, Decimal | None)
    assert_type(event.payer, Payer | None)
    assert_type(event.data, Mapping[str, JsonValue])
    callback = ipn.parse_callback({"batch": "SCI1", "status": "COMPLETED"})
    assert_type(callback.status, PaymentStatus)
    for payment in (event, callback, "SCI1"):
        try:
            collection = await pay.confirm(payment, expected_amount="25.00", order_id="INV-001")
        except PaymentNotConfirmedError as error:
            assert_type(error.collection, Collection | None)
        except DuplicateOrderError as error:
            assert_type(error.existing, Collection | None)
        except PayCollectError as error:
            assert_type(error.outcome, Outcome)
        else:
            assert_type(collection, Collection)


async def try_out() -> None:
    async with Sandbox() as sandbox:
        assert_type(sandbox, Sandbox)
        assert_type(sandbox.base_url, str)
