"""Rounds of work: whatever is due, once; and the tasks that make them.

Invariants: what is slow holds up nothing else: neither an answer of the provider, nor an outside
effect, nor the sweep is waited for by who looks for new webhooks.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Final, Generic

from paycollect.cashier.context import Context, all_of, new_token
from paycollect.cashier.desk import take_stats
from paycollect.cashier.effects import Effects
from paycollect.cashier.errors import StoreError
from paycollect.cashier.records import StatsTaken
from paycollect.cashier.steps import OrderWork
from paycollect.cashier.store import Steps, Tx
from paycollect.cashier.strays import Strays
from paycollect.cashier.sweep import Budget, Sweep
from paycollect.cashier.transactions import claims, settings
from paycollect.cashier.transactions.claims import Claimed
from paycollect.cashier.values import Done

log: Final = logging.getLogger("paycollect.cashier")

BATCH: Final = 32
AT_ONCE: Final = 16
"""So many orders are worked on at a time: with the batch, no lease ends before its turn comes."""
POLL_SECONDS: Final = 1.0
"""How often to look for what other processes were told."""
SWEEP_LEASE: Final = 60_000
MEET_SECONDS: Final = 3600.0
STATS_SECONDS: Final = 60.0
"""How often observers are told how the cashier fares."""


class Rounds(Generic[Tx]):
    """Does what is due, a batch at a time."""

    def __init__(self, context: Context[Tx], work: OrderWork[Tx], effects: Effects[Tx]) -> None:
        self._context = context
        self._store = context.store
        self._work = work
        self._effects = effects
        self._strays = Strays(context)
        self._budget = Budget(context.clock.monotonic)
        self._sweep = Sweep(context, self._strays, self._budget)
        self._running: set[asyncio.Task[Done]] = set()
        self._token = new_token()
        self._turn_until = float("-inf")
        self._meet_at = float("-inf")
        self._stats_at = float("-inf")

    async def once(self) -> tuple[Done, int]:
        """Do one batch of everything; gives what it has come to, and how much there was to do.

        Raises:
            StoreError: the store has failed.

        """
        await self.sweep()
        claimed = await self._claim(BATCH)
        limit = asyncio.Semaphore(AT_ONCE)

        async def one(mine: Claimed) -> Done:
            async with limit:
                return await self._process(mine)

        done = await all_of(map(one, claimed))
        held, busy = await self._others()
        total = Done(
            confirmed=sum(one.confirmed for one in done),
            delivered=sum(one.delivered for one in done),
            held=sum(one.held for one in done) + held,
            closed=sum(one.closed for one in done),
        )
        return total, len(claimed) + busy

    async def orders(self) -> int:
        """Begin to work on what is due; gives how much was begun, without waiting for it."""
        free = AT_ONCE - len(self._running)
        claimed = await self._claim(free) if free > 0 else []
        for mine in claimed:
            task = asyncio.create_task(self._process(mine))
            self._running.add(task)
            task.add_done_callback(self._ended)
        return len(claimed)

    async def effects(self) -> int:
        """Call the handlers for outside effects, and look at payments that belong to no order."""
        return (await self._others())[1]

    async def sweep(self) -> int:
        """Make the passes of the sweep that are due, if it is this process's turn."""
        await self._meet()
        if not (self._context.sweeps and await self._my_turn()):
            return 0
        made = await self._sweep.passes()
        if made:
            self._store.notify()
        if self._context.observers:
            await self._tell_stats()
        return made

    async def _tell_stats(self) -> None:
        now = self._context.clock.monotonic()
        if now >= self._stats_at:
            self._stats_at = now + STATS_SECONDS
            stats = await take_stats(self._context)
            self._context.observers.tell(StatsTaken(stats=stats))

    async def next_due(self) -> int | None:
        """Tell when there is work again, in milliseconds since 1970."""
        return await self._store.run(claims.next_due, reads=True)

    async def end(self, patience: float) -> None:
        """Let what is under way come to its end, but not for ever, and another process sweep."""
        if self._running:
            _, late = await asyncio.wait(set(self._running), timeout=patience)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        if self._turn_until > float("-inf"):
            self._turn_until = float("-inf")
            await self._store.run(partial(settings.end_turn, "sweep", self._token), alone=True)

    async def _others(self) -> tuple[int, int]:
        held = await self._strays.process(BATCH)
        after = await self._effects.call_after(BATCH)
        alarms = await self._effects.raise_alarms(BATCH)
        return held, held + after + alarms

    async def _claim(self, limit: int) -> list[Claimed]:
        sweeps = self._context.clock.monotonic() < self._turn_until
        return await self._store.run(partial(self._claims, limit, sweeps))

    def _claims(self, limit: int, sweeps: bool) -> Steps[list[Claimed]]:
        """Claim what a webhook speaks of, what is paid, and for who sweeps what is due."""
        delivers = int(self._context.delivers)
        claimed = yield from claims.claim_woken(new_token(), limit, delivers)
        if delivers:
            claimed += yield from claims.claim_due(new_token(), limit, 1, 0)
        left = min(self._budget.left, limit) if sweeps else 0
        if left:
            claimed += yield from claims.claim_due(new_token(), left, 0, 1)
        return claimed

    async def _process(self, mine: Claimed) -> Done:
        if mine.order.state != "paid" and not mine.hints:
            self._budget.spend()
        try:
            return await self._work.process(mine, "webhook" if mine.hints else "sweep")
        except StoreError as error:
            log.warning("order %s: %s", mine.order.order_id, error)
            return Done()

    def _ended(self, task: asyncio.Task[Done]) -> None:
        self._running.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("an order met what was not expected", exc_info=task.exception())
        self._store.notify()

    async def _my_turn(self) -> bool:
        now = self._context.clock.monotonic()
        if now >= self._turn_until - SWEEP_LEASE / 2000:
            lease = SWEEP_LEASE
            mine = await self._store.run(partial(settings.take_turn, "sweep", self._token, lease))
            self._turn_until = now + lease / 1000 if mine else float("-inf")
        return now < self._turn_until

    async def _meet(self) -> None:
        now = self._context.clock.monotonic()
        if now >= self._meet_at:
            self._meet_at = now + MEET_SECONDS
            kinds = await self._store.run(partial(settings.meet, self._context.handlers.kinds))
            self._context.elsewhere = kinds
            missing = sorted(kinds - set(self._context.handlers.kinds))
            if missing:
                log.warning(
                    "another process on this store has handlers that this one lacks (%s): orders"
                    " that need them are left to it",
                    ", ".join(missing),
                )


class Worker:
    """The tasks that make rounds for as long as the cashier is entered."""

    def __init__(self, context: Context[Tx], rounds: Rounds[Tx]) -> None:
        self._clock = context.clock
        self._rounds = rounds
        self._loop = asyncio.get_running_loop()
        self._stopping = False
        works = (rounds.orders, rounds.effects, rounds.sweep)
        self._wakes = [asyncio.Event() for _ in works]
        self._unlisten = context.store.listen(self.wake)
        self._tasks = {
            asyncio.create_task(self._run(work, wake))
            for work, wake in zip(works, self._wakes, strict=True)
        }

    def wake(self) -> None:
        """Have it look at once; may be called on any thread."""
        with suppress(RuntimeError):  # the loop is closed, and with it the worker
            self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        for wake in self._wakes:
            wake.set()

    async def stop(self, patience: float) -> None:
        """Let the rounds under way come to their end, but not for ever."""
        self._unlisten()
        self._stopping = True
        self._wake()
        _, late = await asyncio.wait(self._tasks, timeout=patience)
        for task in late:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self, work: Callable[[], Awaitable[int]], wake: asyncio.Event) -> None:
        while not self._stopping:
            wake.clear()
            busy = 0
            try:
                busy = await work()
            except StoreError as error:
                log.warning("%s; the worker goes on", error)
            except Exception:
                log.exception("the worker has met what it did not expect, and goes on")
            if not busy:
                await self._pause(wake)

    async def _pause(self, wake: asyncio.Event) -> None:
        seconds = POLL_SECONDS * random.uniform(0.75, 1.25)  # noqa: S311  # spreads load, no secret
        waits = [
            asyncio.ensure_future(wake.wait()),
            asyncio.ensure_future(self._clock.sleep(seconds)),
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
