"""The only file that touches aiohttp: its life, its pool, one exchange over it, its errors.

Invariants: no aiohttp object exists before the first call in a running loop; no foreign
exception leaves, not even as `__context__` of ours, because aiohttp's errors carry the request
headers and with them the token; and an answer is judged before its connection serves again.
"""

from __future__ import annotations

import asyncio
import platform
import select
from collections.abc import Callable
from typing import Any, Final, TypeVar

import aiohttp
from aiohttp.connector import Connection
from attrs import define, evolve
from multidict import CIMultiDict, istr
from yarl import URL

from paycollect import _arguments as check
from paycollect._api.answers import Request, Response
from paycollect._http.concurrency import Deadlines, FairQueue
from paycollect.errors import (
    ApiError,
    ClosedError,
    ConnectError,
    DecodeError,
    EventLoopError,
    PayCollectError,
    ResponseLostError,
)
from paycollect.retry import Timeout
from paycollect.version import __version__

T = TypeVar("T")

POOL_SIZE: Final = 100
LARGEST_BODY: Final = 8 * 1024 * 1024
_USER_AGENT: Final = (
    f"paycollect/{__version__} Python/{platform.python_version()} aiohttp/{aiohttp.__version__}"
)
_TOO_LONG: Final = "it took too long"
_JSON: Final = {istr("Content-Type"): "application/json"}
AUTHORIZATION: Final = istr("Authorization")
_NOT_SENT: Final = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)


@define(eq=False, repr=False)
class Limits:
    """Time limits of one attempt, in seconds; what aiohttp itself is to enforce is in `aiohttp`."""

    total: float
    first: float
    between: float
    aiohttp: aiohttp.ClientTimeout


class Transport:
    """Sends requests over one aiohttp session: its own, or a borrowed one that it never closes."""

    def __init__(self, base_url: str, *, http: aiohttp.ClientSession | None) -> None:
        if http is not None and check.instance(http, aiohttp.ClientSession, "http").auth:
            raise ValueError("http: a session with an auth of its own cannot carry the token")
        self._base_url = base_url
        self._borrowed = http
        self._http = http
        self.queue = FairQueue(0)
        self._deadlines: Deadlines | None = None
        self._headers: dict[tuple[bool, str | None], CIMultiDict[str]] = {}
        self._urls: dict[str, URL] = {}

    @property
    def is_open(self) -> bool:
        """Whether there is an aiohttp session that must be closed."""
        return self._http is not None and self._borrowed is None

    def open(self) -> None:
        """Make ready, inside the running loop.

        Raises:
            EventLoopError: the session that was lent belongs to another one.

        """
        loop = asyncio.get_running_loop()
        if getattr(self._borrowed, "_loop", loop) is not loop:  # its public name is deprecated
            raise EventLoopError("the aiohttp session that was lent belongs to another event loop")
        if self._http is None:
            self._http = aiohttp.ClientSession(
                connector=_Pool(limit=POOL_SIZE),
                response_class=_HeldResponse,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": _USER_AGENT, "Accept": "application/json"},
            )
        self.queue = FairQueue(_pool_size(self._http))
        self._deadlines = Deadlines(loop)

    async def aclose(self) -> None:
        """Close the session, unless it is borrowed."""
        if self._deadlines is not None:
            self._deadlines.stop()
        http, self._http = self._http, None
        if http is not None and self._borrowed is None:
            await http.close()

    def abandon(self) -> None:
        """Let go, in a forked child, of connections that belong to the parent process."""
        if self._http is not None and self._borrowed is None:
            # Closing would unregister the parent's sockets from the epoll that both share.
            _ABANDONED.append(self._http.connector)
            self._http.detach()
        self._http = self._borrowed

    async def send(
        self,
        request: Request[T],
        read: Callable[[Response], T],
        *,
        bearer: str | None,
        limits: Limits,
        left: float,
    ) -> T:
        """Make one attempt within its limits and the seconds left of the call; read the answer.

        Raises:
            ConnectError: nothing was sent.
            ResponseLostError: the answer did not arrive, or not whole, or not in time.
            DecodeError: the answer is too large.
            ClosedError: the session is closed.
            PayCollectError: what `read` raises.

        """
        http, deadlines, task = self._http, self._deadlines, asyncio.current_task()
        if http is None or deadlines is None or task is None or http.closed:
            raise ClosedError("the aiohttp session is closed")
        now = deadlines.now()
        ends = now + min(limits.total, left)
        deadlines.limit(task, min(ends, now + limits.first))
        problem: PayCollectError
        try:
            response = await http.request(
                request.method,
                self._urls.get(request.path) or self._url(request.path),
                data=request.body,
                headers=self._headers.get((request.method == "GET", bearer))
                or self._make_headers(request.method == "GET", bearer),
                allow_redirects=False,  # a 307 would hand the secret key to another host
                raise_for_status=False,  # its error carries the token
                timeout=limits.aiohttp,
            )
            try:
                body = await response.content.readany()
                if not response.content.at_eof():
                    body = await _read_on(
                        response,
                        body,
                        lambda: deadlines.limit(task, min(ends, deadlines.now() + limits.between)),
                    )
            except BaseException:
                response.close()
                raise
        except asyncio.CancelledError:
            if not deadlines.take_back(task):
                raise
            problem = _lost(request, _TOO_LONG)
        except _NOT_SENT as error:
            problem = ConnectError(f"no connection to {self._base_url}: {_reason(error)}")
        except _TooLargeError:
            problem = DecodeError(f"the provider's answer is larger than {LARGEST_BODY} bytes")
        except Exception as error:  # noqa: BLE001  a session that was lent may raise anything
            problem = _clash(http, error) or _lost(request, _reason(error))
        else:
            return _judge(response, body, read)
        finally:
            deadlines.release(task)
        raise problem

    def _make_headers(self, reads: bool, bearer: str | None) -> CIMultiDict[str]:
        """Make the headers of all requests of a kind, until the token is another one."""
        headers = CIMultiDict({} if reads else _JSON)
        if bearer is not None:
            headers[AUTHORIZATION] = f"Bearer {bearer}"
        if len(self._headers) >= _KINDS_OF_HEADERS:
            self._headers.clear()  # a token that was replaced is not kept
        self._headers[reads, bearer] = headers
        return headers

    def _url(self, path: str) -> URL:
        url = URL(self._base_url + path, encoded=True)
        if path in _CACHED:
            self._urls[path] = url
        return url


_CACHED: Final = frozenset({"/collections", "/auth/token", "/auth/refresh"})
_KINDS_OF_HEADERS: Final = 4
_ABANDONED: Final[list[object]] = []


class _Pool(aiohttp.TCPConnector):
    """A pool that gives out no connection on which something waits to be read.

    Whatever came unasked would be taken for the answer to the next request.
    """

    async def connect(
        self,
        req: Any,
        traces: Any,
        timeout: Any,  # noqa: ASYNC109  aiohttp's own argument
    ) -> Connection:
        """Give a connection that is new, or silent since its last answer."""
        while True:
            connection = await super().connect(req, traces, timeout)
            protocol: Any = connection.protocol
            poll = getattr(protocol, _POLL, None)
            if poll is None:  # a new one, on which TLS may have something to say
                setattr(protocol, _POLL, _make_poll(connection.transport))
                return connection
            if not (protocol.should_close or poll(0)):
                return connection
            connection.close()


_POLL: Final = "paycollect_poll"


def _make_poll(transport: asyncio.BaseTransport | None) -> Callable[[int], object]:
    """Make a function that asks the system whether there are bytes, or an end, to be read.

    The loop may not have got to them yet.
    """
    socket = None if transport is None else transport.get_extra_info("socket")
    if socket is None:
        return lambda _: False
    if not hasattr(select, "poll"):  # pragma: no cover  Windows, where select takes any handle
        return lambda wait: select.select([socket], [], [], wait)[0]
    poll = select.poll()
    poll.register(socket, select.POLLIN)
    return poll.poll


class _HeldResponse(aiohttp.ClientResponse):
    """A response that keeps its connection from others until it is released or closed.

    aiohttp's own gives it back as soon as the last byte is there: before anybody has seen whether
    it was the answer to this request.
    """

    def _response_eof(self) -> None:
        pass


def _judge(response: aiohttp.ClientResponse, body: bytes, read: Callable[[Response], T]) -> T:
    """Read an answer; where it may not be ours, the connection is not used again."""
    answer = Response(status=response.status, body=body, headers=response.headers)
    try:
        return read(answer)
    except PayCollectError as error:
        if not isinstance(error, ApiError) or answer.is_foreign:
            _hang_up(response)
        raise
    finally:
        response.release()


def _hang_up(response: aiohttp.ClientResponse) -> None:
    response.close()
    # A session that was lent has given the connection back already.
    protocol = getattr(response, "_protocol", None)
    if protocol is not None:
        protocol.close()


class _TooLargeError(Exception):
    pass


async def _read_on(
    response: aiohttp.ClientResponse, first: bytes, before_each: Callable[[], None]
) -> bytes:
    """Read the rest, up to a limit that also holds for what a small gzip unpacks to."""
    pieces, size = [first], len(first)
    while True:
        before_each()
        piece = await response.content.readany()
        if not piece:
            return b"".join(pieces)
        pieces.append(piece)
        size += len(piece)
        if size > LARGEST_BODY:
            raise _TooLargeError


def _pool_size(http: aiohttp.ClientSession) -> int:
    connector = http.connector
    limits = (connector.limit, connector.limit_per_host) if connector is not None else ()
    return min((limit for limit in limits if limit > 0), default=2**31)


def _reason(error: BaseException) -> str:
    """Say what went wrong by kind only: the texts of foreign errors may carry anything."""
    if isinstance(error, (TimeoutError, aiohttp.ServerTimeoutError)):
        return _TOO_LONG
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "the host name could not be resolved"
    if isinstance(error, aiohttp.ClientSSLError):
        return "the TLS certificate or handshake was not accepted"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "it was cut off"
    if isinstance(getattr(error, "os_error", None), ConnectionRefusedError):
        return "connection refused"
    return type(error).__name__


def _lost(request: Request[T], why: str) -> ResponseLostError:
    asked = f"{request.method} {request.template or request.path}"
    return ResponseLostError(f"the answer to {asked} was lost: {why}")


def _clash(http: aiohttp.ClientSession, error: Exception) -> ConnectError | None:
    """Recognise aiohttp's refusal to send both the token and what .netrc has for the host."""
    if not (http.trust_env and isinstance(error, ValueError) and "AUTHORIZATION" in str(error)):
        return None
    problem = ConnectError(
        "nothing was sent: the aiohttp session that was lent reads .netrc (trust_env), and its"
        " entry for this host cannot go with the access token; remove the entry, or lend a session"
        " without trust_env"
    )
    problem.is_retryable = False
    return problem


def to_limits(timeout: Timeout | aiohttp.ClientTimeout | float) -> Limits:
    """Turn time limits into what is enforced by whom; a number limits the attempt as a whole.

    Raises:
        TypeError: not a number, Timeout or aiohttp.ClientTimeout.
        ValueError: not positive, or not finite.

    """
    if isinstance(timeout, aiohttp.ClientTimeout):
        total = timeout.total or float("inf")
        return Limits(total, float("inf"), float("inf"), evolve(timeout, total=None))
    if not isinstance(timeout, Timeout):
        timeout = Timeout(total=check.seconds(timeout, "timeout"))
    # A short limit is left to aiohttp, which times it from the moment that the connection stands.
    short = timeout.read if timeout.read < timeout.connect else None
    return Limits(
        timeout.total,
        timeout.connect + timeout.read,
        timeout.read,
        aiohttp.ClientTimeout(sock_connect=timeout.connect, sock_read=short),
    )
