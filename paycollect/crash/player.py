"""Plays one schedule over as many lives as it takes, and looks at what came of it."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, TypeAlias, cast

from attrs import frozen

from paycollect.crash.life import ENDED, Life, Memory, Problem, Row
from paycollect.crash.processes import ProcessLife
from paycollect.crash.promises import broken_promises, went_back
from paycollect.crash.schedules import Op, Schedule
from paycollect.crash.world import Outside, Shop, World, WorldClock
from paycollect.sandbox.provider.errors import RefusedError

MakeShop: TypeAlias = Callable[[World], Shop | Awaitable[Shop]]

_AFTERWARDS: Final = (61, 120, 600, 1800, 3700, 5000, 90_000, 700)
"""Seconds between the sweeps after the last start: when something is due by itself."""
_ROUNDS: Final = 40
_PART: Final = Decimal("1.00")


@frozen(kw_only=True)
class Outcome:
    """What came of a schedule."""

    problems: tuple[str, ...]
    orders: tuple[tuple[str, str, str], ...]
    """Each order with its state, and the reason where it is held."""
    timeline: tuple[str, ...]
    points: tuple[str, ...]
    deaths: tuple[tuple[int, str], ...]


async def play(
    make_shop: MakeShop, schedule: Schedule, folder: Path, *, real: bool = False
) -> Outcome:
    """Play a schedule in an empty folder; `real` for lives that are processes, and are killed."""
    return await _Player(make_shop, folder, real=real).play(schedule)


class _Player:
    def __init__(self, make_shop: MakeShop, folder: Path, *, real: bool) -> None:
        self._make_shop = make_shop
        self._folder = folder
        self._real = real
        self._outside = Outside(WorldClock())
        self._memory = Memory()
        self._life: Life | ProcessLife | None = None
        self._rows: list[Row] = []
        self._problems: list[str] = []
        self._lines: list[str] = []
        self._orders: dict[str, set[str]] = {}
        self._deaths: list[tuple[int, str]] = []
        self._counted: tuple[str, ...] = ()

    async def play(self, schedule: Schedule) -> Outcome:
        try:
            for op in schedule:
                self._outside.clock.advance(0.01)
                self._say(str(op))
                await self._happen(op)
            self._counted = tuple(self._memory.points)
            await self._recover()
        finally:
            await self._end()
        return Outcome(
            problems=tuple(dict.fromkeys(self._problems)),
            orders=tuple((row.order_id, row.state, row.held_reason) for row in self._rows),
            timeline=tuple(self._lines),
            points=self._counted,
            deaths=tuple(self._memory.deaths),
        )

    def _say(self, what: str) -> None:
        self._lines.append(f"{self._outside.clock.monotonic():10.2f} s  {what}")

    # --- lives

    async def _alive(self) -> Life | ProcessLife:
        if self._life is None:
            if self._real:
                self._life = ProcessLife(self._born, self._outside, self._memory, self._folder)
            else:
                self._life = await self._born(self._outside.world(self._folder), self._memory)
        return self._life

    async def _born(self, world: World, memory: Memory) -> Life:
        made = self._make_shop(world)
        return Life(await made if inspect.isawaitable(made) else made, world, memory)

    async def _end(self) -> None:
        life, self._life = self._life, None
        if life is not None:
            await life.end()

    async def _do(self, what: str, **arguments: Any) -> object:
        life = await self._alive()
        deaths = len(self._memory.deaths)
        result = await life.do(what, **arguments)
        if result is ENDED:
            await self._died(deaths)
        elif isinstance(result, Problem):
            self._say(f"  -> {result.text}")
        return result

    async def _died(self, deaths: int) -> None:
        for _, point in self._memory.deaths[deaths:]:
            self._say(f"  -> the process dies at {point!r}, and is started again")
        self._plan()
        await self._end()

    async def _look(self) -> int:
        deaths = len(self._memory.deaths)
        found = await (await self._alive()).look()
        if found is None:  # it died by what it went on with; the next life is looked at
            await self._died(deaths)
            return 0
        rows, waiting = found
        self._problems += went_back(self._rows, rows)
        for row in rows:
            if row not in self._rows:
                self._say(f"  -> {row.order_id} is {row}")
        self._rows = rows
        return waiting

    async def _recover(self) -> None:
        """Heal everything, start once more, and let a day of sweeps pass."""
        outside, memory = self._outside, self._memory
        outside.away, outside.answers_lost, outside.stale = False, 0, 0.0
        memory.fail_at = None
        memory.plan(None)
        await self._end()
        self._real = False
        self._say("the last start; nothing goes wrong any more")
        for seconds in (0, *_AFTERWARDS):
            outside.clock.advance(seconds)
            await self._work_all()
        waiting = await self._look()
        shop = cast("Life", await self._alive()).shop  # the last life is in this process
        self._problems += await broken_promises(
            shop, outside, memory, rows=self._rows, waiting=waiting, orders=self._orders
        )

    async def _work_all(self) -> None:
        for _ in range(_ROUNDS):
            if not await (await self._alive()).do("round"):
                break

    # --- what happens

    def _plan(self) -> None:
        self._memory.plan(self._deaths.pop(0) if self._deaths else None)
        if self._life is not None:
            self._life.planned()

    async def _happen(self, op: Op) -> None:
        order_id = f"order-{op.order}"
        known = self._orders.setdefault(order_id, set())
        match op.kind:
            case "create":
                await self._create(order_id, known)
            case "webhook":
                await self._webhook(order_id, op.n)
            case "back":
                await self._back(order_id)
            case "work":
                await self._do("work")
            case "rush":
                await self._rush(order_id)
            case "replay" | "close":
                await self._do(op.kind, order_id=order_id)
            case _ if op.kind in _PROVIDER:
                self._provider(op, order_id)
            case _:
                await self._fate(op)
        if op.kind in _TOUCHES:
            await self._look()

    async def _create(self, order_id: str, known: set[str]) -> None:
        collection_id = await self._do("create", order_id=order_id)
        if isinstance(collection_id, str):
            known.add(collection_id)
            if known != {self._outside.collection_of(order_id)}:
                self._problems.append(f"{order_id} has had {len(known)} checkouts")

    async def _webhook(self, order_id: str, number: int) -> None:
        letters = self._outside.letters.get(order_id, [])
        if letters:
            body = letters[(number - 1) % len(letters)]
            status = await self._do("receive", body=body)
            if status not in (ENDED, 200, 503):
                self._problems.append(f"a genuine webhook was answered {status}")

    async def _rush(self, order_id: str) -> None:
        letters = self._outside.letters.get(order_id, [])
        url = f"?batch={self._outside.collection_of(order_id)}&status=COMPLETED"
        body = letters[-1] if letters else None
        await self._do("rush", order_id=order_id, body=body, url=url)

    async def _back(self, order_id: str) -> None:
        collection_id = self._outside.collection_of(order_id)
        says_paid = await self._do("returned", url=f"?batch={collection_id}&status=COMPLETED")
        if says_paid is True and "COMPLETED" not in self._outside.statuses(order_id):
            self._problems.append(f"the customer of {order_id} was told that it is paid")

    def _provider(self, op: Op, order_id: str) -> None:
        ledger = self._outside.provider.ledger
        collection_id = self._outside.collection_of(order_id)
        try:
            if collection_id is None:
                self._say("  -> the provider has no such order")
            elif op.kind == "refund_part":
                ledger.refund(collection_id, _PART)
            else:
                getattr(ledger, op.kind)(collection_id)
        except RefusedError as error:
            self._say(f"  -> the provider refuses: {error}")

    async def _fate(self, op: Op) -> None:
        outside, memory = self._outside, self._memory
        match op.kind:
            case "wait":
                outside.clock.advance(op.n)
            case "kill":
                await self._end()
            case "die":
                self._deaths.append((op.n, op.at))
                if memory.death is None:
                    self._plan()
            case "fail":
                memory.fail_at = memory.statements + op.n
                if self._life is not None:
                    self._life.planned()
            case "lose":
                outside.answers_lost = op.n
            case "stale":
                outside.stale = op.n
            case _:
                outside.away = op.kind == "away"


_PROVIDER: Final = ("pay", "decline", "cancel", "expire", "refund", "refund_part")
_TOUCHES: Final = ("create", "webhook", "back", "work", "replay", "close", "rush")
