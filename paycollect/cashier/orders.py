"""The life of an order: its states, and what follows from the provider's record of it.

    INTENDED -> OPEN -> PAID -> FULFILLED -> PARTIALLY_REFUNDED | REFUNDED
        `--------`--------`---> CLOSED

INTENDED: the row is committed, but no answer to the create is known. OPEN: the checkout is known.
PAID: the provider's record says so, and that is noted. FULFILLED: `on_paid` has committed.

Invariants: pure values and decisions, no I/O and no clock. States go only forward. HELD is a flag
beside the state, so that a release knows where to return to. Nothing but a record that says
COMPLETED, for this id, amount, currency and order, is delivered without a person's word.
"""

from __future__ import annotations

import json
from decimal import Decimal
from enum import StrEnum
from typing import Final

from attrs import fields, frozen

from paycollect.models import LIFETIME, Collection
from paycollect.status import PaymentStatus

SECOND: Final = 1000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR

GRACE: Final = 10 * MINUTE
"""How long after its end a checkout may still turn out to be paid."""
STUCK_AFTER: Final = DAY
"""How long after its end an order may be undecided before a person is told."""
RECHECKS: Final = (HOUR, DAY)
"""When a closed order is looked at again, for a payment that came late."""
STALE: Final = (1, 2, 5, 10, 30, 60)
"""Seconds after which to ask again where the provider's record is older than its webhook."""
LONGEST_WAIT: Final = 10 * MINUTE
CLOCK_TOLERANCE: Final = 5 * MINUTE


class OrderState(StrEnum):
    """Where an order is in its life; HELD is shown in place of the state that it returns to."""

    INTENDED = "intended"
    OPEN = "open"
    PAID = "paid"
    FULFILLED = "fulfilled"
    CLOSED = "closed"
    PARTIALLY_REFUNDED = "partially_refunded"
    REFUNDED = "refunded"
    HELD = "held"


class HeldReason(StrEnum):
    """Why an order waits for a person."""

    AMOUNT_MISMATCH = "amount_mismatch"
    """Paid, but not the amount of the order."""
    CURRENCY_MISMATCH = "currency_mismatch"
    """Paid, but in another currency."""
    ORDER_MISMATCH = "order_mismatch"
    """The provider's record is for another order id."""
    ORDER_ID_TAKEN = "order_id_taken"
    """The provider has a collection of this order id that this store did not ask for."""
    UNKNOWN_ORDER = "unknown_order"
    """Paid, but the store knows no order for it."""
    HANDLER_FAILING = "handler_failing"
    """Paid, but `on_paid` has failed too often."""
    HANDLER_BROKE_TRANSACTION = "handler_broke_transaction"
    """A handler ended the transaction it runs in: whether its work is kept is uncertain."""
    AFTER_PAID_FAILING = "after_paid_failing"
    """Delivered, but `after_paid` has failed too often."""
    TOO_LATE = "too_late"
    """Paid after the order was closed, or given up."""
    REFUNDED_BEFORE_DELIVERY = "refunded_before_delivery"
    """Paid, and refunded in part before it was delivered."""
    STUCK = "stuck"
    """The provider has not said how it ended, a day after it should have."""


TRACEPARENT: Final = "traceparent"
"""Where the trace context of the intent stands beside the arguments of the request."""


@frozen(kw_only=True)
class Order:
    """A row of the orders' table; instants in milliseconds since 1970, UTC."""

    order_id: str
    state: str
    amount: str
    currency: str
    nonce: str
    request: str
    collection_id: str | None
    checkout: str
    created_at: int
    first_sent_at: int | None
    last_sent_at: int | None
    opened_at: int | None
    ends_at: int | None
    paid_at: int | None
    fulfilled_at: int | None
    closed_at: int | None
    closed_why: str
    gave_up_at: int | None
    due_at: int | None
    lease: str | None
    lease_until: int | None
    checks: int
    deliveries: int
    asked_at: int | None
    seen: str
    same: int
    record: str
    found_by: str
    refund: str
    after_at: int | None
    after_tries: int
    held_reason: str
    held_at: int | None
    hold_id: str
    alarm_at: int | None
    alarm_tries: int
    judged: str
    attributed: str
    cursor: int
    missing_at: int | None
    last_error: str

    @property
    def shown(self) -> OrderState | str:
        """The state as it is shown; a state of a later release stays a text."""
        if self.held_reason:
            return OrderState.HELD
        return OrderState(self.state) if self.state in _KNOWN else self.state


ORDER_COLUMNS: Final = tuple(field.name for field in fields(Order))
_KNOWN: Final = frozenset(state.value for state in OrderState)


def order_of(row: tuple[object, ...]) -> Order:
    """Make an order of a row that was selected by `ORDER_COLUMNS`."""
    return Order(**dict(zip(ORDER_COLUMNS, row, strict=True)))  # type: ignore[arg-type]  # by schema


# --- the provider's record, as far as it is kept --------------------------------------------------


def pack(record: Collection) -> str:
    """Write what is kept of a record: ids, amounts, states; nothing about the payer."""
    refunded = None if record.refunds is None else record.refunds.total_refunded
    kept = {
        "collection_id": record.collection_id,
        "order_id": record.order_id,
        "amount": str(record.amount),
        "currency": record.currency,
        "status": str(record.status),
        "fee": _text(record.fee),
        "net_amount": _text(record.net_amount),
        "refunded": _text(refunded),
    }
    return json.dumps({name: value for name, value in kept.items() if value is not None})


def unpack(text: str) -> Collection:
    """Read a record that `pack` wrote."""
    kept = json.loads(text)
    return Collection(
        collection_id=kept["collection_id"],
        order_id=kept.get("order_id"),
        amount=Decimal(kept["amount"]),
        currency=kept["currency"],
        status=PaymentStatus(kept["status"]),
        fee=_decimal(kept.get("fee")),
        net_amount=_decimal(kept.get("net_amount")),
    )


def refunded_amount(order: Order, record: Collection) -> Decimal | None:
    """Tell how much was refunded: by the record, else by the list of refunds."""
    if record.refunds is not None and record.refunds.total_refunded:
        return record.refunds.total_refunded
    return _decimal(order.refund or None)


def fingerprint(record: Collection) -> str:
    """What a person's decision about a record is tied to."""
    return f"{record.collection_id}:{record.amount}:{record.currency}:{record.status}"


def _text(value: Decimal | None) -> str | None:
    return None if value is None else str(value)


def _decimal(value: str | None) -> Decimal | None:
    return None if value is None else Decimal(value)


def traceparent_of(order: Order) -> str:
    """Give the trace context in which an order was intended; it is kept until the order is over."""
    found = json.loads(order.request).get(TRACEPARENT) if order.request else None
    return found if isinstance(found, str) else ""


# --- decisions ------------------------------------------------------------------------------------


class Step(StrEnum):
    """What to do next about an order."""

    WAIT = "wait"
    DELIVER = "deliver"
    CLOSE = "close"
    HOLD = "hold"
    REFUND = "refund"
    DONE = "done"


@frozen
class Verdict:
    """A step, and why: a `HeldReason` for HOLD, a word for CLOSE, the new state for REFUND."""

    step: Step
    why: str = ""


WAIT: Final = Verdict(Step.WAIT)
DONE: Final = Verdict(Step.DONE)
_DELIVERED: Final = frozenset(
    {OrderState.FULFILLED, OrderState.PARTIALLY_REFUNDED, OrderState.REFUNDED}
)


def decide(order: Order, record: Collection, now: int) -> Verdict:
    """Say what follows from the provider's record of an order."""
    verdict = _by_record(order, record, now)
    if order.held_reason and order.state not in _DELIVERED:
        # Only a whole refund settles what a person has to decide.
        return verdict if verdict.why == "refunded" else DONE
    return verdict


def _by_record(order: Order, record: Collection, now: int) -> Verdict:
    status = record.status
    if status in (PaymentStatus.REFUNDED, PaymentStatus.PARTIALLY_REFUNDED):
        return _refunded(order, record)
    if status is PaymentStatus.COMPLETED:
        return _refunded(order, record) if order.refund else _paid(order, record)
    if order.state in _DELIVERED:
        return DONE
    if order.state == OrderState.CLOSED:
        return WAIT
    if order.state == OrderState.PAID:
        # It was COMPLETED before: this answer is an old one, or a contradiction for a person.
        return _overdue(order, now, order.paid_at or now)
    return _unpaid(order, status, now)


def _unpaid(order: Order, status: PaymentStatus, now: int) -> Verdict:
    ends_at = order.ends_at or now
    if status is PaymentStatus.CANCELLED or (status is PaymentStatus.FAILED and now < ends_at):
        return Verdict(Step.CLOSE, str(status).lower())
    if status in (PaymentStatus.EXPIRED, PaymentStatus.FAILED):
        if now >= ends_at + GRACE:
            return Verdict(Step.CLOSE, str(status).lower())
        return WAIT
    return _overdue(order, now, ends_at)


def _overdue(order: Order, now: int, since: int) -> Verdict:
    if now < since + STUCK_AFTER:
        return WAIT
    if f"dismiss:{HeldReason.STUCK}" in order.judged.splitlines():
        return Verdict(Step.CLOSE, "dismissed")
    return Verdict(Step.HOLD, HeldReason.STUCK)


def _paid(order: Order, record: Collection) -> Verdict:
    if order.state in _DELIVERED:
        return DONE
    return _judged(order, record, _objection(order, record)) or Verdict(Step.DELIVER)


def _objection(order: Order, record: Collection) -> list[HeldReason]:
    closed = order.state == OrderState.CLOSED or order.gave_up_at is not None
    found = {
        HeldReason.CURRENCY_MISMATCH: record.currency != order.currency,
        HeldReason.AMOUNT_MISMATCH: record.amount != Decimal(order.amount),
        HeldReason.ORDER_MISMATCH: record.order_id not in (None, order.order_id)
        and order.attributed != record.collection_id,
        HeldReason.TOO_LATE: closed,
    }
    return [reason for reason, objects in found.items() if objects]


def _judged(order: Order, record: Collection, reasons: list[HeldReason]) -> Verdict | None:
    """Apply what a person has said about these reasons; None where nothing stands against it."""
    words = order.judged.splitlines()
    mark = fingerprint(record)
    if f"dismiss:{mark}" in words:
        return DONE if order.state == OrderState.CLOSED else Verdict(Step.CLOSE, "dismissed")
    for reason in reasons:
        if f"accept:{reason}:{mark}" not in words:
            return Verdict(Step.HOLD, reason)
    return None


def _refunded(order: Order, record: Collection) -> Verdict:
    amount = refunded_amount(order, record)
    whole = record.status is PaymentStatus.REFUNDED or (
        record.status is PaymentStatus.COMPLETED
        and amount is not None
        and record.net_amount is not None
        and amount >= record.net_amount
    )
    if order.state in _DELIVERED:
        if order.state != OrderState.FULFILLED:
            return DONE
        return Verdict(Step.REFUND, OrderState.REFUNDED if whole else OrderState.PARTIALLY_REFUNDED)
    if whole:
        return Verdict(Step.CLOSE, "refunded")
    reasons = [*_objection(order, record), HeldReason.REFUNDED_BEFORE_DELIVERY]
    return _judged(order, record, reasons) or Verdict(Step.DELIVER)


def proves(order: Order, record: Collection) -> bool:
    """Tell whether a record that was found by its order id is the one that this order asked for.

    Threat: an order id that comes back (a restored backup, two environments on one app, a reset
    sequence) leads to another customer's record, perhaps COMPLETED and of the same amount.
    """
    if record.order_id is not None and record.order_id != order.order_id:
        return False
    if record.metadata is not _NOT_SHOWN:
        return record.metadata.get(NONCE) == order.nonce
    if record.created_at is None or order.first_sent_at is None:
        return False
    return record.created_at.timestamp() * SECOND >= order.first_sent_at - CLOCK_TOLERANCE


NONCE: Final = "paycollect_intent"
"""Where the proof of intent stands in a collection's metadata."""
_NOT_SHOWN: Final = fields(Collection).metadata.default
"""The metadata of a record that has no such member; an empty or null one is another object."""


def reckon_end(record: Collection | None, now: int) -> int:
    """Say when a checkout that was opened now can no longer be paid, by the store's clock.

    Reckoned by how long it lives, as the provider's clock and ours may differ.
    """
    life = LIFETIME
    if record is not None and record.created_at and record.expires_at:
        life = record.expires_at - record.created_at
    return now + max(0, int(life.total_seconds() * SECOND))


def backoff(tries: int) -> int:
    """Milliseconds before the next try after so many: 1 s at first, 10 min at most."""
    if tries < len(STALE):
        return STALE[max(0, tries)] * SECOND
    doubled = STALE[-1] * SECOND * 2 ** min(tries - len(STALE) + 1, 10)
    return int(min(doubled, LONGEST_WAIT))


def next_look(order: Order, now: int) -> int | None:
    """Say when to look at an order again that nothing has happened to; None: never by itself."""
    if order.state == OrderState.CLOSED:
        at = order.closed_at or now
        return next((at + after for after in RECHECKS if at + after > now), None)
    if order.state in (OrderState.OPEN, OrderState.PAID):
        end = (order.ends_at or now) + GRACE
        if order.state == OrderState.OPEN and order.gave_up_at is None and now < end:
            return end
        return now + max(backoff(order.checks), 30 * SECOND)
    return None
