"""Signing: the key, the published schemes for the message, and the comparison.

The provider signs the `data` value of a webhook with HMAC-SHA256, and its pages give three ways to
write that value down. They differ as soon as it holds a slash, a letter outside ASCII or a number
such as 25.00:

    raw       the bytes as they stand in the body (provider docs: webhooks/signature-verification)
    compact   JSON.stringify(data)                (provider docs: webhooks)
    php       json_encode($data), without flags   (provider docs: api-reference/webhooks/test)

Invariants: bytes in, bytes out, no guessing. Whatever cannot be written exactly as
JavaScript or PHP would write it is refused with ValueError.
"""

from __future__ import annotations

import hmac
from decimal import Decimal
from hashlib import sha256
from json.encoder import encode_basestring, encode_basestring_ascii
from typing import Final, NoReturn

from paycollect._json import EXACT, Style, write

SCHEMES: Final = ("raw", "compact", "php")
_BLOCK_SIZE: Final = 64  # of SHA-256

_PHP_INT: Final = range(-(2**63), 2**63)
# Integers up to here are doubles without loss, so that JavaScript prints them as they are.
_SAFE_INT: Final = range(-(2**53), 2**53 + 1)
# Where the decimal point may stand for a number to be printed without an exponent.
_JAVASCRIPT_PLAIN: Final = range(-5, 22)
_PHP_PLAIN: Final = range(-3, 18)


def sign(message: bytes, secret: str) -> str:
    """Sign a message as the provider does: HMAC-SHA256, in 64 lower-case hex digits.

    The key is the text of the secret in UTF-8, with its "whsec_" if it has one, and never
    hex-decoded (provider docs: webhooks/signature-verification, checked with its vector).
    """
    return hmac.digest(secret.encode(), message, "sha256").hex()


class Key:
    """A key for HMAC-SHA256, prepared once, as its preparation costs as much as a short message.

    This is the construction of RFC 2104 on two states of hashlib; a test compares it with `hmac`.
    """

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: bytes) -> None:
        if len(key) > _BLOCK_SIZE:
            key = sha256(key).digest()
        key = key.ljust(_BLOCK_SIZE, b"\0")
        self._inner = sha256(bytes(byte ^ 0x36 for byte in key))
        self._outer = sha256(bytes(byte ^ 0x5C for byte in key))

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key does not pickle: secrets must not travel by accident")

    def digest(self, message: bytes) -> bytes:
        """Give the HMAC of a message, 32 bytes."""
        inner = self._inner.copy()
        inner.update(message)
        outer = self._outer.copy()
        outer.update(inner.digest())
        return outer.digest()


def serialise(value: object, scheme: str) -> bytes:
    """Write a JSON value down as one of the schemes prescribes, members in the order they have.

    Numbers may be int, float or Decimal. "raw" keeps a Decimal as it is written ("25.00"), while
    "compact" and "php" pass every number through a double, as JavaScript and PHP do.

    "php" writes what json_encode makes of a PHP array: an empty object becomes `[]`, and an object
    whose keys are "0", "1", ... in this order becomes a list. "php-object" keeps objects as they
    are, as json_encode does with a PHP object.

    Raises:
        ValueError: an unknown scheme, or a value that the scheme has no text for (NaN; for PHP
            anything beyond a double).
        TypeError: a value that JSON does not know.

    """
    style = _STYLES.get(scheme)
    if style is None:
        raise ValueError(f"scheme: one of {', '.join(SCHEMES)} is needed")
    # A lone surrogate has no UTF-8; JavaScript writes its escape, which is what the handler does.
    return write(value, style).encode("utf-8", "backslashreplace")


def _javascript_number(number: float | Decimal) -> str:
    """Print as Number.prototype.toString does (ECMA-262, Number::toString)."""
    if isinstance(number, int) and number in _SAFE_INT:
        return int.__repr__(number)
    value = _double(number)
    if value - value != 0:  # only NaN and the infinities do that
        return "null"
    if value == 0:
        return "0"  # also for -0
    text = float.__repr__(value)
    if "e" not in text:
        return text.removesuffix(".0")
    negative, digits, point = _split(text)
    if point in _JAVASCRIPT_PLAIN:
        return negative + _fixed(digits, point)
    fraction = "." + digits[1:] if digits[1:] else ""
    return f"{negative}{digits[0]}{fraction}e{point - 1:+d}"


def _php_number(number: float | Decimal) -> str:
    """Print as json_encode does with serialize_precision = -1, the default since PHP 7.1."""
    if isinstance(number, int) and number in _PHP_INT:
        return int.__repr__(number)
    value = _double(number)
    if value - value != 0:
        raise ValueError("PHP has no JSON for a number beyond a double")
    text = float.__repr__(value)
    if "e" not in text:
        return text.removesuffix(".0")
    negative, digits, point = _split(text)
    if point in _PHP_PLAIN:
        return negative + _fixed(digits, point)
    return f"{negative}{digits[0]}.{digits[1:] or '0'}e{point - 1:+d}"


def _double(number: float | Decimal) -> float:
    try:
        return float(number)
    except OverflowError:
        return float("inf")


def _split(text: str) -> tuple[str, str, int]:
    """Split a float's repr: its sign, its digits, and where in them the decimal point stands.

    That repr is the shortest text that reads back as the same double, as in JavaScript and PHP.
    Where it has no exponent, they have none either, and print the same but for a trailing ".0".
    """
    mantissa, _, exponent = text.removeprefix("-").partition("e")
    return "-" * text.startswith("-"), mantissa.replace(".", ""), int(exponent) + 1


def _fixed(digits: str, point: int) -> str:
    if point <= 0:
        return "0." + "0" * -point + digits
    return digits.ljust(point, "0")  # a repr has an exponent only where no fraction is left


def _php_text(text: str) -> str:
    # Python escapes DEL and PHP does not. It is ASCII, so that it can be kept out of the encoding.
    parts = [encode_basestring_ascii(part)[1:-1] for part in text.split("\x7f")]
    return '"' + "\x7f".join(parts).replace("/", "\\/") + '"'


_STYLES: Final = {
    "raw": EXACT,
    "compact": Style(encode_basestring, _javascript_number),
    "php": Style(_php_text, _php_number, arrays=True),
    "php-object": Style(_php_text, _php_number),
}
