"""How armed faults are acted out on a connection: cut, cut short, slow, or answered wrongly."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from aiohttp import web

from paycollect.sandbox.refusals import RefusedError
from paycollect.sandbox.wire import failure

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from paycollect.sandbox.access import Access
    from paycollect.sandbox.clock import Clock
    from paycollect.sandbox.faults import Fault

_SLOW_PIECES: Final = 8
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


def harm_token(kind: str, access: Access, authorization: str | None, now: datetime) -> None:
    """Do to the token of a request what the fault says."""
    token = access.lookup(authorization)
    if token is None:
        return
    match kind:
        case "token_revoked":
            token.revoked = True
        case "token_expired":
            token.expires_at = now
        case "lost_scopes":
            token.scopes = ()
        case _:
            pass


def cut(request: web.Request) -> web.Response:
    """Cut the connection, so that the client gets nothing at all."""
    if request.transport is not None:  # None if the client has gone already
        request.transport.abort()
    return web.Response()


def respond(fault: Fault, now: datetime) -> web.Response:
    """Answer what the fault prescribes."""
    status = fault.status
    code = fault.code or _CODES.get(status, "INTERNAL_ERROR")
    sentence = next((known.phrase for known in HTTPStatus if known == status), "Fault")
    payload = failure(RefusedError(status, code, sentence), now)
    if fault.body is not None:
        payload = fault.body.encode(errors="replace")
    response = plain(status, payload)
    response.headers.update(fault.headers)
    return response


def plain(status: int, payload: bytes) -> web.Response:
    """Answer as nothing had happened."""
    return web.Response(status=status, body=payload, content_type="application/json")


async def truncated(request: web.Request, status: int, payload: bytes) -> web.StreamResponse:
    """Send the first half of an answer, then close the connection."""
    response = await _begin(request, status, payload)
    response.force_close()
    await response.write(payload[: len(payload) // 2])
    return response


async def slow(
    request: web.Request, status: int, payload: bytes, seconds: float, clock: Clock
) -> web.StreamResponse:
    """Send an answer piece by piece over some seconds of the sandbox's clock."""
    response = await _begin(request, status, payload)
    size = len(payload) // _SLOW_PIECES + 1
    for start in range(0, len(payload), size):
        await clock.sleep(seconds / _SLOW_PIECES)
        await response.write(payload[start : start + size])
    return response


async def _begin(request: web.Request, status: int, payload: bytes) -> web.StreamResponse:
    response = web.StreamResponse(status=status)
    response.content_type = "application/json"
    response.content_length = len(payload)
    await response.prepare(request)
    return response
