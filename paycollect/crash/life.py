"""One life of the merchant's process: it can die at each point, and is fenced from then on.

Death is raised as an exception, and `finally` runs in an exception but not under SIGKILL. So
whatever a dead life still tries raises again: each statement, commit, request and outside effect.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, Final, NoReturn

from attrs import define, field, frozen

from paycollect.cashier.errors import CashierError
from paycollect.cashier.handlers import KINDS
from paycollect.cashier.store import Steps, reach_nothing
from paycollect.cashier.values import Standing
from paycollect.crash.hooks import WatchedHandlers, watch_statements
from paycollect.crash.world import Shop, World, inside
from paycollect.errors import PayCollectError


class DeathError(BaseException):
    """The process ends here, as by SIGKILL."""


_died: ContextVar[bool] = ContextVar("died", default=False)
"""Whether the death was raised within the handler that runs here."""
ENDED: Final = object()


def _raise() -> NoReturn:
    raise DeathError


@define
class Memory:
    """What is known about all lives together.

    Attributes:
        points: the names of all points that were passed.
        statements: how many statements handlers have begun.
        death: after how many points to die, and of which name ("": of any); None: never.
        fail_at: the number of the handler's statement that fails, as on a full disk.
        keys: the keys that `after_paid` was called with, by order id.
        alarms: the holds that `on_held` was called for.
        last: the name of the last point that is no commit.
        swallowed: kinds of handlers that went on after the death of their process.
        deaths: where each process died: the point, and how often it was passed since the death
            was planned.
        kill: what a death is; it does not return.
        keeps: what notes the calls of handlers, where this memory dies with its process.

    """

    points: list[str] = field(factory=list)
    statements: int = 0
    death: tuple[int, str] | None = None
    passed: Counter[str] = field(factory=Counter)
    last: str = "the start"
    fail_at: int | None = None
    keys: dict[str, set[str]] = field(factory=dict)
    alarms: set[str] = field(factory=set)
    swallowed: set[str] = field(factory=set)
    deaths: list[tuple[int, str]] = field(factory=list)
    kill: Callable[[], NoReturn] = field(default=_raise)
    keeps: Callable[[str, str, str], None] | None = None
    lock: threading.Lock = field(factory=threading.Lock)

    def plan(self, death: tuple[int, str] | None) -> None:
        """Plan the next death."""
        self.death = death
        self.passed.clear()

    def dies(self, point: str) -> bool:
        """Pass a point; tell whether the process dies there."""
        with self.lock:
            if point.startswith("commit:"):  # of what?
                point = f"{point} after {self.last}"
            else:
                self.last = point
            self.points.append(point)
            self.passed[point] += 1
            if self.death is None or self.death[1] not in ("", point):
                return False
            left, name = self.death
            self.death = (left - 1, name) if left > 1 else None
            if self.death is None:
                self.deaths.append((self.passed[point], point))
            return self.death is None

    def told(self, kind: str, value: Any) -> None:
        """Note what a handler is called with."""
        if kind == "after_paid":
            (self.keeps or self.keep)(kind, value.order_id, value.key)
        if kind == "on_held":
            (self.keeps or self.keep)(kind, value.hold_id, value.key)

    def keep(self, kind: str, name: str, key: str) -> None:
        """Note a call of a handler that works outside."""
        if kind == "after_paid":
            self.keys.setdefault(name, set()).add(key)
        else:
            self.alarms.add(name)


@frozen
class Problem:
    """An error that the shop was told."""

    text: str


@frozen
class Row:
    """An order, as it stands in the store."""

    order_id: str
    state: str
    held_reason: str
    hold_id: str
    alarm_at: int | None
    after_at: int | None
    closed_why: str
    last_error: str

    def __str__(self) -> str:
        held = f", held: {self.held_reason}" if self.held_reason else ""
        return f"{self.state}{held}" + (f" ({self.last_error})" if self.last_error else "")


class Life:
    """A life in this process; `patience` is how many seconds one thing may take."""

    patience: float = 60.0

    def __init__(self, shop: Shop, world: World, memory: Memory) -> None:
        self.shop = shop
        self.memory = memory
        self.is_dead: bool = False
        self._quiet = False
        cashier: Any = shop.cashier
        self._store: Any = cashier._store  # noqa: SLF001  # where the points are
        context: Any = cashier._context  # noqa: SLF001  # as above
        world.reach = self.reach
        self._store.reach = self.reach
        context.handlers = WatchedHandlers(context.handlers, memory.told)
        self._unwatch = watch_statements(self._store, self._statement)

    def reach(self, point: str) -> None:
        """Pass a point, or die there."""
        what, _, rest = point.partition(":")
        kind, _, place = rest.partition(":")
        memory = self.memory
        if what == "handler" and place == "start":
            inside.set(kind)
            _died.set(False)
        if self.is_dead:
            if what == "handler" and place == "end" and _died.get():
                memory.swallowed.add(kind)
            raise DeathError
        if self._quiet:
            return
        if memory.dies(point):
            self.is_dead = True
            _died.set(inside.get() in KINDS and what != "handler")
            memory.kill()
        if what == "handler" and place == "end":
            inside.set("")

    def _statement(self) -> None:
        """Pass the point before a statement of a handler; it may fail there, too."""
        self.reach(f"statement:{inside.get()}")
        self.memory.statements += 1
        if self.memory.statements == self.memory.fail_at:
            raise sqlite3.OperationalError("database or disk is full (planted)")

    async def do(self, what: str, **arguments: Any) -> object:
        """Have the cashier do something; gives a plain value, a `Problem`, or ENDED if it died.

        Raises:
            TimeoutError: it has not come to an end.

        """
        result: object = None
        try:
            async with asyncio.timeout(self.patience):
                result = await _DEEDS[what](self.shop.cashier, **arguments)
        except DeathError:
            return ENDED
        except (PayCollectError, CashierError) as error:
            result = Problem(f"{type(error).__name__}: {error}")
        except TimeoutError:
            raise TimeoutError(
                f"the shop has not come to an end of {what!r} within {self.patience:g} s:"
                " does a handler wait for something?"
            ) from None
        return ENDED if self.is_dead else result

    def planned(self) -> None:
        """Learn that a death, or a failure, is planned anew."""

    async def look(self) -> tuple[list[Row], int]:
        """Read how all orders stand, and how many webhooks are not handled."""
        self._quiet = True
        try:
            await self.shop.cashier._ready()  # noqa: SLF001  # a life may begin with a look
            found: tuple[list[Row], int] = await self._store.run(_look)
        finally:
            self._quiet = False
        return found

    async def end(self) -> None:
        """End the life, as a crash does: nothing of what is under way is finished."""
        self.is_dead = True
        mine = asyncio.current_task()
        others = [task for task in asyncio.all_tasks() if task is not mine and task.cancel()]
        await asyncio.gather(*others, return_exceptions=True)
        self._unwatch()
        with suppress(BaseException):
            await self._store.aclose()
        self._store.reach = reach_nothing
        if self.shop.close is not None:
            closing = self.shop.close()
            if isinstance(closing, Awaitable):
                await closing


async def _create(cashier: Any, order_id: str) -> str:
    checkout = await cashier.create_checkout(
        order_id=order_id, amount="25.00", description="Premium plan"
    )
    return str(checkout.collection_id)


async def _receive(cashier: Any, body: bytes) -> int:
    return int((await cashier.receive(body)).status)


async def _returned(cashier: Any, url: str) -> bool:
    return (await cashier.returned(url)).standing is Standing.PAID


async def _work(cashier: Any) -> None:
    await cashier.run_once()


async def _replay(cashier: Any, order_id: str) -> None:
    await cashier.replay(order_id)


async def _close(cashier: Any, order_id: str) -> None:
    await cashier.close(order_id)


async def _rush(cashier: Any, order_id: str, body: bytes | None, url: str) -> None:
    """Let everything that can be about one order happen at the same instant."""
    ways: list[Awaitable[object]] = [
        _create(cashier, order_id),
        _returned(cashier, url),
        _replay(cashier, order_id),
    ]
    if body is not None:
        ways.append(_receive(cashier, body))
    told = await asyncio.gather(*ways, _work(cashier), _work(cashier), return_exceptions=True)
    for one in told:
        if isinstance(one, BaseException) and not isinstance(one, PayCollectError | CashierError):
            raise one


async def _round(cashier: Any) -> int:
    """Make a round; gives how much there was to do, which `run_once` does not tell."""
    await cashier._ready()  # noqa: SLF001  # as above
    _, busy = await cashier._rounds.once()  # noqa: SLF001  # as above
    return int(busy)


_DEEDS: Final[dict[str, Callable[..., Awaitable[object]]]] = {
    "create": _create,
    "receive": _receive,
    "returned": _returned,
    "work": _work,
    "replay": _replay,
    "close": _close,
    "rush": _rush,
    "round": _round,
}


def _look() -> Steps[tuple[list[Row], int]]:
    rows = yield (
        (
            "SELECT order_id, state, held_reason, hold_id, alarm_at, after_at, closed_why,"
            " last_error"
            " FROM paycollect_order ORDER BY order_id"
        ),
        {},
    )
    waiting = yield "SELECT COUNT(*) FROM paycollect_inbox WHERE due_at IS NOT NULL", {}
    return [Row(*row) for row in rows], int(str(waiting[0][0]))  # type: ignore[arg-type]  # by schema
