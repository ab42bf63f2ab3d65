"""Confirming what real webhooks say, under every reading of how events name a collection."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest

from paycollect import PaymentNotConfirmedError, PaymentStatus, SessionManager, WebhookEvent, ipn
from paycollect.sandbox import Sandbox

WEBHOOK = "http://127.0.0.1:9/webhook"  # nobody is there; the sandbox keeps what it would deliver


@pytest.fixture(params=["own", "collection", "both"])
async def sandbox(request: pytest.FixtureRequest) -> AsyncIterator[Sandbox]:
    """Give the provider, with events that name a collection in one of the published ways."""
    states = list(PaymentStatus)
    async with Sandbox(event_ids=request.param, announce=states, time_scale=0) as sandbox:
        yield sandbox


@pytest.fixture
async def pay(sandbox: Sandbox) -> AsyncIterator[SessionManager]:
    """Give a manager that speaks to it."""
    async with SessionManager(
        app_id=sandbox.app_id, secret_key=sandbox.secret_key, base_url=sandbox.base_url
    ) as pay:
        yield pay


async def order(sandbox: Sandbox, order_id: str = "INV-001") -> str:
    """Open a checkout, and give its id."""
    body = {"amount": 25, "orderId": order_id, "description": "d", "webhookUrl": WEBHOOK}
    return (await sandbox.create(body)).collection_id


def told(sandbox: Sandbox) -> WebhookEvent:
    """Give the event that was told last."""
    newest = max(sandbox.deliveries, key=lambda delivery: delivery.delivery_id)
    body = newest.event.body(sandbox.webhook_secret, "raw", "3.0")
    return ipn.parse_webhook(body, secret=sandbox.webhook_secret)


async def test_a_paid_order(sandbox: Sandbox, pay: SessionManager) -> None:
    """Whatever id the event has, the paid order is confirmed; and waited for."""
    collection_id = await order(sandbox)
    await order(sandbox, "INV-0010")
    await sandbox.pay(collection_id)
    event = told(sandbox)
    paid = await pay.confirm(event, expected_amount=25)
    assert (paid.collection_id, paid.order_id) == (collection_id, "INV-001")
    assert paid.payer is not None
    waited = await pay.wait_for_payment(event.collection_id or "", order_id=event.order_id)
    assert (waited.collection_id, waited.status) == (collection_id, "COMPLETED")


@pytest.mark.parametrize(
    ("happens", "reason"),
    [("decline", "over"), ("cancel", "over"), ("expire", "over")],
)
async def test_an_order_that_was_not_paid(
    sandbox: Sandbox, pay: SessionManager, happens: str, reason: str
) -> None:
    """Whatever id the event has, the reason is that of the order's own record."""
    collection_id = await order(sandbox)
    await getattr(sandbox, happens)(collection_id)
    event = told(sandbox)
    with pytest.raises(PaymentNotConfirmedError) as caught:
        await pay.confirm(event, expected_amount=25)
    assert (caught.value.reason, caught.value.is_final) == (reason, True)
    assert caught.value.collection is not None
    assert caught.value.collection.collection_id == collection_id


@pytest.mark.parametrize("amount", [None, Decimal(5)], ids=["wholly", "in part"])
async def test_a_refunded_order(
    sandbox: Sandbox, pay: SessionManager, amount: Decimal | None
) -> None:
    """Paid and refunded before the first confirm: said so, and how much."""
    collection_id = await order(sandbox)
    await sandbox.pay(collection_id)
    event = told(sandbox)
    await sandbox.refund(collection_id, amount)
    with pytest.raises(PaymentNotConfirmedError) as caught:
        await pay.confirm(event, expected_amount=25)
    assert (caught.value.reason, caught.value.is_final) == ("refunded", True)
    assert caught.value.collection is not None
    assert caught.value.collection.refunds is not None
    assert caught.value.collection.refunds.total_refunded == (amount or Decimal("24.25"))


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"expected_amount": 26}, "amount_mismatch"),
        ({"expected_amount": 25, "currency": "EUR"}, "currency_mismatch"),
        ({"expected_amount": 25, "order_id": "INV-002"}, "order_mismatch"),
    ],
)
async def test_another_payment(
    sandbox: Sandbox, pay: SessionManager, arguments: dict[str, Any], reason: str
) -> None:
    """Whatever id the event has, another amount, currency or order is a mismatch."""
    collection_id = await order(sandbox)
    await sandbox.pay(await order(sandbox, "INV-002"))
    await sandbox.pay(collection_id)
    with pytest.raises(PaymentNotConfirmedError) as caught:
        await pay.confirm(told(sandbox), **arguments)
    assert caught.value.reason == reason
