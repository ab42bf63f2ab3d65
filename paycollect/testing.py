"""Signed webhooks for your own tests.

    body = sign_webhook({"collectionId": "SCI1", "status": "COMPLETED", "amount": 25}, SECRET)
    response = await client.post("/webhook", data=body)

Nothing here needs the network, an account or a test framework.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Final, Literal

from paycollect._signing import SCHEMES, serialise, sign
from paycollect.ipn import PaymentStatus, WebhookEvent, parse_webhook

_SECRET: Final = "whsec_for_tests_only"  # noqa: S105  # signs nothing but events made here
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
        scheme: the recipe for the signed message; the body itself is the same for all of them.
        envelope: the published form; "bare" is not signed and must be refused by your handler.
        event: the name of the event.
        event_id: the id in the envelope of form "3.0".

    Raises:
        ValueError: a blank secret, an unknown form or recipe, or a number that JSON or the recipe
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


def make_event(
    status: PaymentStatus | str = PaymentStatus.COMPLETED,
    *,
    amount: Decimal | int | str = "25.00",
    currency: str = "USD",
    collection_id: str = "SCI679A1B2C3D4E5",
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

    """
    if isinstance(amount, (bool, float)):
        raise TypeError("amount: a Decimal, an int or a str is needed, as floats are not exact")
    data: dict[str, object] = {"_test": True} if is_test else {}
    data |= {
        "collectionId": collection_id,
        "orderId": order_id,
        "amount": Decimal(amount),
        "currency": currency,
        "status": str(status),
        "completedAt": "2026-01-08T11:35:00+00:00",
    }
    data |= extra or {}
    body = sign_webhook(data, _SECRET, event=event)
    return parse_webhook(body, secret=_SECRET, allow_test=True)
