"""What holds for every input: properties, searched for counterexamples by Hypothesis."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from paycollect._json import write
from paycollect.sandbox.http.checkout import return_url
from paycollect.sandbox.http.html import tag
from paycollect.sandbox.provider.envelope import loads, pretty
from paycollect.sandbox.provider.errors import RefusedError
from paycollect.sandbox.provider.ledger import Ledger
from paycollect.sandbox.provider.records import CheckoutOrder, CollectionRecord
from tests.sandbox.http.test_checkout import Page

# Counting lines here would take longer than the tests, and others reach them all.
pytestmark = pytest.mark.no_cover

NOW = datetime(2026, 1, 8, 11, 30, tzinfo=UTC)
ORDER = CheckoutOrder(amount=Decimal("25.00"), order_id="INV-001", description="Premium plan")

texts = st.text(st.characters(exclude_categories=["Cs"]))
numbers = st.integers() | st.decimals(allow_nan=False, allow_infinity=False, places=2)
documents = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
    max_leaves=10,
)


@given(documents)
def test_json_is_read_as_it_was_written(document: object) -> None:
    """With every digit of every number, compact or for people."""
    assert loads(write(document).encode()) == document
    assert loads(pretty(document).encode()) == document  # type: ignore[arg-type]  # any JSON


@given(texts.filter(lambda text: "\r" not in text and "\0" not in text))
def test_a_text_stays_a_text(text: str) -> None:
    """As content and as an attribute."""
    page = Page(tag("p", text, title=text))
    assert (page.elements, page.text) == (["p"], text)
    assert page.attributes == [{"title": text}]


@given(query=st.text("abc=&%+;é\"'<", max_size=20), fragment=st.text("abc=&?", max_size=8))
def test_a_callback_url_keeps_what_it_has(query: str, fragment: str) -> None:
    """Batch and status come after the query and before the fragment."""
    url = f"https://shop.example/r?{query}" + (f"#{fragment}" if fragment else "")
    record = CollectionRecord(
        collection_id="SCI1",
        event_reference="COL1",
        reference="A2",
        order=replace(ORDER, callback_url=url),
        fee=Decimal(0),
        created_at=NOW,
        expires_at=NOW,
    )
    head, _, tail = (return_url(record.cancel()) or "").partition("#")
    kept, added = head[: -len("batch=SCI1&status=CANCELLED")], head[-len("status=CANCELLED") :]
    assert kept.replace("%C3%A9", "é") == f"https://shop.example/r?{query}{'&' if query else ''}"
    assert (added, tail) == ("status=CANCELLED", fragment)


class Books(RuleBasedStateMachine):
    """Any steps in any order, some of them refused."""

    opened = Bundle("opened")

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.ledger = Ledger(lambda: self.now, refund_delay=30)
        self.ends: dict[str, str] = {}

    @rule(target=opened, cents=st.integers(100, 10_000_000))
    def create(self, cents: int) -> str:
        """Open a session."""
        order_id = str(len(self.ends) + len(list(self.ledger)))
        amount = Decimal(cents) / 100
        return self.ledger.create(replace(ORDER, amount=amount, order_id=order_id)).collection_id

    @rule(collection_id=opened, step=st.sampled_from(["pay", "decline", "cancel", "expire"]))
    def move(self, collection_id: str, step: str) -> None:
        """Take a step, or be refused."""
        before = self.ledger[collection_id]
        try:
            getattr(self.ledger, step)(collection_id)
        except RefusedError:
            assert before.status.is_final
            assert self.ledger[collection_id] == before

    @rule(collection_id=opened, cents=st.integers(1, 10_000_000))
    def refund(self, collection_id: str, cents: int) -> None:
        """Give something back, or be refused."""
        before = self.ledger[collection_id]
        try:
            self.ledger.refund(collection_id, Decimal(cents) / 100)
        except RefusedError:
            assert self.ledger[collection_id] == before

    @rule(seconds=st.integers(0, 4000))
    def wait(self, seconds: int) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)

    @invariant()
    def the_balance_is_what_was_paid_and_not_refunded(self) -> None:
        """To the cent, and never negative."""
        records = [record for record in self.ledger if record.payer]
        assert self.ledger.balance == sum(r.net_amount - r.refunded for r in records)
        assert all(0 <= record.refunded <= record.net_amount for record in records)

    @invariant()
    def nothing_is_open_beyond_its_time(self) -> None:
        """A session that can be paid has time left."""
        for record in self.ledger:
            assert record.status.is_final or record.expires_at > self.now


TestBooks = Books.TestCase
TestBooks.settings = settings(stateful_step_count=20)
