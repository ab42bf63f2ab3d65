"""Signed webhooks for your own tests.

    body = sign_webhook({"collectionId": "SCI1", "status": "COMPLETED", "amount": 25}, SECRET)
    response = await client.post("/webhook", data=body)

    report = crash_test(make_shop)  # your shop dies at every point: is each order delivered once?
    assert report, str(report)

Nothing here needs the network, an account or a test framework. What belongs to the crash test is
loaded when it is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from importlib import import_module
from typing import TYPE_CHECKING, Final, Literal

from paycollect._signing import SCHEMES, serialise, sign
from paycollect.ipn import PaymentStatus, WebhookEvent, parse_webhook

if TYPE_CHECKING:
    from paycollect.crash import CrashReport, Effects, Finding, Shop, World, crash_test

__all__ = [
    "COLLECTION_ID",
    "CrashReport",
    "Effects",
    "Finding",
    "Shop",
    "World",
    "crash_test",
    "make_event",
    "sign_webhook",
    "webhook_data",
]
_OF_THE_CRASH_TEST: Final = frozenset(
    {"CrashReport", "Effects", "Finding", "Shop", "World", "crash_test"}
)


def __getattr__(name: str) -> object:
    if name not in _OF_THE_CRASH_TEST:
        raise AttributeError(f"module 'paycollect.testing' has no attribute {name!r}")
    return getattr(import_module("paycollect.crash"), name)


_SECRET: Final = "whsec_for_tests_only"  # noqa: S105  # signs nothing but events made here
_CENT: Final = Decimal("0.01")
_PAYER: Final = {"name": "Zoë Sample", "email": "zoe@example.com"}
COLLECTION_ID: Final = "SCI679A1B2C3D4E5"
"""The id of the collection that the samples are about."""
_EVENT_ID: Final = "00000000-0000-4000-8000-000000000000"


def sign_webhook(
    data: Mapping[str, object],
    secret: str,
    scheme: Literal["raw", "compact", "php"] = "raw",
    envelope: Literal["3.0", "2.0", "bare"] = "3.0",
    *,
    event: str = "collection.received",
    event_id: str = _EVENT_ID,
) -> bytes:
    """Make a webhook body as the provider would send it.

    Args:
        data: what the event is about; numbers may be int, Decimal or float, and a Decimal is
            written as it is ("25.00").
        secret: the webhook secret that your handler is set up with.
        scheme: how the signed message is written; the body itself is the same for all of them.
        envelope: the published form; "bare" is not signed and must be refused by your handler.
        event: the name of the event.
        event_id: the id in the envelope of form "3.0".

    Raises:
        ValueError: a blank secret, an unknown form or scheme, or a number that JSON or the scheme
            has no text for.
        TypeError: something in `data` that JSON does not know.

    """
    if scheme not in SCHEMES:
        raise ValueError(f"scheme: one of {', '.join(SCHEMES)} is needed")
    if not secret.strip():
        raise ValueError("secret: must not be blank")
    signature = sign(serialise(data, scheme), secret)
    members: dict[str, object] = {"event": event}
    if envelope == "3.0":
        members |= {"version": "3.0", "eventId": event_id, "sign": signature, "data": data}
    elif envelope == "2.0":
        members |= {"version": "2.0", "sign": signature, "data": data}
    elif envelope == "bare":
        members |= {"data": data, "timestamp": "2026-01-08T11:35:01+00:00"}
    else:
        raise ValueError("envelope: one of 3.0, 2.0, bare is needed")
    return serialise(members, "raw")


def webhook_data(
    status: PaymentStatus | str = PaymentStatus.COMPLETED,
    *,
    amount: Decimal | int | str = "25.00",
    currency: str = "USD",
    collection_id: str = COLLECTION_ID,
    order_id: str = "ORDER-1",
    shapes: Literal["events", "concept"] = "concept",
    is_test: bool = False,
    at: str = "2026-01-08T11:35:00+00:00",
) -> dict[str, object]:
    """Make the `data` of a payment's webhook, with a made-up payer and a fee of 3 %.

    Args:
        status: state of the payment; PENDING has neither payer nor fee.
        amount: in `currency`; the number is written with the decimals that it has.
        currency: as in `data`.
        collection_id: the provider's id.
        order_id: the merchant's order id.
        shapes: whose names to use: those of the event pages or of the concept page.
        is_test: whether it is marked as a test delivery.
        at: when it happened, ISO 8601.

    Raises:
        TypeError: a float as amount, as floats are not exact.
        ValueError: a text that is no number.

    """
    if isinstance(amount, (bool, float)):
        raise TypeError("amount: a Decimal, an int or a str is needed, as floats are not exact")
    number = _decimal(amount)
    paid = str(status) != PaymentStatus.PENDING
    fee = (number * 3 / 100).quantize(_CENT)
    data: dict[str, object] = {}
    if is_test:
        data |= {"_test": True, "_note": "A sample: it moved no money."}
    if shapes == "events":
        data |= {"reference": collection_id, "externalReference": order_id, "amount": number}
        if paid:
            data |= {"charge": fee, "netAmount": number - fee, "paymentMethod": "FYATU_BALANCE"}
            data |= {"customerName": _PAYER["name"], "customerEmail": _PAYER["email"]}
        return data | {"currency": currency, "status": str(status), "timestamp": at}
    data |= {"collectionId": collection_id, "reference": "A2B4C6D8E0F2", "orderId": order_id}
    data |= {"amount": number}
    if paid:
        data |= {"fee": fee, "netAmount": number - fee, "payer": dict(_PAYER)}
    return data | {"currency": currency, "status": str(status), "completedAt": at}


def _decimal(amount: Decimal | int | str) -> Decimal:
    try:
        return Decimal(amount)
    except ArithmeticError:
        pass
    raise ValueError("amount: expected a number")


def make_event(
    status: PaymentStatus | str = PaymentStatus.COMPLETED,
    *,
    amount: Decimal | int | str = "25.00",
    currency: str = "USD",
    collection_id: str = COLLECTION_ID,
    order_id: str = "ORDER-1",
    event: str = "collection.received",
    is_test: bool = False,
    extra: Mapping[str, object] | None = None,
) -> WebhookEvent:
    """Make an event as `parse_webhook` returns it: signed, verified and parsed.

    Args:
        status: state of the payment.
        amount: in `currency`.
        currency: as in `data`.
        collection_id: the provider's id.
        order_id: the merchant's order id.
        event: the name of the event.
        is_test: whether it is marked as a test delivery.
        extra: further members of `data`, by the provider's names; they replace others.

    >>> make_event("PENDING", order_id="INV-001").order_id
    'INV-001'

    Raises:
        IpnError: the values make no event that the provider would send.
        TypeError: a value that JSON does not know, or a float as amount.
        ValueError: a text as amount that is no number.

    """
    data = webhook_data(
        status,
        amount=amount,
        currency=currency,
        collection_id=collection_id,
        order_id=order_id,
        is_test=is_test,
    )
    body = sign_webhook(data | dict(extra or {}), _SECRET, event=event)
    return parse_webhook(body, secret=_SECRET, allow_test=True)
