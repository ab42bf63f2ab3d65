"""Single values: money has one set of edges, for the client and for webhooks alike."""

from __future__ import annotations

import json
from datetime import UTC
from decimal import Context, Decimal, localcontext
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paycollect import ipn
from paycollect._api.decode import structure
from paycollect._json import EXACT, JsonError, instant, money, read_object, write
from paycollect.models import Collection, ReadOnlyDict

from .helpers import SECRET, signed

TOO_LARGE = "too large, or too many digits"
NO_NUMBER = "expected a number"
EDGES: list[tuple[str, str]] = [
    # Size: 25 digits before the point, and 24 places behind it.
    ("9" * 25, ""),
    ("1" + "0" * 25, TOO_LARGE),
    ("-" + "9" * 25, ""),
    ("-1" + "0" * 25, TOO_LARGE),
    ("9.9E24", ""),
    ("1E25", TOO_LARGE),
    ("1E-24", ""),
    ("1E-25", TOO_LARGE),
    ("0E24", ""),
    ("0E25", TOO_LARGE),
    # Digits: 40, zeros at the end included, as an amount is what was written.
    ("1." + "1" * 39, ""),
    ("1." + "1" * 40, TOO_LARGE),
    ("1." + "0" * 39, ""),
    ("1." + "0" * 40, TOO_LARGE),
    ("0." + "0" * 23 + "1", ""),
    ("9" * 4300, TOO_LARGE),
    ("-0", ""),
    ("25.00", ""),
    # Texts: plain decimals only, as on the provider's older pages.
    ('"141.51"', ""),
    ('"-5"', ""),
    ('"' + "9" * 25 + '"', ""),
    ('"' + "9" * 26 + '"', TOO_LARGE),
    ('"' + "9" * 24 + "." + "9" * 16 + '"', ""),
    ('"' + "9" * 24 + "." + "9" * 17 + '"', TOO_LARGE),
    ('"1.' + "1" * 18 + '"', ""),
    ('"1.' + "1" * 19 + '"', NO_NUMBER),
    ('"' + "1" * 31 + '"', NO_NUMBER),
    ('"1e5"', NO_NUMBER),
    ('"+5"', NO_NUMBER),
    ('" 5"', NO_NUMBER),
    ('"5\\n"', NO_NUMBER),
    ('".5"', NO_NUMBER),
    ('"5."', NO_NUMBER),
    ('"1_0"', NO_NUMBER),
    ('"\\uff15"', NO_NUMBER),
    ('"NaN"', NO_NUMBER),
    ('""', NO_NUMBER),
    ("true", NO_NUMBER),
    ("[25]", NO_NUMBER),
    ("{}", NO_NUMBER),
]


@pytest.mark.parametrize(("text", "problem"), EDGES, ids=lambda text: text[:12])
def test_the_edges_of_money(text: str, problem: str) -> None:
    """The same texts are amounts in an answer of the API and in a webhook; both say the same."""
    value: Any = json.loads(text, parse_float=Decimal)
    body = signed(f'{{"collectionId":"C","amount":{text}}}')
    record = {"collectionId": "C", "amount": value, "currency": "USD", "status": "PENDING"}
    if problem:
        with pytest.raises(ValueError, match=f"^{problem}$"):
            money(value)
        with pytest.raises(ipn.PayloadError, match=f"^amount: {problem}$"):
            ipn.parse_webhook(body, secret=SECRET)
        with pytest.raises(Exception, match=f"amount: {problem}"):
            structure(record, Collection)
    else:
        exact = Decimal(value)
        for amount in (
            money(value),
            ipn.parse_webhook(body, secret=SECRET).amount,
            structure(record, Collection).amount,
        ):
            assert amount is not None
            assert amount.as_tuple() == exact.as_tuple()


@pytest.mark.parametrize("value", [Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity")])
def test_what_is_no_number(value: Decimal) -> None:
    """JSON has no such numbers, but a reader that lets them through must not make money of them."""
    with pytest.raises(ValueError, match=TOO_LARGE):
        money(value)


@pytest.mark.parametrize("value", [25.0, None, b"25", True])
def test_other_types(value: object) -> None:
    """A float is not exact, and a bool is no amount."""
    with pytest.raises(ValueError, match=NO_NUMBER):
        money(value)


def test_money_does_not_depend_on_the_callers_precision() -> None:
    """Whatever context a program computes with, an amount is read as it was written."""
    with localcontext(Context(prec=3)):
        assert str(money(Decimal("123456.78"))) == "123456.78"
        assert str(money("123456.78")) == "123456.78"


@given(st.integers() | st.decimals(allow_nan=False, allow_infinity=False))
def test_money_is_exact_or_refused(value: int | Decimal) -> None:
    """Nothing is rounded."""
    try:
        amount = money(value)
    except ValueError:
        return
    assert amount.as_tuple() == Decimal(value).as_tuple()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal("25.00"), "25.00"),
        (Decimal("1E+3"), "1000"),
        (Decimal("1E-7"), "0.0000001"),
        (Decimal("1E+40"), "1" + "0" * 40),
        (Decimal("1E+41"), "1E+41"),
        (Decimal("-1E-40"), "-0." + "0" * 39 + "1"),
        (Decimal("1E-41"), "1E-41"),
        (Decimal("1E+999999"), "1E+999999"),
        (Decimal("-0.0"), "-0.0"),
        (True, "true"),
    ],
)
def test_numbers_are_written_exactly(value: object, text: str) -> None:
    """A Decimal is written with all its digits; where these would fill the memory, not."""
    assert write(value) == text == write(value, EXACT)
    assert json.loads(text, parse_float=Decimal) == value


@pytest.mark.parametrize(
    "text",
    [
        b"\xff",
        b"\xef\xbb\xbf{}",
        "[1]",
        b"{} {}",
        '{"a":1,"a":1}',
        '{"a":1,',
        '{"a":1]',
        '{"a":1x',
        '{"a":1',
    ],
)
def test_read_object_refuses(text: str | bytes) -> None:
    """One object in one reading, from a text or from its bytes in UTF-8."""
    with pytest.raises(JsonError) as caught:
        read_object(text)
    assert not isinstance(caught.value.__context__, UnicodeError)


def test_read_object() -> None:
    """What `write` wrote is read as it was."""
    value = {"a": Decimal("25.00"), "é": [None, True, {"b": "\x00\U0001f600"}]}
    assert write(ReadOnlyDict({"a": {}})) == '{"a":{}}'
    assert read_object(write(value)) == value == read_object(write(value).encode())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-08T11:35:00+00:00", "2026-01-08T11:35:00+00:00"),
        ("2026-01-08T11:35:00Z", "2026-01-08T11:35:00+00:00"),
        ("2026-01-08T11:35:00", "2026-01-08T11:35:00+00:00"),
        ("2026-01-08T11:35", "2026-01-08T11:35:00+00:00"),
        ("2026-01-08T23:35:00.5+05:30", "2026-01-08T18:05:00.500000+00:00"),
        ("2026-01-08", ""),
        ("2026-01-08T11:3", ""),
        ("0001-01-01T00:00:00+14:00", ""),
        ("9999-12-31T23:59:59-14:00", ""),
        ("2026-02-30T00:00:00Z", ""),
        (20260108, ""),
    ],
    ids=str,
)
def test_instants(text: Any, expected: str) -> None:
    """An instant is aware and in UTC, or it is refused."""
    if expected:
        assert instant(text).isoformat() == expected
        assert instant(text).tzinfo is UTC
    else:
        with pytest.raises(ValueError, match=r"^expected an ISO 8601 instant$"):
            instant(text)
