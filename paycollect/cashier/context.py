"""What the parts of a cashier share: the session, the store, the handlers, the limits."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from typing import Any, Final, Generic, TypeVar, cast

from attrs import define, field

from paycollect._http.concurrency import Deadlines
from paycollect._observers import Observers
from paycollect.cashier.handlers import Handlers
from paycollect.cashier.orders import Order
from paycollect.cashier.records import (
    LeaseLost,
    OrderRecord,
    SlowHandler,
    WorkEnded,
    WorkStarted,
)
from paycollect.cashier.store import Store, Tx
from paycollect.clock import Clock
from paycollect.session import SessionManager

R = TypeVar("R")
_number_of_next_work: Final = partial(next, count(1))

ASK_SECONDS: Final = 20.0
"""How long a worker waits for the provider to answer about one order."""


@define
class Counters:
    """What happened in this process since it began."""

    leases_lost: int = 0
    slow_handlers: int = 0


@define(kw_only=True)
class Context(Generic[Tx]):
    """What the parts of a cashier share."""

    session: SessionManager
    store: Store[Tx]
    handlers: Handlers[Tx]
    clock: Clock
    patience: float
    max_deliveries: int
    handler_timeout: float
    owns: Callable[[str], bool]
    keep_bodies: bool
    elsewhere: frozenset[str] = frozenset()
    """Kinds of handlers that other processes on this store have."""
    born_at: int = 0
    counters: Counters = field(factory=Counters)
    observers: Observers = field(factory=Observers)

    def tell(self, what: str, order: Order, detail: str, found_by: str = "") -> None:
        """Tell the observers, and the log, what has become of an order."""
        self.observers.tell(
            OrderRecord(
                order_id=order.order_id,
                collection_id=order.collection_id,
                what=what,
                detail=detail,
                found_by=found_by,
            )
        )

    def lost(self, order: Order) -> None:
        """Note that somebody else has the order meanwhile."""
        self.counters.leases_lost += 1
        if self.observers:
            self.observers.tell(
                LeaseLost(order_id=order.order_id, collection_id=order.collection_id)
            )

    def slow(self, kind: str, order_id: str | None) -> None:
        """Note that a handler takes too long."""
        self.counters.slow_handlers += 1
        if self.observers:
            self.observers.tell(SlowHandler(order_id=order_id, handler=kind))

    @contextmanager
    def work(
        self, what: str, order_id: str, collection_id: str | None = None, traceparent: str = ""
    ) -> Iterator[None]:
        """Tell the beginning and the end of work on an order, if anybody listens."""
        if not self.observers:
            yield
            return
        about: dict[str, Any] = {
            "number": _number_of_next_work(),
            "what": what,
            "order_id": order_id,
            "collection_id": collection_id,
        }
        self.observers.tell(WorkStarted(**about, traceparent=traceparent))
        problem: str | None = None
        try:
            yield
        except BaseException as error:
            problem = type(error).__name__
            raise
        finally:
            self.observers.tell(WorkEnded(**about, error_type=problem))

    def reach(self, point: str) -> None:
        """Pass a point where a process can die; see `store.reach_nothing`."""
        self.store.reach(point)

    @property
    def delivers(self) -> bool:
        """Whether this process may mark an order as fulfilled."""
        if not (self.handlers.has("on_paid") or self.handlers.has("after_paid")):
            return False
        return self.may("on_paid")

    def may(self, kind: str) -> bool:
        """Tell whether this process may do what needs a kind of handler.

        Without the handler that another process has, nothing must be marked as done.
        """
        return self.handlers.has(kind) or kind not in self.elsewhere

    @property
    def sweeps(self) -> bool:
        """Whether this process may do everything that an order can need."""
        return self.delivers and self.may("on_closed") and self.may("on_refunded")

    @property
    def calls_after(self) -> bool:
        """Whether outside effects are due after a delivery, here or elsewhere."""
        return self.handlers.has("after_paid") or "after_paid" in self.elsewhere


def new_token() -> str:
    """Make a name that nobody else uses: of a lease, or of a hold."""
    return secrets.token_hex(12)


class TimeLimit:
    """A limit for very many short waits: one timer for all of them, as each one's own costs more.

    Without an event loop, which code that blocks has not, there is none.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._loop: asyncio.AbstractEventLoop | None = None
        self._deadlines: Deadlines

    async def wait(self, work: Awaitable[R]) -> R:
        """Wait for so long.

        Raises:
            TimeoutError: it took longer, and was cancelled.

        """
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return await work
        task = cast("asyncio.Task[object]", asyncio.current_task())
        if loop is not self._loop:
            self._loop, self._deadlines = loop, Deadlines(loop)
        deadlines = self._deadlines
        deadlines.limit(task, deadlines.now() + self._seconds)
        try:
            return await work
        except asyncio.CancelledError:
            if not deadlines.take_back(task):
                raise
        finally:
            deadlines.release(task)
        raise TimeoutError


async def within(seconds: float, work: Awaitable[R]) -> R:
    """Wait for so long; without an event loop, which code that blocks has not, for ever.

    Raises:
        TimeoutError: it took longer, and was cancelled.

    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return await work
    async with asyncio.timeout(seconds):
        return await work


async def all_of(works: Iterable[Awaitable[R]]) -> list[R]:
    """Await all at once; without an event loop, which code that blocks has not, one by one."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return [await work for work in works]
    return await asyncio.gather(*works)
