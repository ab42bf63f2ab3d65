"""Proving a signature: the messages that may have been signed, and the comparison.

Invariants: what is proven is what is handed on, parsed from the very message that the signature
matched. Digests are compared in constant time. Anything but a proof is a SignatureError.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from hmac import compare_digest
from typing import Final, TypeAlias

from paycollect import _json
from paycollect._json import Value
from paycollect._signing import Key, serialise
from paycollect.errors import PayloadError, SignatureError

Proven: TypeAlias = tuple[bytes, dict[str, Value], str, int]

_SIGN_LENGTH: Final = 64
_DIGEST_LENGTH: Final = 32
_LARGEST_REWRITTEN: Final = 64 * 1024
# An object that PHP may hold as a list: one without members, or whose first key is 0.
_MAYBE_PHP_LIST: Final = re.compile(rb'\{[ \t\n\r]*+(?:\}|"(?:0|\\u0030)")')


def prove(
    sign: Value,
    data: dict[str, Value],
    received: bytes,
    schemes: Sequence[str],
    keys: Sequence[Key],
) -> Proven:
    """Find the scheme and the key that explain the signature: give message, data, scheme, index.

    Threat: a forged message. The digests are compared in constant time, so that the time taken
    does not tell a forger how much of a guess was right.

    Raises:
        SignatureError: unsigned, or no scheme and key explain the signature.
        PayloadError: what was signed is no object.

    """
    expected = _read_sign(sign)
    for scheme in schemes:
        for message in messages(scheme, data, received):
            for index, key in enumerate(keys):
                if compare_digest(key.digest(message), expected):
                    proven = data if scheme == "raw" else _read_message(message)
                    return message, proven, scheme, index
    raise SignatureError("the signature does not match: see ipn.explain")


def _read_sign(sign: Value) -> bytes:
    if sign is None:
        raise SignatureError("the body is not signed")
    # fromhex() skips white space and knows both cases; the lengths leave room for digits only.
    if isinstance(sign, str) and len(sign) == _SIGN_LENGTH:
        try:
            digest = bytes.fromhex(sign)
        except ValueError:
            digest = b""
        if len(digest) == _DIGEST_LENGTH:
            return digest
    raise SignatureError("sign: expected 64 hex digits")


def messages(scheme: str, data: dict[str, Value], message: bytes) -> Iterable[bytes]:
    """Write the data, whose bytes in the body are `message`, down as a scheme prescribes.

    Threat: a stranger's large body, written anew by each scheme, keeps the event loop for a
    second. What the provider publishes is below 1 KB; far beyond that only "raw" is tried.
    """
    if scheme == "raw":
        return (message,)
    return _reserialised(scheme, data, message) if len(message) <= _LARGEST_REWRITTEN else ()


def _reserialised(scheme: str, data: dict[str, Value], message: bytes) -> Iterator[bytes]:
    """Write the data anew. For "php" there can be two texts.

    {} is what PHP makes of an empty object, and [] of an empty array, and nobody can tell from the
    body which of them the signer held.
    """
    schemes = [scheme]
    if scheme == "php" and _MAYBE_PHP_LIST.search(message):
        schemes.append("php-object")
    for each in schemes:
        with suppress(ValueError):  # a number that PHP has no text for: it signed nothing then
            yield serialise(data, each)


def _read_message(message: bytes) -> dict[str, Value]:
    """Parse a proven message anew: one that was re-serialised can say less than the body does.

    Threat: 25.0000000000000001 in the body passes for a signed 25, as both are the same double.

    Raises:
        PayloadError: the message is a list: what PHP may have signed in place of an object.

    """
    data = _json.read_value(message.decode())
    if type(data) is not dict:
        raise PayloadError("data: expected an object")
    return data
