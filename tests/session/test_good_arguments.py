"""What a caller may pass, and that it arrives as it was meant."""

from __future__ import annotations

from collections import OrderedDict
from datetime import date
from decimal import Decimal, localcontext
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paycollect import SessionManager, _arguments
from tests.provider.server import Provider


@pytest.mark.parametrize(
    ("amount", "sent"),
    [
        (1, "1"),
        ("1", "1"),
        ("1.00", "1.00"),
        ("25.5", "25.5"),
        ("025.50", "25.50"),
        (Decimal("25.500"), "25.500"),
        (Decimal("1E+3"), "1000"),
        (Decimal("9999999999999.99"), "9999999999999.99"),
        (9999999999999, "9999999999999"),
    ],
)
async def test_an_amount_is_sent_exactly(
    pay: SessionManager, provider: Provider, amount: Any, sent: str
) -> None:
    """A good amount is sent digit by digit, without an exponent."""
    checkout = await pay.create_checkout(amount=amount, order_id="INV-001", description="d")
    assert provider.requests[-1].body.startswith(b'{"amount":' + sent.encode() + b",")
    assert checkout.amount == Decimal(sent)


@given(st.decimals(min_value=1, max_value=10**12, places=2))
def test_every_amount_of_cents_is_good(value: Decimal) -> None:
    """Any amount of whole cents is taken as Decimal and as text, and stays what it is."""
    assert _arguments.amount(value) == _arguments.amount(f"{value:f}") == value


@given(st.one_of(st.text(), st.decimals(), st.integers(), st.from_regex(r"[0-9.eE+-]*")))
def test_no_amount_does_anything_else(value: Any) -> None:
    """Whatever the amount: it is good, at least 1 and of cents, or a ValueError that names it."""
    try:
        good = _arguments.amount(value)
    except ValueError as error:
        text = str(error)
    else:
        text = "amount: "
        assert good >= 1
        assert good * 100 % 1 == 0
    assert text.startswith("amount: ")


async def test_the_callers_decimal_context_does_not_matter(
    pay: SessionManager,
) -> None:
    """An amount is good whatever precision the caller computes with."""
    with localcontext() as context:
        context.prec = 4
        for amount in ("12345.67", Decimal("12345.67")):
            checkout = await pay.create_checkout(
                amount=amount, order_id=f"INV {amount!r}", description="d"
            )
            assert checkout.amount == Decimal("12345.67")


@pytest.mark.parametrize(
    "metadata", [{}, OrderedDict(a=1), MappingProxyType({"a": [None]}), {"a": "\u20ac", "b": 1.5}]
)
async def test_good_metadata(pay: SessionManager, metadata: Any) -> None:
    """Any mapping that JSON can hold is good."""
    await pay.create_checkout(amount=1, order_id="A", description="d", metadata=metadata)


@pytest.mark.parametrize(
    "url",
    ["http://shop.example", "https://shop.example:8443/x?y=1#z", "https://[::1]:80/", "HTTPS://X.example", "https://user@shop.example/", "https://bücher.example/€", "http://localhost/"],
)  # fmt: skip
async def test_good_urls(pay: SessionManager, url: str) -> None:
    """Any absolute http or https URL may be called back."""
    await pay.create_checkout(amount=1, order_id="A", description="d", callback_url=url)


@pytest.mark.parametrize("order_id", ["x", "x" * 100, "\u20ac" * 100, "a b", "a/b?c#d", "'\"\\"])
async def test_good_order_ids(pay: SessionManager, order_id: str) -> None:
    """Any printable text of 1 to 100 characters, without a space at an end, is an order id."""
    checkout = await pay.create_checkout(amount=1, order_id=order_id, description=order_id)
    assert checkout.order_id == order_id


async def test_good_days(pay: SessionManager, provider: Provider) -> None:
    """A day is a date or its text."""
    await pay.list_collections(date_from=date(2026, 1, 2), date_to="2026-01-03")
    assert provider.requests[-1].query["dateFrom"] == "2026-01-02"


@pytest.mark.parametrize(
    "start", ["https://checkout.fyatu.com/sci?batch=", "https://x:80/a=b", "https://x:80"]
)
@pytest.mark.parametrize("start_2", ["", "=", " =", "\\=", "\x00=", "/" * 1500 + "="])
@pytest.mark.parametrize("end", ["SCI1", "99", "", "a b", "ä", "a-b", "9" * 1000])
def test_an_address_with_an_id_at_its_end(start: str, start_2: str, end: str) -> None:
    """The fast way accepts nothing that the pattern refuses; only the length may be a little more."""
    url = start + start_2 + end
    fast, slow = _arguments.is_plain_url_with(url, end), bool(_arguments.is_plain_url(url))
    assert fast == slow or (fast and len(url) > 1500)
