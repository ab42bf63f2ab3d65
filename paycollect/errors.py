"""Every way in which a call can end badly.

    PayCollectError                    outcome, is_retryable, attempts, elapsed, order_id
    |-- TransportError                 no complete answer arrived
    |   |-- ConnectError               nothing was sent
    |   `-- ResponseLostError          sent, but the answer was lost: timeout, reset, truncation
    |-- ApiError                       the provider answered "no": status, code, request_id, fields
    |   |-- AuthenticationError        401
    |   |-- InsufficientBalanceError   402
    |   |-- PermissionDeniedError      403
    |   |-- NotFoundError              404
    |   |-- RequestTimeoutError        408
    |   |-- ConflictError              409
    |   |   |-- DuplicateOrderError    the order id is taken: order_id, existing
    |   |   `-- AlreadyRefundedError   the collection has its one refund: existing
    |   |-- InvalidRequestError        400, 422
    |   |-- RateLimitError             429: retry_after
    |   `-- ServerError                5xx
    |-- DecodeError                    an answer that is not of the documented form: path
    |-- DeadlineExceededError          the whole call took longer than its deadline
    |-- ClosedError                    the manager is closed, or was closed during the call
    |-- EventLoopError                 the manager belongs to another event loop
    |-- PaymentNotConfirmedError       GET says: not paid as expected: reason, is_final
    `-- IpnError                       a webhook or callback that must not be acted on: status_hint
        |-- SignatureError             unsigned, or signed by somebody else
        |-- PayloadError               malformed
        |-- CallbackError              a return URL without one clear batch and status
        `-- TestEventError             a genuine test delivery: answer 2xx, fulfil nothing

Mistakes of the caller (a float amount, an empty secret) stay ValueError and TypeError.

Invariants: the text of an error may be logged. It shows no secret, no token, no e-mail
address and no body; texts that come from the provider are cleaned when the error is made.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from paycollect.models import Collection, Refund

_LONGEST_TEXT: Final = 300
# An e-mail address, a JWT, a webhook secret, a Bearer header, any long run of letters and digits.
_SENSITIVE: Final = re.compile(
    r"[^\s@<>\"']+@[^\s@<>\"']+"
    r"|eyJ[\w-]*(?:\.[\w-]*)*"
    r"|whsec_\w*"
    r"|\bbearer\s+\S+"
    r"|\b[A-Za-z0-9+_]{32,}\b",
    re.IGNORECASE,
)
_ID: Final = re.compile(r"(?!eyJ|whsec_)[A-Za-z0-9_.:-]{1,128}", re.ASCII)


def clean(text: object) -> str:
    """Make a text that came from outside fit for a log: short, one line, nothing sensitive."""
    if not isinstance(text, str):
        return ""
    text = text[: 4 * _LONGEST_TEXT]
    if not text.isprintable():  # also line separators, and what reverses the direction of writing
        text = "".join(c if c.isprintable() else " " for c in text)
    text = _SENSITIVE.sub("[redacted]", text).strip()
    return text if len(text) <= _LONGEST_TEXT else text[: _LONGEST_TEXT - 3] + "..."


def clean_id(value: object) -> str | None:
    """Keep an identifier that came from outside if it looks like one; else clean it as a text."""
    if isinstance(value, str) and _ID.fullmatch(value):
        return value
    return clean(value) or None


class Outcome(StrEnum):
    """What is known about the effect of a call that failed."""

    NOT_SENT = "not_sent"
    """The provider never got the request: nothing happened there."""
    REJECTED = "rejected"
    """The provider refused the request: nothing happened there."""
    UNKNOWN = "unknown"
    """The request may have taken effect. Do not tell the customer that it failed."""


class PayCollectError(Exception):
    """Base of all errors of the SDK.

    Attributes:
        outcome: whether the request can have taken effect (`Outcome`).
        is_retryable: whether the same call may succeed if it is made again later.
        attempts: how many HTTP attempts were made; 0 where none was.
        elapsed: seconds from the start of the call to the error; 0.0 where no call was made.
        order_id: the merchant's order id, where the call was about one.

    """

    outcome: Outcome = Outcome.REJECTED
    is_retryable: bool = False
    attempts: int = 0
    elapsed: float = 0.0
    order_id: str | None = None

    def __init__(self, message: str = "") -> None:
        super().__init__(message)

    def __str__(self) -> str:
        notes = list(self._notes())
        if self.order_id is not None:
            notes.append(f"order {clean(self.order_id)}")
        if self.attempts > 1:
            notes.append(f"{self.attempts} attempts in {self.elapsed:.1f} s")
        if self.attempts and self.outcome is Outcome.UNKNOWN:
            notes.append("outcome unknown: the request may have taken effect")
        text = str(self.args[0]) if self.args else ""
        return f"{text} ({'; '.join(notes)})" if notes else text

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def _notes(self) -> list[str]:
        """Give facts about this kind of error, for the end of its text."""
        return []


class TransportError(PayCollectError):
    """No complete answer arrived: a matter of the network or of the provider, not of the call."""

    outcome = Outcome.UNKNOWN
    is_retryable = True


class ConnectError(TransportError):
    """No connection could be made (name, route, refusal, TLS, time): nothing was sent."""

    outcome = Outcome.NOT_SENT


class ResponseLostError(TransportError):
    """The request was sent but its answer was lost: timeout, reset, truncation, stray answer."""


class ApiError(PayCollectError):
    """The provider answered, and said no.

    Attributes:
        status: HTTP status of the answer.
        code: the provider's machine-readable code, e.g. "VALIDATION_ERROR"; "" where none was sent.
        message: the provider's sentence, cleaned of anything sensitive.
        request_id: the provider's id of the request, to quote to its support; None where not sent.
        fields: what is wrong with which field, where the provider says so.
        http_statuses: of the class: the HTTP statuses that mean it.
        codes: of the class: the provider's codes that mean it (provider docs: errors). For some the
            HTTP status is not published, so that a code says more than a status.

    """

    http_statuses: ClassVar[tuple[int, ...]] = ()
    codes: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        message: str = "",
        *,
        status: int = 0,
        code: str = "",
        request_id: str | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> None:
        self.message: str = clean(message)
        super().__init__(self.message or "the provider refused the request")
        self.status = status
        self.code: str = clean(code)
        self.request_id: str | None = clean_id(request_id)
        self.fields: dict[str, str] = {clean(k): clean(v) for k, v in (fields or {}).items()}

    def _notes(self) -> list[str]:
        notes = [f"{name}: {problem}" for name, problem in self.fields.items()]
        notes.append(" ".join(filter(None, (f"HTTP {self.status}", self.code))))
        if self.request_id:
            notes.append(f"request {self.request_id}")
        return notes


class AuthenticationError(ApiError):
    """401: the credentials or the token were refused. Check app id and secret key."""

    http_statuses: ClassVar[tuple[int, ...]] = (401,)
    codes: ClassVar[tuple[str, ...]] = (
        "AUTH_TOKEN_MISSING",
        "AUTH_TOKEN_INVALID",
        "AUTH_TOKEN_REFRESH_FAILED",
        "AUTH_INVALID_CREDENTIALS",
        "AUTH_APP_INACTIVE",
    )


class InsufficientBalanceError(ApiError):
    """402: the merchant's balance does not cover the refund."""

    http_statuses: ClassVar[tuple[int, ...]] = (402,)
    codes: ClassVar[tuple[str, ...]] = ("INSUFFICIENT_BALANCE",)


class PermissionDeniedError(ApiError):
    """403: the app lacks the scope for this call."""

    http_statuses: ClassVar[tuple[int, ...]] = (403,)
    codes: ClassVar[tuple[str, ...]] = ("AUTH_SCOPE_DENIED",)


class NotFoundError(ApiError):
    """404: no such thing, or it belongs to another app.

    Attributes:
        path: what was asked for, as a path below the base URL; "" where the error is not of a call.

    """

    http_statuses: ClassVar[tuple[int, ...]] = (404,)
    codes: ClassVar[tuple[str, ...]] = ("RESOURCE_NOT_FOUND",)
    path: str = ""

    def _notes(self) -> list[str]:
        return [*([f"asked for {clean(self.path)}"] if self.path else []), *super()._notes()]


class ConflictError(ApiError):
    """409: the request contradicts what the provider already has."""

    http_statuses: ClassVar[tuple[int, ...]] = (409,)


class DuplicateOrderError(ConflictError):
    """409 on a create: the order id is already taken.

    Attributes:
        order_id: the order id in question.
        existing: the collection that has it, where it was looked up; else None.

    """

    codes: ClassVar[tuple[str, ...]] = ("DUPLICATE_REFERENCE",)
    existing: Collection | None = None


class InvalidRequestError(ApiError):
    """400 or 422: the provider found a field or a state wrong; see `fields` and `code`."""

    http_statuses: ClassVar[tuple[int, ...]] = (400, 422)
    codes: ClassVar[tuple[str, ...]] = ("VALIDATION_ERROR", "INVALID_STATUS")


class AlreadyRefundedError(ConflictError):
    """The collection has its one refund already (code ALREADY_REFUNDED, HTTP status unpublished).

    Attributes:
        existing: the refund that is there, where it was looked up; else None.

    """

    codes: ClassVar[tuple[str, ...]] = ("ALREADY_REFUNDED",)
    existing: Refund | None = None


class RateLimitError(ApiError):
    """429: too many requests.

    Attributes:
        retry_after: seconds to wait as the provider asked for, or None where it did not say.

    """

    http_statuses: ClassVar[tuple[int, ...]] = (429,)
    codes: ClassVar[tuple[str, ...]] = ("RATE_LIMIT_EXCEEDED",)
    is_retryable = True
    retry_after: float | None = None


class RequestTimeoutError(ApiError):
    """408: the provider gave up on waiting for the request."""

    http_statuses: ClassVar[tuple[int, ...]] = (408,)
    outcome = Outcome.UNKNOWN
    is_retryable = True


class ServerError(ApiError):
    """5xx: the provider failed; whether the request took effect is unknown.

    Attributes:
        retry_after: seconds to wait as the provider asked for, or None where it did not say.

    """

    http_statuses: ClassVar[tuple[int, ...]] = tuple(range(500, 600))
    codes: ClassVar[tuple[str, ...]] = ("INTERNAL_ERROR",)
    outcome = Outcome.UNKNOWN
    is_retryable = True
    retry_after: float | None = None


def _api_errors(parent: type[ApiError] = ApiError) -> Iterator[type[ApiError]]:
    for kind in parent.__subclasses__():
        yield kind
        yield from _api_errors(kind)


# A subclass has its parent's statuses too: only what a class says itself is what it is told by.
BY_STATUS: Final = {
    status: kind for kind in _api_errors() for status in vars(kind).get("http_statuses", ())
}
BY_CODE: Final = {code: kind for kind in _api_errors() for code in vars(kind).get("codes", ())}


class DecodeError(PayCollectError):
    """An answer that is not of the documented form.

    Attributes:
        path: where in the answer, e.g. "data.amount"; "" for the answer as a whole.
        request_id: the provider's id of the request; None where it could not be read.

    """

    outcome = Outcome.UNKNOWN

    def __init__(self, message: str = "", *, path: str = "", request_id: str | None = None) -> None:
        super().__init__(message)
        self.path = path
        self.request_id: str | None = clean_id(request_id)

    def _notes(self) -> list[str]:
        return [f"request {self.request_id}"] if self.request_id else []


class DeadlineExceededError(PayCollectError):
    """The whole call, with its token, attempts and waits, took longer than its deadline.

    Attributes:
        collection: the state as it was last seen, where the call was a wait for a payment.

    """

    outcome = Outcome.UNKNOWN
    is_retryable = True
    collection: Collection | None = None


class ClosedError(PayCollectError):
    """The session manager is closed, or was closed while the call was under way."""

    outcome = Outcome.NOT_SENT


class EventLoopError(PayCollectError, RuntimeError):
    """The session manager was first used on another event loop, to which its connections belong."""

    outcome = Outcome.NOT_SENT


class NotConfirmedReason(StrEnum):
    """Why a payment is not confirmed."""

    PENDING = "pending"
    """Not paid yet, or in a state that this release does not know."""
    OVER = "over"
    """Failed, cancelled or expired: the customer can no longer pay."""
    REFUNDED = "refunded"
    """Paid, and given back wholly or in part; the collection says how much."""
    AMOUNT_MISMATCH = "amount_mismatch"
    CURRENCY_MISMATCH = "currency_mismatch"
    ORDER_MISMATCH = "order_mismatch"
    NOT_FOUND = "not_found"
    """The provider knows no such collection, or not yet."""
    TEST_EVENT = "test_event"


class PaymentNotConfirmedError(PayCollectError):
    """The provider's own record does not show the payment that was expected: do not fulfil.

    Attributes:
        reason: a `NotConfirmedReason`.
        collection: the provider's record, where there is one.

    """

    def __init__(
        self,
        message: str = "",
        *,
        reason: NotConfirmedReason = NotConfirmedReason.PENDING,
        collection: Collection | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.collection = collection

    @property
    def is_final(self) -> bool:
        """Whether it stays so, and waiting cannot help.

        Not for "pending", nor for "not_found": the provider answers reads from a cache, so that a
        webhook can be ahead of the record that it is about. Ask again, or have it delivered again.
        """
        return self.reason not in (NotConfirmedReason.PENDING, NotConfirmedReason.NOT_FOUND)


class IpnError(PayCollectError):
    """A webhook or callback that must not be acted on.

    Attributes:
        status_hint: the HTTP status that a web handler should answer with.

    """

    status_hint: int = 400


class SignatureError(IpnError):
    """Unsigned, signed with another secret, altered on the way, stale, or meant for another app."""

    status_hint = 401


class PayloadError(IpnError):
    """Not a body that the provider would send: malformed (400) or too large (413)."""

    def __init__(self, message: str = "", *, status_hint: int = 400) -> None:
        super().__init__(message)
        self.status_hint = status_hint


class CallbackError(IpnError):
    """A return URL without exactly one clear batch and status."""


class TestEventError(IpnError):
    """A validly signed test delivery: acknowledge it with 2xx, but fulfil nothing."""

    __test__ = False  # its name makes pytest take it for a test class
    status_hint = 200
