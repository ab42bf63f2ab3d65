"""What holds for every document and every byte."""

from __future__ import annotations

import json
import random
import time
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from paycollect import ipn
from paycollect._signing import serialise, sign
from paycollect.testing import sign_webhook

from .helpers import SECRET, signed

# Counting lines here would take longer than the tests, and others reach them all.
pytestmark = pytest.mark.no_cover

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
# Names of no meaning, as a collection with a number for an id, say, is refused.
documents = st.dictionaries(texts.map("x{}".format), values, max_size=5)
spaces = st.text(" \t\n\r", max_size=3)


class Writer:
    """Write JSON in one of the countless ways there are."""

    def __init__(self, seed: int, *, shuffle: bool = True) -> None:
        self._random = random.Random(seed)
        self._shuffle = shuffle

    def space(self) -> str:
        """Any white space, mostly none."""
        return "".join(self._random.choices(["", " ", "\n", "\t", "\r"], [6, 1, 1, 1, 1], k=2))

    def text(self, value: str) -> str:
        """Any mixture of escapes and plain letters."""
        return '"' + "".join(map(self._letter, value)) + '"'

    def _letter(self, letter: str) -> str:
        if letter in '"\\' or letter < " " or self._random.random() < 0.2:
            return json.dumps(letter)[1:-1] if letter in '"\\' else self._escape(letter)
        return "\\/" if letter == "/" and self._random.random() < 0.5 else letter

    def _escape(self, letter: str) -> str:
        units = letter.encode("utf-16-be").hex()
        pieces = [units[i : i + 4] for i in range(0, len(units), 4)]
        if self._random.random() < 0.5:
            pieces = [piece.upper() for piece in pieces]
        return "".join("\\u" + piece for piece in pieces)

    def write(self, value: Any) -> str:
        """Any JSON text of a value, members in any order."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            inner = ",".join(self.space() + self.write(item) + self.space() for item in value)
            return f"[{inner or self.space()}]"
        if isinstance(value, dict):
            return self.members([(name, self.write(item)) for name, item in value.items()])
        return json.dumps(value)

    def members(self, members: list[tuple[str, str]]) -> str:
        """Any text of an object whose values are written already."""
        if self._shuffle:
            self._random.shuffle(members)
        inner = ",".join(
            self.space() + self.text(name) + self.space() + ":" + self.space() + text + self.space()
            for name, text in members
        )
        return "{" + (inner or self.space()) + "}"


@given(documents, st.dictionaries(texts, values, max_size=3), st.integers())
def test_every_signed_document_comes_back(
    data: dict[str, Any], others: dict[str, Any], seed: int
) -> None:
    """However a document is written: if its data is signed, its data is what comes back."""
    assume(not {"event", "sign", "data", "version", "eventId"} & others.keys())
    writer = Writer(seed)
    text = writer.write(data)
    members = [(name, writer.write(value)) for name, value in others.items()]
    members += [("event", '"e"'), ("sign", f'"{sign(text.encode(), SECRET)}"'), ("data", text)]
    body = writer.space() + writer.members(members) + writer.space()
    for form in (body, body.encode()):
        event = ipn.parse_webhook(form, secret=SECRET, schemes=["raw"])
        expected = json.loads(body, parse_float=Decimal)["data"]
        assert event.data == expected
        assert ipn.parse_unverified(form).data == expected


@given(documents, st.sampled_from(["compact", "php", "php-object"]), st.integers())
def test_every_scheme_proves_its_own_text(data: dict[str, Any], scheme: str, seed: int) -> None:
    """Whatever is returned for a re-serialised document is the re-serialised text, parsed."""
    assume(data)
    message = serialise(data, scheme)
    assume(message.startswith(b"{"))
    body = signed(Writer(seed, shuffle=False).write(data), message=message.decode())
    event = ipn.parse_webhook(body, secret=SECRET)
    assert event.data == json.loads(message, parse_float=Decimal)


BODY = sign_webhook(
    {"collectionId": "SCI1", "amount": Decimal("25.00"), "n": "é/\n", "o": {"a": [1]}}, SECRET
)
START = BODY.index(b'"data":') + len(b'"data":')


@settings(max_examples=400)
@given(st.integers(START, len(BODY) - 2), st.integers(1, 255))
def test_every_changed_byte_is_refused(place: int, difference: int) -> None:
    """A single changed byte of the data is an IpnError, whichever it is."""
    body = bytearray(BODY)
    body[place] ^= difference
    with pytest.raises(ipn.IpnError):
        ipn.parse_webhook(body, secret=SECRET, schemes=["raw"])


@given(st.integers(0, len(BODY)), st.integers(0, len(BODY)), st.binary(max_size=6))
def test_every_splice_is_genuine_or_refused(start: int, stop: int, piece: bytes) -> None:
    """However a body is cut and filled: what is accepted is the data that was signed."""
    body = BODY[:start] + piece + BODY[stop:]
    try:
        event = ipn.parse_webhook(body, secret=SECRET)
    except ipn.IpnError:
        return
    assert event.data == json.loads(BODY[START:-1], parse_float=Decimal) or event.data == {
        "collectionId": "SCI1",
        "amount": 25,
        "n": "é/\n",
        "o": {"a": [1]},
    }


json_like = st.lists(
    st.sampled_from(
        [
            *'{}[],:" \n\\',
            '"data"',
            '"sign"',
            '"event"',
            '"a"',
            "1",
            "-",
            "1e5",
            "null",
            "true",
            '"' + "0" * 64 + '"',
            '"e"',
            "\\u0061",
            "\ud800",
            "é",
            "NaN",
            "9" * 500,
        ]
    )
).map("".join)
any_data = st.fixed_dictionaries(
    {},
    optional={
        name: values | st.sampled_from(["COMPLETED", "2026-01-01T00:00:00Z", "COL1", "5.00"])
        for name in [
            "collectionId",
            "orderId",
            "externalReference",
            "reference",
            "amount",
            "fee",
            "charge",
            "netAmount",
            "status",
            "currency",
            "payer",
            "customerName",
            "timestamp",
            "completedAt",
            "expiresAt",
            "appId",
            "refundId",
            "_test",
        ]
    },
)


@example('{"sign":"' + "0" * 64 + '","data":{' + '"a":{' * 30_000)
@example('{"event":"' + "\\u0061" * 50_000 + '","data":{}}')
@given(st.text() | json_like | st.binary())
def test_totality_of_bodies(body: str | bytes) -> None:
    """For any text and any bytes: an event or an IpnError; and an explanation."""
    for parse in (
        lambda: ipn.parse_webhook(body, secret=SECRET),
        lambda: ipn.verify_webhook(body, secret=[SECRET, "x"]),
        lambda: ipn.parse_unverified(body),
    ):
        with suppress(ipn.IpnError):
            parse()
    assert str(ipn.explain(body, secret=SECRET))


@given(any_data)
def test_totality_of_signed_data(data: dict[str, Any]) -> None:
    """For any signed data: an event whose every attribute can be read, or an IpnError."""
    body = sign_webhook(data, SECRET)
    receiver = ipn.Receiver(secrets=SECRET, app_id="A", max_age=60, allow_test=True)
    for parse in (receiver.parse, lambda body: ipn.parse_webhook(body, secret=SECRET)):
        try:
            event = parse(body)
        except ipn.IpnError:
            continue
        assert repr(event)
        assert len(event.dedup_key) == 64
        assert event.payer is None or repr(event.payer)
        if data.get("status") is None:
            assert event.status is None


@given(st.none() | st.text() | st.binary() | st.lists(st.text() | st.none()) | st.integers())
def test_totality_of_secrets(secret: Any) -> None:
    """For any secret: it works, or it is a TypeError or ValueError."""
    try:
        ipn.verify_webhook(BODY, secret=secret)
    except (TypeError, ValueError, ipn.SignatureError):
        return
    assert secret == SECRET or SECRET in secret


@pytest.mark.parametrize(
    "make",
    [
        lambda n: b"[" * n,
        lambda n: b'{"data":' * (n // 8),
        lambda n: b'{"data":{"a":[' + b"1," * (n // 2) + b'1]},"sign":"' + b"0" * 64 + b'"}',
        lambda n: b'{"data":{"a":' + b"9" * n + b"}}",
        lambda n: b'{"data":{"a":0.' + b"9" * n + b"}}",
        lambda n: b" " * n,
        lambda n: b'{"a":"' + b"\\" * n,
        lambda n: b'{"' + b"a" * n,
        lambda n: b'{"a":1' + b" " * n + b"x",
        lambda n: b'{"data":{},"sign":"' + b"0" * n + b'"}',
        lambda n: (
            b'{"data":{"a":"' + b"\\ud83d\\ude00" * (n // 12) + b'"},"sign":"' + b"0" * 64 + b'"}'
        ),
        lambda n: b'{"data":{"a":' + b"[" * 60 + b'""' + b',""' * (n // 3) + b"]" * 60 + b"}}",
    ],
)
def test_hostile_megabytes_take_linear_time(make: Any) -> None:
    """The worst bodies cost eight times those of an eighth of the size; quadratic were 64."""

    def cost(size: int) -> float:
        body = make(size)
        started = time.process_time()
        with pytest.raises(ipn.IpnError):
            ipn.parse_webhook(body, secret=SECRET)
        return time.process_time() - started

    small = min(cost(32_000) for _ in range(3))
    assert cost(256_000) < 32 * max(small, 0.001)
