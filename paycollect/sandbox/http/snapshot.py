"""The whole state of a sandbox as one JSON document, for the console and for other languages.

Invariants: pure functions; no token and no secret leaves through them.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from paycollect.sandbox.provider import answers
from paycollect.sandbox.provider.envelope import instant, maybe_instant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paycollect.models import JsonValue
    from paycollect.sandbox.faults import Armed
    from paycollect.sandbox.http.delivery import Attempt, Delivery
    from paycollect.sandbox.http.parts import Parts
    from paycollect.sandbox.provider.records import CollectionRecord
    from paycollect.sandbox.provider.tokens import Activity
    from paycollect.sandbox.request_log import RecordedRequest

    Json = dict[str, JsonValue]

T = TypeVar("T")


def state(parts: Parts, *, page: int = 1, limit: int = 100) -> Json:
    """Describe everything; the newest entries of each list come first.

    Args:
        parts: the sandbox.
        page: which part of the long lists, 1 for the newest.
        limit: how many entries of each list a page has.

    """

    def cut(entries: Sequence[T]) -> Sequence[T]:
        return entries[(page - 1) * limit : page * limit]

    ledger = parts.provider.ledger
    records = islice(ledger, (page - 1) * limit, page * limit)
    deliveries, requests = parts.dispatcher.log[::-1], parts.requests.entries[::-1]
    tokens = list(parts.provider.tokens.activity)[::-1]
    return {
        "page": page,
        "limit": limit,
        "totals": {
            "collections": len(ledger),
            "deliveries": len(deliveries),
            "tokens": len(tokens),
            "requests": len(requests),
        },
        "baseUrl": parts.base_url,
        "appId": parts.options.app_id,
        "now": instant(parts.clock.now()),
        "timeScale": f"{parts.clock.time_scale:g}",
        "balance": parts.provider.ledger.balance,
        "collections": [collection(parts, record) for record in records],
        "deliveries": [delivery(entry) for entry in cut(deliveries)],
        "faults": [fault(entry) for entry in parts.faults.armed],
        "tokens": [activity(entry) for entry in cut(tokens)],
        "requests": [request(entry) for entry in cut(requests)],
    }


def collection(parts: Parts, record: CollectionRecord) -> Json:
    """Describe a collection as GET does, whatever the sandbox's shapes are."""
    return answers.fetched(record, parts.provider.checkout_url(record.collection_id), "concept")


def delivery(entry: Delivery) -> Json:
    """Describe a delivery with all its attempts."""
    return {
        "id": entry.delivery_id,
        "event": entry.event.name,
        "eventId": entry.event.event_id,
        "url": entry.url,
        "collectionId": entry.collection_id,
        "state": entry.state,
        "createdAt": instant(entry.created_at),
        "nextAttemptAt": maybe_instant(entry.next_attempt_at),
        "attempts": [_attempt(attempt) for attempt in entry.attempts],
    }


def fault(entry: Armed) -> Json:
    """Describe an armed fault."""
    return {
        "number": entry.number,
        "target": entry.target,
        "fault": entry.fault.kind,
        "description": str(entry.fault),
        "once": entry.once,
    }


def activity(entry: Activity) -> Json:
    """Describe what happened to a token."""
    return {"at": instant(entry.at), "what": entry.what, "token": entry.hint}


def request(entry: RecordedRequest) -> Json:
    """Describe a request to the API."""
    return {
        "at": instant(entry.at),
        "method": entry.method,
        "path": entry.path,
        "query": dict(entry.query),
        "json": entry.json,
        "status": entry.status,
        "fault": entry.fault,
        "milliseconds": round(entry.seconds * 1000),
    }


def _attempt(attempt: Attempt) -> Json:
    return {
        "at": instant(attempt.at),
        "status": attempt.status,
        "error": attempt.error,
        "fault": attempt.fault,
        "milliseconds": round(attempt.seconds * 1000),
        "body": attempt.body,
        "answer": attempt.answer,
    }
