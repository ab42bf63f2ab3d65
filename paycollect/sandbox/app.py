"""The API over HTTP: requests in, answers out, and the faults that are armed in between."""

from __future__ import annotations

import functools
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from aiohttp import web

from paycollect.sandbox import mishaps, traffic
from paycollect.sandbox.access import SCOPES
from paycollect.sandbox.api import ENDPOINTS, Call, Endpoint, perform
from paycollect.sandbox.refusals import RefusedError, not_found
from paycollect.sandbox.wire import failure

if TYPE_CHECKING:
    from collections.abc import Callable

    from paycollect.sandbox.api import Provider
    from paycollect.sandbox.clock import Clock
    from paycollect.sandbox.faults import Fault, Faults
    from paycollect.sandbox.traffic import RecordedRequest
    from paycollect.sandbox.wire import Answer

BASE_PATH: Final = "/api/v3"


class Api:
    """The endpoints as aiohttp routes."""

    def __init__(
        self,
        provider: Provider,
        clock: Clock,
        faults: Faults,
        note: Callable[[RecordedRequest], None],
    ) -> None:
        self._provider = provider
        self._clock = clock
        self._faults = faults
        self._note = note

    def add_to(self, app: web.Application) -> None:
        """Add the routes; whatever else is asked for below the base path is not found."""
        nowhere = Endpoint("*", "{rest:.*}", None, _nowhere)
        for endpoint in (*ENDPOINTS, nowhere):
            handler = functools.partial(self._serve, endpoint)
            app.router.add_route(endpoint.method, BASE_PATH + endpoint.path, handler)

    async def _serve(self, endpoint: Endpoint, request: web.Request) -> web.StreamResponse:
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return self._too_large()
        path = request.path.removeprefix(BASE_PATH)
        recorded = traffic.record(request, path, body, self._provider.now())
        fault = self._faults.take(recorded.name)
        recorded.fault = "" if fault is None else fault.kind
        self._note(recorded)
        call = Call(
            params=request.match_info,
            query=request.query,
            authorization=request.headers.get("Authorization"),
            body=body,
            scopes=() if recorded.fault == "lost_scopes" else SCOPES,
        )
        return await self._exchange(endpoint, request, call, recorded, fault)

    async def _exchange(
        self,
        endpoint: Endpoint,
        request: web.Request,
        call: Call,
        recorded: RecordedRequest,
        fault: Fault | None,
    ) -> web.StreamResponse:
        if fault is not None and (early := await self._before(fault, request, call)):
            recorded.status = fault.status or None
            return early
        status, payload = await perform(self._provider, endpoint, call)
        if fault is not None and fault.kind == "drop_after_commit":
            return mishaps.cut(request)
        recorded.status = status
        if fault is None:
            return mishaps.plain(status, payload)
        return await self._after(fault, request, status, payload)

    async def _before(self, fault: Fault, request: web.Request, call: Call) -> web.Response | None:
        """Let happen what comes before any work; an answer means that no work is done."""
        now = self._provider.now()
        match fault.kind:
            case "delay":
                await self._clock.sleep(fault.seconds)
            case "drop_before_commit":
                return mishaps.cut(request)
            case "respond":
                return mishaps.respond(fault, now)
            case kind:
                mishaps.harm_token(kind, self._provider.access, call.authorization, now)
        return None

    async def _after(
        self, fault: Fault, request: web.Request, status: int, payload: bytes
    ) -> web.StreamResponse:
        """Send the answer to work that was done, as the fault wants it."""
        match fault.kind:
            case "truncate":
                return await mishaps.truncated(request, status, payload)
            case "slow_body":
                return await mishaps.slow(request, status, payload, fault.seconds, self._clock)
            case "malformed_json":
                return mishaps.plain(status, payload[: len(payload) // 2])
            case _:
                return mishaps.plain(status, payload)

    def _too_large(self) -> web.Response:
        refusal = RefusedError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "VALIDATION_ERROR", "The request is too large"
        )
        return mishaps.plain(refusal.status, failure(refusal, self._provider.now()))


def _nowhere(_: Provider, __: Call) -> Answer:
    raise not_found("Endpoint")
