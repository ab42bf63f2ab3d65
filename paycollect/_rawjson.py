"""Reading JSON that strangers wrote, and where in the text one of its values stands.

The signature covers the exact characters of one value in the document. `read` therefore gives the
value together with its place, found in the same pass that parsed it: what is checked and what is
used cannot be two different things.

The law of this room: a text is one JSON object in exactly one reading, or it is refused with
JsonError, in time linear in its length. Refused, because parsers elsewhere may read them otherwise:
a key that stands twice (also when one of them is spelled with escapes), anything after the end, a
byte order mark, NaN and infinities, half of a surrogate pair. Refused, because working with them is
expensive: deep nesting, and numbers far beyond any amount of money.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from decimal import (
    Clamped,
    Context,
    Decimal,
    Inexact,
    InvalidOperation,
    Overflow,
    Rounded,
    Subnormal,
    Underflow,
)
from json.scanner import make_scanner
from typing import Any, Final, NoReturn, TypeAlias

Value: TypeAlias = "bool | int | Decimal | str | list[Value] | dict[str, Value] | None"
Span: TypeAlias = tuple[int, int]

MAX_DEPTH: Final = 64
# Enough for every double, written out in full.
_MOST_DIGITS: Final = 400
_MOST_INTEGER_DIGITS: Final = 4300  # Python's own limit, by default


class JsonError(ValueError):
    """The text is not one clear JSON object. The message shows nothing of the text."""


def read(text: str, member: str) -> tuple[dict[str, Value], Span]:
    """Read an object, and find where the value of one of its members stands.

    Returns:
        The members, and the half-open range of characters of the value asked for, without the white
        space around it. The range is (0, 0) for a member that is absent, or a plain text among the
        first four.

    Raises:
        JsonError: see the law of this room.

    """
    members, at, more = _read_head(text)
    span = (0, 0)
    last = len(text) - 1
    while more:
        found = _MEMBER.match(text, at)
        if found is None:
            key, start = _scan_key(text, at)
        else:
            key, start = found[1], found.end()
        value, at = _scan(text, start)
        if key == member:
            span = (start, at)
        if key in members:
            raise JsonError("a key stands twice")
        members[key] = value
        if at == last and text[at] == "}":  # the usual end, without a match for it
            at, more = at + 1, False
        else:
            at, more = _scan_mark(text, at)
    if at != len(text) and text[at:].strip(_SPACE):
        raise JsonError("something follows the end")
    _check(text, members)
    return members, span


def _read_head(text: str) -> tuple[dict[str, Value], int, bool]:
    """Read the opening, and in the same match the plain texts that envelopes begin with.

    They are taken only if there are three or four of them with different names: any other
    beginning, a duplicate included, is left to the loop.
    """
    head = _HEAD.match(text)
    if head is not None:
        key, value, key_2, value_2, key_3, value_3, key_4, value_4 = head.groups()
        members: dict[Any, Value]
        members = {key: value, key_2: value_2, key_3: value_3, key_4: value_4}
        if len(members) == _HEAD_MEMBERS:
            if key_4 is None:
                del members[key_4]
            return members, head.end(), True
    opening = _OPENING.match(text)
    if opening is None:
        raise JsonError("not a JSON object")
    return {}, opening.end(), opening[1] == ""


def read_value(text: str) -> Value:
    """Read a text that holds one value and nothing else, under the same law."""
    value, at = _scan(text, 0)
    if at != len(text):
        raise JsonError("something follows the end")
    _check(text, value)
    return value


def _scan(text: str, at: int) -> tuple[Value, int]:
    # Python reads long integers in quadratic time, up to a limit that a program can take away.
    guarded = 0 < sys.get_int_max_str_digits() <= _MOST_INTEGER_DIGITS
    try:
        return _SCAN(text, at) if guarded else _SCAN_GUARDING(text, at)
    except JsonError as error:
        problem = str(error)
    except RecursionError:
        problem = "nested too deeply"
    except ArithmeticError:
        problem = "a number out of all proportion"
    except (ValueError, StopIteration):
        problem = "not valid JSON"
    # Raised out here so that no error of the decoder, which holds the whole text, hangs on to it.
    raise JsonError(problem)


def _scan_key(text: str, at: int) -> tuple[str, int]:
    """Read a key that is spelled with escapes, and the colon after it."""
    quote = _QUOTE.match(text, at)
    if quote is None:
        raise JsonError("not valid JSON")
    key, at = _scan(text, quote.end() - 1)
    colon = _COLON.match(text, at)
    if colon is None:
        raise JsonError("not valid JSON")
    return str(key), colon.end()


def _scan_mark(text: str, at: int) -> tuple[int, bool]:
    """Read what stands after a member, and whether another one follows."""
    found = _MARK.match(text, at)
    if found is None:
        raise JsonError("not valid JSON")
    return found.end(), found[1] == ","


def _check(text: str, value: Value) -> None:
    # A text with few brackets cannot be deep, and one without a backslash has no surrogates.
    if text.count("{") + (text.count("[") if "[" in text else 0) > MAX_DEPTH:
        _check_depth(value)
    if "\\" in text and _SURROGATE.search(text):
        _check_surrogates(value)


def _check_depth(value: Value) -> None:
    level: list[Any] = [[value]]
    for _ in range(MAX_DEPTH + 2):
        level = [
            child
            for node in level
            for child in (node.values() if type(node) is dict else node)
            if type(child) is dict or type(child) is list
        ]
        if not level:
            return
    raise JsonError("nested too deeply")


def _check_surrogates(value: Value) -> None:
    try:
        json.dumps(value, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError:
        problem = "half of a surrogate pair"
    else:
        return
    raise JsonError(problem)


def _object(pairs: list[tuple[str, Value]]) -> dict[str, Value]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise JsonError("a key stands twice")
    return members


def _integer(digits: str) -> int:
    if len(digits) > _MOST_INTEGER_DIGITS:
        raise JsonError("a number out of all proportion")
    return int(digits)


def _constant(_name: str) -> NoReturn:
    raise JsonError("NaN and Infinity are not JSON")


_SPACE: Final = " \t\n\r"
_PLAIN_TEXT: Final = r'"([^"\\\x00-\x1f]*+)"'
_QUOTE: Final = re.compile(r'[ \t\n\r]*+"')
_OPENING: Final = re.compile(r"[ \t\n\r]*+\{[ \t\n\r]*+(\}?)")
_COLON: Final = re.compile(r"[ \t\n\r]*+:[ \t\n\r]*+")
_MARK: Final = re.compile(r"[ \t\n\r]*+([,}])")
_MEMBER: Final = re.compile(rf"[ \t\n\r]*+{_PLAIN_TEXT}[ \t\n\r]*+:[ \t\n\r]*+")
_TEXT_MEMBER: Final = rf"[ \t\n\r]*+{_PLAIN_TEXT}[ \t\n\r]*+:[ \t\n\r]*+{_PLAIN_TEXT}[ \t\n\r]*+,"
_HEAD: Final = re.compile(rf"[ \t\n\r]*+\{{{_TEXT_MEMBER * 3}(?:{_TEXT_MEMBER})?+")
_HEAD_MEMBERS: Final = 4
_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F]")
# A context reads a number at the price of Decimal itself and refuses, by its traps, whatever has
# too many digits or too large an exponent.
_NUMBERS: Final = Context(
    prec=_MOST_DIGITS,
    Emin=-_MOST_DIGITS,
    Emax=_MOST_DIGITS,
    traps=[Clamped, Inexact, InvalidOperation, Overflow, Rounded, Subnormal, Underflow],
)


def _scanner(parse_int: Callable[[str], int]) -> Callable[[str, int], tuple[Value, int]]:
    decoder = json.JSONDecoder(
        parse_float=_NUMBERS.create_decimal,
        parse_int=parse_int,
        parse_constant=_constant,
        object_pairs_hook=_object,
    )
    return make_scanner(decoder)  # type: ignore[arg-type]  # typeshed asks for a scanner


# The scanner knows `int` and does without a call of Python for each integer.
_SCAN: Final = _scanner(int)
_SCAN_GUARDING: Final = _scanner(_integer)
