"""JSON: read strictly, with the place of a value in the text, and written exactly.

The signature covers the exact characters of one value in the document. `read` therefore gives the
value together with its place, found in the same pass that parsed it: what is checked and what is
used cannot be two different things.

Invariants: a text is one JSON object in exactly one reading, or it is refused with
JsonError, in time linear in its length. Refused, because parsers elsewhere may read them otherwise:
a key that stands twice (also when one of them is spelled with escapes), anything after the end, a
byte order mark, NaN and infinities, half of a surrogate pair. Refused, because working with them is
expensive: deep nesting, and numbers far beyond any amount of money. What is written is compact JSON
that says exactly what the value says.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
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
from json.encoder import encode_basestring
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
        JsonError: see the invariants of this room.

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
    """Read a text that holds one value and nothing else, under the same rules."""
    value, at = _scan(text, 0)
    if at != len(text):
        raise JsonError("something follows the end")
    _check(text, value)
    return value


def read_object(text: str | bytes) -> dict[str, Value]:
    """Read a text, or its bytes in UTF-8, that holds one object and nothing else.

    Raises:
        JsonError: see the invariants of this room.

    """
    if isinstance(text, bytes):
        text = _decode(text)
    members, _ = read(text, "")
    return members


def _decode(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        pass  # this error holds all the bytes: what is raised must not hang on to it
    raise JsonError("not UTF-8")


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
        problem = "too large, or too many digits"
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
        raise JsonError("too large, or too many digits")
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


# --- single values: money, instants, texts -----------------------------------------------------
# A value is exactly what was written, or it is refused; nothing is rounded, cut or guessed. Each
# function raises ValueError with a sentence that does not show the value, as that may be personal
# data. (The second argument is the type, which a converter passes along.)

# Far beyond any amount of money, and far below what makes Decimal arithmetic slow: a context that
# refuses, by its traps, whatever it would have to round.
_to_money: Final = Context(
    prec=40,
    Emin=-24,
    Emax=24,
    traps=[Clamped, Inexact, InvalidOperation, Overflow, Rounded, Subnormal, Underflow],
).create_decimal
_NAN: Final = Decimal("NaN")
_PLAIN_NUMBER: Final = re.compile(r"-?[0-9]{1,30}(?:\.[0-9]{1,18})?", re.ASCII)


def money(value: object, _: object = None) -> Decimal:
    """Read an amount: a JSON number, or a plain decimal text as on the provider's older pages.

    JSON must have been read with `parse_float=Decimal`; a float is refused, as is a bool.
    """
    if type(value) is str and _PLAIN_NUMBER.fullmatch(value):
        value = Decimal(value)
    if type(value) is not Decimal and type(value) is not int:
        raise ValueError("expected a number")
    try:
        number = _to_money(value)
    except ArithmeticError:
        number = _NAN
    if number.is_finite():
        return number
    raise ValueError("too large, or too many digits")


def instant(value: object, _: object = None) -> datetime:
    """Read an ISO 8601 instant, as an aware datetime in UTC.

    The provider writes "+00:00" on some pages and "Z" on others; a text without a zone is read as
    UTC, which is the only zone that its pages show.
    """
    if type(value) is not str or len(value) < len("2026-01-08T11:30"):
        raise ValueError("expected an ISO 8601 instant")
    try:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is UTC:
            return moment
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("expected an ISO 8601 instant") from None


def text(value: object, _: object = None) -> str:
    """Read a text: only a JSON string will do."""
    if type(value) is not str:
        raise ValueError("expected a text")
    return value


# --- writing -----------------------------------------------------------------------------------


class Style:
    """How to write what JSON leaves open.

    Attributes:
        text: writes a string, with its quotes.
        number: writes a number.
        arrays: whether an object whose keys are "0", "1", ... becomes a list, as a PHP array does.

    """

    __slots__ = ("arrays", "number", "text")

    def __init__(
        self,
        text: Callable[[str], str],
        number: Callable[[float | Decimal], str],
        *,
        arrays: bool = False,
    ) -> None:
        self.text = text
        self.number = number
        self.arrays = arrays


def plain_number(number: float | Decimal) -> str:
    """Write a number with all its digits: a Decimal as it is written ("25.00"), without exponent.

    Raises:
        ValueError: NaN or an infinity.

    """
    if not isinstance(number, Decimal):
        return json.dumps(number, allow_nan=False)
    if not number.is_finite():
        raise ValueError("JSON has no NaN and no Infinity")
    # Far from any amount the zeros of an exponent are not spelled out: they could fill the memory.
    return f"{number:f}" if abs(number.adjusted()) <= _MOST_ZEROS else str(number)


_MOST_ZEROS: Final = 40
EXACT: Final = Style(encode_basestring, plain_number)
"""Compact, letters unescaped, numbers as they are."""


def write(value: object, style: Style = EXACT) -> str:
    """Write a value as compact JSON, members in the order they have.

    Raises:
        ValueError: a number that the style has no text for (NaN).
        TypeError: a value that JSON does not know.

    """
    if isinstance(value, str):
        return style.text(value)
    if value is None or value is True or value is False:
        return _WORDS[value]
    if isinstance(value, (int, float, Decimal)):
        return style.number(value)
    if isinstance(value, dict) or isinstance(value, Mapping):  # noqa: SIM101  # a dict is told faster
        if style.arrays and all(key == str(index) for index, key in enumerate(value)):
            return _write_list(value.values(), style)
        members = [f"{_key(name, style)}:{write(member, style)}" for name, member in value.items()]
        return "{" + ",".join(members) + "}"
    if isinstance(value, (list, tuple)):
        return _write_list(value, style)
    raise TypeError(f"JSON has no {type(value).__name__}")


def _write_list(values: Iterable[object], style: Style) -> str:
    return "[" + ",".join([write(value, style) for value in values]) + "]"


def _key(key: object, style: Style) -> str:
    if isinstance(key, str):
        return style.text(key)
    raise TypeError("the keys of a JSON object are texts")


_WORDS: Final = {None: "null", True: "true", False: "false"}
