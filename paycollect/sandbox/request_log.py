"""The requests that the API got, kept for tests and for the console, without their secrets."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from paycollect._json import write
from paycollect.sandbox.provider.envelope import loads

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from multidict import CIMultiDict

    from paycollect.models import JsonValue

REDACTED: Final = "[redacted]"
_SECRET_MEMBER: Final = "secretKey"  # noqa: S105 - the name of one

BYTES_KEPT: Final = 32 * 1024 * 1024
"""Of how many bytes requests are remembered, about; the oldest quarter is forgotten beyond."""

_OVERHEAD: Final = 2048
"""Of an entry, besides its body: mostly the headers."""


@dataclass(slots=True, kw_only=True)
class RecordedRequest:
    """A request to the API.

    Attributes:
        method: e.g. "POST".
        path: below the base URL, e.g. "/collections".
        query: the parameters of the URL.
        headers: case-insensitive; the value of Authorization is redacted.
        body: as it came; the `secretKey` of a JSON object is redacted.
        at: when it came, UTC on the sandbox's clock.
        status: what it was answered with; None while it is worked on, or if the connection was cut.
        fault: the kind of the fault that befell it; "" for none.
        seconds: how long it was worked on, in real time.

    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    at: datetime
    status: int | None = None
    fault: str = ""
    seconds: float = 0.0

    @property
    def name(self) -> str:
        """Method and path, as faults call it."""
        return f"{self.method} {self.path}"

    @property
    def json(self) -> JsonValue:
        """The body, None if it was empty or not JSON; numbers with a point are Decimals."""
        return _read(self.body)

    @property
    def size(self) -> int:
        """About how many bytes it takes to remember it."""
        return len(self.body) + _OVERHEAD


class RequestLog:
    """What the API was asked, oldest first."""

    def __init__(self) -> None:
        self.entries: list[RecordedRequest] = []
        self._size = 0
        self.listeners: list[Callable[[RecordedRequest], None]] = []

    def add(
        self,
        *,
        method: str,
        path: str,
        query: Mapping[str, str],
        headers: CIMultiDict[str],
        body: bytes,
        at: datetime,
    ) -> RecordedRequest:
        """Note a request down."""
        if "Authorization" in headers:
            scheme = headers["Authorization"].partition(" ")[0]
            headers["Authorization"] = f"{scheme} {REDACTED}"
        entry = RecordedRequest(
            method=method,
            path=path,
            query=dict(query),
            headers=headers,
            body=_redacted(body),
            at=at,
        )
        self.entries.append(entry)
        self._size += entry.size
        if self._size > BYTES_KEPT:
            self._forget()
        return entry

    def _forget(self) -> None:
        # A quarter at a time: to shorten a list at its beginning costs as much as it is long.
        count = 0
        while self._size > BYTES_KEPT * 3 // 4 and count < len(self.entries) - 1:
            self._size -= self.entries[count].size
            count += 1
        del self.entries[:count]

    def clear(self) -> None:
        """Forget all of them."""
        self.entries.clear()
        self._size = 0

    def finish(self, entry: RecordedRequest) -> None:
        """Tell everybody who listens that a request is done with."""
        for listener in self.listeners:
            listener(entry)


def _read(body: bytes) -> JsonValue:
    try:
        return loads(body) if body else None
    except ValueError:
        return None


def _redacted(body: bytes) -> bytes:
    # A key may be spelled with escapes, and twice.
    if not (_SECRET_MEMBER.encode() in body or b"\\u" in body):
        return body
    value = _read(body)
    if isinstance(value, dict) and _SECRET_MEMBER in value:
        return write(value | {_SECRET_MEMBER: REDACTED}).encode()
    return b"" if value is None else body
