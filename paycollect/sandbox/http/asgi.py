"""The sandbox as an ASGI application, for development servers: its pages have the app's origin.

It hands each request on to the sandbox's own server on loopback, in the same process, and gives the
answer back as it comes. An ASGI application cannot cut a connection: it fails instead.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from typing import Any, Final, TypeAlias

import aiohttp
from yarl import URL

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Any, Any, Any], Awaitable[None]]

_HOP_BY_HOP: Final = frozenset(
    {b"connection", b"keep-alive", b"transfer-encoding", b"te", b"upgrade", b"expect", b"date"}
)


class AsgiApp:
    """Answers below a path; everything else goes to `otherwise`, or is not found.

    Args:
        ready: starts the sandbox if it is not running, and tells where it listens.
        path: where it is, e.g. "/sandbox".
        otherwise: the application that gets everything else: other paths, web sockets, lifespan.

    """

    def __init__(
        self, ready: Callable[[], Awaitable[str]], path: str, otherwise: App | None = None
    ) -> None:
        self._ready = ready
        self._path = path
        self._otherwise = otherwise

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Answer one request."""
        prefix = None if scope["type"] != "http" else self._prefix(scope)
        if prefix is not None:
            await self._hand_on(scope, prefix, receive, send)
        elif self._otherwise is not None:
            await self._otherwise(scope, receive, send)
        elif scope["type"] == "http":
            await send({"type": "http.response.start", "status": HTTPStatus.NOT_FOUND.value})
            await send({"type": "http.response.body", "body": b""})
        elif scope["type"] == "lifespan":
            for moment in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{moment}.complete"})
        else:
            await send({"type": "websocket.close"})

    def _prefix(self, scope: Any) -> str | None:
        # A framework that mounts it may leave its path in the path, or not.
        path = scope["path"]
        if path == self._path or path.startswith(f"{self._path}/"):
            return self._path
        return "" if scope.get("root_path", "").endswith(self._path) else None

    async def _hand_on(self, scope: Any, prefix: str, receive: Receive, send: Send) -> None:
        raw = scope.get("raw_path") or scope["path"].encode()
        rest = raw.decode("latin-1").removeprefix(prefix) or "/"
        query = scope["query_string"].decode("latin-1")
        url = URL(f"{await self._ready()}{rest}{'?' if query else ''}{query}", encoded=True)
        body = await _read(receive)
        answering = asyncio.create_task(_answer(scope, url, body, send))
        leaving = asyncio.create_task(_left(receive))
        try:
            done, _ = await asyncio.wait((answering, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            answering.cancel()
            leaving.cancel()
            await asyncio.gather(answering, leaving, return_exceptions=True)
        if answering in done:
            answering.result()


async def _answer(scope: Any, url: URL, body: bytes, send: Send) -> None:
    headers = [
        (name.decode("latin-1"), value.decode("latin-1")) for name, value in _kept(scope["headers"])
    ]
    async with (
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(force_close=True),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,
        ) as http,
        http.request(
            scope["method"], url, data=body or None, headers=headers, allow_redirects=False
        ) as response,
    ):
        start = {"type": "http.response.start", "status": response.status}
        await send(start | {"headers": [*_kept(response.raw_headers)]})
        async for chunk in response.content.iter_any():
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def _kept(headers: Any) -> list[tuple[bytes, bytes]]:
    pairs = [(name.lower(), value) for name, value in headers]
    return [pair for pair in pairs if pair[0] not in _HOP_BY_HOP]


async def _read(receive: Receive) -> bytes:
    body, more = bytearray(), True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return bytes(body)


async def _left(receive: Receive) -> None:
    """Wait until nobody waits for the answer any more."""
    while (await receive())["type"] != "http.disconnect":
        pass
