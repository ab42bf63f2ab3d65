"""The requests that the API got, kept for tests and for the console, without their secrets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from paycollect.sandbox.wire import loads

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from aiohttp import web

    from paycollect.models import JsonValue

REDACTED: Final = "[redacted]"
_SECRET_MEMBERS: Final = frozenset({"secretKey"})


@dataclass(slots=True, kw_only=True)
class RecordedRequest:
    """A request to the API.

    Attributes:
        method: e.g. "POST".
        path: below the base URL, e.g. "/collections".
        query: the parameters of the URL.
        headers: case-insensitive; the value of Authorization is redacted.
        json: the body, None if it was empty or not JSON; `secretKey` is redacted.
        at: when it came, UTC on the sandbox's clock.
        status: what it was answered with; None while it is worked on, or if the connection was cut.
        fault: the kind of the fault that befell it; "" for none.

    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    json: JsonValue
    at: datetime
    status: int | None = None
    fault: str = ""

    @property
    def name(self) -> str:
        """Method and path, as faults call it."""
        return f"{self.method} {self.path}"


def record(request: web.Request, path: str, body: bytes, at: datetime) -> RecordedRequest:
    """Note a request down."""
    headers = request.headers.copy()
    if "Authorization" in headers:
        scheme = headers["Authorization"].partition(" ")[0]
        headers["Authorization"] = f"{scheme} {REDACTED}"
    return RecordedRequest(
        method=request.method,
        path=path,
        query=dict(request.query),
        headers=headers,
        json=_redacted(body),
        at=at,
    )


def _redacted(body: bytes) -> JsonValue:
    try:
        value = loads(body) if body else None
    except ValueError:
        return None
    if isinstance(value, dict):
        return {key: REDACTED if key in _SECRET_MEMBERS else item for key, item in value.items()}
    return value
