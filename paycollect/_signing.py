"""Signing: the key, the published recipes for the message, and the comparison.

The provider signs the `data` value of a webhook with HMAC-SHA256, and its pages give three ways to
write that value down. They differ as soon as it holds a slash, a letter outside ASCII or a number
such as 25.00:

    raw       the bytes as they stand in the body (provider docs: webhooks/signature-verification)
    compact   JSON.stringify(data)                (provider docs: webhooks)
    php       json_encode($data), without flags   (provider docs: api-reference/webhooks/test)

The law of this room: bytes in, bytes out, no guessing. Whatever cannot be written exactly as
JavaScript or PHP would write it is refused with ValueError.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from json.encoder import encode_basestring, encode_basestring_ascii
from typing import Final, NamedTuple

SCHEMES: Final = ("raw", "compact", "php")

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


def serialise(value: object, scheme: str) -> bytes:
    """Write a JSON value down as one of the recipes prescribes, members in the order they have.

    Numbers may be int, float or Decimal. "raw" keeps a Decimal as it is written ("25.00"), while
    "compact" and "php" pass every number through a double, as JavaScript and PHP do.

    "php" writes what json_encode makes of a PHP array: an empty object becomes `[]`, and an object
    whose keys are "0", "1", ... in this order becomes a list. "php-object" keeps objects as they
    are, as json_encode does with a PHP object.

    Raises:
        ValueError: an unknown recipe, or a value that the recipe has no text for (NaN; for PHP
            anything beyond a double).
        TypeError: a value that JSON does not know.

    """
    try:
        recipe = _RECIPES[scheme]
    except KeyError:
        raise ValueError(f"scheme: one of {', '.join(SCHEMES)} is needed") from None
    # A lone surrogate has no UTF-8; JavaScript writes its escape, which is what the handler does.
    return _write(value, recipe).encode("utf-8", "backslashreplace")


class _Recipe(NamedTuple):
    text: Callable[[str], str]
    number: Callable[[float | Decimal], str]
    arrays: bool = False  # whether an object may turn into a list, as a PHP array does


def _write(value: object, recipe: _Recipe) -> str:
    if isinstance(value, str):
        return recipe.text(value)
    if value is None or value is True or value is False:
        return _WORDS[value]
    if isinstance(value, _NUMBERS):
        return recipe.number(value)
    if type(value) is dict or isinstance(value, Mapping):
        if recipe.arrays and _is_php_list(value):
            return _write_list(value.values(), recipe)
        members = [f"{_key(k, recipe)}:{_write(v, recipe)}" for k, v in value.items()]
        return "{" + ",".join(members) + "}"
    if isinstance(value, _LISTS):
        return _write_list(value, recipe)
    raise TypeError(f"JSON has no {type(value).__name__}")


def _write_list(values: Iterable[object], recipe: _Recipe) -> str:
    return "[" + ",".join([_write(value, recipe) for value in values]) + "]"


def _key(key: object, recipe: _Recipe) -> str:
    if isinstance(key, str):
        return recipe.text(key)
    raise TypeError("the keys of a JSON object are texts")


def _is_php_list(value: Mapping[str, object]) -> bool:
    return all(key == str(index) for index, key in enumerate(value))


def _as_written(number: float | Decimal) -> str:
    if isinstance(number, Decimal):
        if not number.is_finite():
            raise ValueError("JSON has no NaN and no Infinity")
        return str(number)
    return json.dumps(number, allow_nan=False)


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


_NUMBERS: Final = (int, float, Decimal)
_LISTS: Final = (list, tuple)
_WORDS: Final = {None: "null", True: "true", False: "false"}
_RECIPES: Final = {
    "raw": _Recipe(encode_basestring, _as_written),
    "compact": _Recipe(encode_basestring, _javascript_number),
    "php": _Recipe(_php_text, _php_number, arrays=True),
    "php-object": _Recipe(_php_text, _php_number),
}
