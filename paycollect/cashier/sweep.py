"""Finding what nobody told us about: lost webhooks, orphans, refunds made in the dashboard.

Asking for each open order takes 500 s for a thousand of them. So the list of what is PENDING is
read, ten requests whatever the history; what is open here and not in it has changed, and is asked
for. Whoever has the turn sweeps, one process at a time.

Invariants: the requests of the sweep stay below a rate on average. A pass that fails, or a list
that lies, changes nothing: it only decides for which orders the provider is asked.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from datetime import date, timedelta
from functools import partial
from typing import Final, Generic

from paycollect.cashier.context import Context
from paycollect.cashier.orders import HOUR, MINUTE, SECOND
from paycollect.cashier.store import Tx
from paycollect.cashier.strays import Strays
from paycollect.cashier.transactions import intents, settings, sweeps
from paycollect.cashier.transactions.inbox import PATIENCE
from paycollect.cashier.transactions.sweeps import Open
from paycollect.cashier.values import instant
from paycollect.errors import PayCollectError
from paycollect.models import Collection
from paycollect.session import CollectionFilters
from paycollect.status import PaymentStatus, RefundStatus

log: Final = logging.getLogger("paycollect.cashier")

RATE: Final = 2.0
"""Requests a second that the sweep makes on average."""
BURST: Final = 120.0
"""How many of them may come at once, after a time without."""
FEW: Final = 20
"""So many suspects say nothing about whether the list lies."""
PAGE_SIZE: Final = 100
MOST_PAGES: Final = 200
_A_DAY: Final = timedelta(days=1)
REFUND_OVERLAP: Final = timedelta(days=2)
EVERY: Final = {"pending": MINUTE, "orphans": HOUR, "refunds": HOUR}


class Budget:
    """Requests that may be made: so many a second on average; a debt is waited for."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._at = now()
        self._left = BURST

    @property
    def left(self) -> int:
        """How many requests may be made now."""
        now = self._now()
        self._left = min(BURST, self._left + max(0.0, now - self._at) * RATE)
        self._at = now
        return max(0, int(self._left))

    def spend(self, count: int = 1) -> None:
        """Note that requests are made."""
        self._left -= count


class Sweep(Generic[Tx]):
    """Makes the passes that are due."""

    def __init__(self, context: Context[Tx], strays: Strays[Tx], budget: Budget) -> None:
        self._context = context
        self._store = context.store
        self._strays = strays
        self._budget = budget
        self._next: dict[str, float] = {}
        self._passes: dict[str, Callable[[str, int], Awaitable[str]]] = {
            "pending": self._pending,
            "orphans": self._orphans,
            "refunds": self._refunds,
        }

    async def passes(self) -> int:
        """Make the passes whose time has come, as far as requests may be made; gives how many."""
        now, made = self._context.clock.monotonic(), 0
        for name, work in self._passes.items():
            if now >= self._next.get(name, now) and self._budget.left:
                self._next[name] = now + EVERY[name] / SECOND
                made += 1
                try:
                    await self._pass(name, work)
                except PayCollectError as error:
                    log.warning("the sweep (%s) was cut short: %s", name, error)
                    self._next[name] = now + MINUTE / SECOND
        return made

    async def _pass(self, name: str, work: Callable[[str, int], Awaitable[str]]) -> None:
        """Make a pass, unless another process has made it a moment ago."""
        noted = await self._store.run(partial(settings.get, f"pass:{name}"), reads=True)
        now = await self._store.run(intents.now, reads=True)
        value, at = noted or ("", 0)
        # Half an interval of tolerance, so that a cron job that comes each minute makes each pass.
        if now - EVERY[name] // 2 < at <= now:
            return
        value = await work(value, at or self._context.born_at)
        await self._store.run(partial(settings.put, f"pass:{name}", value), alone=True)

    async def _collections(self, status: PaymentStatus, since: date | None) -> list[Collection]:
        """Read a list to its end."""
        entries: list[Collection] = []
        filters: CollectionFilters = {"status": status}
        if since is not None:
            filters["date_from"] = since
        for number in range(1, MOST_PAGES + 1):
            self._budget.spend()
            self._context.reach("request:list:before")
            page = await self._context.session.list_collections(
                page=number, limit=PAGE_SIZE, **filters
            )
            self._context.reach("request:list:after")
            # A filter that the provider has ignored must not make anybody look paid, or unpaid.
            entries += [entry for entry in page.items if entry.status == status]
            if not page.has_next:
                break
        return entries

    async def _pending(self, _value: str, _last: int) -> str:
        """Ask for the orders that are open here, and not PENDING there."""
        await self._store.run(sweeps.repair)
        orders, now = await self._store.run(sweeps.open_orders, reads=True)
        if orders:
            entries = await self._collections(PaymentStatus.PENDING, None)
            ids = {entry.collection_id for entry in entries}
            order_ids = {entry.order_id for entry in entries}
            suspects = [
                order
                for order in orders
                if order.collection_id not in ids and order.order_id not in order_ids
            ]
            chosen = self._choose(suspects, len(orders))
            await self._store.run(partial(sweeps.mark_due, chosen, now))
        return ""

    def _choose(self, suspects: list[Open], of: int) -> Iterable[str]:
        """Take all suspects; if most orders are, the list may lie: then some at a time, in turn."""
        if len(suspects) > FEW and len(suspects) > of / 2:
            suspects = suspects[: int(BURST)]
        return [order.order_id for order in suspects]

    async def _orphans(self, _value: str, last: int) -> str:
        """Find what is paid there and belongs to no order here."""
        since = (instant(max(last, 0)) - _A_DAY).date()
        now = instant(await self._store.run(intents.now, reads=True))
        for record in await self._collections(PaymentStatus.COMPLETED, since):
            known = await self._store.run(
                partial(sweeps.wake, record.collection_id, record.order_id or "")
            )
            paid_at = record.completed_at or record.created_at or now
            # The order's row may be on its way; the next pass begins a day before this one.
            if not known and now - paid_at > timedelta(milliseconds=PATIENCE):
                await self._strays.judge(record)
        return ""

    async def _refunds(self, value: str, last: int) -> str:
        """Note refunds, of which nobody tells if they are made in the dashboard.

        Gives the day of the oldest one that is still PENDING, to begin there the next time.
        """
        since = (instant(max(last, 0)) - REFUND_OVERLAP).date()
        if value:
            since = min(since, date.fromisoformat(value))
        waiting = []
        for number in range(1, MOST_PAGES + 1):
            self._budget.spend()
            self._context.reach("request:refunds:before")
            page = await self._context.session.list_refunds(
                page=number, limit=PAGE_SIZE, date_from=since
            )
            self._context.reach("request:refunds:after")
            for refund in page.items:
                if refund.status is RefundStatus.COMPLETED:
                    await self._store.run(
                        partial(sweeps.refunded, refund.collection_id, str(refund.amount))
                    )
                elif refund.status is RefundStatus.PENDING and refund.created_at is not None:
                    waiting.append((refund.created_at - _A_DAY).date())
            if not page.has_next:
                break
        return min(waiting).isoformat() if waiting else ""
