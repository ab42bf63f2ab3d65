"""The Cashier that blocks: the async one, driven from code without an event loop.

Where the store works in the thread that calls (DjangoStore), the whole of a method runs there, so
that `transaction.atomic` joins, and only what asks the provider runs on the loop thread. With the
other stores the method runs on the loop thread, but for what is done within a transaction of the
caller's: a sqlite3 connection belongs to its thread.
"""

# ruff: noqa: D102  the docstrings are those of the async methods

from __future__ import annotations

import atexit
import inspect
import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextlib import suppress
from decimal import Decimal
from functools import partial, wraps
from types import TracebackType
from typing import Any, Concatenate, Final, Generic, ParamSpec, Self, TypeVar
from weakref import WeakSet

from paycollect._observers import Observer
from paycollect._portal import portal
from paycollect.cashier import Cashier as AsyncCashier
from paycollect.cashier import CashierError, Handlers
from paycollect.cashier.sqlite import SqliteStore
from paycollect.cashier.store import Store, Tx
from paycollect.clock import Clock
from paycollect.ipn import Receiver
from paycollect.session import SessionManager as AsyncSessionManager
from paycollect.sync.session import SessionManager

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")
log: Final = logging.getLogger("paycollect.cashier")


def _instead(name: str) -> str:
    return f"use paycollect.cashier.Cashier here, and `await cashier.{name}(...)`"


_ENTER: Final = "use paycollect.cashier.Cashier here, and `async with cashier:`"


def _blocking(
    method: Callable[Concatenate[AsyncCashier[Any], P], Coroutine[Any, Any, T]],
) -> Callable[[object], Callable[Concatenate[Cashier[Any], P], T]]:
    """Make the blocking form of a method; it takes the place of the one that is decorated."""
    instead = _instead(method.__name__)

    @wraps(method)
    def call(self: Cashier[Any], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._call(lambda: method(self._cashier, *args, **kwargs), instead)

    return lambda _: call


def _told_like(model: object) -> Callable[[T], T]:
    """Give a function the docstring of another."""

    def dress(function: T) -> T:
        function.__doc__ = model.__doc__
        return function

    return dress


class Cashier(Generic[Tx]):
    """From order to delivery, exactly once, as `paycollect.cashier.Cashier`, and blocks.

    Arguments, methods, results and errors are the same; instead of awaiting, each method waits in
    the thread that calls, and any number of threads may call::

        with SessionManager.from_env() as pay:
            with Cashier(pay, Receiver.from_env(), "shop.db", handlers=shop) as cashier:
                checkout = cashier.create_checkout(amount=25, order_id="A", description="Plan")

    Entered, it works: it confirms, delivers and looks for lost webhooks, on a thread of its own. A
    process that was forked from one that has entered it does not, unless it enters it, too; one
    worker is enough for all processes. Without it call `run_until_idle` from cron. With a
    `DjangoStore` the worker is `manage.py paycollect_worker`, and `with` only opens and closes.

    Handlers that run in the transaction may call `intend(tx, ...)` and `close(order_id, tx)`, and
    nothing else of the cashier.

    Args:
        pay: how to ask the provider: a `paycollect.sync.SessionManager`, or an async one that
            nobody uses on another event loop; lent: whoever made it closes it.
        receiver: how to prove webhooks.
        store: where orders are kept: a store, or the path of a SQLite file.
        handlers, patience, max_deliveries, handler_timeout, owns, keep_bodies, observers, clock:
            as those of `paycollect.cashier.Cashier`.

    Raises:
        EventLoopError: by each method, in a thread that runs an event loop; it says what to await.
        CashierError: by each method but two, in a handler that runs in the transaction.
        ValueError: the receiver's `max_age` would refuse genuine redeliveries.
        TypeError, ValueError: an argument is wrong.

    """

    def __init__(
        self,
        pay: SessionManager | AsyncSessionManager,
        receiver: Receiver,
        store: Store[Tx] | str | os.PathLike[str],
        *,
        handlers: Handlers[Tx] | None = None,
        patience: float = 3.0,
        max_deliveries: int = 10,
        handler_timeout: float = 30.0,
        owns: Callable[[str], bool] | None = None,
        keep_bodies: bool = False,
        observers: Iterable[Observer] = (),
        clock: Clock | None = None,
    ) -> None:
        kept: Any = SqliteStore(store) if isinstance(store, str | os.PathLike) else store
        session: Any = pay._pay if isinstance(pay, SessionManager) else pay  # noqa: SLF001  our own
        self._stays_in_thread: bool = getattr(kept, "in_callers_thread", False)
        if self._stays_in_thread:
            session = _OnLoopThread(session)
        self._store: Store[Tx] = kept
        self._make = partial(
            AsyncCashier[Tx],
            session,
            receiver,
            kept,
            handlers=Handlers() if handlers is None else handlers,
            patience=patience,
            max_deliveries=max_deliveries,
            handler_timeout=handler_timeout,
            owns=owns,
            keep_bodies=keep_bodies,
            observers=tuple(observers),  # to be gone through again after a fork
            clock=clock,
        )
        self._begin()
        _cashiers.add(self)

    def _begin(self) -> None:
        """Begin, also in the child of a fork: what the parent has begun is the parent's."""
        self._cashier: AsyncCashier[Tx] = self._make()
        self._is_entered = False

    @property
    def handlers(self) -> Handlers[Tx]:
        """What is to be done when an order is paid, closed, refunded or held."""
        return self._cashier.handlers

    @property
    def on_paid(self) -> Callable[[Callable[..., R]], Callable[..., R]]:
        """See `Handlers.on_paid`."""
        return self.handlers.on_paid

    @property
    def after_paid(self) -> Callable[[Callable[..., R]], Callable[..., R]]:
        """See `Handlers.after_paid`."""
        return self.handlers.after_paid

    @property
    def on_closed(self) -> Callable[[Callable[..., R]], Callable[..., R]]:
        """See `Handlers.on_closed`."""
        return self.handlers.on_closed

    @property
    def on_refunded(self) -> Callable[[Callable[..., R]], Callable[..., R]]:
        """See `Handlers.on_refunded`."""
        return self.handlers.on_refunded

    @property
    def on_held(self) -> Callable[[Callable[..., R]], Callable[..., R]]:
        """See `Handlers.on_held`."""
        return self.handlers.on_held

    @_blocking(AsyncCashier.create_checkout)
    def create_checkout(self) -> None: ...

    @_blocking(AsyncCashier.checkout_for)
    def checkout_for(self) -> None: ...

    @_blocking(AsyncCashier.receive)
    def receive(self) -> None: ...

    @_blocking(AsyncCashier.returned)
    def returned(self) -> None: ...

    @_blocking(AsyncCashier.run_once)
    def run_once(self) -> None: ...

    @_blocking(AsyncCashier.run_until_idle)
    def run_until_idle(self) -> None: ...

    @_blocking(AsyncCashier.held)
    def held(self) -> None: ...

    @_blocking(AsyncCashier.release)
    def release(self) -> None: ...

    @_blocking(AsyncCashier.dismiss)
    def dismiss(self) -> None: ...

    @_blocking(AsyncCashier.attribute)
    def attribute(self) -> None: ...

    @_blocking(AsyncCashier.replay)
    def replay(self) -> None: ...

    @_blocking(AsyncCashier.timeline)
    def timeline(self) -> None: ...

    @_blocking(AsyncCashier.stats)
    def stats(self) -> None: ...

    @_blocking(AsyncCashier.prune)
    def prune(self) -> None: ...

    # By hand, as these two run in the caller's transaction, whose type is the class's.

    @_told_like(AsyncCashier.intend)
    def intend(
        self,
        tx: Tx,
        *,
        amount: Decimal | int | str,
        order_id: str,
        description: str,
        currency: str = "USD",
        callback_url: str | None = None,
        webhook_url: str | None = None,
        metadata: Mapping[str, object] | None = None,
        replaces: str | None = None,
    ) -> None:
        work = partial(
            self._cashier.intend,
            tx,
            amount=amount,
            order_id=order_id,
            description=description,
            currency=currency,
            callback_url=callback_url,
            webhook_url=webhook_url,
            metadata=metadata,
            replaces=replaces,
        )
        self._within(tx, work, _instead("intend"))

    @_told_like(AsyncCashier.close)
    def close(self, order_id: str, tx: Tx | None = None) -> None:
        self._within(tx, partial(self._cashier.close, order_id, tx), _instead("close"))

    # --- life

    def __enter__(self) -> Self:
        if self._stays_in_thread:
            self._call(self._cashier._ready, _ENTER)  # noqa: SLF001  the class that we wrap
            log.info("orders are worked on by the worker's process, not by this one")
        else:
            self._call(self._cashier.__aenter__, _ENTER)
        self._is_entered = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.aclose()

    def aclose(self) -> None:
        """End the worker and what is under way, and close the store; harmless when closed.

        It is called as with the async cashier, as `close` gives an order up.

        Raises:
            EventLoopError: as by each method.

        """
        self._call(self._cashier.aclose, _instead("aclose"))
        self._is_entered = False

    # --- where a method runs

    def _call(self, function: Callable[[], Coroutine[Any, Any, T]], instead: str) -> T:
        if self._stays_in_thread:
            portal.check(instead)
            return _drive(function())
        # Threat: the thread that runs the handler is the one whose work would be waited for.
        if threading.current_thread() is getattr(self._store, "_thread", None):
            raise CashierError(
                "a handler that runs in the transaction cannot wait for the cashier: within it only"
                " intend(tx, ...) and close(order_id, tx) can be called; use after_paid"
            )
        return portal.call(function, instead)

    def _within(
        self, tx: object, function: Callable[[], Coroutine[Any, Any, T]], instead: str
    ) -> T:
        """Run what belongs into the caller's transaction, where there is one."""
        if self._stays_in_thread or not isinstance(tx, sqlite3.Connection):
            return self._call(function, instead)
        portal.call(self._store.open, instead)
        return _drive(function())


class _OnLoopThread:
    """A session for coroutines that are driven without an event loop: each method blocks."""

    def __init__(self, pay: AsyncSessionManager) -> None:
        self._pay = pay

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._pay, name)
        return partial(_waiting, value) if inspect.iscoroutinefunction(value) else value


async def _waiting(method: Callable[P, Coroutine[Any, Any, T]], *a: P.args, **k: P.kwargs) -> T:
    return portal.call(lambda: method(*a, **k), _instead("..."))


def _drive(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine, none of whose parts waits for an event loop, to its end in this thread."""
    try:
        work.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    work.close()
    raise TypeError("the store waits for an event loop, which this thread has not")


_cashiers: Final[WeakSet[Cashier[Any]]] = WeakSet()


def _begin_anew() -> None:
    for cashier in list(_cashiers):
        cashier._begin()  # noqa: SLF001  our own class


def _close_all() -> None:
    for cashier in list(_cashiers):
        if cashier._is_entered:  # noqa: SLF001  else there is nothing to end
            with suppress(Exception):  # there is nobody left to tell
                cashier.aclose()


# Exit handlers run in reverse order: this one before those of the managers and of the portal.
atexit.register(_close_all)
if hasattr(os, "register_at_fork"):  # pragma: no branch  Windows does not fork
    os.register_at_fork(after_in_child=_begin_anew)
