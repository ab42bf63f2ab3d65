"""What happens during a call, told as frozen records to whoever listens; the logger is a listener.

Invariants: no record holds a query, a body, personal data or a secret; a listener that fails
harms nobody; and nothing is built, nor is this room loaded, while nobody listens.
"""

from __future__ import annotations

import logging

from attrs import frozen

from paycollect._observers import LogLine, Observer, Observers, Record, log
from paycollect.errors import Outcome

__all__ = [
    "AttemptEnded",
    "AttemptStarted",
    "CallEnded",
    "CallStarted",
    "LogLine",
    "Observer",
    "Observers",
    "Record",
    "Recovered",
    "RequestRecord",
    "TokenRenewed",
    "Waiting",
    "log",
]


@frozen(kw_only=True, eq=False)
class RequestRecord(Record):
    """Something about one request of a call.

    A call of the SDK may make several requests, one after the other: each is told as a call of its
    own, with the same number. So is a request for a token, with a number of its own.

    Attributes:
        call: the number of the call, counted in this process.
        method: of HTTP.
        template: the path, with its ids named: "/collections/{id}".
        url: where to, without its query.
        started: when that began which the record is about, in seconds since 1970 (UTC).

    """

    call: int
    method: str
    template: str
    url: str
    started: float


@frozen(kw_only=True, eq=False)
class CallStarted(RequestRecord):
    """A request is about to be made, as often as it takes."""


@frozen(kw_only=True, eq=False)
class AttemptStarted(RequestRecord):
    """One HTTP attempt begins; `attempt` counts from 1 over the whole call."""

    attempt: int


@frozen(kw_only=True, eq=False)
class AttemptEnded(RequestRecord):
    """One HTTP attempt is over.

    Attributes:
        attempt: which, from 1.
        elapsed: seconds that it took.
        status: of HTTP; None where no answer came.
        request_id: the provider's; None where it sent none.
        error_type: the class of the error; None where it went well.
        problem: the sentence of the error, fit for a log.
        is_retryable: of the error.

    """

    attempt: int
    elapsed: float
    status: int | None
    request_id: str | None
    error_type: str | None = None
    problem: str | None = None
    is_retryable: bool = False

    def log_line(self) -> LogLine:
        """Warn of a failure that may pass; all else is for debugging."""
        failed = "" if self.problem is None else f": {self.problem}"
        return (
            logging.WARNING if self.is_retryable else logging.DEBUG,
            "%s %s: %s, request %s, %.0f ms, attempt %d%s",
            (
                self.method,
                self.template,
                self.error_type if self.status is None else f"HTTP {self.status}",
                self.request_id,
                1000 * self.elapsed,
                self.attempt,
                failed,
            ),
        )


@frozen(kw_only=True, eq=False)
class Waiting(RequestRecord):
    """The call waits for `seconds` before its next attempt; `attempt` is the one that failed."""

    attempt: int
    seconds: float
    error_type: str


@frozen(kw_only=True, eq=False)
class CallEnded(RequestRecord):
    """A request has its result, or is given up.

    Attributes:
        attempts: how many were made so far in the whole call.
        elapsed: seconds since the call began.
        status: of the last answer; None where none came.
        request_id: the provider's, of the last answer.
        error_type: the class of the error; None where it went well. "CancelledError" is the
            caller's own cancellation.
        outcome: what is known about the effect of a call that failed.

    """

    attempts: int
    elapsed: float
    status: int | None
    request_id: str | None
    error_type: str | None = None
    outcome: Outcome | None = None


@frozen(kw_only=True, eq=False)
class TokenRenewed(Record):
    """There is a new access token, by a request or from the token store.

    Attributes:
        source: "issued" by the credentials, "refreshed" by the token before, "stored" by another
            process or an earlier life of this one.
        lifetime: seconds for which it is valid.

    """

    source: str
    lifetime: float


@frozen(kw_only=True, eq=False)
class Recovered(Record):
    """What exists already was found by looking it up: mostly where an answer was lost.

    Attributes:
        what: "checkout" or "refund".

    """

    what: str

    def log_line(self) -> LogLine:
        """Tell of it: it explains why a call took longer, and made more requests."""
        return logging.INFO, "%s recovered: it was there already", (self.what,)
