"""What a person asks and decides about orders.

Invariants: a decision names the hold that it is about, so that of two people only one decides, and
nobody about what they have not seen. Nothing is delivered that the provider does not say is paid,
whoever decides.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from typing import Final, Generic, NoReturn

from attrs import frozen

from paycollect import _arguments as check
from paycollect.cashier.context import Context, new_token
from paycollect.cashier.effects import Effects, held_stray
from paycollect.cashier.errors import CashierError, HoldChangedError, UnknownOrderError
from paycollect.cashier.orders import SECOND, HeldReason, Order, OrderState
from paycollect.cashier.steps import OrderWork
from paycollect.cashier.store import Tx
from paycollect.cashier.transactions import claims, desk, inbox, intents
from paycollect.cashier.values import ACCEPTABLE, Done, Held, held_of, instant, word

BATCH: Final = 500


@frozen(kw_only=True)
class Entry:
    """A line of an order's timeline.

    Attributes:
        at: when, UTC.
        what: "intended", "open", "webhook", "seen", "paid", "fulfilled", "held" and so on.
        detail: more about it.
        by: who decided it, where a person did.

    """

    at: datetime
    what: str
    detail: str = ""
    by: str = ""


@frozen(kw_only=True)
class Stats:
    """How the cashier fares.

    Attributes:
        open: orders that can be paid.
        held: orders and payments that wait for a person.
        mismatches: those among them whose amount, currency or order id is not the order's.
        webhooks_due: webhooks that are not handled yet.
        after_due: delivered orders whose outside effects are due.
        oldest_undone: seconds for which the oldest of all that is not done has waited; None where
            all is done.
        deliveries: orders that were found to be paid within a day.
        found_by_sweep: the share of them that no webhook and no customer told of; None where there
            were none. It is the share of webhooks that are lost.
        webhook_lag: seconds from a payment to its webhook, on average within a day; None where
            there were none.
        leases_lost: how often this process came too late with what it had done.
        slow_handlers: how often a handler of this process took too long.

    """

    open: int
    held: int
    mismatches: int
    webhooks_due: int
    after_due: int
    oldest_undone: float | None
    deliveries: int
    found_by_sweep: float | None
    webhook_lag: float | None
    leases_lost: int
    slow_handlers: int


@frozen(kw_only=True)
class Pruned:
    """How many rows were deleted."""

    webhooks: int
    timeline: int


async def take_stats(context: Context[Tx]) -> Stats:
    """Look how a cashier fares."""
    seen = await context.store.run(desk.figures, reads=True)
    total = sum(seen.found.values())
    swept = seen.found.get("found by the sweep", 0)
    return Stats(
        open=seen.open,
        held=seen.held,
        mismatches=seen.mismatches,
        webhooks_due=seen.webhooks_due,
        after_due=seen.after_due,
        oldest_undone=None if seen.oldest is None else (seen.now - seen.oldest) / SECOND,
        deliveries=total,
        found_by_sweep=swept / total if total else None,
        webhook_lag=None if seen.lag is None else seen.lag / SECOND,
        leases_lost=context.counters.leases_lost,
        slow_handlers=context.counters.slow_handlers,
    )


class Desk(Generic[Tx]):
    """Answers a person, and carries out what they decide."""

    def __init__(self, context: Context[Tx], work: OrderWork[Tx], effects: Effects[Tx]) -> None:
        self._context = context
        self._store = context.store
        self._work = work
        self._effects = effects

    async def held(self) -> list[Held]:
        """List what waits for a person, the longest first."""
        orders = await self._store.run(desk.held_orders, reads=True)
        strays = await self._store.run(inbox.held_strays, reads=True)
        found = [*map(held_of, orders), *map(held_stray, strays)]
        return sorted(found, key=lambda held: (held.held_at is not None, held.held_at))

    async def orders(self, state: str, limit: int) -> list[Order]:
        """List the orders in a state, newest first."""
        return await self._store.run(partial(desk.orders, state, limit), reads=True)

    async def order(self, order_id: str) -> Order:
        """Give an order as it stands.

        Raises:
            UnknownOrderError: there is no such order.

        """
        order = await self._store.run(partial(intents.read, order_id), reads=True)
        if order is None:
            _no_order(order_id)
        return order

    async def release(self, order_id: str, *, accept: bool, by: str, hold_id: str | None) -> None:
        """Settle a hold and have the order checked again; see `Cashier.release`."""
        order = await self._held(order_id, hold_id)
        if order.held_reason == HeldReason.ORDER_ID_TAKEN:
            raise CashierError(
                f"order {order_id!r} has no checkout, so that there is nothing to deliver: dismiss"
                " it, and let the customer start again with another order id"
            )
        judged = order.judged
        if accept:
            if order.held_reason not in ACCEPTABLE or not order.record:
                raise CashierError(
                    f"order {order_id!r} is held as {order.held_reason}, which cannot be accepted:"
                    " release it without accept to have it checked again, or dismiss it"
                )
            judged = f"{judged}\n{word('accept', order)}".strip()
        settled = await self._store.run(
            partial(
                desk.release,
                order_id,
                order.hold_id,
                judged=judged,
                revive=int(accept and order.state == OrderState.CLOSED),
                after=int(order.held_reason == HeldReason.AFTER_PAID_FAILING),
                what=f"released, {order.held_reason} accepted" if accept else "released",
                by=by,
            )
        )
        _insist(settled)

    async def dismiss(self, name: str, note: str, *, by: str, hold_id: str | None) -> None:
        """Settle a hold without a delivery; see `Cashier.dismiss`."""
        order = await self._store.run(partial(intents.read, name), reads=True)
        if order is None or not order.held_reason:
            strays = await self._store.run(inbox.held_strays, reads=True)
            stray = next((stray for stray in strays if stray.id == name), None)
            if stray is None:
                _nothing_held(name)
            text = f"dismissed by {by}: {note}" if by else f"dismissed: {note}"
            _insist(
                await self._store.run(
                    partial(inbox.settle_stray, stray.id, hold_id or stray.hold_id, text)
                )
            )
            return
        mark = f"dismiss:{order.held_reason}"
        if order.record and order.held_reason != HeldReason.STUCK:
            mark = word("dismiss", order)
        judged = f"{order.judged}\n{mark}".strip()
        _insist(
            await self._store.run(
                partial(
                    desk.dismiss,
                    name,
                    hold_id or order.hold_id,
                    judged=judged,
                    note=note,
                    by=by,
                )
            )
        )

    async def attribute(self, collection_id: str, order_id: str, *, by: str) -> Done:
        """Give a payment to an order; see `Cashier.attribute`."""
        check.path_id(collection_id, "collection_id")
        problem = await self._store.run(partial(desk.attribute, collection_id, order_id, by))
        if problem == "unknown":
            _no_order(order_id)
        if problem == "taken":
            raise CashierError(f"collection {collection_id} belongs to another order already")
        if problem:
            raise CashierError(
                f"order {order_id!r} is held, paid or delivered already: decide about that first"
            )
        return await self.replay(order_id, None)

    async def replay(self, order_id: str, again: str | None) -> Done:
        """Confirm an order once more; see `Cashier.replay`."""
        if again not in (None, "after_paid"):
            raise ValueError("again: None or 'after_paid' is needed")
        if again is not None:
            return await self._call_again(order_id)
        claimed = await self._store.run(partial(claims.claim_one, order_id, new_token(), 0))
        if claimed is None:
            await self.order(order_id)
            return Done()  # somebody is at it at this moment
        return await self._work.process(claimed, "replay")

    async def _call_again(self, order_id: str) -> Done:
        if not self._context.calls_after:
            raise CashierError("no process on this store has an after_paid handler")
        if not await self._store.run(partial(desk.call_again, order_id)):
            raise UnknownOrderError(f"there is no delivered order {order_id!r}")
        await self._effects.call_after(1)
        return Done()

    async def timeline(self, order_id: str) -> list[Entry]:
        """List what happened to an order; see `Cashier.timeline`."""
        lines = await self._store.run(partial(desk.timeline, order_id), reads=True)
        if lines is None:
            _no_order(order_id)
        return [
            Entry(at=instant(line.at), what=line.what, detail=line.detail, by=line.by)
            for line in lines
        ]

    async def stats(self) -> Stats:
        """Tell how the cashier fares; see `Stats`."""
        return await take_stats(self._context)

    async def prune(self, older_than: timedelta) -> Pruned:
        """Delete what is old and finished, a batch at a time; see `Cashier.prune`."""
        age = int(check.instance(older_than, timedelta, "older_than").total_seconds() * SECOND)
        if age < 0:
            raise ValueError("older_than: a time in the past is needed")
        webhooks = timeline = 0
        while count := await self._store.run(partial(desk.prune_inbox, age, BATCH)):
            webhooks += count
        while count := await self._store.run(partial(desk.prune_timeline, age, BATCH)):
            timeline += count
        return Pruned(webhooks=webhooks, timeline=timeline)

    async def _held(self, order_id: str, hold_id: str | None) -> Order:
        order = await self._store.run(partial(intents.read, order_id), reads=True)
        if order is None or not order.held_reason:
            _nothing_held(order_id)
        _insist(hold_id in (None, order.hold_id))
        return order


def _insist(settled: object) -> None:
    if not settled:
        raise HoldChangedError(
            "the hold was decided on by somebody else, or is a new one: look at held() again"
        )


def _no_order(order_id: str) -> NoReturn:
    raise UnknownOrderError(f"there is no order {order_id!r}")


def _nothing_held(name: str) -> NoReturn:
    raise UnknownOrderError(f"nothing is held under {name!r}: look at held()")
