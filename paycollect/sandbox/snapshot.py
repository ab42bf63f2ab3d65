"""The whole state of a sandbox as one JSON document, for the console and for other languages.

The law of this room: pure functions; no token and no secret leaves through them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from paycollect.sandbox import shapes
from paycollect.sandbox.wire import instant, maybe_instant

if TYPE_CHECKING:
    from paycollect.models import JsonValue
    from paycollect.sandbox.access import Activity
    from paycollect.sandbox.delivery import Attempt, Delivery
    from paycollect.sandbox.faults import Armed
    from paycollect.sandbox.server import Sandbox
    from paycollect.sandbox.state import CollectionRecord
    from paycollect.sandbox.traffic import RecordedRequest

    Json = dict[str, JsonValue]


def state(sandbox: Sandbox) -> Json:
    """Describe everything; the newest entries of each list come first."""
    collections: list[JsonValue] = [collection(sandbox, record) for record in sandbox.collections]
    return {
        "baseUrl": sandbox.base_url,
        "appId": sandbox.app_id,
        "now": instant(sandbox.clock.now()),
        "timeScale": f"{sandbox.clock.time_scale:g}",
        "balance": sandbox.balance,
        "collections": collections,
        "deliveries": [delivery(entry) for entry in reversed(sandbox.deliveries)],
        "faults": [fault(entry) for entry in sandbox.faults.armed],
        "tokens": [activity(entry) for entry in reversed(sandbox.token_activity)],
        "requests": [request(entry) for entry in reversed(sandbox.requests)],
    }


def collection(sandbox: Sandbox, record: CollectionRecord) -> Json:
    """Describe a collection as GET does, whatever the sandbox's shapes are."""
    return shapes.fetched(record, sandbox.checkout_url(record.collection_id), "concept")


def delivery(entry: Delivery) -> Json:
    """Describe a delivery with all its attempts."""
    return {
        "id": entry.delivery_id,
        "event": entry.notice.event,
        "eventId": entry.notice.event_id,
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
