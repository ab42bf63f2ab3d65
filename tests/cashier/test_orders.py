"""The decisions about an order, as a table: pure values, no I/O."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from paycollect.cashier.orders import (
    DAY,
    GRACE,
    HOUR,
    MINUTE,
    ORDER_COLUMNS,
    Order,
    OrderState,
    Verdict,
    backoff,
    decide,
    fingerprint,
    next_look,
    order_of,
    pack,
    proves,
    reckon_end,
    unpack,
)
from paycollect.cashier.schema import TABLES, statements
from paycollect.cashier.values import held_of, returned_of
from paycollect.models import Collection, RefundSummary
from paycollect.status import PaymentStatus

NOW = 1_000 * DAY


def order(**changes: Any) -> Order:
    """An order of 25 USD that can be paid for another hour."""
    row: dict[str, Any] = {
        name: ("" if text.type == "TEXT" else 0) if text.default else None
        for text in TABLES[0].columns
        for name in (text.name,)
    }
    row |= {"order_id": "A", "state": "open", "amount": "25.00", "currency": "USD"}
    row |= {"nonce": "n", "collection_id": "SCI1", "ends_at": NOW + HOUR, "opened_at": NOW}
    return Order(**(row | changes))


def record(status: str = "COMPLETED", **changes: Any) -> Collection:
    """The provider's record of that order."""
    given: dict[str, Any] = {
        "collection_id": "SCI1",
        "order_id": "A",
        "amount": Decimal(25),
        "currency": "USD",
        "net_amount": Decimal(24),
        "status": PaymentStatus(status),
    }
    return Collection(**(given | changes))


ACCEPTED = f"accept:amount_mismatch:{fingerprint(record(amount=Decimal(24)))}"
DISMISSED = f"dismiss:{fingerprint(record())}"
SOME = RefundSummary(total_refunded=Decimal(5))

TABLE: list[tuple[str, dict[str, Any], Collection, tuple[str, str]]] = [
    ("paid", {}, record(), ("deliver", "")),
    ("paid before", {"state": "paid", "paid_at": NOW}, record(), ("deliver", "")),
    ("delivered", {"state": "fulfilled"}, record(), ("done", "")),
    ("another amount", {}, record(amount=Decimal(24)), ("hold", "amount_mismatch")),
    ("the same amount, written otherwise", {"amount": "25"}, record(), ("deliver", "")),
    ("another currency", {}, record(currency="EUR"), ("hold", "currency_mismatch")),
    ("another order", {}, record(order_id="B"), ("hold", "order_mismatch")),
    ("an order that is not told", {}, record(order_id=None), ("deliver", "")),
    ("attributed", {"attributed": "SCI1"}, record(order_id="B"), ("deliver", "")),
    ("given up", {"gave_up_at": NOW}, record(), ("hold", "too_late")),
    ("closed", {"state": "closed"}, record(), ("hold", "too_late")),
    ("accepted", {"judged": ACCEPTED}, record(amount=Decimal(24)), ("deliver", "")),
    ("accepted, but it is another", {"judged": ACCEPTED}, record(amount=Decimal(23)), ("hold", "amount_mismatch")),
    ("accepted, for another reason", {"judged": ACCEPTED, "gave_up_at": NOW}, record(amount=Decimal(24)), ("hold", "too_late")),
    ("dismissed", {"judged": DISMISSED, "gave_up_at": NOW}, record(), ("close", "dismissed")),
    ("dismissed and closed", {"judged": DISMISSED, "state": "closed"}, record(), ("done", "")),
    ("held", {"held_reason": "amount_mismatch"}, record(), ("done", "")),
    ("held, and refunded", {"held_reason": "too_late"}, record("REFUNDED"), ("close", "refunded")),
    ("held, and refunded in part", {"held_reason": "too_late"}, record("PARTIALLY_REFUNDED"), ("done", "")),
    ("pending", {}, record("PENDING"), ("wait", "")),
    ("pending after the end", {"ends_at": NOW - HOUR}, record("PENDING"), ("wait", "")),
    ("pending a day later", {"ends_at": NOW - DAY}, record("PENDING"), ("hold", "stuck")),
    ("pending, dismissed", {"ends_at": NOW - DAY, "judged": "dismiss:stuck"}, record("PENDING"), ("close", "dismissed")),
    ("unknown status", {}, record("ON_HOLD"), ("wait", "")),
    ("cancelled", {}, record("CANCELLED"), ("close", "cancelled")),
    ("failed", {}, record("FAILED"), ("close", "failed")),
    ("failed by time", {"ends_at": NOW - 1}, record("FAILED"), ("wait", "")),
    ("failed by time, long ago", {"ends_at": NOW - GRACE}, record("FAILED"), ("close", "failed")),
    ("expired", {}, record("EXPIRED"), ("wait", "")),
    ("expired just now", {"ends_at": NOW - GRACE + 1}, record("EXPIRED"), ("wait", "")),
    ("expired long ago", {"ends_at": NOW - GRACE}, record("EXPIRED"), ("close", "expired")),
    ("closed, and still so", {"state": "closed"}, record("EXPIRED"), ("wait", "")),
    ("delivered, and an old answer", {"state": "fulfilled"}, record("PENDING"), ("done", "")),
    ("paid, and an old answer", {"state": "paid", "paid_at": NOW}, record("PENDING"), ("wait", "")),
    ("paid, and then not", {"state": "paid", "paid_at": NOW - DAY}, record("FAILED"), ("hold", "stuck")),
    ("refunded", {"state": "fulfilled"}, record("REFUNDED"), ("refund", "refunded")),
    ("refunded in part", {"state": "fulfilled"}, record("PARTIALLY_REFUNDED"), ("refund", "partially_refunded")),
    ("refunded, by the list", {"state": "fulfilled", "refund": "24"}, record(), ("refund", "refunded")),
    ("refunded in part, by the list", {"state": "fulfilled", "refund": "5"}, record(), ("refund", "partially_refunded")),
    ("refunded before", {"state": "refunded"}, record("REFUNDED"), ("done", "")),
    ("refunded before delivery", {}, record("REFUNDED"), ("close", "refunded")),
    ("refunded in part before delivery", {}, record("PARTIALLY_REFUNDED", refunds=SOME), ("hold", "refunded_before_delivery")),
    ("refunded in part, and of another amount", {"amount": "24"}, record("PARTIALLY_REFUNDED"), ("hold", "amount_mismatch")),
    ("refunded in part, accepted", {"judged": f"accept:refunded_before_delivery:{fingerprint(record('PARTIALLY_REFUNDED'))}"}, record("PARTIALLY_REFUNDED"), ("deliver", "")),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "changes", "seen", "verdict"), TABLE, ids=lambda x: x if isinstance(x, str) else ""
)
def test_decisions(
    name: str, changes: dict[str, Any], seen: Collection, verdict: tuple[str, str]
) -> None:
    """What follows from a record is said by this table."""
    decided = decide(order(**changes), seen, NOW)
    assert (str(decided.step), str(decided.why)) == verdict
    assert isinstance(decided, Verdict)


SENT = NOW - MINUTE
PROOFS: list[tuple[dict[str, Any], bool]] = [
    ({"metadata": {"paycollect_intent": "n"}}, True),
    ({"metadata": {"paycollect_intent": "other"}}, False),
    ({"metadata": {"mine": 1}}, False),
    ({"metadata": {}, "created_at": datetime.fromtimestamp(SENT / 1000, UTC)}, False),
    ({"metadata": {"paycollect_intent": "n"}, "order_id": "B"}, False),
    ({"metadata": {"paycollect_intent": "n"}, "order_id": None}, True),
    ({"created_at": datetime.fromtimestamp(SENT / 1000, UTC)}, True),
    ({"created_at": datetime.fromtimestamp((SENT - 4 * MINUTE) / 1000, UTC)}, True),
    ({"created_at": datetime.fromtimestamp((SENT - 6 * MINUTE) / 1000, UTC)}, False),
    ({}, False),
]


@pytest.mark.parametrize(("changes", "ours"), PROOFS)
def test_proof_of_intent(changes: dict[str, Any], ours: bool) -> None:
    """The nonce, or where no metadata is shown the time of its creation; never the amount."""
    assert proves(order(first_sent_at=SENT), record(**changes)) is ours


def test_no_proof_of_what_was_never_sent() -> None:
    """Without a send there is nothing that a record could prove."""
    assert not proves(order(), record(created_at=datetime.now(UTC)))


def test_how_long_a_checkout_lives() -> None:
    """By its own instants where they are told, else an hour; never backwards."""
    made = datetime(2026, 1, 1, tzinfo=UTC)
    told = record(created_at=made, expires_at=made + timedelta(minutes=5))
    assert reckon_end(None, NOW) == NOW + HOUR
    assert reckon_end(record(), NOW) == NOW + HOUR
    assert reckon_end(told, NOW) == NOW + 5 * MINUTE
    odd = record(created_at=made, expires_at=made - timedelta(minutes=5))
    assert reckon_end(odd, NOW) == NOW


def test_waits_grow_to_ten_minutes() -> None:
    """1, 2, 5, 10, 30, 60 s, and then twice as long each time."""
    waits = [backoff(tries) // 1000 for tries in range(-1, 12)]
    assert waits == [1, 1, 2, 5, 10, 30, 60, 120, 240, 480, 600, 600, 600]


def test_when_to_look_again() -> None:
    """Once at the end of a checkout, then with backoff; of a closed one after an hour and a day."""
    assert next_look(order(), NOW) == NOW + HOUR + GRACE
    assert next_look(order(ends_at=None), NOW) == NOW + GRACE  # as if it ended now
    assert next_look(order(ends_at=NOW - HOUR, checks=1), NOW) == NOW + 30_000
    assert next_look(order(gave_up_at=NOW, checks=8), NOW) == NOW + 8 * MINUTE
    assert next_look(order(state="paid", checks=1), NOW) == NOW + 30_000
    assert next_look(order(state="closed", closed_at=NOW), NOW) == NOW + HOUR
    assert next_look(order(state="closed", closed_at=NOW - HOUR), NOW) == NOW - HOUR + DAY
    assert next_look(order(state="closed", closed_at=NOW - DAY), NOW) is None
    assert next_look(order(state="closed"), NOW) == NOW + HOUR
    assert next_look(order(state="fulfilled"), NOW) is None


def test_the_record_survives_storage_without_the_payer() -> None:
    """What is needed later is kept; who paid is not."""
    seen = record(fee=Decimal(1), refunds=SOME, description="private")
    kept = pack(seen)
    assert "private" not in kept
    again = unpack(kept)
    assert fingerprint(again) == fingerprint(seen)
    assert (again.order_id, again.fee, again.net_amount) == ("A", Decimal(1), Decimal(24))
    bare = unpack(pack(record(order_id=None, net_amount=None)))
    assert (bare.order_id, bare.net_amount) == (None, None)


def test_states_of_a_later_release_are_shown_and_not_understood() -> None:
    """So that two releases can run side by side on one store."""
    assert order(state="settled").shown == "settled"
    assert order().shown is OrderState.OPEN
    assert order(held_reason="stuck").shown is OrderState.HELD
    held = held_of(order(held_reason="of_tomorrow"))
    assert (held.reason, held.held_at, held.payment) == ("of_tomorrow", None, None)
    assert returned_of(order(state="intended", last_error="ServerError")).standing == "unknown"


def test_columns() -> None:
    """The value and the table have the same columns, in the same order."""
    assert tuple(column.name for column in TABLES[0].columns) == ORDER_COLUMNS
    row = tuple(getattr(order(), name) for name in ORDER_COLUMNS)
    assert order_of(row) == order()
    assert all("paycollect_" in statement for statement in statements())
    assert all("shop_" in statement for statement in statements("shop_"))
