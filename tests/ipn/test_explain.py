"""Why a signature does not match, in words, without giving anything away."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

import pytest

from paycollect import ipn
from paycollect._signing import sign

from .helpers import SECRET, resigned, sample, signed

DATA = '{"collectionId":"C","amount":25.00,"name":"José","of":[{"price":1.50}]}'
WHSEC = "whsec_a1b2c3d4e5f6g7h8i9j0k1l2m3n4o5p6"


def signed_with(key: bytes) -> bytes:
    """Sign with a key that is not the text of a secret."""
    digest = hmac.new(key, DATA.encode(), "sha256").hexdigest()
    return signed(DATA, sign=f'"{digest}"')


CASES: list[tuple[str, Any, str, str]] = [
    ("match", signed(DATA), SECRET, "matches: scheme 'raw', secret number 0"),
    ("other secret", signed(DATA), "wrong", "matches no scheme"),
    ("white space", signed(DATA), f"{SECRET}\n", "white space around it"),
    ("hex key", signed_with(bytes.fromhex(SECRET)), SECRET, "hex-decoded"),
    ("without prefix", signed(DATA, WHSEC.removeprefix("whsec_")), WHSEC, 'without its "whsec_"'),
    ("prefix lost", signed(DATA, WHSEC), WHSEC.removeprefix("whsec_"), 'lacks its "whsec_"'),
    (
        "hashed key",
        signed_with(hashlib.sha256(SECRET.encode()).hexdigest().encode()),
        SECRET,
        "SHA-256 of the secret",
    ),
    ("placeholder", sample("webhook_collection_received_v2"), SECRET, "placeholder"),
    ("bare", sample("webhook_collection_completed_bare"), SECRET, "not signed"),
    ("sign type", signed(DATA, sign="5"), SECRET, "not a text"),
    ("sign length", signed(DATA, sign='"abc"'), SECRET, "it has 3 characters"),
    ("header", signed(DATA, sign='"t=1700000000,v1=ab"'), SECRET, "X-Fyatu-Signature"),
    ("truncated", signed(DATA)[:-20], SECRET, "truncated"),
    ("mark", b"\xef\xbb\xbf" + signed(DATA), SECRET, "byte order mark"),
    ("utf-16", signed(DATA).decode().encode("utf-16"), SECRET, "byte order mark"),
    ("python", str(json.loads(signed(DATA))), SECRET, "Python dict"),
    ("empty", b"", SECRET, "no webhook body"),
    ("latin-1", signed(DATA).decode("latin-1"), SECRET, "Latin-1"),
    ("cents", json.dumps(json.loads(signed(DATA)), ensure_ascii=False), SECRET, "re-serialised"),
    ("spaces", json.dumps(json.loads(signed(DATA)), indent=1), "wrong", "re-serialised JSON is"),
    ("spaces after commas", signed('{"a":1, "b":2}'), "wrong", "re-serialised JSON is"),
    ("no spaces", signed('{"a":1,"b":2}'), "wrong", "changed after signing."),
    (
        "raw respaced",
        signed('{"a": 25.50 ,"b":[1.5]}', message='{"a":25.50,"b":[1.5]}'),
        SECRET,
        "re-serialised on the way",
    ),
    ("huge", signed('{"a":1E300}', "x"), SECRET, "matches no scheme"),
]


@pytest.mark.parametrize(
    ("body", "secret", "words"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_names_the_mishap(body: Any, secret: str, words: str) -> None:
    """Each usual mishap has its own words, which show neither secret nor signature nor body."""
    found = ipn.explain(body, secret=secret)
    answer = str(found)
    assert words in answer
    assert found.text == answer
    assert "None" not in answer
    assert found.matches is ("The signature matches:" in answer)
    for hidden in (secret.strip(), SECRET, sign(DATA.encode(), SECRET), "José", "25.0"):
        assert hidden == "wrong" or hidden not in answer


def test_several_secrets() -> None:
    """With several secrets the one that nearly fits is found."""
    assert "secret number 1" in str(ipn.explain(signed(DATA), secret=["x", SECRET]))
    assert "white space" in str(ipn.explain(signed(DATA), secret=["x", f" {SECRET}"]))


def test_a_blank_key_explains_nothing() -> None:
    """A secret that is only a prefix must not make an empty key, which matches anybody's sign."""
    body = signed_with(b"")
    assert "matches no scheme" in str(ipn.explain(body, secret="whsec_"))


def test_mistakes_of_the_caller() -> None:
    """A parsed body and a blank secret are refused as everywhere."""
    with pytest.raises(TypeError, match="bytes of the request"):
        ipn.explain({}, secret=SECRET)  # type: ignore[arg-type]  # that it is refused is the point
    with pytest.raises(ValueError, match="secret"):
        ipn.explain(resigned("webhook_collection_received_v2"), secret=" ")
