"""The one room that touches aiohttp: its life, its waiting line, its one call, its errors.

The law of this room: no aiohttp object exists before the first call in a running loop; no foreign
exception leaves, not even as `__context__` of ours, because aiohttp's errors carry the request
headers and with them the token; and a connection is given back before the answer is looked at.
"""

from __future__ import annotations

import asyncio
import platform
from collections import deque
from typing import Final, TypeVar

import aiohttp
from aiohttp import http_exceptions
from yarl import URL

from paycollect._answers import Request, Response
from paycollect.clock import Clock
from paycollect.errors import (
    ClosedError,
    ConnectError,
    DecodeError,
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
_NOT_SENT: Final = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
_FOREIGN: Final = (
    aiohttp.ClientError,
    http_exceptions.HttpProcessingError,
    OSError,  # asyncio's TimeoutError is one
    EOFError,
)


class Gate:
    """A waiting line in front of the connection pool: first come, first served.

    aiohttp's own pool does not queue fairly, and a call that waits in it already holds its built
    request (10 to 15 KB).
    """

    __slots__ = ("_free", "_line")

    def __init__(self, size: int) -> None:
        self._free = size
        self._line: deque[asyncio.Future[None]] = deque()

    def enter_nowait(self) -> bool:
        """Take a place if one is free and nobody waits."""
        if self._free > 0 and not self._line:
            self._free -= 1
            return True
        return False

    async def enter(self) -> None:
        """Wait for a place."""
        turn = asyncio.get_running_loop().create_future()
        self._line.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave()  # the place was handed over just before the cancellation
            else:
                self._line.remove(turn)
            raise

    def leave(self) -> None:
        """Give the place to the first in line."""
        while self._line:
            turn = self._line.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1


class Transport:
    """Sends requests over one aiohttp session: its own, or a borrowed one that it never closes."""

    def __init__(self, base_url: str, *, http: aiohttp.ClientSession | None, clock: Clock) -> None:
        self._base_url = base_url
        self._borrowed = http
        self._clock = clock
        self._http = http
        self.gate = Gate(0)
        self._urls: dict[str, URL] = {}

    @property
    def is_open(self) -> bool:
        """Whether there is an aiohttp session that must be closed."""
        return self._http is not None and self._borrowed is None

    def open(self) -> None:
        """Make ready, inside the running loop."""
        if self._http is None:
            self._http = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=POOL_SIZE),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": _USER_AGENT, "Accept": "application/json"},
            )
        self.gate = Gate(_pool_size(self._http))

    async def aclose(self) -> None:
        """Close the session, unless it is borrowed."""
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
        *,
        bearer: str | None,
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109  aiohttp's own, per phase
    ) -> Response:
        """Make one attempt: the one call of aiohttp.

        Raises:
            ConnectError: nothing was sent.
            ResponseLostError: the answer did not arrive, or not whole.
            DecodeError: the answer is too large.
            ClosedError: the session is closed.

        """
        http = self._http
        if http is None or _is_closed(http):
            raise ClosedError("the aiohttp session is closed")
        problem: PayCollectError
        try:
            return await self._exchange(http, request, bearer, timeout)
        except _NOT_SENT as error:
            problem = ConnectError(f"no connection to {self._base_url}: {_reason(error)}")
        except _FOREIGN as error:
            problem = ResponseLostError(
                f"the answer to {request.method} {request.template or request.path} was lost: "
                + _reason(error)
            )
        except RuntimeError:
            if not _is_closed(http):
                raise
            problem = ClosedError("the aiohttp session was closed")
        raise problem

    async def _exchange(
        self,
        http: aiohttp.ClientSession,
        request: Request[T],
        bearer: str | None,
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109  as above
    ) -> Response:
        headers = {}
        if bearer is not None:
            headers["Authorization"] = "Bearer " + bearer
        if request.body is not None:
            headers["Content-Type"] = "application/json"
        response = await http.request(
            request.method,
            self._url(request.path),
            data=request.body,
            headers=headers,
            allow_redirects=False,  # a 307 would hand the secret key to another host
            raise_for_status=False,  # its error carries the token
            timeout=timeout,
        )
        try:
            body = await _read(response)
        finally:
            response.release()
        told = response.headers
        return Response(
            status=response.status,
            body=body,
            retry_after=told.get("Retry-After"),
            request_id=told.get("X-Request-Id"),
            date=told.get("Date"),
            now=self._clock.time(),
        )

    def _url(self, path: str) -> URL:
        url = self._urls.get(path)
        if url is None:
            url = URL(self._base_url + path, encoded=True)
            if path in _CACHED:
                self._urls[path] = url
        return url


_CACHED: Final = frozenset({"/collections", "/auth/token", "/auth/refresh"})
_ABANDONED: Final[list[object]] = []


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """Read the body, up to a limit that also holds for what a small gzip unpacks to."""
    content = response.content
    body = await content.readany()
    if content.at_eof():
        return body
    pieces = [body]
    size = len(body)
    while piece := await content.readany():
        pieces.append(piece)
        size += len(piece)
        if size > LARGEST_BODY:
            response.close()
            raise DecodeError(f"the provider's answer is larger than {LARGEST_BODY} bytes")
    return b"".join(pieces)


def _is_closed(http: aiohttp.ClientSession) -> bool:
    return http.closed


def _pool_size(http: aiohttp.ClientSession) -> int:
    connector = http.connector
    limits = (connector.limit, connector.limit_per_host) if connector is not None else ()
    return min((limit for limit in limits if limit > 0), default=2**31)


def _reason(error: BaseException) -> str:
    """Say what went wrong by kind only: the texts of foreign errors may carry anything."""
    if isinstance(error, (TimeoutError, aiohttp.ServerTimeoutError)):
        return "it took too long"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "the host name could not be resolved"
    if isinstance(error, aiohttp.ClientSSLError):
        return "the TLS certificate or handshake was not accepted"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "it was cut off"
    return type(error).__name__


def to_aiohttp(timeout: Timeout | aiohttp.ClientTimeout | float) -> aiohttp.ClientTimeout:
    """Turn time limits into aiohttp's; a number limits the attempt as a whole.

    Raises:
        TypeError: not a number, Timeout or aiohttp.ClientTimeout.
        ValueError: negative, or not finite.

    """
    if isinstance(timeout, aiohttp.ClientTimeout):
        return timeout
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float, Timeout)):
        raise TypeError(f"timeout: seconds or a Timeout is needed, not {type(timeout).__name__}")
    if not isinstance(timeout, Timeout):
        timeout = Timeout(total=float(timeout))
    return aiohttp.ClientTimeout(
        total=timeout.total, sock_connect=timeout.connect, sock_read=timeout.read
    )
