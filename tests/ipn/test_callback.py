"""A return URL gives exactly one clear answer, or a CallbackError."""

from __future__ import annotations

import pickle
import re
import time
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs, parse_qsl, quote, quote_plus, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict, MultiDict, MultiDictProxy
from yarl import URL

from paycollect import ipn

GOOD = "batch=SCI679A1B2C3D4E5&status=COMPLETED"


class ListDict(dict[str, str]):
    """A mapping of Django's kind: the last value by index, all of them by `getlist`."""

    def getlist(self, key: str) -> list[str]:
        """All values of a key."""
        return self[key].split(",")


@pytest.mark.parametrize(
    "source",
    [
        f"https://shop.example/return?{GOOD}",
        f"https://shop.example:8443/return?x=1&{GOOD}&y=2",
        f"https://shop.example/a=b&c/return?{GOOD}",
        f"https://shop.example/return?{GOOD}#batch=OTHER&status=FAILED",
        f"/return?{GOOD}",
        f"return?{GOOD}",
        f"?{GOOD}",
        GOOD,
        f"{GOOD}#fragment?batch=X",
        f"next=/a?b&{GOOD}",
        f"{GOOD}&next=https://x.example/?batch=OTHER",
        f"{GOOD}&{GOOD}",
        f"{GOOD}&bad=%ff&%ff=%zz",
        "status=COMPLETED&batch=SCI679A1B2C3D4E5",
        "b%61tch=SCI679A1B2C3D4E5&st%61tus=%43OMPLETED",
        URL(f"https://shop.example/return?{GOOD}#x"),
        dict(parse_qsl(GOOD)),
        parse_qs(GOOD),
        {"batch": ("SCI679A1B2C3D4E5",), "status": ["COMPLETED"], "x": 5},
        MultiDict(parse_qsl(f"{GOOD}&{GOOD}")),
        CIMultiDict(parse_qsl(GOOD)),
        MultiDictProxy(MultiDict(parse_qsl(GOOD))),
        ListDict(batch="SCI679A1B2C3D4E5,SCI679A1B2C3D4E5", status="COMPLETED"),
        URL(f"https://shop.example/return?{GOOD}").query,
    ],
    ids=repr,
)
def test_all_that_frameworks_hand_out(source: Any) -> None:
    """Every way to have the parameters gives the same answer."""
    callback = ipn.parse_callback(source)
    assert callback == ipn.Callback(
        collection_id="SCI679A1B2C3D4E5", status=ipn.PaymentStatus.COMPLETED
    )
    assert callback.batch == callback.collection_id
    assert callback.status is ipn.PaymentStatus.COMPLETED


REFUSED = [
    "",
    "https://shop.example/return",
    "batch=A",
    "status=COMPLETED",
    "batch=&status=COMPLETED",
    "batch=A&status=",
    "batch&status",
    "batch=%20&status=COMPLETED",
    "batch=+&status=COMPLETED",
    "batch=A&batch=B&status=COMPLETED",
    "batch=A&batch=&status=COMPLETED",
    "batch=&batch=A&status=COMPLETED",
    "batch=A&b%61tch=B&status=COMPLETED",
    "batch=A&status=COMPLETED&status=FAILED",
    "batch=A&status=completed&status=COMPLETED",
    "batch=A;status=COMPLETED",
    "batch=A?x&batch=B&status=COMPLETED",
    "batch=A&status=COMPLETED%00",
    "batch=A%0d%0aSet-Cookie:x&status=COMPLETED",
    "batch=A\n&status=COMPLETED",
    "batch=A%7f&status=COMPLETED",
    "batch=%e2%80%a8&status=COMPLETED",
    "batch=%ff&status=COMPLETED",
    "batch=%ed%a0%80&status=COMPLETED",
    "batch=\ud800&status=COMPLETED",
    f"batch={'A' * 65}&status=COMPLETED",
    f"batch=A&status={'A' * 41}",
    "batch=<script>alert(1)</script>&status=COMPLETED",
    "batch=A&status=%3Cscript%3E",
    "batch=../../auth/revoke&status=COMPLETED",
    "batch=A/B&status=COMPLETED",
    "batch=A.B&status=COMPLETED",
    "batch=A%zz&status=COMPLETED",
    "batch=A%&status=COMPLETED",
    "batch=A%4&status=COMPLETED",
    "batch=%EF%BC%91%EF%BC%92&status=COMPLETED",
    "batch=\uff11\uff12&status=COMPLETED",
    "batch=\u0661&status=COMPLETED",
    "batch=É&status=COMPLETED",
    "batch=A&status=COMPLETED;status=FAILED",
    "batch=A&status=ON+HOLD",
    "batch=A&status=COMPLETED1",
    "batch=A&status=COMPLETE\uff24",
    "batch= A&status=COMPLETED",
    "batch=A&status=COMPLETED%0a",
    {"batch": "A\n", "status": "COMPLETED"},
    "#?batch=A&status=COMPLETED",
    "Batch=A&STATUS=COMPLETED",
    {},
    {"batch": "A"},
    {"batch": None, "status": "COMPLETED"},
    {"batch": 5, "status": "COMPLETED"},
    {"batch": b"A", "status": "COMPLETED"},
    {"batch": [], "status": "COMPLETED"},
    {"batch": ["A", "B"], "status": "COMPLETED"},
    {"batch": ["A", 5], "status": "COMPLETED"},
    {"batch": [["A"]], "status": "COMPLETED"},
    {"batch": {"A": 1}, "status": "COMPLETED"},
    MultiDict([("batch", "A"), ("batch", "B"), ("status", "COMPLETED")]),
    ListDict(batch="A,B", status="COMPLETED"),
]


@pytest.mark.parametrize("source", REFUSED, ids=repr)
def test_refuses_what_is_not_clear(source: Any) -> None:
    """Missing, repeated, over-long, or of another form: refused, with the status to answer."""
    with pytest.raises(ipn.CallbackError) as caught:
        ipn.parse_callback(source)
    assert caught.value.status_hint == 400
    assert not isinstance(caught.value.__context__, UnicodeError)


@pytest.mark.parametrize("source", [None, 5, b"batch=A&status=B", ["batch", "A"], object()])
def test_other_sources_are_a_mistake_of_the_caller(source: Any) -> None:
    """The message names the type."""
    with pytest.raises(TypeError, match=type(source).__name__):
        ipn.parse_callback(source)


def test_an_unknown_status_is_kept() -> None:
    """The set of states is open."""
    status = ipn.parse_callback("batch=A&status=ON_HOLD").status
    assert status == "ON_HOLD"
    assert not status.is_known


def test_it_has_no_word_for_paid() -> None:
    """Nothing in a URL is proof, and nothing in the type suggests so."""
    callback = ipn.parse_callback(GOOD)
    assert not [name for name in dir(callback) if "paid" in name or "verified" in name]
    assert not hasattr(callback, "amount")


def test_value() -> None:
    """A callback is a frozen value with a short repr."""
    callback = ipn.parse_callback(GOOD)
    assert pickle.loads(pickle.dumps(callback)) == callback
    assert hash(callback) == hash(ipn.parse_callback(GOOD))
    assert repr(callback) == (
        "Callback(collection_id='SCI679A1B2C3D4E5', status=<PaymentStatus.COMPLETED: 'COMPLETED'>)"
    )


@pytest.mark.parametrize("length", [1, 64])
def test_the_longest_values(length: int) -> None:
    """An id has up to 64 characters, a state up to 40."""
    batch, status = ("aZ0_-" * 13)[:length], ("A_z" * 14)[: min(length, 40)]
    callback = ipn.parse_callback(f"batch={batch}&status={status}")
    assert (callback.batch, callback.status) == (batch, status)


def test_the_longest_query() -> None:
    """A query has up to 8 KiB, whatever stands before it."""
    filling = "&x=" + "a" * (8192 - len(GOOD) - 3)
    for text in (GOOD + filling, f"https://shop.example/{'p' * 9000}?{GOOD}{filling}"):
        assert ipn.parse_callback(text).batch == "SCI679A1B2C3D4E5"
    for source in (f"{GOOD}{filling}a", URL(f"https://shop.example/?{GOOD}{filling}a")):
        with pytest.raises(ipn.CallbackError, match="longer than 8192"):
            ipn.parse_callback(source)


@pytest.mark.parametrize("piece", ["&", "=", "?", "#", "%41&", "batch=A&", "x?&", "/", "a:", "+"])
def test_megabytes_take_no_time(piece: str) -> None:
    """What is too long is refused without a look at each of its parts."""

    def cost(size: int) -> float:
        text = piece * (size // len(piece))
        started = time.process_time()
        with suppress(ipn.CallbackError):
            ipn.parse_callback(text)
        return time.process_time() - started

    small = min(cost(500_000) for _ in range(3))
    assert cost(4_000_000) < 32 * max(small, 0.001)


batches = st.from_regex("[A-Za-z0-9_-]{1,64}", fullmatch=True)
statuses = st.from_regex("[A-Za-z_]{1,40}", fullmatch=True)


@given(batches, statuses, st.sampled_from([quote, quote_plus]))
def test_reads_what_browsers_write(batch: str, status: str, encode: Any) -> None:
    """Every value of the form comes back, however it was encoded."""
    query = f"batch={encode(batch, safe='')}&x=1&status={encode(status, safe='')}"
    for source in (query, f"https://shop.example/?{query}", URL(f"?{query}", encoded=True)):
        callback = ipn.parse_callback(source)
        assert (callback.batch, callback.status) == (batch, status)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["batch", "status", "x"]),
            st.text(max_size=5) | st.sampled_from(["A", "B"]),
        )
    )
)
def test_agrees_with_the_standard_library(pairs: list[tuple[str, str]]) -> None:
    """What is accepted is the one value that urllib finds, and vice versa."""
    read = parse_qsl(urlencode(pairs), keep_blank_values=True)
    try:
        callback = ipn.parse_callback(urlencode(pairs))
    except ipn.CallbackError:
        values = [{v for k, v in read if k == name} for name in ("batch", "status")]
        forms = ("[A-Za-z0-9_-]{1,64}", "[A-Za-z_]{1,40}")
        assert not all(
            len(v) == 1 and re.fullmatch(form, max(v))
            for v, form in zip(values, forms, strict=True)
        )
    else:
        assert {v for k, v in read if k == "batch"} == {callback.batch}
        assert {v for k, v in read if k == "status"} == {callback.status}


@given(
    st.text()
    | st.text().map(lambda t: f"batch={t}&status={t}")
    | st.dictionaries(
        st.text() | st.sampled_from(["batch", "status"]),
        st.text() | st.none() | st.integers() | st.lists(st.text() | st.binary()),
    )
)
def test_totality(source: Any) -> None:
    """For any text and any mapping: a callback or a CallbackError."""
    try:
        callback = ipn.parse_callback(source)
    except ipn.CallbackError:
        return
    assert re.fullmatch("[A-Za-z0-9_-]{1,64}", callback.batch)
    assert re.fullmatch("[A-Za-z_]{1,40}", callback.status)
