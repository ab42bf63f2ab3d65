"""What can go wrong between a client and the provider, to be armed for a coming request.

    sandbox.faults.next("POST /collections", drop_after_commit())
    sandbox.faults.next("POST /collections", respond(503), respond(429, {"Retry-After": "2"}))
    sandbox.faults.always("GET /collections/{id}", delay(5))
    sandbox.faults.next("webhook", wrongly_signed())

A fault is a value that acts itself out. A new one is one function here: `@request_fault` or
`@webhook_fault`, its options as arguments, and inside it what happens to the exchange or posting.

Invariants: no I/O of its own, which is what exchange and posting are for. Seconds are those of the
sandbox's clock.
"""

from __future__ import annotations

import functools
import inspect
import re
import secrets
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Literal, ParamSpec, Protocol, TypeAlias

from paycollect.sandbox.provider.envelope import Reply, failure
from paycollect.sandbox.provider.errors import RefusedError
from paycollect.sandbox.provider.tokens import TokenRecord

if TYPE_CHECKING:
    from collections.abc import Iterable

P = ParamSpec("P")

_TARGET: Final = re.compile(r"(?:GET|POST|PUT|DELETE|\*) (?:/\S*|\*)|webhook(?: [\w.]+)?")
_SLOW_PIECES: Final = 8
_LONGEST_SHOWN: Final = 60
_CODES: Final[Mapping[int, str]] = {
    400: "VALIDATION_ERROR",
    401: "AUTH_TOKEN_INVALID",
    402: "INSUFFICIENT_BALANCE",
    403: "AUTH_SCOPE_DENIED",
    404: "RESOURCE_NOT_FOUND",
    409: "DUPLICATE_REFERENCE",
    422: "VALIDATION_ERROR",
    429: "RATE_LIMIT_EXCEEDED",
}
"""Provider docs: errors, the code that goes with a status."""


class Exchange(Protocol):
    """A request to the API and its answer, as a fault deals with them."""

    no_scopes: bool
    """Whether a token that this request issues has no scopes."""

    lag: float | None
    """How many seconds old the state is that this request reads; None: as ever."""

    @property
    def now(self) -> datetime:
        """The sandbox's time."""
        ...

    @property
    def token(self) -> TokenRecord | None:
        """The token that the request carries, if the provider knows it."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait on the sandbox's clock."""

    async def work(self) -> Reply:
        """Let the provider do what was asked."""
        ...

    async def send(self, reply: Reply, *strays: Reply) -> None:
        """Answer, and send further answers that nobody asked for."""

    async def begin(self, reply: Reply) -> None:
        """Send the head of an answer; its body is left to `write`."""

    async def write(self, data: bytes) -> None:
        """Send bytes on the connection, whatever was sent before."""

    def cut(self) -> None:
        """Cut the connection, so that the client gets nothing more."""

    def hang_up(self) -> None:
        """Close the connection after what was sent."""


class Posting(Protocol):
    """A webhook that is due, as a fault deals with it."""

    @property
    def old_secret(self) -> str:
        """The secret before the present one."""
        ...

    async def post(self, secret: str | None = None) -> None:
        """Send it once, signed with the present secret or another one."""

    def hold_back(self) -> None:
        """Send it later: after the next one, or after a minute."""


Act: TypeAlias = Callable[[Exchange], Awaitable[None]]
WebhookAct: TypeAlias = Callable[[Posting], Awaitable[None]]
Kind: TypeAlias = Literal["request", "webhook"]


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing to go wrong; made by the functions of this room.

    Attributes:
        kind: its name, e.g. "drop_after_commit".
        options: what it was told, e.g. {"seconds": 5.0}.
        befalls: "request" or "webhook".
        act: acts it out on an exchange or a posting.

    """

    kind: str
    options: Mapping[str, object]
    befalls: Kind = field(repr=False)
    act: Callable[[Any], Awaitable[None]] = field(compare=False, repr=False)

    def __str__(self) -> str:
        told = (_shown(name, value) for name, value in self.options.items() if value)
        return f"{self.kind}({', '.join(told)})"


FAULTS: Final[dict[str, Callable[..., Fault]]] = {}
"""Every fault by its name, as the HTTP interface calls it."""

OPTIONS: Final[dict[str, tuple[str, ...]]] = {}
"""What each fault can be told."""


def request_fault(maker: Callable[P, Act]) -> Callable[P, Fault]:
    """Make a fault for requests of a function from its options to what happens."""
    return _fault(maker, "request")


def webhook_fault(maker: Callable[P, WebhookAct]) -> Callable[P, Fault]:
    """Make a fault for webhooks of a function from its options to what happens."""
    return _fault(maker, "webhook")


def _fault(
    maker: Callable[P, Callable[[Any], Awaitable[None]]], befalls: Kind
) -> Callable[P, Fault]:
    name, signature = maker.__name__, inspect.signature(maker)

    @functools.wraps(maker)
    def make(*args: P.args, **kwargs: P.kwargs) -> Fault:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return Fault(name, bound.arguments, befalls, maker(*args, **kwargs))

    FAULTS[name], OPTIONS[name] = make, tuple(signature.parameters)
    return make


@request_fault
def delay(seconds: float) -> Act:
    """Wait before the request is worked on."""
    _check_seconds(seconds)

    async def act(exchange: Exchange) -> None:
        await exchange.sleep(seconds)
        await exchange.send(await exchange.work())

    return act


@request_fault
def drop_before_commit() -> Act:
    """Cut the connection without doing anything."""

    async def act(exchange: Exchange) -> None:
        exchange.cut()

    return act


@request_fault
def drop_after_commit() -> Act:
    """Do what was asked, then cut the connection instead of answering."""

    async def act(exchange: Exchange) -> None:
        await exchange.work()
        exchange.cut()

    return act


@request_fault
def truncate() -> Act:
    """Do what was asked, then cut the connection in the middle of the answer."""

    async def act(exchange: Exchange) -> None:
        reply = await exchange.work()
        await exchange.begin(reply)
        await exchange.write(reply.body[: len(reply.body) // 2])
        exchange.hang_up()

    return act


@request_fault
def slow_body(seconds: float) -> Act:
    """Do what was asked, then let the answer's body trickle over so many seconds."""
    _check_seconds(seconds)

    async def act(exchange: Exchange) -> None:
        reply = await exchange.work()
        await exchange.begin(reply)
        size = len(reply.body) // _SLOW_PIECES + 1
        for start in range(0, len(reply.body), size):
            await exchange.sleep(seconds / _SLOW_PIECES)
            await exchange.write(reply.body[start : start + size])

    return act


@request_fault
def malformed_json() -> Act:
    """Do what was asked, then answer with a body that is not JSON."""

    async def act(exchange: Exchange) -> None:
        reply = await exchange.work()
        await exchange.send(reply._replace(body=reply.body[: len(reply.body) // 2]))

    return act


@request_fault
def respond(
    status: int,
    headers: Mapping[str, str] | None = None,
    *,
    code: str = "",
    body: str | None = None,
) -> Act:
    """Answer with a status of your choice and do nothing.

    Args:
        status: HTTP status, 200 to 599.
        headers: further headers, e.g. {"Retry-After": "2"}.
        code: the error code in the envelope; the documented one for the status if absent.
        body: the whole body, instead of an envelope.

    Raises:
        ValueError: a status that is none, or a header that could split the answer.
        TypeError: a code or a body that is no text.

    """
    _check_status(status)
    _check_texts(code, body)
    for name, value in (headers or {}).items():
        if not re.fullmatch(r"[A-Za-z0-9-]+", name) or not re.fullmatch(r"[ -~]*", value):
            raise ValueError("headers: names and values must be plain ASCII on one line")

    async def act(exchange: Exchange) -> None:
        reply = _prescribed(status, code, body, exchange.now)
        await exchange.send(reply._replace(headers={**reply.headers, **(headers or {})}))

    return act


@request_fault
def token_revoked() -> Act:
    """Revoke the request's token before it is looked at."""

    async def act(exchange: Exchange) -> None:
        if exchange.token is not None:
            exchange.token.revoked = True
        await exchange.send(await exchange.work())

    return act


@request_fault
def token_expired() -> Act:
    """Let the request's token expire, just now, before it is looked at."""

    async def act(exchange: Exchange) -> None:
        if exchange.token is not None:
            exchange.token.expires_at = exchange.now
        await exchange.send(await exchange.work())

    return act


@request_fault
def lost_scopes() -> Act:
    """Take all scopes: from the token being issued, or from the one that the request carries."""

    async def act(exchange: Exchange) -> None:
        exchange.no_scopes = True
        if exchange.token is not None:
            exchange.token.scopes = ()
        await exchange.send(await exchange.work())

    return act


@request_fault
def stale_reads(seconds: float) -> Act:
    """Answer with the state that collections and refunds had so many seconds ago."""
    _check_seconds(seconds)

    async def act(exchange: Exchange) -> None:
        exchange.lag = float(seconds)
        await exchange.send(await exchange.work())

    return act


@request_fault
def stray_answer(status: int = 409, *, code: str = "", body: str | None = None) -> Act:
    """Answer properly, then send another answer on the same connection that nobody asked for.

    Args:
        status: HTTP status of the stray answer, 200 to 599.
        code: its error code; the documented one for the status if absent.
        body: its whole body, instead of an envelope.

    Raises:
        ValueError: a status that is none.
        TypeError: a code or a body that is no text.

    """
    _check_status(status)
    _check_texts(code, body)

    async def act(exchange: Exchange) -> None:
        reply = await exchange.work()
        await exchange.send(reply, _prescribed(status, code, body, exchange.now))

    return act


@request_fault
def gateway_page(status: int = 404) -> Act:
    """Answer with the HTML page of a gateway in between, and do nothing.

    Args:
        status: HTTP status, 200 to 599.

    Raises:
        ValueError: a status that is none.

    """
    _check_status(status)

    async def act(exchange: Exchange) -> None:
        title = f"{status} {_phrase(status)}"
        page = f"<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"
        await exchange.send(Reply(int(status), {"Content-Type": "text/html"}, page.encode()))

    return act


@webhook_fault
def duplicated() -> WebhookAct:
    """Deliver the webhook twice."""

    async def act(posting: Posting) -> None:
        await posting.post()
        await posting.post()

    return act


@webhook_fault
def reordered() -> WebhookAct:
    """Hold the webhook back until the next one is through, for a minute at most."""

    async def act(posting: Posting) -> None:
        posting.hold_back()

    return act


@webhook_fault
def wrongly_signed() -> WebhookAct:
    """Sign the webhook with a secret that nobody knows."""

    async def act(posting: Posting) -> None:
        await posting.post(f"whsec_{secrets.token_hex(16)}")

    return act


@webhook_fault
def old_secret() -> WebhookAct:
    """Sign the webhook with the secret before the present one."""

    async def act(posting: Posting) -> None:
        await posting.post(posting.old_secret)

    return act


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
        self._armed: list[Armed] = []
        self._count = 0
        # Tests arm faults from their own thread while a sandbox of theirs uses them up.
        self._lock = threading.Lock()

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
        with self._lock:
            self._armed = [armed for armed in self._armed if number not in {None, armed.number}]

    def take(self, name: str) -> Fault | None:
        """Find the fault for a request or webhook, e.g. "GET /collections/SCI1", and use it up."""
        with self._lock:
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
            if (fault.befalls == "webhook") is not target.startswith("webhook"):
                raise ValueError(f"target: {fault.kind} cannot be armed for {target}")
            with self._lock:
                self._count += 1
                self._armed.append(Armed(self._count, target, fault, once))


def build(name: str, options: Mapping[str, object]) -> Fault:
    """Make a fault from its name and its options, as they come over HTTP.

    Raises:
        ValueError: no such fault, an option that it does not have or lacks, or a wrong value.

    """
    if name not in FAULTS:
        raise ValueError(f"fault: one of {', '.join(FAULTS)} is needed")
    try:
        return FAULTS[name](**options)
    except (TypeError, AttributeError):
        wanted = ", ".join(OPTIONS[name]) or "no options"
        raise ValueError(f"{name}: wrong options, it takes {wanted}") from None


def _shown(name: str, value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {text}" for key, text in value.items())
    text = f"{value:g} s" if name == "seconds" else str(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


def _prescribed(status: int, code: str, body: str | None, now: datetime) -> Reply:
    code = code or _CODES.get(int(status), "INTERNAL_ERROR")
    reply = failure(RefusedError(int(status), code, _phrase(status)), now)
    return reply if body is None else reply._replace(body=body.encode(errors="replace"))


def _phrase(status: int) -> str:
    return next((known.phrase for known in HTTPStatus if known == status), "Fault")


def _check_texts(code: str, body: str | None) -> None:
    if not all(isinstance(text, str) for text in (code, "" if body is None else body)):
        raise TypeError("code, body: texts are needed")


def _check_seconds(seconds: float) -> None:
    if not 0 <= seconds <= 86400:  # noqa: PLR2004 - a day is longer than any client waits
        raise ValueError("seconds: 0 to 86400 are needed")


def _check_status(status: int) -> None:
    if not 200 <= status <= 599:  # noqa: PLR2004 - the range of final HTTP statuses
        raise ValueError("status: 200 to 599 is needed")


def _matches(target: str, name: str) -> bool:
    if "webhook" in (target, name.partition(" ")[0]):
        return name.startswith(target)
    pattern = re.sub(r"\\\{[^/]*?\\\}", "[^/]+", re.escape(target)).replace(r"\*", ".*")
    return re.fullmatch(pattern, name) is not None
