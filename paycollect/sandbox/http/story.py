"""What became of one checkout, on one timeline: its requests, its states, its webhooks.

Invariants: pure functions from the sandbox's parts to HTML; texts reach it through `tag` only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from paycollect.sandbox.http.console_rows import (
    checkout_row,
    duration,
    exchanged,
    outcome_of,
    pill,
    request_details,
    status_of,
    time_of,
)
from paycollect.sandbox.http.html import Html, join, tag
from paycollect.sandbox.http.pages import dollars
from paycollect.sandbox.provider.envelope import instant, pretty
from paycollect.status import RefundStatus

if TYPE_CHECKING:
    from datetime import datetime

    from paycollect.sandbox.http.parts import Parts
    from paycollect.sandbox.provider.records import CollectionRecord
    from paycollect.sandbox.request_log import RecordedRequest


class _Step(NamedTuple):
    """Something that happened; what happened at one moment is told by rank."""

    at: datetime
    rank: int
    item: Html


def checkout(parts: Parts, record: CollectionRecord, csrf: str) -> Html:
    """Show the present state with its buttons, and all that is known about the checkout."""
    order, payer = record.order, record.payer
    facts = {
        "Collection": record.collection_id,
        "Called by events": record.event_reference,
        "Reference": record.reference,
        "Amount": f"{dollars(record.amount)}, fee {dollars(record.fee)}",
        "Net amount": dollars(record.net_amount),
        "Created": instant(record.created_at),
        "Session until": instant(record.expires_at),
        "Why": record.status_reason,
        "Payer": None if payer is None else f"{payer.name}, {payer.email}",
        "Webhook URL": order.webhook_url or parts.provider.webhooks.url or "none",
        "Callback URL": order.callback_url or "none",
        "Metadata": pretty(order.metadata) if order.metadata else None,
    }
    rows = [tag("div", tag("dt", name), tag("dd", text)) for name, text in facts.items() if text]
    return join(checkout_row(record, parts, csrf), tag("dl", *rows))


def story(parts: Parts, record: CollectionRecord) -> Html:
    """Tell everything that happened, oldest first."""
    steps = [*_requests(parts, record), *_states(parts, record), *_webhooks(parts, record)]
    return join(*(step.item for step in sorted(steps, key=lambda step: step[:2])))


def _states(parts: Parts, record: CollectionRecord) -> list[_Step]:
    steps, refund = [], None
    for at, state in parts.provider.ledger.history(record.collection_id):
        text = state.status_reason or ""
        if state.refund is not None and state.refund != refund:
            refund = state.refund
            done = "paid out" if refund.status is RefundStatus.COMPLETED else "under way"
            text = f"refund of {dollars(refund.amount)} {done}, {refund.reason}"
        mark = pill("payment under way", "wait") if state.pays_at else pill(state.status.value)
        steps.append(_step(at, 1, "State", text, mark))
    return steps


def _webhooks(parts: Parts, record: CollectionRecord) -> list[_Step]:
    return [
        _step(
            attempt.at,
            2,
            "Webhook",
            f"{delivery.event.name} to {delivery.url}",
            pill(attempt.fault, "wait") if attempt.fault else None,
            duration(attempt.seconds),
            pill(*outcome_of(attempt)),
            tag(
                "details",
                tag("summary", "Body and answer"),
                *exchanged(attempt),
                id=f"attempt-{delivery.delivery_id}-{number}",
            ),
        )
        for delivery in parts.dispatcher.log
        if delivery.collection_id == record.collection_id
        for number, attempt in enumerate(delivery.attempts)
    ]


def _requests(parts: Parts, record: CollectionRecord) -> list[_Step]:
    return [
        _step(
            entry.at,
            3 if entry.method == "GET" else 0,
            "Request",
            entry.name,
            pill(entry.fault, "wait") if entry.fault else None,
            duration(entry.seconds),
            pill(*status_of(entry)),
            request_details(entry),
        )
        for entry in parts.requests.entries
        if _concerns(entry, record)
    ]


def _step(at: datetime, rank: int, kind: str, text: str, *marks: Html | None) -> _Step:
    what = tag("b", kind, class_="kind"), tag("span", text)
    return _Step(at, rank, tag("li", time_of(at), *what, *marks))


def _concerns(entry: RecordedRequest, record: CollectionRecord) -> bool:
    """Tell whether a request was about a collection: by its path, its query, or as its create."""
    ids = {record.collection_id, record.event_reference}
    order_id = record.order.order_id
    if ids & {*entry.path.split("/"), entry.query.get("collectionId", "")}:
        return True
    asked = entry.query.get("orderId", "")
    if entry.name != "POST /collections":
        return bool(asked) and asked in order_id
    # Reading every body would take long; with escapes in it, it may be spelled otherwise.
    if order_id.encode() not in entry.body and b"\\" not in entry.body:
        return False
    body = entry.json
    return isinstance(body, dict) and body.get("orderId") == order_id
