"""What every adapter shares: the answer, the endpoint, the body within its limit.

Invariants: every request ends in an answer. Only a proven message reaches the function of a
`Webhook`; if that fails, the answer asks the provider to deliver the message again.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from functools import partial
from typing import Any, Final, Protocol, TypeVar

from attrs import field, frozen

from paycollect._observers import log
from paycollect._portal import portal
from paycollect.errors import IpnError, TestEventError
from paycollect.ipn import Receiver, WebhookEvent
from paycollect.ipn._body import MAX_SIZE

T = TypeVar("T")


@frozen
class Answer:
    """An HTTP answer, for whatever framework gives it.

    Attributes:
        status: the HTTP status.
        headers: by name.
        body: the content, as bytes.

    """

    status: int
    headers: Mapping[str, str] = field(factory=dict)
    body: bytes = b""


class Endpoint(Protocol):
    """What an adapter serves: a `Webhook`, a `Cashier`, or an object of yours.

    Where `receive` is a coroutine function it is awaited on the event loop of the service; a
    framework without one has it run on the loop thread that `paycollect.sync` uses. Where it is a
    plain function it may block: a framework with an event loop runs it in a worker thread.

    It may have a `max_size` in bytes; without one, bodies up to 1 MiB are read.
    """

    def receive(self, body: bytes, /) -> Awaitable[Answer] | Answer:
        """Take the raw body of a request, and say what to answer."""
        ...


class Webhook:
    """An endpoint that proves a webhook, and hands the event to a function of yours.

    Forged, malformed and oversized messages are answered with 401, 400 and 413, and logged; a test
    delivery with 200. None of them reaches your function (unless the receiver has `allow_test`).
    When it returns the answer is 200, so return only when the event is safe. When it raises, the
    answer is 503 and the provider delivers the event again. An event may come more than once:
    compare `event.dedup_key`, and ask the provider (`SessionManager.confirm`) before you deliver
    anything. `paycollect.cashier.Cashier` is an endpoint that does all of this.

    Example::

        from paycollect import ipn, web
        from paycollect.testing import sign_webhook

        async def on_event(event: ipn.WebhookEvent) -> None:
            orders.append(event.order_id)  # in earnest: a row in a table

        orders = []
        webhook = web.Webhook(ipn.Receiver(secrets="whsec_x"), on_event)
        body = sign_webhook({"orderId": "INV-001", "status": "COMPLETED"}, "whsec_x")
        assert (await webhook.receive(body)).status == 200
        assert orders == ["INV-001"]

    Args:
        receiver: proves the message.
        on_event: what to do with a proven event. A plain function may block: a framework with an
            event loop runs it in a worker thread.

    Raises:
        TypeError: not a Receiver, or not a function.

    """

    def __init__(
        self, receiver: Receiver, on_event: Callable[[WebhookEvent], Awaitable[object] | object]
    ) -> None:
        if not isinstance(receiver, Receiver):
            raise TypeError(f"receiver: an ipn.Receiver is needed, not {type(receiver).__name__}")
        if not callable(on_event):
            raise TypeError(f"on_event: a function is needed, not {type(on_event).__name__}")
        self._receiver = receiver
        self._on_event = on_event
        self.max_size: int = receiver.max_size
        self.is_async: bool = _is_coroutine_function(on_event)

    def receive(self, body: bytes) -> Answer | Coroutine[Any, Any, Answer]:
        """Prove a body, and have the event dealt with.

        Returns:
            The answer; where `on_event` is a coroutine function, a coroutine that gives it.

        Raises:
            TypeError: the body is not bytes: it was parsed before.

        """
        if self.is_async:
            return self._later(body)
        event = self._prove(body)
        if isinstance(event, Answer):
            return event
        try:
            result = self._on_event(event)
        except Exception as error:  # noqa: BLE001  the function is the user's
            return failed(_ON_EVENT, error)
        # What a lambda around a coroutine function gives.
        return _finish(result) if isinstance(result, Awaitable) else STORED

    async def _later(self, body: bytes) -> Answer:
        event = self._prove(body)
        return event if isinstance(event, Answer) else await _finish(_call(self._on_event, event))

    def _prove(self, body: bytes) -> WebhookEvent | Answer:
        try:
            return self._receiver.parse(body)
        except TestEventError:
            log.info("a test webhook arrived: it is genuine, and stands for no payment")
            return STORED
        except IpnError as error:
            log.warning("webhook refused, HTTP %d: %s", error.status_hint, error)
            return _REFUSALS.get(error.status_hint, MALFORMED)


async def _finish(result: Awaitable[object]) -> Answer:
    try:
        await result
    except Exception as error:  # noqa: BLE001  the function is the user's
        return failed(_ON_EVENT, error)
    return STORED


async def _call(function: Callable[[WebhookEvent], Any], event: WebhookEvent) -> object:
    return await function(event)


def _text(status: int, text: str, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, {"Content-Type": "text/plain; charset=utf-8"} | named, text.encode())


STORED: Final = Answer(200)
NOT_ALLOWED: Final = _text(405, "POST a webhook here.\n", Allow="POST")
MALFORMED: Final = _text(400, "This is not a webhook.\n")
TOO_LARGE: Final = _text(413, "The body is too large.\n")
NO_LENGTH: Final = _text(411, "This server needs a Content-Length.\n")
CUT_SHORT: Final = _text(400, "The body ended early.\n")
TRY_AGAIN: Final = _text(503, "Not stored: deliver it again.\n", Retry_After="30")
_REFUSALS: Final = {401: _text(401, "The signature does not match.\n"), 413: TOO_LARGE}
_ON_EVENT: Final = "the function for webhook events"
_READ_BEFORE: Final = (
    "the body of a webhook request was already read, by a middleware or a hook that runs before"
    " the webhook's handler, so its signature cannot be checked: let that pass this path by, or"
    " keep the bytes for those who come after it"
)
_FAR_TOO_LARGE: Final = 4 * 1024 * 1024
"""What is too large is read up to here: a server that hangs up on a sender may lose its answer."""


def failed(what: str, error: Exception) -> Answer:
    """Log that a message could not be stored, and have it delivered again."""
    log.error("%s failed, so the provider is asked to deliver again", what, exc_info=error)
    return TRY_AGAIN


class Refusal(Exception):  # noqa: N818  not a failure: it carries an answer
    """Ends the reading of a body with an answer."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


class Body:
    """Collects the pieces of a body, up to the limit of its endpoint.

    Args:
        endpoint: whose `max_size` counts.
        length: the header Content-Length, where there is one.
        chunked: whether a body comes without one.

    Raises:
        Refusal: the header announces far too much.

    """

    def __init__(self, endpoint: Endpoint, length: str | None, *, chunked: bool) -> None:
        self._limit: int = getattr(endpoint, "max_size", MAX_SIZE)
        self._far_too_large = self._limit + _FAR_TOO_LARGE
        announced = int(length) if length and length.isascii() and length.isdigit() else 0
        if announced > self._far_too_large:
            raise Refusal(TOO_LARGE)
        self._is_expected = announced > 0 or chunked
        self._pieces: list[bytes] = []
        self._size = 0

    def add(self, piece: bytes) -> None:
        """Take a piece.

        Raises:
            Refusal: far too much has come.

        """
        self._size += len(piece)
        if self._size <= self._limit:
            self._pieces.append(piece)
        elif self._size > self._far_too_large:
            raise Refusal(TOO_LARGE)

    def whole(self) -> bytes:
        """Give all of it.

        Raises:
            Refusal: it is too large, or somebody has read it before.

        """
        if self._size > self._limit:
            raise Refusal(TOO_LARGE)
        if self._is_expected and not self._size:
            log.error("%s (or the client hung up before it sent any)", _READ_BEFORE)
            raise Refusal(_text(500, f"{_READ_BEFORE[0].upper()}{_READ_BEFORE[1:]}.\n"))
        return b"".join(self._pieces)

    def read(self, read: Callable[[int], bytes]) -> None:
        """Take all that a file-like object gives.

        Raises:
            Refusal: far too much has come, or the client has hung up.

        """
        try:
            while piece := read(_PIECE):
                self.add(piece)
        except OSError:
            raise Refusal(CUT_SHORT) from None

    @property
    def is_empty(self) -> bool:
        """Whether nothing has come so far."""
        return not self._size


_PIECE: Final = 64 * 1024


def answer(endpoint: Endpoint, read: Callable[[], bytes]) -> Answer:
    """Answer a request in a framework without an event loop."""
    try:
        result = endpoint.receive(read())
        if isinstance(result, Awaitable):
            waiting = result
            result = portal.call(lambda: _wait_for(waiting), "use an adapter for event loops")
        return _checked(result)
    except Refusal as refusal:
        return refusal.answer
    except Exception as error:  # noqa: BLE001  the endpoint may be the user's
        return failed(f"the webhook endpoint {type(endpoint).__name__}", error)


async def answer_async(endpoint: Endpoint, read: Callable[[], Awaitable[bytes]]) -> Answer:
    """Answer a request on an event loop.

    A client that hangs up makes some servers cancel its handler: once the body is here, the
    endpoint ends its work all the same.
    """
    try:
        body = await read()
    except Refusal as refusal:
        return refusal.answer
    loop = asyncio.get_running_loop()
    work = loop.create_task(_receive(endpoint, body))
    answer: asyncio.Future[Answer] = loop.create_future()
    _at_work.add(work)  # as the loop alone would let go of it
    work.add_done_callback(partial(_hand_over, answer))
    return await answer


_at_work: Final[set[asyncio.Task[Answer]]] = set()


def _hand_over(answer: asyncio.Future[Answer], work: asyncio.Task[Answer]) -> None:
    """Answer whoever still waits: what asyncio.shield does, in half of its time."""
    _at_work.discard(work)
    if work.cancelled():  # the loop is ending
        answer.cancel()
        return
    problem = work.exception()
    if answer.done():
        return  # whoever asked was cancelled
    if problem is None:
        answer.set_result(work.result())
    else:
        answer.set_exception(problem)


async def _receive(endpoint: Endpoint, body: bytes) -> Answer:
    try:
        if is_async(endpoint):
            result = endpoint.receive(body)
        else:
            result = await asyncio.to_thread(endpoint.receive, body)
        return _checked(await result if isinstance(result, Awaitable) else result)
    except Exception as error:  # noqa: BLE001  the endpoint may be the user's
        return failed(f"the webhook endpoint {type(endpoint).__name__}", error)


async def _wait_for(result: Awaitable[T]) -> T:
    return await result


def _checked(result: object) -> Answer:
    if not isinstance(result, Answer):
        raise TypeError(f"receive() gave {type(result).__name__}: a web.Answer is needed")
    return result


def is_async(endpoint: Endpoint) -> bool:
    """Tell whether an endpoint is to be awaited on the loop, or may block."""
    told = getattr(endpoint, "is_async", None)
    return told if isinstance(told, bool) else _is_coroutine_function(endpoint.receive)


def _is_coroutine_function(function: object) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004  an object whose __call__ is async
    )


def check_endpoint(endpoint: Endpoint) -> Endpoint:
    """Check an endpoint when the service starts.

    Raises:
        TypeError: it has no method `receive`.

    """
    if not callable(getattr(endpoint, "receive", None)):
        raise TypeError(
            "endpoint: a Webhook, a Cashier or another object with receive(body) is needed, not"
            f" {type(endpoint).__name__}"
        )
    return endpoint


def both_forms(path: str) -> Iterable[str]:
    """Give a path without and with its last slash, so that neither is redirected.

    Raises:
        ValueError: it does not begin with a slash.

    """
    if not path.startswith("/"):
        raise ValueError("path: must begin with /")
    bare = path.rstrip("/")
    return (bare, f"{bare}/") if bare else ("/",)
