"""The API over HTTP: requests in, answers out, and the faults that are armed in between."""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import TYPE_CHECKING

from aiohttp import web

from paycollect.sandbox.http.parts import BASE_PATH
from paycollect.sandbox.provider.endpoints import TestDelivery
from paycollect.sandbox.provider.envelope import Reply, failure
from paycollect.sandbox.provider.errors import RefusedError
from paycollect.sandbox.provider.openapi import document
from paycollect.sandbox.provider.tokens import SCOPES

if TYPE_CHECKING:
    from datetime import datetime

    from paycollect.sandbox.http.parts import Parts
    from paycollect.sandbox.provider.tokens import TokenRecord
    from paycollect.sandbox.request_log import RecordedRequest


class Api:
    """The provider's API as one aiohttp route."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def add_to(self, app: web.Application) -> None:
        """Add the route; the provider itself tells which paths there are."""
        app.router.add_route("*", BASE_PATH + r"{path:/[\s\S]*}", self._serve)
        app.router.add_get("/openapi.json", self._describe)

    async def _describe(self, _: web.Request) -> web.Response:
        return web.json_response(document(self._parts.base_url))

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        parts = self._parts
        now, started = parts.clock.now(), time.monotonic()
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return _response(failure(_TOO_LARGE, now))
        path = request.path.removeprefix(parts.root + BASE_PATH)
        entry = parts.requests.add(
            method=request.method,
            path=path,
            query=request.query,
            headers=request.headers.copy(),
            body=body,
            at=now,
        )
        fault = parts.faults.take(entry.name)
        exchange = HttpExchange(parts, request, body, entry)
        try:
            if fault is None:
                await exchange.send(await exchange.work())
            else:
                entry.fault = fault.kind
                await fault.act(exchange)
        finally:
            entry.seconds = time.monotonic() - started
            parts.requests.finish(entry)
        return exchange.response


class HttpExchange:
    """A request and its answer on a connection; see `faults.Exchange`."""

    def __init__(
        self, parts: Parts, request: web.Request, body: bytes, entry: RecordedRequest
    ) -> None:
        self.no_scopes = False
        self.lag: float | None = None
        self.response: web.StreamResponse = web.Response()
        self._parts = parts
        self._request = request
        self._body = body
        self._entry = entry

    @property
    def now(self) -> datetime:
        """The sandbox's time."""
        return self._parts.clock.now()

    @property
    def token(self) -> TokenRecord | None:
        """The token that the request carries, if the provider knows it."""
        return self._parts.provider.tokens.lookup(self._authorization)

    @property
    def _authorization(self) -> str | None:
        return self._request.headers.get("Authorization")

    async def sleep(self, seconds: float) -> None:
        """Wait on the sandbox's clock."""
        await self._parts.clock.sleep(float(seconds))

    async def work(self) -> Reply:
        """Let the provider do what was asked."""
        outcome = self._parts.provider.handle(
            self._request.method,
            self._request.raw_path.removeprefix(self._parts.root + BASE_PATH),
            authorization=self._authorization,
            body=self._body,
            scopes=() if self.no_scopes else SCOPES,
            lag=self.lag,
        )
        if isinstance(outcome, TestDelivery):
            return outcome.answer(await self._parts.dispatcher.send_once(outcome.webhook))
        return outcome

    async def send(self, reply: Reply, *strays: Reply) -> None:
        """Answer, and send further answers that nobody asked for."""
        self._entry.status = reply.status
        self.response = _response(reply)
        if strays:
            await self.response.prepare(self._request)
            await self.response.write_eof()
        for stray in strays:
            if self._request.transport is not None:
                self._request.transport.write(_raw(stray))

    async def begin(self, reply: Reply) -> None:
        """Send the head of an answer; its body is left to `write`."""
        self._entry.status = reply.status
        self.response = web.StreamResponse(status=reply.status, headers=reply.headers)
        self.response.content_length = len(reply.body)
        await self.response.prepare(self._request)

    async def write(self, data: bytes) -> None:
        """Send a piece of the body."""
        await self.response.write(data)

    def cut(self) -> None:
        """Cut the connection, so that the client gets nothing more."""
        if self._request.transport is not None:  # None if the client has gone already
            self._request.transport.abort()

    def hang_up(self) -> None:
        """Close the connection after what was sent."""
        self.response.force_close()


def _raw(reply: Reply) -> bytes:
    headers = {**reply.headers, "Content-Length": str(len(reply.body))}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {reply.status} Stray\r\n{lines}\r\n".encode() + reply.body


def _response(reply: Reply) -> web.Response:
    return web.Response(status=reply.status, headers=reply.headers, body=reply.body)


_TOO_LARGE = RefusedError(
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "VALIDATION_ERROR", "The request is too large"
)
