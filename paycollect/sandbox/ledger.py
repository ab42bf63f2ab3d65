"""The books: every collection by id and by order id, the merchant's balance, what expires when.

The law of this room: no I/O. The time is asked of a function, ids come from `secrets`, and each
change is told to one listener.
"""

from __future__ import annotations

import heapq
import secrets
from datetime import timedelta
from decimal import Decimal
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, TypeAlias

from paycollect.models import Payer
from paycollect.sandbox.refusals import RefusedError, not_found
from paycollect.sandbox.state import (
    DEFAULT_FEES,
    EXACT,
    CollectionRecord,
    Order,
    RefundRecord,
    fee_on,
)
from paycollect.status import PaymentStatus, RefundStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from paycollect.models import Fee

LIFETIME: Final = timedelta(minutes=60)
"""How long a checkout can be paid (provider docs: collections/create)."""

CUSTOMER: Final = Payer(
    name="Ada Example",
    email="ada@example.com",
    phone="+12025550147",
    account_name="ada.example",
    client_id="C1A2B3C4D5E6",
)
"""Who pays on the sandbox's checkout page."""

Listener: TypeAlias = "Callable[[CollectionRecord], None]"


class Ledger:
    """All collections of the sandbox's one app; iterating gives them, newest first."""

    def __init__(
        self,
        now: Callable[[], datetime],
        *,
        fees: tuple[Fee, ...] = DEFAULT_FEES,
        expired_as: PaymentStatus = PaymentStatus.EXPIRED,
        refund_delay: float = 0.0,
        listener: Listener = lambda _: None,
    ) -> None:
        self._now = now
        self._expired_as = expired_as
        self._refund_delay = timedelta(seconds=refund_delay)
        self._listener = listener
        self._by_id: dict[str, CollectionRecord] = {}
        self._id_by_order: dict[str, str] = {}
        self._agenda: list[tuple[datetime, str]] = []
        self.fees = fees
        self.balance: Decimal = Decimal("0.00")

    def __iter__(self) -> Iterator[CollectionRecord]:
        self.settle()
        return reversed(list(self._by_id.values()))

    def __getitem__(self, collection_id: str) -> CollectionRecord:
        """Give a collection as it is now.

        Raises:
            RefusedError: RESOURCE_NOT_FOUND.

        """
        self.settle()
        try:
            return self._by_id[collection_id]
        except KeyError:
            raise not_found("Collection") from None

    def create(self, order: Order) -> CollectionRecord:
        """Open a checkout session for an order.

        Raises:
            RefusedError: DUPLICATE_REFERENCE, the order id is taken.

        """
        if order.order_id in self._id_by_order:
            raise RefusedError(
                HTTPStatus.CONFLICT,
                "DUPLICATE_REFERENCE",
                "A collection with this orderId already exists",
                {"orderId": "must be unique per app"},
            )
        now = self._now()
        record = CollectionRecord(
            collection_id=f"SCI{secrets.token_hex(7)[:13].upper()}",
            reference=secrets.token_hex(6).upper(),
            order=order,
            fee=fee_on(order.amount, self.fees),
            created_at=now,
            expires_at=now + LIFETIME,
        )
        self._id_by_order[order.order_id] = record.collection_id
        return self._book(record)

    def pay(self, collection_id: str, payer: Payer = CUSTOMER) -> CollectionRecord:
        """Pay a collection; refused unless it is PENDING."""
        record = self[collection_id].pay(payer, self._now())
        self.balance = EXACT.add(self.balance, record.net_amount)
        return self._book(record)

    def decline(self, collection_id: str) -> CollectionRecord:
        """Let the payment fail; refused unless it is PENDING."""
        return self._book(self[collection_id].decline())

    def cancel(self, collection_id: str) -> CollectionRecord:
        """Let the payer cancel; refused unless it is PENDING."""
        return self._book(self[collection_id].cancel())

    def expire(self, collection_id: str) -> CollectionRecord:
        """End the session now; refused unless it is PENDING."""
        return self._book(self[collection_id].expire(self._now(), self._expired_as))

    def refund(
        self, collection_id: str, amount: Decimal | None = None, reason: str = "CUSTOMER_REQUEST"
    ) -> RefundRecord:
        """Refund an amount, or all of the net amount.

        Raises:
            RefusedError: RESOURCE_NOT_FOUND, ALREADY_REFUNDED, INVALID_STATUS, VALIDATION_ERROR
                (more than the net amount), INSUFFICIENT_BALANCE.

        """
        record = self[collection_id]
        now = self._now()
        refund = RefundRecord(
            refund_id=f"RFD{secrets.token_hex(7)[:13].upper()}",
            collection_id=collection_id,
            amount=record.net_amount if amount is None else amount,
            reason=reason,
            recipient=record.payer or CUSTOMER,
            created_at=now,
            completed_at=now + self._refund_delay,
            status=RefundStatus.PENDING if self._refund_delay else RefundStatus.COMPLETED,
        )
        after = record.refund_with(refund)
        self._must_cover(record, refund.amount)
        self.balance = EXACT.subtract(self.balance, refund.amount)
        (self._keep if self._refund_delay else self._book)(after)
        return refund

    def refunds(self) -> list[RefundRecord]:
        """List all refunds, newest first."""
        refunds = [record.refund for record in self if record.refund is not None]
        return sorted(refunds, key=lambda refund: refund.created_at, reverse=True)

    def settle(self) -> None:
        """Let everything happen whose time has come: sessions expire, refunds are paid out."""
        now = self._now()
        while self._agenda and self._agenda[0][0] <= now:
            due, collection_id = heapq.heappop(self._agenda)
            record = self._by_id[collection_id]
            if _next_step(record) == due:
                self._book(_settled(record, now, self._expired_as))

    def look_again(self) -> datetime:
        """Tell when to settle next, whatever is opened until then."""
        # What is opened later than now is due at least one lifetime, or one delay, later.
        latest = self._now() + (min(LIFETIME, self._refund_delay) or LIFETIME)
        return min(self._agenda[0][0], latest) if self._agenda else latest

    def _must_cover(self, record: CollectionRecord, amount: Decimal) -> None:
        if amount > record.net_amount:
            raise RefusedError(
                HTTPStatus.BAD_REQUEST,
                "VALIDATION_ERROR",
                "Refund amount exceeds the refundable amount",
                {"amount": f"must not exceed {record.net_amount:f}"},
            )
        if amount > self.balance:
            raise RefusedError(
                HTTPStatus.PAYMENT_REQUIRED, "INSUFFICIENT_BALANCE", "Insufficient balance"
            )

    def _book(self, record: CollectionRecord) -> CollectionRecord:
        self._listener(self._keep(record))
        return record

    def _keep(self, record: CollectionRecord) -> CollectionRecord:
        self._by_id[record.collection_id] = record
        due = _next_step(record)
        if due is not None:
            heapq.heappush(self._agenda, (due, record.collection_id))
        return record


def _next_step(record: CollectionRecord) -> datetime | None:
    """Tell when a record changes by itself; None if it does not."""
    if record.status is PaymentStatus.PENDING:
        return record.expires_at
    if record.refund is not None and record.refund.status is RefundStatus.PENDING:
        return record.refund.completed_at
    return None


def _settled(
    record: CollectionRecord, now: datetime, expired_as: PaymentStatus
) -> CollectionRecord:
    return record.expire(now, expired_as) if record.refund is None else record.refund_done()
