"""The provider on your desk, for development and tests; see `Sandbox`.

    sandbox.py    all there is and all that can be done    options.py      what can be chosen
    faults.py     what can go wrong                        clock.py        its time
    provider/     the provider, without any I/O            request_log.py  what the API was asked
    http/         API, checkout page, console, webhooks

Imports look only down: sandbox, http, faults and request_log, provider, options, clock.
"""

from paycollect.sandbox.clock import Clock
from paycollect.sandbox.faults import (
    Armed,
    Fault,
    Faults,
    delay,
    drop_after_commit,
    drop_before_commit,
    duplicated,
    gateway_page,
    lost_scopes,
    malformed_json,
    old_secret,
    reordered,
    respond,
    slow_body,
    stale_reads,
    stray_answer,
    token_expired,
    token_revoked,
    truncate,
    wrongly_signed,
)
from paycollect.sandbox.http.delivery import Attempt, Delivery
from paycollect.sandbox.options import SandboxOptions
from paycollect.sandbox.provider.endpoints import Provider
from paycollect.sandbox.provider.envelope import Reply
from paycollect.sandbox.provider.errors import RefusedError
from paycollect.sandbox.provider.events import Event, Webhook
from paycollect.sandbox.provider.records import CollectionRecord, RefundRecord
from paycollect.sandbox.request_log import RecordedRequest
from paycollect.sandbox.sandbox import Sandbox, SyncSandbox

__all__ = [
    "Armed",
    "Attempt",
    "Clock",
    "CollectionRecord",
    "Delivery",
    "Event",
    "Fault",
    "Faults",
    "Provider",
    "RecordedRequest",
    "RefundRecord",
    "RefusedError",
    "Reply",
    "Sandbox",
    "SandboxOptions",
    "SyncSandbox",
    "Webhook",
    "delay",
    "drop_after_commit",
    "drop_before_commit",
    "duplicated",
    "gateway_page",
    "lost_scopes",
    "malformed_json",
    "old_secret",
    "reordered",
    "respond",
    "slow_body",
    "stale_reads",
    "stray_answer",
    "token_expired",
    "token_revoked",
    "truncate",
    "wrongly_signed",
]
