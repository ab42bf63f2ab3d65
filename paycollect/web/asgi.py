"""Webhooks as an ASGI application, for any server and any framework that can mount one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from paycollect.web._endpoint import (
    CUT_SHORT,
    NOT_ALLOWED,
    Answer,
    Body,
    Endpoint,
    Refusal,
    answer_async,
    both_forms,
    check_endpoint,
)

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Any, Any, Any], Awaitable[None]]


class WebhookApp:
    """An ASGI application that hands webhooks to an endpoint.

    Mount it where your framework can, or put it in front of the framework::

        app = WebhookApp(endpoint, path="/webhook", otherwise=quart_app)

    Args:
        endpoint: a `Webhook`, a `Cashier`, or anything with `receive(body) -> Answer`.
        path: with `otherwise`: answer here only, with and without a last slash.
        otherwise: the application that gets everything else: other paths, web sockets, lifespan.

    Raises:
        TypeError, ValueError: not an endpoint; one of `path` and `otherwise` without the other.

    """

    def __init__(
        self, endpoint: Endpoint, *, path: str | None = None, otherwise: App | None = None
    ) -> None:
        self._endpoint = check_endpoint(endpoint)
        if (path is None) != (otherwise is None):
            raise ValueError("path and otherwise belong together: give both or neither")
        self._paths = () if path is None else tuple(both_forms(path))
        self._otherwise = otherwise

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if self._otherwise is not None and (
            scope["type"] != "http" or scope["path"] not in self._paths
        ):
            await self._otherwise(scope, receive, send)
        elif scope["type"] == "http":
            answer = NOT_ALLOWED
            if scope["method"] == "POST":
                answer = await answer_async(
                    self._endpoint, lambda: _read(self._endpoint, scope, receive)
                )
            await _send(answer, send)
        elif scope["type"] == "lifespan":
            for moment in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{moment}.complete"})
        else:
            await send({"type": "websocket.close"})


async def _read(endpoint: Endpoint, scope: Any, receive: Receive) -> bytes:
    headers: dict[bytes, bytes] = dict(scope["headers"])
    body = Body(
        endpoint,
        headers.get(b"content-length", b"").decode("latin-1"),
        chunked=b"transfer-encoding" in headers,
    )
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            if body.is_empty:
                body.whole()  # says that a middleware may have read it
            raise Refusal(CUT_SHORT)
        body.add(message.get("body", b""))
        more = message.get("more_body", False)
    return body.whole()


async def _send(answer: Answer, send: Send) -> None:
    headers = {"Content-Length": str(len(answer.body)), **answer.headers}
    await send(
        {
            "type": "http.response.start",
            "status": answer.status,
            "headers": [
                (name.lower().encode("latin-1"), value.encode("latin-1"))
                for name, value in headers.items()
            ],
        }
    )
    await send({"type": "http.response.body", "body": answer.body})
