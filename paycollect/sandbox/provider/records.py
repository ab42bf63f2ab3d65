"""What a checkout goes through, as pure values: each step gives a new value or refuses.

                 pay       -> COMPLETED -- refund --> REFUNDED | PARTIALLY_REFUNDED
    PENDING  --  decline   -> FAILED
                 cancel    -> CANCELLED
                 60 minutes-> EXPIRED (FAILED on other pages of the provider)

Invariants: no I/O, no clock, no randomness; moments and ids come from the caller.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import TYPE_CHECKING, Final

from paycollect.models import Fee, JsonValue, Payer
from paycollect.sandbox.provider.errors import RefusedError, wrong_state
from paycollect.status import PaymentStatus, RefundStatus

if TYPE_CHECKING:
    from collections.abc import Iterable

CENT: Final = Decimal("0.01")
EXACT: Final = Context(prec=60, rounding=ROUND_HALF_UP)
"""Where money is reckoned: the caller's own precision must not change a sum."""

_EXPIRED: Final = "Session expired"

REFUND_REASONS: Final = {
    "DUPLICATE_PAYMENT": "Duplicate payment",
    "FRAUDULENT": "Fraudulent transaction",
    "CUSTOMER_REQUEST": "Customer requested refund",
    "ORDER_CANCELLED": "Order was cancelled",
    "PRODUCT_NOT_DELIVERED": "Product/service not delivered",
    "PRODUCT_NOT_AS_DESCRIBED": "Product/service not as described",
    "PRICING_ERROR": "Pricing or billing error",
    "OTHER": "Other reason",
}
"""Provider docs: refunds/reasons."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckoutOrder:
    """What the merchant asks for when it creates a collection, proven to be in order."""

    amount: Decimal
    order_id: str
    description: str
    callback_url: str | None = None
    webhook_url: str | None = None
    metadata: dict[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundRecord:
    """A refund; PENDING until its `completed_at` (UTC) has come."""

    refund_id: str
    collection_id: str
    amount: Decimal
    reason: str
    recipient: Payer
    created_at: datetime
    completed_at: datetime
    status: RefundStatus = RefundStatus.PENDING


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionRecord:
    """One checkout session and what became of it; moments are UTC, money is USD.

    `event_reference` is a second id, by which the provider's event pages name a collection;
    `pays_at` is the moment at which a payment that is under way gets through.
    """

    collection_id: str
    event_reference: str
    reference: str
    order: CheckoutOrder
    fee: Decimal
    created_at: datetime
    expires_at: datetime
    status: PaymentStatus = PaymentStatus.PENDING
    status_reason: str | None = None
    payer: Payer | None = None
    completed_at: datetime | None = None
    refund: RefundRecord | None = None
    pays_at: datetime | None = None

    @property
    def amount(self) -> Decimal:
        """What the customer pays."""
        return self.order.amount

    @property
    def net_amount(self) -> Decimal:
        """What the merchant gets, and the most that it can refund."""
        return EXACT.subtract(self.order.amount, self.fee)

    @property
    def refunded(self) -> Decimal:
        """What was given back."""
        return Decimal("0.00") if self.refund is None else self.refund.amount

    @property
    def has_expired(self) -> bool:
        """Whether time has ended the session, whatever the state is called then."""
        return self.status_reason == _EXPIRED

    def pay(self, payer: Payer, now: datetime) -> CollectionRecord:
        """Take the money; refused unless PENDING."""
        self._must_be_pending()
        return replace(self, status=PaymentStatus.COMPLETED, payer=payer, completed_at=now)

    def pay_later(self, moment: datetime) -> CollectionRecord:
        """Take the money at a later moment; refused unless PENDING."""
        self._must_be_pending()
        return replace(self, pays_at=moment)

    def decline(self, reason: str = "Declined by the payer's bank") -> CollectionRecord:
        """Fail the payment; refused unless PENDING."""
        self._must_be_pending()
        return replace(self, status=PaymentStatus.FAILED, status_reason=reason)

    def cancel(self) -> CollectionRecord:
        """Let the payer walk away; refused unless PENDING."""
        self._must_be_pending()
        reason = "Cancelled by the payer"
        return replace(self, status=PaymentStatus.CANCELLED, status_reason=reason)

    def expire(self, now: datetime, status: PaymentStatus) -> CollectionRecord:
        """End the session before or at its time; refused unless PENDING."""
        self._must_be_pending()
        end = min(self.expires_at, now)
        return replace(self, status=status, status_reason=_EXPIRED, expires_at=end)

    def refund_with(self, refund: RefundRecord) -> CollectionRecord:
        """Book the one refund that a collection can have (provider docs: refunds/create)."""
        if self.refund is not None:
            raise RefusedError(409, "ALREADY_REFUNDED", "Collection has already been refunded")
        if self.status is not PaymentStatus.COMPLETED:
            raise wrong_state("Only completed collections can be refunded")
        full = refund.amount == self.net_amount
        status = PaymentStatus.REFUNDED if full else PaymentStatus.PARTIALLY_REFUNDED
        return replace(self, status=status, refund=refund)

    def refund_done(self) -> CollectionRecord:
        """Mark the refund as paid out; the collection must have one."""
        if self.refund is None:
            raise wrong_state("Collection has no refund")
        return replace(self, refund=replace(self.refund, status=RefundStatus.COMPLETED))

    def _must_be_pending(self) -> None:
        if self.status is not PaymentStatus.PENDING:
            raise wrong_state(f"Collection is {self.status}, no longer PENDING")


def fee_on(amount: Decimal, fees: Iterable[Fee], code: str = "COLLECTION_FEE") -> Decimal:
    """Compute the fee that the price list asks on an amount, half up to the cent.

    The provider does not publish how it rounds. No entry of that code, or a waived one, is free.
    """
    fee = next((fee for fee in fees if fee.code == code and not fee.is_waived), None)
    if fee is None:
        return Decimal("0.00")
    percentage = EXACT.divide(EXACT.multiply(amount, fee.rate), Decimal(100))
    due = fee.rate if fee.type == "FIXED" else percentage
    due = max(due, fee.min_fee or Decimal(0))
    due = due if fee.max_fee is None else min(due, fee.max_fee)
    return min(due, amount).quantize(CENT, context=EXACT)
