"""The provider on your desk, for development and tests; see `Sandbox`."""

from paycollect.sandbox.clock import Clock
from paycollect.sandbox.delivery import Attempt, Delivery
from paycollect.sandbox.faults import (
    Armed,
    Fault,
    Faults,
    delay,
    drop_after_commit,
    drop_before_commit,
    duplicated,
    lost_scopes,
    malformed_json,
    old_secret,
    reordered,
    respond,
    slow_body,
    token_expired,
    token_revoked,
    truncate,
    wrongly_signed,
)
from paycollect.sandbox.refusals import RefusedError
from paycollect.sandbox.server import Sandbox
from paycollect.sandbox.state import CollectionRecord, RefundRecord
from paycollect.sandbox.traffic import RecordedRequest

__all__ = [
    "Armed",
    "Attempt",
    "Clock",
    "CollectionRecord",
    "Delivery",
    "Fault",
    "Faults",
    "RecordedRequest",
    "RefundRecord",
    "RefusedError",
    "Sandbox",
    "delay",
    "drop_after_commit",
    "drop_before_commit",
    "duplicated",
    "lost_scopes",
    "malformed_json",
    "old_secret",
    "reordered",
    "respond",
    "slow_body",
    "token_expired",
    "token_revoked",
    "truncate",
    "wrongly_signed",
]
