"""Opening a webhook body: the envelope, the data, and the exact bytes of the data.

Invariants: whatever a stranger sends is opened or refused with PayloadError, which hangs on to
nothing of it. Nothing here is believed yet.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from paycollect import _json
from paycollect._json import JsonError, Value
from paycollect.errors import PayloadError

Body: TypeAlias = bytes | bytearray | memoryview | str

Opened: TypeAlias = tuple[dict[str, Value], dict[str, Value], bytes]

MAX_SIZE: Final = 1024 * 1024
_BYTES: Final = (bytes, bytearray, memoryview)


def open_body(body: Body, max_size: int) -> Opened:
    """Take a body apart into its members, its `data`, and the exact bytes of that.

    Nothing of it is to be trusted yet.

    Raises:
        PayloadError: malformed, or larger than `max_size` bytes.
        TypeError: the body is not bytes or text.

    """
    raw = _read_body(body, max_size)
    text = _decode(raw)
    try:
        members, (start, end) = _json.read(text, "data")
    except JsonError as error:
        raise PayloadError(f"the body: {error}") from None
    data = members.get("data")
    if type(data) is not dict:
        raise PayloadError("data: expected an object")
    # In ASCII, characters and bytes have the same numbers.
    message = raw[start:end] if text.isascii() else text[start:end].encode()
    return members, data, message


def _read_body(body: Body, max_size: int) -> bytes:
    # What is too large is measured before it is copied.
    if type(body) is bytes:
        raw: bytes | None = body
    elif isinstance(body, str):
        raw = _encode(body) if len(body) <= max_size else None
    elif isinstance(body, _BYTES):
        raw = bytes(body) if memoryview(body).nbytes <= max_size else None
    else:
        raise TypeError(
            f"body: the bytes of the request are needed, not {type(body).__name__}, because the"
            " signature covers them exactly: read the body before any framework parses it"
        )
    if raw is None or len(raw) > max_size:
        raise PayloadError(f"the body is larger than {max_size} bytes", status_hint=413)
    return raw


def _encode(body: str) -> bytes:
    try:
        return body.encode()
    except UnicodeEncodeError:
        pass  # this error holds the whole body: what is raised must not hang on to it
    raise PayloadError("the body is not Unicode text")


def _decode(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        pass  # see above
    raise PayloadError("the body is not UTF-8")
