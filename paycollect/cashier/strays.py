"""Payments that belong to no order of this store: ours that is lost, or somebody else's.

A webhook may come before the row of its order (2.7 to 3.5 s were seen), so that it waits first.
Then the provider is asked; what is paid, not older than this store and not known to be another
system's is held for a person.
"""

from __future__ import annotations

from functools import partial
from typing import Generic

from paycollect import _arguments as check
from paycollect.cashier.context import ASK_SECONDS, Context, new_token
from paycollect.cashier.orders import SECOND, pack
from paycollect.cashier.records import OrderRecord
from paycollect.cashier.store import Tx
from paycollect.cashier.transactions import inbox
from paycollect.cashier.transactions.claims import Hint
from paycollect.cashier.transactions.inbox import Stray
from paycollect.errors import NotFoundError, PayCollectError
from paycollect.models import Collection
from paycollect.status import PaymentStatus

_PAID_LIKE = frozenset({"COMPLETED", "PARTIALLY_REFUNDED"})


class Strays(Generic[Tx]):
    """Decides about webhooks and records that belong to no order."""

    def __init__(self, context: Context[Tx]) -> None:
        self._context = context
        self._store = context.store

    async def process(self, limit: int) -> int:
        """Look at webhooks that belong to no order; gives how many are held now."""
        strays = await self._store.run(partial(inbox.claim_strays, limit), alone=True)
        held = 0
        for stray in strays:
            if stray.is_old:
                held += await self._decide(stray)
        return held

    async def _decide(self, stray: Stray) -> bool:
        hint = stray.hint
        if stray.order_id is not None and not self._context.owns(stray.order_id):
            await self._store.run(partial(inbox.drop, hint, "not ours"), alone=True)
            return False
        if hint.status not in _PAID_LIKE:
            await self._store.run(partial(inbox.drop, hint, "unknown order, not paid"), alone=True)
            return False
        try:
            collection_id = check.path_id(stray.collection_id, "collection_id")
        except (TypeError, ValueError):
            # Signed, and said to be paid, but there is nothing to ask the provider for.
            name = stray.collection_id or stray.order_id or hint.id
            return await self._hold(name, stray.order_id, None, hint)
        try:
            record = await self._context.session.get_collection(collection_id, deadline=ASK_SECONDS)
        except NotFoundError:
            return await self._hold(collection_id, stray.order_id, None, hint)
        except PayCollectError:
            return False  # it comes back
        return await self.judge(record, hint)

    async def judge(self, record: Collection, hint: Hint | None = None) -> bool:
        """Hold a record that belongs to no order here, if it is paid and may be ours."""
        if not self._may_be_ours(record):
            if hint is not None:
                await self._store.run(
                    partial(inbox.drop, hint, "not ours, or not paid"), alone=True
                )
            return False
        return await self._hold(record.collection_id, record.order_id, record, hint)

    def _may_be_ours(self, record: Collection) -> bool:
        created_at = record.created_at
        return (
            record.status in (PaymentStatus.COMPLETED, PaymentStatus.PARTIALLY_REFUNDED)
            and (created_at is None or created_at.timestamp() * SECOND >= self._context.born_at)
            and (record.order_id is None or self._context.owns(record.order_id))
        )

    async def _hold(
        self, name: str, order_id: str | None, record: Collection | None, hint: Hint | None
    ) -> bool:
        kept = "" if record is None else pack(record)
        new = await self._store.run(
            partial(inbox.hold_stray, name, order_id, kept, new_token(), hint)
        )
        if new:
            self._context.observers.tell(
                OrderRecord(
                    collection_id=name,
                    what="held",
                    detail="it is paid, and belongs to no order of this store",
                )
            )
        return new
