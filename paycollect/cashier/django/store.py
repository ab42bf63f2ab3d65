"""A store on the connection that Django has: the merchant's models, `atomic()`, and tests.

All work on the database is done in the thread that owns the connection: that of the caller where no
event loop runs, else the one that `sync_to_async(thread_sensitive=True)` leads to, as with Django's
own async queries. No coroutine of this store waits for anything but that thread, so that code
without an event loop can drive it to its end in one step.

Invariants: what is the cashier's own is committed when it returns: it refuses to run within a
transaction of the caller's. A handler that ends the transaction is noticed. No text of a database
error leaves, as it shows the parameters.
"""

from __future__ import annotations

import asyncio
import logging
import re
import sqlite3
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, TypeVar

from asgiref.sync import sync_to_async
from django.db import (
    DEFAULT_DB_ALIAS,
    Error,
    InterfaceError,
    OperationalError,
    close_old_connections,
    connections,
    transaction,
)
from django.db.transaction import TransactionManagementError

from paycollect.cashier._writer import explain
from paycollect.cashier.errors import BrokenHandlerError, StoreError
from paycollect.cashier.handlers import HandlerFailedError
from paycollect.cashier.store import (
    ENDS_TRANSACTION,
    HANDLER,
    Args,
    Dialect,
    Listeners,
    Reach,
    Row,
    Steps,
    play,
    reach_nothing,
)
from paycollect.cashier.transactions.settings import check_version
from paycollect.errors import Outcome

R = TypeVar("R")
Handler = Callable[[None], Awaitable[None] | None]
log: Final = logging.getLogger("paycollect.cashier")

VENDORS: Final = {
    "postgresql": (
        "CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT)",
        "FOR UPDATE SKIP LOCKED",
    ),
    "sqlite": ("CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)", ""),
}
"""The databases that there are: how each tells the time, and skips a locked row."""
_NAME: Final = re.compile(r"(?<![\w:]):([a-z_]+)")
_ISOLATION: Final = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED"
_IDLE_LIMIT: Final = "SET LOCAL idle_in_transaction_session_timeout = '10min'"
"""Ends the transaction of a handler that waits for ever, should nothing else have ended it."""
_LOCK: Final = "UPDATE paycollect_schema SET id = id WHERE 1 = 0"
"""Has SQLite take the lock for writing first, with the time limit of the connection.

Django's BEGIN takes none by default; a transaction that reads before it writes then fails at once
where another one has written (SQLITE_BUSY_SNAPSHOT).
"""
_MARK: Final = "SAVEPOINT paycollect_handler"
_STILL_THERE: Final = "RELEASE SAVEPOINT paycollect_handler"

_atomic: Any = transaction.atomic  # which has two forms, that no checker tells apart
_in_use: set[str] = set()


def aliases_in_use() -> frozenset[str]:
    """Tell on which databases there are stores, for the system checks."""
    return frozenset(_in_use)


class DjangoStore:
    """Keeps orders in a database of Django's settings, in the transactions of `django.db`.

    Handlers are plain functions and take one value: whatever they do with models is in the
    transaction that marks the order, and `transaction.on_commit` works as everywhere. `intend`
    joins the caller's `atomic()`; its `tx` is None. Everything else commits by itself, and so must
    be called outside of `atomic()`, and in a view that is outside of ATOMIC_REQUESTS. In a
    `django.test.TestCase` it may be called as it is.

    The tables come from the migrations of "paycollect.cashier.django".

    Args:
        using: the alias of the database, PostgreSQL or SQLite, that your orders are in.

    Raises:
        TypeError, ValueError: the alias is none.

    """

    sync_handlers = True
    async_handlers = False
    passes_tx = False
    in_callers_thread = True
    """Where no event loop runs, every method ends without waiting for another thread."""

    def __init__(self, using: str = DEFAULT_DB_ALIAS) -> None:
        if not isinstance(using, str):
            raise TypeError(f"using: the alias of a database is needed, not {type(using).__name__}")
        if using not in set(connections):
            raise ValueError(f"using: settings.DATABASES has no {using!r}")
        self.using = using
        self.reach: Reach = reach_nothing
        self._dialect: Dialect | None = None
        self._now: Callable[[], int] | None = None
        self._texts: dict[str, str] = {}
        self._listeners = Listeners()
        self.listen: Callable[[Callable[[], None]], Callable[[], None]] = self._listeners.listen
        self.notify: Callable[[], None] = self._listeners.notify
        self._is_open = False
        _in_use.add(using)

    def __repr__(self) -> str:
        return f"DjangoStore({self.using!r})"

    def use_clock(self, now: Callable[[], int]) -> None:
        """Take the time from here, in milliseconds since 1970, in place of the database's clock."""
        self._now, self._dialect = now, None

    async def open(self) -> None:
        """Check the database and its tables.

        Raises:
            StoreError: it cannot be used; the text says what to do.
            StoreVersionError: its tables are of a version that this release cannot work with.

        """
        if not self._is_open:
            await self.run(check_version)
            self._is_open = True

    async def aclose(self) -> None:
        """Let go of the connection, which is Django's."""
        self._is_open = False

    async def run(
        self,
        steps: Callable[[], Steps[R]],
        *,
        reads: bool = False,
        alone: bool = False,  # noqa: ARG002  # `atomic()` costs little beside the thread's hop
    ) -> R:
        """Run a transaction of our own; see `Store.run`."""
        return await _in_its_thread(partial(self._run, steps, reads=reads))

    async def deliver(self, steps: Callable[[], Steps[R]], handler: Handler) -> R:
        """Run a transaction with a handler in it; see `Store.deliver`."""
        return await _in_its_thread(partial(self._run, steps, handler))

    async def join(self, tx: object, steps: Callable[[], Steps[R]]) -> R:
        """Run statements within the `atomic()` that the caller is in; `tx` is None.

        Raises:
            StoreError: the caller is in none on this database, or the database failed.
            TypeError: `tx` is neither None nor a connection of `django.db`.

        """
        return await _in_its_thread(partial(self._join, tx, steps))

    # --- in the thread of the connection

    def _run(
        self, steps: Callable[[], Steps[R]], handler: Handler | None = None, *, reads: bool = False
    ) -> R:
        """Run a transaction; once more if its connection turns out to have been dead before."""
        conn = connections[self.using]
        work = partial(self._read if reads else self._write, conn, steps, handler)
        was_connected = conn.connection is not None and not conn.in_atomic_block
        try:
            return work()
        except _DeadConnectionError:
            if not was_connected:
                raise
        conn.close()
        return work()

    def _read(self, conn: Any, steps: Callable[[], Steps[R]], _handler: object) -> R:
        def work() -> R:
            self._refuse_transaction(conn)
            return play(partial(self._execute, conn), steps(), self.reach)

        return self._told(conn, work, first=lambda: True)

    def _write(self, conn: Any, steps: Callable[[], Steps[R]], handler: Handler | None) -> R:
        passed: list[str] = []
        results: list[R] = []

        def work() -> None:
            self._refuse_transaction(conn)
            with _atomic(using=self.using, durable=True):
                self._begin(conn, handler)
                passed.append("begin")
                transaction.on_commit(lambda: passed.append("commit"), using=self.using)
                execute = partial(self._execute, conn, handler=handler)
                results.append(play(execute, steps(), self.reach))
                self.reach("commit:before")
                passed.append("end")

        try:
            self._told(conn, work, first=lambda: not passed, last=lambda: "end" in passed)
        except Exception as error:
            if "commit" not in passed:
                raise
            # What a handler gave to `transaction.on_commit` has failed: the order is delivered.
            log.error("a function given to transaction.on_commit failed: %s", _kind(error))  # noqa: TRY400  # a trace could show values
        self.reach("commit:after")
        return results[0]

    def _begin(self, conn: Any, handler: Handler | None) -> None:
        if conn.vendor == "sqlite":
            _ask(conn, _LOCK)
        elif not conn.savepoint_ids:  # else in the transaction of a test
            _ask(conn, _ISOLATION)
            if handler is not None:
                _ask(conn, _IDLE_LIMIT)

    def _join(self, tx: object, steps: Callable[[], Steps[R]]) -> R:
        conn = connections[self.using]
        alias = self.using if tx is None else getattr(tx, "alias", None)
        if alias is None:
            raise TypeError(f"tx: None or django.db.connection is needed, not {type(tx).__name__}")
        if alias != self.using or not conn.in_atomic_block:
            raise StoreError(
                f"tx: call this within transaction.atomic(using={self.using!r}), in the thread that"
                " is in it, so that the order and its intent are committed together"
            )
        return self._told(conn, lambda: play(partial(self._execute, conn), steps(), self.reach))

    def _execute(
        self, conn: Any, sql: str, args: Args, *, handler: Handler | None = None
    ) -> list[Row]:
        if sql == HANDLER:
            if handler is not None:
                self._handle(conn, handler)
            return []
        text, values = self._written(conn, sql, args)
        return _ask(conn, text, values)

    def _written(self, conn: Any, sql: str, args: Args) -> tuple[str, Args | None]:
        """Write a statement in the style of Django's cursors, `%(name)s`."""
        if self._dialect is None:
            self._dialect = Dialect(*VENDORS[conn.vendor])
            if self._now is not None:
                self._dialect.use_clock(self._now)
        text, values = self._dialect.write(sql, args)
        if not values:
            return text, None  # a cursor that is given no values leaves a % as it is
        written = self._texts.get(text)
        if written is None:
            written = self._texts[text] = _NAME.sub(r"%(\1)s", text.replace("%", "%%"))
        return written, values

    # --- the handler

    def _handle(self, conn: Any, handler: Handler) -> None:
        """Let the handler work on the connection; watch what it does to the transaction."""
        _ask(conn, _MARK)
        tried: list[str] = []
        try:
            with conn.execute_wrapper(partial(_refuse_end, tried)):
                handler(None)
        except HandlerFailedError as error:
            if tried or isinstance(error.__cause__, TransactionManagementError):
                raise BrokenHandlerError(_BROKEN) from None
            raise
        if conn.needs_rollback or not conn.in_atomic_block:
            raise BrokenHandlerError(_BROKEN)
        try:
            _ask(conn, _STILL_THERE)
        except Error:
            pass
        else:
            return
        raise BrokenHandlerError(_BROKEN)

    def around_outside(self, call: Callable[[], R]) -> Callable[[], R]:
        """Have a function that runs in a thread of its own find, and leave, connections as fresh.

        Nobody else would look after those of such a thread: one that the server has closed would
        fail for ever.
        """

        def called() -> R:
            close_old_connections()
            try:
                return call()
            finally:
                close_old_connections()

        return called

    # --- what can be wrong

    def _refuse_transaction(self, conn: Any) -> None:
        if conn.vendor not in VENDORS:
            raise StoreError(
                f"the database {self.using!r} is {conn.display_name}: PostgreSQL or SQLite is"
                " needed; give DjangoStore the alias of one"
            )
        if conn.in_atomic_block:
            if not conn.atomic_blocks[-1]._from_testcase:  # noqa: SLF001  # as durable=True does
                raise _InTransactionError(_IN_ATOMIC)
        elif not conn.get_autocommit():
            raise _InTransactionError(
                f"autocommit is off on the database {self.using!r}: the cashier must commit by"
                " itself; remove AUTOCOMMIT from its settings, or use transaction.atomic()"
            )

    def _told(
        self,
        conn: Any,
        work: Callable[[], R],
        *,
        first: Callable[[], bool] = lambda: False,
        last: Callable[[], bool] = lambda: False,
    ) -> R:
        """Tell errors of the database without their texts.

        `first` tells whether nothing had been done before, `last` whether it was at the commit.
        """
        before = conn.connection
        try:
            return work()
        except Error as error:
            lost = isinstance(error, OperationalError | InterfaceError)
            if lost and first() and _is_dead(conn, before):
                told: StoreError = _DeadConnectionError(
                    f"no connection to the database {self.using!r}: is it running, and are its"
                    " settings right?"
                )
            else:
                told = _explained(error, conn)
                if last() and lost:
                    told.outcome = Outcome.UNKNOWN
        raise told


class _DeadConnectionError(StoreError):
    """The connection was dead before anything was done on it."""


class _InTransactionError(StoreError):
    """The caller is in a transaction, in which nothing could be committed."""

    is_retryable = False


_IN_ATOMIC: Final = (
    "the cashier commits by itself, and so cannot be called within transaction.atomic(): call it"
    " after the block; mark a view as @transaction.non_atomic_requests where ATOMIC_REQUESTS is"
    " on; only intend() belongs into your transaction"
)
_BROKEN: Final = (
    "the handler has ended the transaction that it runs in: it must not commit, roll back or call"
    " set_rollback(), nor swallow a database error outside of an atomic() of its own; what it did"
    " may have been kept"
)


async def _in_its_thread(work: Callable[[], R]) -> R:
    if asyncio._get_running_loop() is None:  # noqa: SLF001  # exported, and does not raise
        return work()
    return await sync_to_async(work, thread_sensitive=True)()


def _ask(conn: Any, sql: str, values: Args | None = None) -> list[Row]:
    with conn.cursor() as cursor:
        cursor.execute(sql, values)
        return [] if cursor.description is None else list(cursor.fetchall())


def _refuse_end(
    tried: list[str], execute: Callable[..., object], sql: object, *rest: object
) -> object:
    """See each statement of a handler before it is run."""
    if ENDS_TRANSACTION.match(str(sql)):
        tried.append(str(sql)[:20])
        raise BrokenHandlerError(_BROKEN)
    return execute(sql, *rest)


def _is_dead(conn: Any, before: object) -> bool:
    """Tell whether a connection was lost; at the end of `atomic()` Django may have made another."""
    if conn.vendor == "sqlite":
        return False
    return (before is not None and conn.connection is not before) or not conn.is_usable()


def _kind(error: BaseException) -> str:
    return type(error).__name__


def _explained(error: Error, conn: Any) -> StoreError:
    """Say what happened to the database, by kind and SQLSTATE only."""
    cause = error.__cause__
    state = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    if state == "42P01" or str(cause).startswith("no such table"):
        return StoreError(
            f"the cashier's tables are missing: run manage.py migrate --database {conn.alias}"
        )
    if isinstance(cause, sqlite3.Error):
        return explain(cause, str(conn.settings_dict["NAME"]))
    code = f", SQLSTATE {state}" if state else ""
    return StoreError(f"the database {conn.alias!r} refused a statement: {_kind(error)}{code}")
