"""The books: every collection by id and by order id, the merchant's balance, what expires when.

Invariants: no I/O. The time is asked of a function, ids come from `secrets`, and each
change is told to one listener.
"""

from __future__ import annotations

import heapq
import secrets
from datetime import timedelta
from decimal import Decimal
from http import HTTPStatus
from itertools import chain
from operator import itemgetter
from typing import TYPE_CHECKING, Final, TypeAlias

from paycollect.models import Payer
from paycollect.sandbox.options import DEFAULT_FEES
from paycollect.sandbox.provider.errors import RefusedError, not_found
from paycollect.sandbox.provider.records import (
    EXACT,
    CheckoutOrder,
    CollectionRecord,
    RefundRecord,
    fee_on,
)
from paycollect.sandbox.provider.shelf import Part, Shelf
from paycollect.status import PaymentStatus, RefundStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime

    from paycollect.models import Fee
    from paycollect.sandbox.provider.requests import ListQuery

LIFETIME: Final = timedelta(minutes=60)
"""How long a checkout can be paid (provider docs: collections/create)."""

LATE: Final = timedelta(seconds=60)
"""After how long a late payment gets through."""

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
    """All collections of the sandbox's one app; iterating gives them, newest first.

    With `event_ids_known`, a collection is also found by the id that its events name.
    """

    def __init__(
        self,
        now: Callable[[], datetime],
        *,
        fees: tuple[Fee, ...] = DEFAULT_FEES,
        expired_as: PaymentStatus = PaymentStatus.EXPIRED,
        refund_delay: float = 0.0,
        event_ids_known: bool = False,
        listener: Listener = lambda _: None,
    ) -> None:
        self._now = now
        self._expired_as = expired_as
        self._refund_delay = timedelta(seconds=refund_delay)
        self._listener = listener
        self._records = _shelf()
        self._refunds: Shelf[RefundRecord] = Shelf()
        self._id_by_order: dict[str, str] = {}
        self._event_ids_known = event_ids_known
        self._id_by_event_id: dict[str, str] = {}
        self._history: dict[str, list[tuple[datetime, CollectionRecord]]] = {}
        self._agenda: list[tuple[datetime, str]] = []
        self.fees = fees
        self.balance: Decimal = Decimal("0.00")

    def __iter__(self) -> Iterator[CollectionRecord]:
        self.settle()
        return iter(self._records)

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, collection_id: str) -> CollectionRecord:
        """Give a collection as it is now.

        Raises:
            RefusedError: RESOURCE_NOT_FOUND.

        """
        self.settle()
        own_id = self._id_by_event_id.get(collection_id, collection_id)
        try:
            return self._records[own_id]
        except KeyError:
            raise not_found("Collection") from None

    def history(self, collection_id: str) -> list[tuple[datetime, CollectionRecord]]:
        """Give every state that a collection was in, oldest first, with the moment it began.

        Raises:
            RefusedError: RESOURCE_NOT_FOUND.

        """
        return self._history[self[collection_id].collection_id]

    def past(self, moment: datetime) -> Past:
        """Give the collections as they were at a moment."""
        return Past(self, moment)

    def histories(self) -> Iterator[list[tuple[datetime, CollectionRecord]]]:
        """Give the history of every collection, oldest first."""
        return iter(self._history.values())

    def restore(
        self, histories: Iterable[list[tuple[datetime, CollectionRecord]]], balance: Decimal
    ) -> None:
        """Take over the books of an earlier life, without telling anybody."""
        # In the order in which it happened, which lists keep.
        for at, record in sorted(chain.from_iterable(histories), key=itemgetter(0)):
            self._register(record)
            self._keep(record, at)
        self.balance = balance

    def create(
        self,
        order: CheckoutOrder,
        *,
        collection_id: str | None = None,
        reference: str | None = None,
    ) -> CollectionRecord:
        """Open a checkout session for an order; ids that are not given are made up.

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
        now, serial = self._now(), secrets.token_hex(7)[:13].upper()
        record = CollectionRecord(
            collection_id=collection_id or f"SCI{serial}",
            event_reference=f"COL{(collection_id or serial)[-13:]}",
            reference=reference or secrets.token_hex(6).upper(),
            order=order,
            fee=fee_on(order.amount, self.fees),
            created_at=now,
            expires_at=now + LIFETIME,
        )
        self._register(record)
        return self._book(record)

    def pay(self, collection_id: str, payer: Payer = CUSTOMER) -> CollectionRecord:
        """Pay a collection; refused unless it is PENDING."""
        return self._take(self[collection_id], payer, self._now())

    def pay_later(self, collection_id: str) -> CollectionRecord:
        """Begin a payment that gets through after `LATE`; refused unless it is PENDING.

        Nobody is told before; it is PENDING until then.
        """
        now = self._now()
        return self._keep(self[collection_id].pay_later(now + LATE), now)

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
        if self._refund_delay:
            self._keep(after, now)
        else:
            self._book(after)
        return refund

    def find(self, query: ListQuery) -> Part[CollectionRecord]:
        """Give a page of the collections that a query asks for, newest first."""
        self.settle()
        return self._records.find(query)

    def find_refunds(self, query: ListQuery) -> Part[RefundRecord]:
        """Give a page of the refunds that a query asks for, newest first."""
        self.settle()
        return self._refunds.find(query, query.texts.get("collectionId"))

    def settle(self) -> None:
        """Let everything happen whose time has come: sessions expire, refunds are paid out."""
        now = self._now()
        while self._agenda and self._agenda[0][0] <= now:
            due, collection_id = heapq.heappop(self._agenda)
            record = self._records[collection_id]
            if _next_step(record) == due:
                self._let_happen(record, due)

    def look_again(self) -> datetime:
        """Tell when to settle next, whatever is opened until then."""
        # What begins later than now is due at least one delay later.
        latest = self._now() + (min(LATE, self._refund_delay) or LATE)
        return min(self._agenda[0][0], latest) if self._agenda else latest

    def _let_happen(self, record: CollectionRecord, due: datetime) -> None:
        if record.refund is not None:
            self._book(record.refund_done(), due)
        elif record.pays_at is not None:
            self._take(record, CUSTOMER, due)
        else:
            self._book(record.expire(due, self._expired_as), due)

    def _take(self, record: CollectionRecord, payer: Payer, at: datetime) -> CollectionRecord:
        paid = record.pay(payer, at)
        self.balance = EXACT.add(self.balance, paid.net_amount)
        return self._book(paid, at)

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

    def _register(self, record: CollectionRecord) -> None:
        self._id_by_order[record.order.order_id] = record.collection_id
        if self._event_ids_known:
            self._id_by_event_id[record.event_reference] = record.collection_id

    def _book(self, record: CollectionRecord, at: datetime | None = None) -> CollectionRecord:
        self._listener(self._keep(record, at or self._now()))
        return record

    def _keep(self, record: CollectionRecord, at: datetime) -> CollectionRecord:
        self._records.put(record.collection_id, record)
        if record.refund is not None:
            self._refunds.put(record.collection_id, record.refund)
        self._history.setdefault(record.collection_id, []).append((at, record))
        due = _next_step(record)
        if due is not None:
            heapq.heappush(self._agenda, (due, record.collection_id))
        return record


class Past:
    """The collections as they were at a moment: what a replica tells that lags behind."""

    def __init__(self, ledger: Ledger, moment: datetime) -> None:
        self._ledger = ledger
        self._moment = moment

    def __getitem__(self, collection_id: str) -> CollectionRecord:
        """Give a collection as it was.

        Raises:
            RefusedError: RESOURCE_NOT_FOUND, also if it did not exist yet.

        """
        record = self._find(collection_id)
        if record is None:
            raise not_found("Collection")
        return record

    def find(self, query: ListQuery) -> Part[CollectionRecord]:
        """Give a page of the collections that there were, newest first."""
        shelf = _shelf()
        for record in self._all():
            shelf.put(record.collection_id, record)
        return shelf.find(query)

    def find_refunds(self, query: ListQuery) -> Part[RefundRecord]:
        """Give a page of the refunds that there were, newest first."""
        shelf: Shelf[RefundRecord] = Shelf()
        refunds = (record.refund for record in self._all() if record.refund is not None)
        for refund in sorted(refunds, key=lambda refund: refund.created_at):
            shelf.put(refund.collection_id, refund)
        return shelf.find(query, query.texts.get("collectionId"))

    def _all(self) -> Iterator[CollectionRecord]:
        self._ledger.settle()
        then = (self._find(history[0][1].collection_id) for history in self._ledger.histories())
        return (record for record in then if record is not None)

    def _find(self, collection_id: str) -> CollectionRecord | None:
        states = self._ledger.history(collection_id)
        return next((state for at, state in reversed(states) if at <= self._moment), None)


def _shelf() -> Shelf[CollectionRecord]:
    return Shelf(
        {
            "orderId": lambda record: record.order.order_id,
            "reference": lambda record: record.reference,
        }
    )


def _next_step(record: CollectionRecord) -> datetime | None:
    """Tell when a record changes by itself; None if it does not."""
    if record.status is PaymentStatus.PENDING:
        return record.pays_at or record.expires_at
    if record.refund is not None and record.refund.status is RefundStatus.PENDING:
        return record.refund.completed_at
    return None
