"""The schemes write what JavaScript and PHP write, and the signature is the provider's."""

from __future__ import annotations

import hmac
import json
import pickle
from decimal import Decimal

import pytest

from paycollect import _json
from paycollect._signing import Key, serialise, sign

from .helpers import DATA, SECRET, VECTORS

ROWS = json.loads((DATA / "schemes.json").read_text())["rows"]


def written(text: str, scheme: str) -> str | None:
    """Read a JSON text and write it by a scheme; None where the scheme has no text."""
    value = _json.read_value(text)
    try:
        return serialise(value, scheme).decode()
    except ValueError:
        return None


@pytest.mark.parametrize("vector", VECTORS["vectors"], ids=lambda vector: vector["name"])
def test_vectors(vector: dict[str, str]) -> None:
    """The published vector, and those computed from published samples, come out."""
    assert sign(vector["message"].encode(), SECRET) == vector["sign"]


@pytest.mark.parametrize("vector", VECTORS["vectors"], ids=lambda vector: vector["name"])
def test_messages_of_vectors(vector: dict[str, str]) -> None:
    """A message is what its own scheme makes of it: nothing is left to change."""
    assert written(vector["message"], vector["scheme"]) == vector["message"]


@pytest.mark.parametrize(
    ("scheme", "column"), [("compact", 1), ("php", 2), ("php-object", 3)], ids=str
)
def test_schemes_against_their_languages(scheme: str, column: int) -> None:
    """Each scheme agrees with its language on some 800 stored texts."""
    differing = [
        (row[0], row[column])
        for row in ROWS
        if not (column == 1 and row[1] is None) and written(row[0], scheme) != row[column]
    ]
    assert differing == []


def test_keys_like_integers_keep_their_place() -> None:
    """JavaScript would put "1" first; the published scheme is "in received key order"."""
    assert serialise({"b": 1, "1": 2}, "compact") == b'{"b":1,"1":2}'


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal("25.00"), "25.00"),
        (25.5, "25.5"),
        (10**30, "1" + "0" * 30),
        ((1, [True, None]), "[1,[true,null]]"),
        ({"é/": "\u2028"}, '{"é/":"\u2028"}'),
    ],
)
def test_raw_keeps_values_as_they_are(value: object, text: str) -> None:
    """The scheme "raw" is compact JSON that changes no number."""
    assert serialise(value, "raw").decode() == text


@pytest.mark.parametrize("value", [float("nan"), float("inf"), Decimal("NaN"), Decimal("Infinity")])
def test_raw_has_no_text_for_what_is_no_number(value: object) -> None:
    """NaN and the infinities are refused, as JSON has none."""
    with pytest.raises(ValueError, match=r"JSON|range"):
        serialise(value, "raw")


@pytest.mark.parametrize("value", [10**400, Decimal("1E999999999"), float("inf"), float("nan")])
def test_beyond_a_double(value: object) -> None:
    """JavaScript writes null for what is beyond a double, and PHP nothing; memory is not blown."""
    assert serialise(value, "compact") == b"null"
    with pytest.raises(ValueError, match="beyond a double"):
        serialise(value, "php")


@pytest.mark.parametrize("length", [0, 1, 63, 64, 65, 128, 1000])
def test_a_prepared_key_signs_as_hmac_does(length: int) -> None:
    """For keys below, at and above the block size, and used again and again."""
    secret = bytes(index * 7 % 256 for index in range(length))
    key = Key(secret)
    for message in (b"", b"a", b"{}" * 100, b""):
        assert key.digest(message) == hmac.digest(secret, message, "sha256")
    with pytest.raises(TypeError, match="pickle"):
        pickle.dumps(key)


def test_lone_surrogates_are_written_as_javascript_does() -> None:
    """Half of a pair has no UTF-8: its escape stands for it."""
    assert serialise("\ud800", "compact") == b'"\\ud800"'


@pytest.mark.parametrize("value", [object(), b"bytes", {1: 2}, {1, 2}])
def test_refuses_what_json_does_not_know(value: object) -> None:
    """Other types are a mistake of the caller."""
    with pytest.raises(TypeError, match="JSON"):
        serialise(value, "raw")


def test_refuses_an_unknown_scheme() -> None:
    """The schemes are those that were published."""
    with pytest.raises(ValueError, match="raw, compact, php"):
        serialise({}, "xml")
