"""A return URL gives exactly one clear answer, or a CallbackError."""

from __future__ import annotations

import pickle
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
    "batch=A&status=COMPLETED%00",
    "batch=A%0d%0aSet-Cookie:x&status=COMPLETED",
    "batch=A\n&status=COMPLETED",
    "batch=A%7f&status=COMPLETED",
    "batch=%e2%80%a8&status=COMPLETED",
    "batch=%ff&status=COMPLETED",
    "batch=%ed%a0%80&status=COMPLETED",
    "batch=\ud800&status=COMPLETED",
    f"batch={'A' * 129}&status=COMPLETED",
    f"batch=A&status={'A' * 129}",
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
    """Missing, blank, repeated, over-long or unprintable: refused, with the status to answer."""
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
    status = ipn.parse_callback("batch=A&status=ON+HOLD").status
    assert status == "ON HOLD"
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


printable = st.text(min_size=1, max_size=40).filter(lambda t: t.isprintable() and not t.isspace())


@given(printable, printable, st.sampled_from([quote, quote_plus]))
def test_reads_what_browsers_write(batch: str, status: str, encode: Any) -> None:
    """Every printable value comes back, however it was encoded."""
    query = f"batch={encode(batch, safe='')}&x=1&status={encode(status, safe='')}"
    for source in (query, f"https://shop.example/?{query}", URL(f"?{query}", encoded=True)):
        callback = ipn.parse_callback(source)
        assert (callback.batch, callback.status) == (batch, status)


@given(st.lists(st.tuples(st.sampled_from(["batch", "status", "x"]), st.text(max_size=5))))
def test_agrees_with_the_standard_library(pairs: list[tuple[str, str]]) -> None:
    """What is accepted is the one value that urllib finds, and vice versa."""
    read = parse_qsl(urlencode(pairs), keep_blank_values=True)
    try:
        callback = ipn.parse_callback(urlencode(pairs))
    except ipn.CallbackError:
        values = [{v for k, v in read if k == name} for name in ("batch", "status")]
        assert not all(len(v) == 1 and max(v).isprintable() and max(v).strip() for v in values)
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
    assert callback.batch.isprintable()
    assert 0 < len(callback.batch) <= 128
