"""What a cashier tells its observers, and the log: see `paycollect.observe`."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from attrs import frozen

from paycollect._observers import LogLine, Record

if TYPE_CHECKING:
    from paycollect.cashier.desk import Stats

_SERVER_ERROR: Final = 500
_LEVELS: Final = {"held": logging.ERROR, "failed": logging.WARNING}


@frozen(kw_only=True)
class OrderRecord(Record):
    """Something has become of an order, and is committed.

    Attributes:
        what: "paid" when that is noted first, "delivered", "closed", "refunded", "held", or
            "failed" for a handler or a store that did; the order comes again then.
        detail: how it was found, why it was closed or held, or what failed: a type and a place.
        found_by: "webhook", "return", "sweep" or "replay", for "paid" and "delivered".

    """

    what: str
    detail: str = ""
    found_by: str = ""

    def log_line(self) -> LogLine:
        """Write what a person must see as an error, what comes again as a warning."""
        level = _LEVELS.get(self.what, logging.INFO)
        name = "collection" if self.order_id is None else "order"
        known = self.collection_id if self.order_id is None else self.order_id
        return level, "%s %s: %s: %s", (name, known, self.what, self.detail)


@frozen(kw_only=True)
class WebhookReceived(Record):
    """A webhook was proven and stored.

    Attributes:
        event: its name, as the provider gave it.
        lag: seconds since what it tells of; None where it does not say when that was.

    """

    event: str
    lag: float | None = None


@frozen(kw_only=True)
class WebhookRefused(Record):
    """A webhook was refused, or could not be stored.

    Attributes:
        status: of the HTTP answer.
        error_type: the class of the error.
        problem: why it could not be stored, fit for a log.

    """

    status: int
    error_type: str
    problem: str = ""

    def log_line(self) -> LogLine:
        """Warn of a refusal, showing only its type, as anybody can send anything."""
        if self.status < _SERVER_ERROR:
            return logging.WARNING, "webhook refused, HTTP %d: %s", (self.status, self.error_type)
        why = self.problem or self.error_type
        return logging.ERROR, "a webhook could not be stored (%s); it comes again", (why,)


@frozen(kw_only=True)
class WorkRecord(Record):
    """Something about a piece of work on one order, in the task that does it.

    Attributes:
        number: of the piece of work, counted in this process.
        what: "create" for an intent and its checkout; else by what the order was found: "webhook",
            "return", "sweep" or "replay".

    """

    number: int
    what: str


@frozen(kw_only=True)
class WorkStarted(WorkRecord):
    """Somebody begins to work on an order.

    Attributes:
        traceparent: what `Observers.traceparent` gave when the order was intended; "" where nobody
            traced, or the order is over.

    """

    traceparent: str = ""


@frozen(kw_only=True)
class WorkEnded(WorkRecord):
    """The work is over; `error_type` is the class of what it raised."""

    error_type: str | None = None


@frozen(kw_only=True)
class LeaseLost(Record):
    """This process came too late with what it had done: another one works on the order."""


@frozen(kw_only=True)
class SlowHandler(Record):
    """A handler has been running for longer than it may; `handler` is its kind."""

    handler: str


@frozen(kw_only=True)
class StatsTaken(Record):
    """How the cashier fares: about once a minute, by the process that sweeps."""

    stats: Stats
