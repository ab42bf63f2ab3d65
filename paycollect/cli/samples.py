"""Sample events to send to one's own endpoint, in the two forms that the provider publishes."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from paycollect import _validate as check
from paycollect.cli.local import Envelope, Scheme, Shapes
from paycollect.testing import sign_webhook

COLLECTION_ID: Final = "SCI679A1B2C3D4E5"
ORDER_ID: Final = "ORDER-1"
_FORGED: Final = "whsec_of_nobody"
_CENT: Final = Decimal("0.01")


def body(
    secret: str,
    *,
    event: str = "collection.received",
    status: str = "COMPLETED",
    amount: str = "25.00",
    order_id: str = ORDER_ID,
    collection_id: str = COLLECTION_ID,
    is_test: bool = True,
    forged: bool = False,
    shapes: Shapes = "events",
    scheme: Scheme = "raw",
    envelope: Envelope = "3.0",
) -> bytes:
    """Make a signed event; a test delivery has ids that no collection has, as the provider's do.

    Raises:
        ValueError: a wrong amount.

    """
    mark = "TEST_" if is_test else ""
    data: dict[str, object] = {}
    if is_test:
        data = {"_test": True, "_note": "A sample that was sent by paycollect webhook send."}
    make = _event_page if shapes == "events" else _concept_page
    data |= make(
        status, check.amount(amount).quantize(_CENT), mark + order_id, mark + collection_id
    )
    return sign_webhook(data, _FORGED if forged else secret, scheme, envelope, event=event)


def _event_page(
    status: str, amount: Decimal, order_id: str, collection_id: str
) -> dict[str, object]:
    fee = _fee(amount)
    return {
        "reference": collection_id,
        "externalReference": order_id,
        "amount": amount,
        "charge": fee,
        "netAmount": amount - fee,
        "currency": "USD",
        "status": status,
        "customerName": "Zoë Sample",
        "customerEmail": "zoe@example.com",
        "paymentMethod": "FYATU_BALANCE",
        "timestamp": _now(),
    }


def _concept_page(
    status: str, amount: Decimal, order_id: str, collection_id: str
) -> dict[str, object]:
    fee = _fee(amount)
    return {
        "collectionId": collection_id,
        "reference": "A2B4C6D8E0F2",
        "orderId": order_id,
        "amount": amount,
        "fee": fee,
        "netAmount": amount - fee,
        "currency": "USD",
        "status": status,
        "payer": {"name": "Zoë Sample", "email": "zoe@example.com"},
        "completedAt": _now(),
    }


def _fee(amount: Decimal) -> Decimal:
    return (amount * 3 / 100).quantize(_CENT)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
