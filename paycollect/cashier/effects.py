"""Outside effects: `after_paid` and `on_held`, at least once, until they return.

Invariants: no transaction is open while they run. One that fails is tried again, later each time;
`after_paid` that fails too often is held.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from itertools import chain
from typing import Any, Final, Generic, TypeVar

from paycollect._portal import portal
from paycollect.cashier.context import Context, all_of, new_token, within
from paycollect.cashier.handlers import HandlerFailedError
from paycollect.cashier.orders import SECOND, HeldReason, Order, backoff, unpack
from paycollect.cashier.steps import OrderWork
from paycollect.cashier.store import Tx
from paycollect.cashier.transactions import claims, inbox, outcomes
from paycollect.cashier.transactions.claims import Claimed
from paycollect.cashier.transactions.inbox import HeldStray
from paycollect.cashier.values import Held, Payment, held_of, instant, payment_of

log: Final = logging.getLogger("paycollect.cashier")
R = TypeVar("R")

MOST_TRIES: Final = 25
"""After so many failures of `after_paid`, over some three hours, a person is told."""


class Effects(Generic[Tx]):
    """Calls the handlers that run outside of a transaction."""

    def __init__(self, context: Context[Tx], work: OrderWork[Tx]) -> None:
        self._context = context
        self._store = context.store
        self._work = work

    @property
    def _lease(self) -> int:
        return int((self._context.handler_timeout + 30) * SECOND)

    async def call_after(self, limit: int) -> int:
        """Call `after_paid` for delivered orders; gives for how many it was due."""
        if not self._context.handlers.has("after_paid"):
            return 0
        claim = partial(claims.claim_after, new_token(), limit, self._lease)
        claimed = await self._store.run(claim, alone=True)
        await all_of(map(self._after, claimed))
        return len(claimed)

    async def _after(self, claimed: Claimed) -> None:
        order = claimed.order
        try:
            await self._call("after_paid", payment_of(order))
        except HandlerFailedError as error:
            self._context.tell("failed", order, f"{error.problem}; it is called again")
            if order.after_tries >= MOST_TRIES:
                await self._work.hold(
                    claimed, HeldReason.AFTER_PAID_FAILING, None, problem=error.problem
                )
            else:
                wait = backoff(order.after_tries - 1)
                await self._store.run(partial(outcomes.after_failed, claimed, wait, error.problem))
        else:
            await self._store.run(partial(outcomes.after_done, claimed))

    async def raise_alarms(self, limit: int) -> int:
        """Call `on_held` for what is held since; gives for how many it was due."""
        if not self._context.handlers.has("on_held"):
            return 0
        lease = self._lease
        orders = await self._store.run(partial(claims.claim_alarms, limit, lease), alone=True)
        strays = await self._store.run(partial(inbox.claim_stray_alarms, limit, lease), alone=True)
        await all_of(chain(map(self._alarm_order, orders), map(self._alarm_stray, strays)))
        return len(orders) + len(strays)

    async def _alarm_order(self, order: Order) -> None:
        wait = await self._alarm(held_of(order), order.alarm_tries)
        await self._store.run(partial(outcomes.alarmed, order.order_id, order.hold_id, wait))

    async def _alarm_stray(self, stray: HeldStray) -> None:
        wait = await self._alarm(held_stray(stray), stray.alarm_tries)
        await self._store.run(partial(inbox.stray_alarmed, stray.id, stray.hold_id, wait))

    async def _alarm(self, held: Held, tries: int) -> int | None:
        """Call `on_held`; None where it has returned, else after how long to call it again."""
        try:
            await self._call("on_held", held)
        except HandlerFailedError as error:
            log.warning("%s; it is called again", error.problem)
            return backoff(tries - 1)
        return None

    async def _call(self, kind: str, value: object) -> None:
        """Call a handler: a plain function in a thread, as it may block.

        Raises:
            HandlerFailedError: it has raised, or not returned in time.

        """
        context = self._context
        call = partial(context.handlers.call, kind, None, value, context.reach)
        try:
            if context.handlers.is_async(kind):
                given = call()
            else:
                given = await within(context.handler_timeout, _in_thread(call, self._store))
            if given is not None:  # also where a plain function is around one that is async
                await _on_a_loop(within(context.handler_timeout, given))
        except TimeoutError:
            context.slow(kind, getattr(value, "order_id", None))
            raise HandlerFailedError(kind, TimeoutError()) from None


async def _on_a_loop(called: Coroutine[Any, Any, object]) -> None:
    """Await a handler that is async; code that blocks has it run on the loop thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        portal.call(lambda: called, "await it")
        return
    await called


async def _in_thread(call: Callable[[], R], store: object = None) -> R:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return call()
    around: Callable[[Callable[[], R]], Callable[[], R]] | None
    around = getattr(store, "around_outside", None)
    return await asyncio.to_thread(call if around is None else around(call))


def held_stray(stray: HeldStray) -> Held:
    """Make the value of a payment that belongs to no order."""
    record = unpack(stray.record) if stray.record else None
    payment = None
    if record is not None:
        payment = Payment(
            order_id=record.order_id or "",
            collection=record,
            amount=record.amount,
            currency=record.currency,
            found_by="sweep",
            delivery=0,
        )
    return Held(
        order_id=None,
        collection_id=stray.id,
        reason=HeldReason.UNKNOWN_ORDER,
        payment=payment,
        hold_id=stray.hold_id,
        held_at=instant(stray.held_at),
    )
