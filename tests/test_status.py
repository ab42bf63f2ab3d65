"""States are open: what the provider adds tomorrow is kept, and nothing strangers send is."""

from __future__ import annotations

import copy
import gc
import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paycollect import PaymentStatus, RefundStatus

OPEN = [PaymentStatus, RefundStatus]
KNOWN = [member for kind in OPEN for member in kind]


@pytest.mark.parametrize("member", KNOWN, ids=repr)
def test_a_known_state_is_itself(member: PaymentStatus | RefundStatus) -> None:
    """A state that the SDK knows is one and the same object, however it comes about."""
    kind = type(member)
    assert kind(str(member)) is member
    assert pickle.loads(pickle.dumps(member)) is member
    assert copy.deepcopy(member) is member
    assert member.is_known


@pytest.mark.parametrize("kind", OPEN)
@given(text=st.text())
def test_any_text_is_kept(kind: type[PaymentStatus], text: str) -> None:
    """A state that nobody knows keeps its text through pickling, copying, hashing and JSON."""
    state = kind(text)
    assert (state, str(state), state.value, state.name) == (text, text, text, text)
    assert isinstance(state, kind)
    for twin in (
        *(pickle.loads(pickle.dumps(state, p)) for p in range(2, pickle.HIGHEST_PROTOCOL + 1)),
        copy.copy(state),
        copy.deepcopy(state),
        kind(state),
    ):
        assert (twin, type(twin), hash(twin)) == (state, kind, hash(state))
    assert {state: 1}[kind(text)] == 1
    assert json.loads(json.dumps(state)) == text
    assert state.is_known == (text in list(kind))
    if not state.is_known:
        assert not state.is_final


@pytest.mark.parametrize("kind", OPEN)
@pytest.mark.parametrize("value", [None, 5, b"PENDING", ["PENDING"], 1.5, True])
def test_what_is_no_text_is_no_state(kind: type[PaymentStatus], value: object) -> None:
    """Anything but a text is refused."""
    with pytest.raises(ValueError, match="is not a valid"):
        kind(value)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("kind", OPEN)
def test_unknown_states_are_not_remembered(kind: type[PaymentStatus]) -> None:
    """States that strangers make up are stored nowhere."""
    before = len(kind._value2member_map_)
    for number in range(100):
        kind(f"MADE_UP_{number}")
    gc.collect()
    assert len(kind._value2member_map_) == before
    assert len(list(kind)) == before
    assert not [one for one in gc.get_objects() if type(one) is kind and one.startswith("MADE_UP")]


@pytest.mark.parametrize(
    ("state", "final"),
    [(state, state != "PENDING") for state in PaymentStatus]
    + [(PaymentStatus("ON_HOLD"), False), (PaymentStatus(""), False), (PaymentStatus("completed"), False)]
    + [(state, state != "PENDING") for state in RefundStatus]
    + [(RefundStatus("ON_HOLD"), False)],
    ids=str,
)  # fmt: skip
def test_which_states_are_final(state: PaymentStatus, final: bool) -> None:
    """A payment is over in each known state but PENDING; an unknown state promises nothing."""
    assert state.is_final is final


def test_an_unknown_state_is_not_a_known_one() -> None:
    """A state in other letters than the provider's is another state."""
    assert PaymentStatus("Completed") != PaymentStatus.COMPLETED
    assert PaymentStatus("Completed") is not PaymentStatus.COMPLETED
