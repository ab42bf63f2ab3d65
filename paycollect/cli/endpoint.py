"""Posting to a webhook endpoint as the provider does: 10 seconds, no redirects, any 2xx is success.

Provider docs: webhooks, delivery.
"""

from __future__ import annotations

import socket
import ssl
import time
from typing import Final

import aiohttp
from attrs import frozen

from paycollect import _arguments as check

ANSWER_LIMIT: Final = 10.0
_ANSWER_SHOWN: Final = 300
_HEADERS: Final = {"Content-Type": "application/json", "User-Agent": "paycollect-cli"}


@frozen(kw_only=True)
class Reply:
    """What the endpoint answered; `status` is None, and `problem` says why, where it did not.

    Attributes:
        reached: whether there was a connection, so that the body may have been taken.

    """

    status: int | None = None
    seconds: float
    answer: str = ""
    problem: str = ""
    reached: bool = True

    @property
    def taken(self) -> bool:
        """Whether the provider would not send it again."""
        return self.status is not None and 200 <= self.status <= 299  # noqa: PLR2004  any 2xx

    def __str__(self) -> str:
        came = self.problem if self.status is None else f"HTTP {self.status}"
        return f"{came} in {self.seconds * 1000:.0f} ms"


async def post(url: str, body: bytes, *, limit: float = ANSWER_LIMIT) -> Reply:
    """Post a body, and tell how the endpoint took it.

    Raises:
        ValueError: not an absolute http(s) URL.

    """
    check.url(url, "URL")
    started = time.monotonic()
    status, answer, problem, reached = None, "", "", True
    try:
        status, answer = await _post(url, body, limit)
    except TimeoutError:
        problem = f"no answer within {limit:g} s"
    except (aiohttp.ClientError, OSError, ValueError) as error:
        problem = f"no answer: {why(error)}"
        reached = not isinstance(error, aiohttp.ClientConnectorError)
    return Reply(
        status=status,
        seconds=time.monotonic() - started,
        answer=answer,
        problem=problem,
        reached=reached,
    )


def why(error: BaseException) -> str:
    """Say in words why there is no connection, or why it ended."""
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, ssl.SSLError):
        return f"TLS was refused: {cause.reason}"
    for kind, words in _WORDS.items():
        if isinstance(cause, kind):
            return words
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror.lower()
    return "what came is not HTTP"


_WORDS: Final[dict[type[BaseException], str]] = {
    TimeoutError: "it took too long",
    ConnectionRefusedError: "connection refused",
    socket.gaierror: "the host name could not be resolved",
    ConnectionResetError: "the connection was cut",
    aiohttp.ServerDisconnectedError: "the connection was cut",
}


async def _post(url: str, body: bytes, limit: float) -> tuple[int, str]:
    timeout = aiohttp.ClientTimeout(total=limit)
    async with (
        aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as http,
        http.post(url, data=body, headers=_HEADERS, allow_redirects=False) as response,
    ):
        answer = await response.content.read(_ANSWER_SHOWN)
        return response.status, answer.decode(errors="replace")
