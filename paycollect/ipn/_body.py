"""Taking a webhook body apart: the envelope, the data, and the texts that may have been signed.

The law of this room: whatever a stranger sends is taken apart or refused with PayloadError, which
hangs on to nothing of it. Nothing here is believed yet.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Final, TypeAlias

from paycollect import _rawjson
from paycollect._rawjson import JsonError, Value
from paycollect._signing import serialise
from paycollect.errors import PayloadError

Body: TypeAlias = bytes | bytearray | memoryview | str

Opened: TypeAlias = tuple[dict[str, Value], dict[str, Value], bytes]

MAX_SIZE: Final = 1024 * 1024
LARGEST_REWRITTEN: Final = 64 * 1024
_BYTES: Final = (bytes, bytearray, memoryview)
# An object that PHP may hold as a list: one without members, or whose first key is 0.
_MAYBE_PHP_LIST: Final = re.compile(rb'\{[ \t\n\r]*+(?:\}|"(?:0|\\u0030)")')


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
        members, (start, end) = _rawjson.read(text, "data")
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
    if isinstance(body, str):
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


def messages(scheme: str, data: dict[str, Value], message: bytes) -> Iterable[bytes]:
    """Write the data, whose bytes in the body are `message`, down as a recipe prescribes.

    Threat: a stranger's large body, written anew for each recipe, keeps the event loop for a
    second. What the provider publishes is below 1 KB; far beyond that only "raw" is tried.
    """
    if scheme == "raw":
        return (message,)
    return _reserialised(scheme, data, message) if len(message) <= LARGEST_REWRITTEN else ()


def _reserialised(scheme: str, data: dict[str, Value], message: bytes) -> Iterator[bytes]:
    """Write the data anew. For "php" there can be two texts.

    {} is what PHP makes of an empty object, and [] of an empty array, and nobody can tell from the
    body which of them the signer held.
    """
    recipes = [scheme]
    if scheme == "php" and _MAYBE_PHP_LIST.search(message):
        recipes.append("php-object")
    for recipe in recipes:
        with suppress(ValueError):  # a number that PHP has no text for: it signed nothing then
            yield serialise(data, recipe)


def read_message(message: bytes) -> dict[str, Value]:
    """Parse a proven message anew: one that was re-serialised can say less than the body does.

    Threat: 25.0000000000000001 in the body passes for a signed 25, as both are the same double.

    Raises:
        PayloadError: the message is a list: what PHP may have signed in place of an object.

    """
    data = _rawjson.read_value(message.decode())
    if type(data) is not dict:
        raise PayloadError("data: expected an object")
    return data
