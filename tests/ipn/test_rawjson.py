"""A text is one JSON object in exactly one reading, or it is refused."""

from __future__ import annotations

import json
import sys
from decimal import Decimal

import pytest

from paycollect._json import MAX_DEPTH, JsonError, read, read_value

TEXTS = ("a", "b", "c", "d")


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ('{"data":{}}', "{}"),
        (' {\n"data" : [1, 2]\t,"x":1} ', "[1, 2]"),
        ('{"event":"e","sign":"s","version":"v","data":{"data":1}}', '{"data":1}'),
        ('{"event":"e","version":"v","id":"i","sign":"s","data":{"a":"}"}}', '{"a":"}"}'),
        ('{"event":"\\"data\\":1","sign":"s","v":"\\u0041","data":{"x":1}, "z":[[]]}', '{"x":1}'),
        ('{"d\\u0061ta" :{"x":1}}', '{"x":1}'),
        ('{"x":{"data":1},"data":"é\\n"}', '"é\\n"'),
        ('{"é":"é","f":"é","g":"é","data":{"é":1}}', '{"é":1}'),
        ('{"x":1}', ""),
        ("{}", ""),
    ],
)
def test_finds_the_exact_text_of_a_member(text: str, span: str) -> None:
    """The range covers the value of the top-level member, and nothing around it."""
    members, (start, end) = read(text, "data")
    assert text[start:end] == span
    assert members == json.loads(text)


def test_numbers() -> None:
    """Integers stay integers, and numbers with a point or an exponent are exact."""
    members, _ = read('{"a":25,"b":25.00,"c":1e400,"d":5e-324,"e":-0}', "a")
    assert [repr(value) for value in members.values()] == [
        "25",
        "Decimal('25.00')",
        "Decimal('1E+400')",
        "Decimal('5E-324')",
        "0",
    ]


MALFORMED = [
    "",
    " ",
    "[]",
    "null",
    '"{}"',
    "{",
    "{,}",
    '{"a"}',
    '{"a":}',
    '{"a":1,}',
    '{"a":1 "b":2}',
    '{"a" 1}',
    '{"\\u0061" 1}',
    '{"a',
    '{"\\u00',
    "{1:2}",
    "{'a':1}",
    '{"a":1}{}',
    '{"a":1},',
    '{"a":1}\u00a0',
    '{"a":1}\x00',
    "\ufeff{}",
    '{"a":1}\ufeff',
    '{"a":1} // comment',
    '{/**/"a":1}',
    '{"a":01}',
    '{"a":.5}',
    '{"a":+1}',
    '{"a":1_0}',
    '{"a":\u0661}',
    '{"a":"\n"}',
    '{"a":"\\x41"}',
    '{"a":"x","b":"x","c":"x"',
    '{"a":"x","b":"x","c":"x",}',
    '{"a":[1,]}',
    '{"a":True}',
    "\x00{\x00}\x00",
]


@pytest.mark.parametrize("text", MALFORMED)
def test_refuses_what_is_not_json(text: str) -> None:
    """Whatever another parser might still read in its own way is refused."""
    with pytest.raises(JsonError):
        read(text, "data")


AMBIGUOUS = [
    '{"a":1,"a":1}',
    '{"a":1,"\\u0061":2}',
    '{"a":"x","a":"x","b":"x","data":1}',
    '{"a":"x","b":"x","c":"x","d":"x","a":"x"}',
    '{"data":{"a":1,"a":2}}',
    '{"data":{"a":1,"\\u0061":2}}',
    '{"data":[{"b":{"a":1,"a":1}}]}',
    '{"":1,"":2}',
]


@pytest.mark.parametrize("text", AMBIGUOUS)
def test_refuses_a_key_that_stands_twice(text: str) -> None:
    """Programs differ in which of two equal keys counts, also if one is spelled with escapes."""
    with pytest.raises(JsonError, match="twice"):
        read(text, "data")


@pytest.mark.parametrize(
    "number",
    [
        "NaN",
        "Infinity",
        "-Infinity",
        "1E999999999",
        "1E-999999999",
        "1E99999999999999999999",
        "0E999999",
        "9" * 5_000,
        "0." + "0" * 5_000 + "1",
        "1." + "0" * 5_000,
        "1." + "3" * 5_000,
        "1E401",
    ],
    ids=lambda number: number[:12],
)
def test_refuses_numbers_that_are_too_large(number: str) -> None:
    """Such numbers are refused before anything slow is done with them."""
    with pytest.raises(JsonError, match=r"too large|not"):
        read(f'{{"a":{number}}}', "a")


def test_long_integers_without_pythons_limit() -> None:
    """A program may take Python's limit away, and is still protected here."""
    limit = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        assert read('{"a":12}', "a")[0] == {"a": 12}
        with pytest.raises(JsonError, match="too large"):
            read('{"a":' + "9" * 1_000_000 + "}", "a")
    finally:
        sys.set_int_max_str_digits(limit)


@pytest.mark.parametrize("text", ['{"a":"\\ud800"}', '{"\\uDC00":1}', '{"a":["\\ude00\\ud83d"]}'])
def test_refuses_half_of_a_surrogate_pair(text: str) -> None:
    """Such a text could not be stored or sent on."""
    with pytest.raises(JsonError, match="surrogate"):
        read(text, "data")


def test_accepts_a_whole_surrogate_pair() -> None:
    """PHP writes every letter beyond the first plane so."""
    assert read('{"a":"\\ud83d\\uDE00"}', "a")[0] == {"a": "😀"}


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_depth(opening: str, closing: str) -> None:
    """A fixed depth is allowed, whatever the depth of the program that asks."""

    def nested(depth: int) -> str:
        return '{"a":' + opening * depth + "1" + closing * depth + "}"

    assert read(nested(MAX_DEPTH), "a")[0] == json.loads(nested(MAX_DEPTH))
    for depth in (MAX_DEPTH + 1, 500, 100_000):
        with pytest.raises(JsonError, match="deep"):
            read(nested(depth), "a")


def test_many_brackets_are_not_depth() -> None:
    """A wide document is fine."""
    members, _ = read('{"a":[' + ",".join(["[{}]"] * 1000) + "]}", "a")
    assert members["a"] == [[{}]] * 1000


def test_errors_hang_on_to_nothing() -> None:
    """The decoder's errors hold the whole text, which may be personal data."""
    with pytest.raises(JsonError) as caught:
        read('{"a":"secret thing" x}', "a")
    assert caught.value.__context__ is None
    assert "secret" not in str(caught.value)


def test_read_value() -> None:
    """A single value is read under the same rules."""
    assert read_value('{"a":1.50}') == {"a": Decimal("1.50")}
    with pytest.raises(JsonError, match="follows"):
        read_value("{} ")
