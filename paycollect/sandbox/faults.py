"""What can go wrong between a client and the provider, to be armed for a coming request.

    sandbox.faults.next("POST /collections", drop_after_commit())
    sandbox.faults.next("POST /collections", respond(503), respond(429, {"Retry-After": "2"}))
    sandbox.faults.always("GET /collections/{id}", delay(5))
    sandbox.faults.next("webhook", wrongly_signed())

The law of this room: pure; app.py and delivery.py act the faults out. Seconds are seconds of the
sandbox's clock.
"""

from __future__ import annotations

import inspect
import re
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

RequestFaultKind: TypeAlias = Literal[
    "delay",
    "drop_before_commit",
    "drop_after_commit",
    "truncate",
    "slow_body",
    "respond",
    "malformed_json",
    "token_revoked",
    "token_expired",
    "lost_scopes",
]
WebhookFaultKind: TypeAlias = Literal["duplicated", "reordered", "wrongly_signed", "old_secret"]
FaultKind: TypeAlias = RequestFaultKind | WebhookFaultKind

WEBHOOK_KINDS: Final = frozenset(get_args(WebhookFaultKind))
_TARGET: Final = re.compile(r"(?:GET|POST|PUT|DELETE|\*) (?:/\S*|\*)|webhook(?: [\w.]+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing to go wrong; made by the functions of this room."""

    kind: FaultKind
    seconds: float = 0.0
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    code: str = ""
    body: str | None = None

    def __str__(self) -> str:
        details = [f"{self.seconds:g} s"] if self.seconds else []
        details += [str(self.status)] if self.status else []
        details += [self.code] if self.code else []
        details += [f"{name}: {value}" for name, value in self.headers.items()]
        return f"{self.kind}({', '.join(details)})"


def delay(seconds: float) -> Fault:
    """Wait before the request is worked on."""
    return Fault(kind="delay", seconds=_seconds(seconds))


def drop_before_commit() -> Fault:
    """Cut the connection without doing anything."""
    return Fault(kind="drop_before_commit")


def drop_after_commit() -> Fault:
    """Do what was asked, then cut the connection instead of answering."""
    return Fault(kind="drop_after_commit")


def truncate() -> Fault:
    """Do what was asked, then cut the connection in the middle of the answer."""
    return Fault(kind="truncate")


def slow_body(seconds: float) -> Fault:
    """Do what was asked, then let the answer's body trickle over so many seconds."""
    return Fault(kind="slow_body", seconds=_seconds(seconds))


def respond(
    status: int,
    headers: Mapping[str, str] | None = None,
    *,
    code: str = "",
    body: str | None = None,
) -> Fault:
    """Answer with a status of your choice and do nothing.

    Args:
        status: HTTP status, 200 to 599.
        headers: further headers, e.g. {"Retry-After": "2"}.
        code: the error code in the envelope; the documented one for the status if absent.
        body: the whole body, instead of an envelope.

    Raises:
        ValueError: a status that is none, or a header that could split the answer.

    """
    if not 200 <= status <= 599:  # noqa: PLR2004 - the range of final HTTP statuses
        raise ValueError("status: 200 to 599 is needed")
    if not all(isinstance(text, str) for text in (code, "" if body is None else body)):
        raise TypeError("code, body: texts are needed")
    for name, value in (headers or {}).items():
        if not re.fullmatch(r"[A-Za-z0-9-]+", name) or not re.fullmatch(r"[ -~]*", value):
            raise ValueError("headers: names and values must be plain ASCII on one line")
    return Fault(
        kind="respond", status=int(status), headers=dict(headers or {}), code=code, body=body
    )


def malformed_json() -> Fault:
    """Do what was asked, then answer with a body that is not JSON."""
    return Fault(kind="malformed_json")


def token_revoked() -> Fault:
    """Revoke the request's token before it is looked at."""
    return Fault(kind="token_revoked")


def token_expired() -> Fault:
    """Let the request's token expire, just now, before it is looked at."""
    return Fault(kind="token_expired")


def lost_scopes() -> Fault:
    """Take all scopes: from the token being issued, or from the one that the request carries."""
    return Fault(kind="lost_scopes")


def duplicated() -> Fault:
    """Deliver the webhook twice."""
    return Fault(kind="duplicated")


def reordered() -> Fault:
    """Hold the webhook back until the next one is through, for a minute at most."""
    return Fault(kind="reordered")


def wrongly_signed() -> Fault:
    """Sign the webhook with a secret that nobody knows."""
    return Fault(kind="wrongly_signed")


def old_secret() -> Fault:
    """Sign the webhook with the secret before the present one."""
    return Fault(kind="old_secret")


FAULTS: Final[Mapping[str, Callable[..., Fault]]] = {
    maker.__name__: maker
    for maker in (
        delay,
        drop_before_commit,
        drop_after_commit,
        truncate,
        slow_body,
        respond,
        malformed_json,
        token_revoked,
        token_expired,
        lost_scopes,
        duplicated,
        reordered,
        wrongly_signed,
        old_secret,
    )
}
"""Every fault by its name, as the HTTP interface calls it."""

OPTIONS: Final[Mapping[str, frozenset[str]]] = {
    name: frozenset(inspect.signature(maker).parameters) for name, maker in FAULTS.items()
}
"""What each fault can be told."""


@dataclass(frozen=True, slots=True)
class Armed:
    """A fault that waits for its request or webhook."""

    number: int
    target: str
    fault: Fault
    once: bool


class Faults:
    """The faults that are armed, each for a target.

    A target is a method and a path below the base URL ("POST /collections",
    "GET /collections/{id}", "* *"), where {anything} stands for one segment and * for everything;
    or "webhook", or "webhook collection.received".
    """

    def __init__(self) -> None:
        self._armed: deque[Armed] = deque()
        self._count = 0

    @property
    def armed(self) -> tuple[Armed, ...]:
        """What is armed, in the order in which it will be used."""
        return tuple(self._armed)

    def next(self, target: str, *faults: Fault) -> None:
        """Arm faults, one for each of the coming requests or webhooks that match.

        Raises:
            ValueError: a target that is none, or a fault of the other kind.

        """
        self._arm(target, faults, once=True)

    def always(self, target: str, fault: Fault) -> None:
        """Arm a fault for every request or webhook that matches, until `clear`.

        Raises:
            ValueError: a target that is none, or a fault of the other kind.

        """
        self._arm(target, (fault,), once=False)

    def clear(self, number: int | None = None) -> None:
        """Disarm one fault by its number, or all."""
        kept = [armed for armed in self._armed if number not in {None, armed.number}]
        self._armed = deque(kept)

    def take(self, name: str) -> Fault | None:
        """Find the fault for a request or webhook, e.g. "GET /collections/SCI1", and use it up."""
        for armed in self._armed:
            if _matches(armed.target, name):
                if armed.once:
                    self._armed.remove(armed)
                return armed.fault
        return None

    def _arm(self, target: str, faults: Iterable[Fault], *, once: bool) -> None:
        if not _TARGET.fullmatch(target):
            raise ValueError('target: "POST /collections" or "webhook" is needed')
        for fault in faults:
            if (fault.kind in WEBHOOK_KINDS) is not target.startswith("webhook"):
                raise ValueError(f"target: {fault.kind} cannot be armed for {target}")
            self._count += 1
            self._armed.append(Armed(self._count, target, fault, once))


def build(name: str, options: Mapping[str, object]) -> Fault:
    """Make a fault from its name and its options, as they come over HTTP.

    Raises:
        ValueError: no such fault, an option that it does not have or lacks, or a wrong value.

    """
    if name not in FAULTS:
        raise ValueError(f"fault: one of {', '.join(FAULTS)} is needed")
    maker: Callable[..., Fault] = FAULTS[name]
    try:
        return maker(**options)
    except (TypeError, AttributeError):
        wanted = ", ".join(sorted(OPTIONS[name])) or "no options"
        raise ValueError(f"{name}: wrong options, it takes {wanted}") from None


def _seconds(seconds: float) -> float:
    if not 0 <= seconds <= 86400:  # noqa: PLR2004 - a day is longer than any client waits
        raise ValueError("seconds: 0 to 86400 are needed")
    return float(seconds)


def _matches(target: str, name: str) -> bool:
    if "webhook" in (target, name.partition(" ")[0]):
        return name.startswith(target)
    pattern = re.sub(r"\\\{[^/]*?\\\}", "[^/]+", re.escape(target)).replace(r"\*", ".*")
    return re.fullmatch(pattern, name) is not None
