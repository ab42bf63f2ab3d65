"""The customer who comes back: how their order stands, within a time that a page can take.

Invariants: nothing in the URL is believed; the provider is asked at most once, and not again about
an order that was just asked for; no lock of the database is waited for.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Coroutine
from functools import partial
from typing import Any, Final, Generic

from paycollect.cashier.context import Context, new_token
from paycollect.cashier.orders import SECOND, Order
from paycollect.cashier.steps import OrderWork
from paycollect.cashier.store import Tx
from paycollect.cashier.transactions import claims, intents
from paycollect.cashier.values import UNKNOWN, Returned, returned_of

ASK_AGAIN: Final = 2 * SECOND
"""How long the provider is left alone about an order that was just asked for."""
LOOK_AGAIN: Final = 0.05
"""Seconds between two looks at an order that somebody else is working on."""


class Returns(Generic[Tx]):
    """Answers those who come back; what takes longer than they can wait goes on by itself."""

    def __init__(self, context: Context[Tx], work: OrderWork[Tx]) -> None:
        self._context = context
        self._store = context.store
        self._work = work
        self._late: set[asyncio.Future[Any]] = set()

    async def returned(self, collection_id: str) -> Returned:
        """Say how the order of a collection stands, and deliver it if it is paid."""
        found = await self._store.run(
            partial(intents.read_by_collection, collection_id), reads=True
        )
        if found is None:
            return UNKNOWN
        order, _ = found
        if order.state in ("open", "paid") and not order.held_reason:
            order = await self._look(order)
        return returned_of(order)

    async def end(self) -> None:
        """Wait for what has gone on by itself."""
        if self._late:
            await asyncio.wait(set(self._late), timeout=self._context.patience)

    async def _look(self, order: Order) -> Order:
        claimed = await self._store.run(
            partial(claims.claim_one, order.order_id, new_token(), ASK_AGAIN)
        )
        if claimed is None:
            return await self._outwait(await self._read(order))
        patience = self._context.patience
        await self._bounded(self._work.process(claimed, "return", deadline=patience))
        self._store.notify()
        return await self._read(order)

    async def _read(self, order: Order) -> Order:
        return await self._store.run(partial(intents.read, order.order_id), reads=True) or order

    async def _outwait(self, order: Order) -> Order:
        """Look again until whoever works on the order is done: its webhook came a moment before."""
        looks = math.ceil(self._context.patience / LOOK_AGAIN)
        while order.lease and looks:
            looks = looks - 1 if await self._pause() else 0
            order = await self._read(order)
        return order

    async def _pause(self) -> bool:
        """Wait for a moment; a clock that stands still, as in tests, outlasts the patience."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            time.sleep(LOOK_AGAIN)  # noqa: ASYNC251  # without an event loop nobody else waits
            return True
        try:
            async with asyncio.timeout(self._context.patience):
                await self._context.clock.sleep(LOOK_AGAIN)
        except TimeoutError:
            return False
        return True

    async def _bounded(self, work: Coroutine[Any, Any, object]) -> None:
        """Wait for work within the patience; without an event loop, to its end."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            await work
            return
        task = asyncio.ensure_future(work)
        self._late.add(task)
        task.add_done_callback(self._late.discard)
        await asyncio.wait({task}, timeout=self._context.patience)
        if task.done():
            task.result()
