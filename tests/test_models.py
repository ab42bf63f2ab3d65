"""Values: fees as tables, pages, read-only objects, and one line of waiting calls."""

from __future__ import annotations

import copy
import pickle
from decimal import Decimal, localcontext
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paycollect.models import Fee, Page, Pricing, ReadOnlyDict


def pricing(kind: str = "PERCENTAGE", rate: str = "3", **more: Any) -> Pricing:
    """Make a price list of one fee."""
    fee = Fee(code="COLLECTION_FEE", name="Fee", type=kind, rate=Decimal(rate), **more)
    return Pricing(app_type=None, fees=(fee,))


@pytest.mark.parametrize(
    ("prices", "amount", "fee"),
    [
        (pricing(), "25.00", "0.75"),
        (pricing(), 25, "0.75"),
        (pricing(), Decimal(25), "0.75"),
        (pricing(rate="1.9"), 100, "1.90"),
        (pricing(rate="2.9"), "10.00", "0.29"),
        (pricing(rate="2.95"), "10.00", "0.30"),
        (pricing(rate="0"), 100, "0.00"),
        (pricing(rate="0.1"), "4.99", "0.00"),
        (pricing(rate="0.1"), "5.00", "0.01"),
        (pricing(rate="3"), "999999999999.99", "30000000000.00"),
        (pricing(min_fee=Decimal("0.50")), 1, "0.50"),
        (pricing(min_fee=Decimal("0.50")), 100, "3.00"),
        (pricing(max_fee=Decimal(2)), 100, "2.00"),
        (pricing(max_fee=Decimal(2)), 10, "0.30"),
        (pricing(min_fee=Decimal(1), max_fee=Decimal(2)), 50, "1.50"),
        (pricing("FIXED", "0.35"), 100, "0.35"),
        (pricing("FIXED", "5", max_fee=Decimal(4)), 100, "4.00"),
        (pricing(is_waived=True), 100, "0.00"),
        (pricing("NEW", is_waived=True), 100, "0.00"),
    ],
)
def test_what_a_fee_is(prices: Pricing, amount: Any, fee: str) -> None:
    """A fee follows rate, least, most and waiver, rounded half up to the cent."""
    assert str(prices.fee_for(amount)) == fee


def test_a_fee_of_another_code() -> None:
    """Fees are found by their code."""
    other = Fee(code="PAYOUT_FEE", name="Payout", type="FIXED", rate=Decimal(1))
    both = Pricing(app_type=None, fees=(*pricing().fees, other))
    assert both.fee_for(100, "PAYOUT_FEE") == Decimal(1)
    with pytest.raises(KeyError, match="CARD_FEE"):
        both.fee_for(100, "CARD_FEE")


@pytest.mark.parametrize("amount", [25.0, True, None])
def test_a_fee_on_something_inexact(amount: Any) -> None:
    """Floats and bools are no amounts."""
    with pytest.raises(TypeError, match=r"^amount: "):
        pricing().fee_for(amount)


@pytest.mark.parametrize("amount", ["", "a lot", "25,00", "NaN", Decimal("Infinity")])
def test_a_fee_on_nonsense(amount: Any) -> None:
    """What is no finite number is no amount."""
    with pytest.raises(ValueError, match=r"^amount: "):
        pricing().fee_for(amount)


def test_a_fee_under_a_small_precision() -> None:
    """A fee is exact whatever precision the caller computes with."""
    with localcontext() as context:
        context.prec = 4
        assert pricing().fee_for("12345.67") == Decimal("370.37")


def test_a_fee_of_an_unknown_type() -> None:
    """A type of fee that this release does not know is never guessed."""
    with pytest.raises(ValueError, match="unknown type TIERED"):
        pricing("TIERED").fee_for(100)


@given(
    st.decimals(1, 10**9, places=2),
    st.decimals(0, 100, places=3),
    st.none() | st.decimals(0, 5, places=2),
    st.none() | st.decimals(5, 50, places=2),
)
def test_a_fee_is_always_within_its_bounds(
    amount: Decimal, rate: Decimal, least: Decimal | None, most: Decimal | None
) -> None:
    """Whatever the rate, a fee is of whole cents, within its bounds, and near the exact one."""
    fee = pricing(rate=str(rate), min_fee=least, max_fee=most).fee_for(amount)
    assert fee.as_tuple().exponent == -2
    assert fee >= (least or 0)
    assert most is None or fee <= most
    if least is None and most is None:
        assert abs(fee - amount * rate / 100) <= Decimal("0.005")


@pytest.mark.parametrize(
    ("page", "pages", "more"), [(1, 0, False), (1, 1, False), (1, 2, True), (2, 2, False), (3, 2, False)]
)  # fmt: skip
def test_whether_a_page_follows(page: int, pages: int, more: bool) -> None:
    """A further page follows while the number is below the number of pages."""
    made: Page[int] = Page(items=(1, 2), page=page, per_page=2, total_items=9, total_pages=pages)
    assert made.has_next is more
    assert repr(made).startswith("Page(items=<2>, ")


def test_a_read_only_object() -> None:
    """An object of custom data reads like a dict, hides its content, and cannot be changed."""
    made = ReadOnlyDict({"a": 1, "b": [2]})
    assert (made["a"], len(made), list(made), "a" in made, "c" in made) == (
        1,
        2,
        ["a", "b"],
        True,
        False,
    )
    assert made == {"a": 1, "b": [2]}
    assert (repr(made), repr(ReadOnlyDict())) == ("<2 members>", "<0 members>")
    with pytest.raises(TypeError):
        made["a"] = 2  # type: ignore[index]  # pyright: ignore
    for twin in (pickle.loads(pickle.dumps(made)), copy.copy(made), copy.deepcopy(made)):
        assert twin == made
        assert type(twin) is ReadOnlyDict
