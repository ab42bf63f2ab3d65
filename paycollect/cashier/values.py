"""What the cashier gives to handlers and callers: frozen values."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Final

from attrs import field, frozen

from paycollect.cashier.orders import SECOND, HeldReason, Order, fingerprint, unpack
from paycollect.models import Collection


@frozen(kw_only=True)
class Payment:
    """A payment that the provider's own record has confirmed.

    Attributes:
        order_id: your order id.
        collection: the record; of the payer, which is personal data, it knows only what the
            provider has just told: after a restart it is without.
        amount: what the customer paid, in `currency`; the order's amount, unless a person has
            accepted another.
        currency: "USD" today.
        found_by: "webhook", "return", "sweep" or "replay": how it was noticed first.
        delivery: 1 for the first attempt to deliver it.

    """

    order_id: str
    collection: Collection
    amount: Decimal
    currency: str
    found_by: str
    delivery: int

    @property
    def key(self) -> str:
        """The same for all calls about this payment: give it to what must act only once."""
        return f"paid:{self.collection.collection_id}"


@frozen(kw_only=True)
class Refunded:
    """A delivered payment that was given back, wholly or in part.

    Attributes:
        payment: what was paid.
        refunded_amount: what was given back; None where the provider does not tell.
        whole: whether all that can be refunded was.

    """

    payment: Payment
    refunded_amount: Decimal | None
    whole: bool


@frozen(kw_only=True)
class Closed:
    """An order that ended without a payment: give its stock back.

    Attributes:
        order_id: your order id.
        collection: the provider's record as it was seen last; None where it was never created.
        amount: what the order would have cost, in `currency`.
        currency: "USD" today.
        reason: "expired", "failed", "cancelled", "refunded", "never_created", "order_id_taken",
            "dismissed".

    """

    order_id: str
    collection: Collection | None
    amount: Decimal
    currency: str
    reason: str

    @property
    def key(self) -> str:
        """The same for all calls about this order."""
        return f"closed:{self.order_id}"


@frozen(kw_only=True)
class Held:
    """Something that waits for a person.

    Attributes:
        order_id: your order id; None where no order of yours is known.
        collection_id: the provider's id, or "sha256:..." of one that no database can store.
        reason: why.
        payment: what was paid, where that is known.
        problem: what went wrong last, where that is why: the type and the place of an error.
        hold_id: what a decision must name, so that it is not about another hold.
        held_at: since when, UTC.

    """

    order_id: str | None
    collection_id: str | None
    reason: HeldReason | str
    payment: Payment | None = field(default=None, repr=False)
    problem: str = ""
    hold_id: str = ""
    held_at: datetime | None = None

    @property
    def key(self) -> str:
        """The same for all alarms about this hold."""
        return f"held:{self.hold_id}"


class Standing(StrEnum):
    """What is known about the money when the customer comes back."""

    PAID = "paid"
    PENDING = "pending"
    """Not paid yet, or not known to be: look again in a moment."""
    NOT_PAID = "not_paid"
    UNKNOWN = "unknown"
    """No order of ours, or the provider could not be asked."""


@frozen(kw_only=True)
class Returned:
    """What to tell a customer who comes back from the checkout page.

    Attributes:
        standing: of the money.
        delivered: whether `on_paid` has committed.
        order_id: your order id, where the URL names a checkout of yours.

    """

    standing: Standing
    delivered: bool = False
    order_id: str | None = None


@frozen(kw_only=True)
class Done:
    """What a round of work has come to.

    Attributes:
        confirmed: orders for which the provider's record was read.
        delivered: orders that were fulfilled.
        held: orders and payments that now wait for a person.
        closed: orders that ended unpaid.
        next_due: when there is work again, UTC; None where nothing is planned.

    """

    confirmed: int = 0
    delivered: int = 0
    held: int = 0
    closed: int = 0
    next_due: datetime | None = None


UNKNOWN: Final = Returned(standing=Standing.UNKNOWN)


def instant(milliseconds: int) -> datetime:
    """Give an instant of the tables as a datetime in UTC."""
    return datetime.fromtimestamp(milliseconds / SECOND, UTC)


def payment_of(order: Order, record: Collection | None = None) -> Payment:
    """Make the payment of an order; without a record, of the one that is stored."""
    if record is None:
        record = unpack(order.record)
    return Payment(
        order_id=order.order_id,
        collection=record,
        amount=record.amount,
        currency=record.currency,
        found_by=order.found_by,
        delivery=order.deliveries,
    )


def held_of(order: Order) -> Held:
    """Make the value of a held order."""
    return Held(
        order_id=order.order_id,
        collection_id=order.collection_id,
        reason=reason_of(order.held_reason),
        payment=payment_of(order) if order.record else None,
        problem=order.last_error,
        hold_id=order.hold_id,
        held_at=None if order.held_at is None else instant(order.held_at),
    )


def reason_of(text: str) -> HeldReason | str:
    """Give a reason; one of a later release stays a text."""
    return HeldReason(text) if text in _REASONS else text


_REASONS: Final = frozenset(reason.value for reason in HeldReason)


def returned_of(order: Order) -> Returned:
    """Say how an order stands."""
    return Returned(
        standing=_standing(order),
        delivered=order.fulfilled_at is not None,
        order_id=order.order_id,
    )


def _standing(order: Order) -> Standing:
    match order.state:
        case "fulfilled" | "partially_refunded" | "paid":
            return Standing.PAID
        case "refunded":
            return Standing.NOT_PAID
    if order.held_reason in _PAID_BUT_HELD:
        return Standing.PAID
    if order.state == "closed":
        return Standing.NOT_PAID
    return Standing.UNKNOWN if order.last_error else Standing.PENDING


_PAID_BUT_HELD: Final = frozenset(
    {
        HeldReason.AMOUNT_MISMATCH,
        HeldReason.CURRENCY_MISMATCH,
        HeldReason.ORDER_MISMATCH,
        HeldReason.TOO_LATE,
        HeldReason.REFUNDED_BEFORE_DELIVERY,
    }
)
ACCEPTABLE: Final = _PAID_BUT_HELD
"""Reasons in spite of which a person can have an order delivered: the money is there."""


def word(verb: str, order: Order) -> str:
    """Write down a person's decision about the record that is held."""
    mark = fingerprint(unpack(order.record))
    return f"accept:{order.held_reason}:{mark}" if verb == "accept" else f"{verb}:{mark}"
