"""A webhook, from the body that came in to the row that is stored."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Final

from paycollect.cashier.orders import SECOND
from paycollect.cashier.transactions.inbox import Letter
from paycollect.ipn import WebhookEvent

_LONGEST_ID: Final = 100


def letter_of(event: WebhookEvent, body: bytes | str | None) -> Letter:
    """Make the row of a webhook; only ids, the event and the state are kept, unless `body` is."""
    # The name is not signed, but this only decides whether the provider is asked.
    named = event.name.startswith("collection.")
    about_money = event.is_collection or event.refund_id is not None or named
    order_id = _storable(event.order_id) if about_money else None
    collection_id = _storable(event.collection_id) if about_money else None
    status = "" if event.status is None else str(event.status)
    if event.refund_id is not None:
        status = "REFUNDED"
    text = body.decode(errors="replace") if isinstance(body, bytes) else body or ""
    return Letter(
        id=event.dedup_key,
        order_id=order_id,
        collection_id=collection_id,
        event=_short(event.name),
        status=_short(status),
        occurred_at=None if event.occurred_at is None else _milliseconds(event.occurred_at),
        body=text.replace("\0", ""),
        live=int(order_id is not None or collection_id is not None),
    )


def _storable(value: str | None) -> str | None:
    """Keep an id that every database can store; of another one, a hash stands for it.

    Threat: NUL and endless ids pass the signature. A webhook that cannot be stored would be sent
    again for ever, and a payment that nobody knows would be lost.
    """
    if not value:
        return None
    if len(value) > _LONGEST_ID or "\0" in value:
        return "sha256:" + hashlib.sha256(value.encode(errors="surrogatepass")).hexdigest()
    return value


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * SECOND)


def _short(text: str) -> str:
    return text.replace("\0", "")[:_LONGEST_ID]
