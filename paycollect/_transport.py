"""The one room that touches aiohttp: its life, its waiting line, its one call, its errors.

The law of this room: no aiohttp object exists before the first call in a running loop; no foreign
exception leaves, not even as `__context__` of ours, because aiohttp's errors carry the request
headers and with them the token; and a connection is given back before the answer is looked at.
"""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Callable
from typing import Final, TypeVar

import aiohttp
from aiohttp import http_exceptions
from attrs import define, evolve
from multidict import CIMultiDict, istr
from yarl import URL

from paycollect import _validate as check
from paycollect._answers import Request, Response
from paycollect._waiting import Gate, Watch
from paycollect.errors import (
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
_FOREIGN: Final = (
    aiohttp.ClientError,
    http_exceptions.HttpProcessingError,
    OSError,  # asyncio's TimeoutError is one
    EOFError,
    ValueError,  # a request that aiohttp refuses to make
    RuntimeError,  # a session that is closed under way, and whatever a lent one has hooked in
)


@define
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
        self.gate = Gate(0)
        self._watch: Watch | None = None
        self._headers = ("", CIMultiDict[str]())
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
                connector=aiohttp.TCPConnector(limit=POOL_SIZE),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": _USER_AGENT, "Accept": "application/json"},
            )
        self.gate = Gate(_pool_size(self._http))
        self._watch = Watch(loop)

    async def aclose(self) -> None:
        """Close the session, unless it is borrowed."""
        if self._watch is not None:
            self._watch.stop()
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
        self, request: Request[T], *, bearer: str | None, limits: Limits, left: float
    ) -> Response:
        """Make one attempt, within its limits and the seconds that are left of the call.

        Raises:
            ConnectError: nothing was sent.
            ResponseLostError: the answer did not arrive, or not whole, or not in time.
            DecodeError: the answer is too large.
            ClosedError: the session is closed.

        """
        http, watch, task = self._http, self._watch, asyncio.current_task()
        if http is None or watch is None or task is None or _is_closed(http):
            raise ClosedError("the aiohttp session is closed")
        now = watch.now()
        ends = now + min(limits.total, left)
        watch.limit(task, min(ends, now + limits.first))
        problem: PayCollectError
        try:
            response = await http.request(
                request.method,
                self._url(request.path),
                data=request.body,
                headers=self._headers_for(request, bearer),
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
                        lambda: watch.limit(task, min(ends, watch.now() + limits.between)),
                    )
            finally:
                response.release()
            return Response(status=response.status, body=body, headers=response.headers)
        except asyncio.CancelledError:
            if not watch.took(task):
                raise
            problem = _lost(request, _TOO_LONG)
        except _NOT_SENT as error:
            problem = ConnectError(f"no connection to {self._base_url}: {_reason(error)}")
        except _FOREIGN as error:
            problem = _lost(request, _reason(error))
        finally:
            watch.release(task)
        raise problem

    def _headers_for(self, request: Request[T], bearer: str | None) -> CIMultiDict[str]:
        """Give the headers; those of a POST with the present token are kept ready."""
        if request.method == "GET":
            return CIMultiDict({} if bearer is None else {AUTHORIZATION: f"Bearer {bearer}"})
        if bearer is None:
            return CIMultiDict(_JSON)
        if self._headers[0] != bearer:
            ready = CIMultiDict({AUTHORIZATION: f"Bearer {bearer}", **_JSON})
            self._headers = (bearer, ready)
        return self._headers[1]

    def _url(self, path: str) -> URL:
        url = self._urls.get(path)
        if url is None:
            url = URL(self._base_url + path, encoded=True)
            if path in _CACHED:
                self._urls[path] = url
        return url


_CACHED: Final = frozenset({"/collections", "/auth/token", "/auth/refresh"})
_ABANDONED: Final[list[object]] = []


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
            response.close()
            raise DecodeError(f"the provider's answer is larger than {LARGEST_BODY} bytes")


def _is_closed(http: aiohttp.ClientSession) -> bool:
    return http.closed


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
    return type(error).__name__


def _lost(request: Request[T], why: str) -> ResponseLostError:
    asked = f"{request.method} {request.template or request.path}"
    return ResponseLostError(f"the answer to {asked} was lost: {why}")


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
