"""SqliteStore: the cashier's tables, and the merchant's, in one SQLite file.

One thread writes, for all event loops of the process: see `_writer`.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from paycollect.cashier._guarded import GuardedConnection
from paycollect.cashier._writer import ADVICE, Handler, Job, Writer
from paycollect.cashier.errors import StoreError
from paycollect.cashier.store import (
    Args,
    Dialect,
    Listeners,
    Reach,
    Row,
    Steps,
    play,
    reach_nothing,
)

R = TypeVar("R")

OWN_LOCK_SECONDS: Final = 1.0
"""How long to wait for a lock that the caller itself may have, and so never lets go meanwhile."""
_NOW: Final = "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"


class SqliteStore:
    """Keeps the cashier's tables in a SQLite file, beside the merchant's own.

    Handlers are plain functions and get a `sqlite3.Connection` to that file, in the transaction
    that marks the order as fulfilled. It is slow to hand over only as long as the handlers are.

    Args:
        path: the file; it is made if it is not there. ":memory:" keeps all in memory, for tests.

    Raises:
        TypeError, ValueError: the path is none.

    """

    sync_handlers = True
    async_handlers = False
    passes_tx = True
    connection: type[GuardedConnection] = GuardedConnection

    def __init__(self, path: str | os.PathLike[str]) -> None:
        if not isinstance(path, str | os.PathLike):
            raise TypeError(f"path: a str or a path is needed, not {type(path).__name__}")
        self.path: str = os.fspath(path)
        if not self.path or "\0" in self.path:
            raise ValueError("path: the name of a file is needed")
        self.reach: Reach = reach_nothing
        self._dialect = Dialect(_NOW, "")
        self._listeners = Listeners()
        self.listen: Callable[[Callable[[], None]], Callable[[], None]] = self._listeners.listen
        self.notify: Callable[[], None] = self._listeners.notify
        self._locks: dict[int, threading.Lock] = {}
        """By process: one that was held at a fork would stay so in the child."""
        self._thread: Writer | None = None

    def __repr__(self) -> str:
        return f"<SqliteStore {self.path!r}>"

    def use_clock(self, now: Callable[[], int]) -> None:
        """Take the time from here, in milliseconds since 1970, in place of SQLite's."""
        self._dialect.use_clock(now)

    async def open(self) -> None:
        """Connect, and make or check the tables; harmless when open.

        Raises:
            StoreError: the file cannot be used; the text says what to do.

        """
        writer = self._writer()
        try:
            if not writer.opened.done():  # where it is, no event loop is needed: see `join`
                await asyncio.shield(asyncio.wrap_future(writer.opened))
            writer.opened.result()
        except StoreError:
            self._forget(writer)
            raise

    async def aclose(self) -> None:
        """Finish what was asked for, and close the file; harmless when closed."""
        writer, self._thread = self._thread, None
        if writer is not None and writer.process == os.getpid():
            await asyncio.shield(asyncio.to_thread(writer.close))

    async def run(
        self, steps: Callable[[], Steps[R]], *, reads: bool = False, alone: bool = False
    ) -> R:
        """Run a transaction of our own; see `Store.run`."""
        job = Job(steps, alone=alone)
        return await self._writer().add(job, "reads" if reads else "own")

    async def deliver(self, steps: Callable[[], Steps[R]], handler: Handler) -> R:
        """Run a transaction with a handler in it; see `Store.deliver`."""
        return await self._writer().add(Job(steps, handler), "guests")

    async def join(self, tx: sqlite3.Connection, steps: Callable[[], Steps[R]]) -> R:
        """Run statements within the merchant's own transaction; see `Store.join`."""
        if not isinstance(tx, GuardedConnection):  # a handler's, which is ours, and on our thread
            await self._open_beside(tx)
            self._check_same_file(tx)
        cursor = tx.cursor()
        cursor.row_factory = None  # the merchant's may not be readable by position
        return play(self._executor(cursor), steps())

    async def _open_beside(self, tx: object) -> None:
        """Open for a caller who may be in a transaction: each would wait for the other to end."""
        opened = self._writer().opened
        is_open = opened.done() and opened.exception() is None  # then no event loop is needed
        if is_open or not isinstance(tx, sqlite3.Connection) or not tx.in_transaction:
            await self.open()
            return
        self._check_same_file(tx)
        try:
            async with asyncio.timeout(OWN_LOCK_SECONDS):
                await self.open()
            tx.execute("SELECT 1 FROM paycollect_schema")  # not in what it began to read before
        except (TimeoutError, sqlite3.OperationalError):
            pass
        except StoreError as problem:
            if ADVICE["SQLITE_BUSY"] not in str(problem):
                raise
        else:
            return
        raise StoreError(
            f"SQLite file {self.path!r}: the cashier is not open, and cannot be opened while your"
            " own transaction is under way: roll it back, and enter the cashier before you begin"
        )

    def _pass(self, point: str) -> None:
        self.reach(point)  # which is set from outside, at any time

    def _executor(self, cursor: sqlite3.Cursor) -> Callable[[str, Args], list[Row]]:
        def execute(sql: str, args: Args) -> list[Row]:
            text, values = self._dialect.write(sql, args)
            return cursor.execute(text, values).fetchall()

        return execute

    def _check_same_file(self, tx: object) -> None:
        if not isinstance(tx, sqlite3.Connection):
            raise TypeError(f"tx: a sqlite3.Connection is needed, not {type(tx).__name__}")
        files = {row[1]: row[2] for row in tx.execute("PRAGMA database_list").fetchall()}
        name = files.get("main") or ""
        if not name or not Path(self.path).exists() or not Path(name).samefile(self.path):
            raise StoreError(
                f"tx: a connection to {self.path!r} is needed, as the intent and your order must be"
                " in one transaction"
            )

    def _lock(self) -> threading.Lock:
        return self._locks.setdefault(os.getpid(), threading.Lock())

    def _writer(self) -> Writer:
        writer = self._thread
        if writer is not None and writer.serves():
            return writer
        with self._lock():
            writer = self._thread
            if writer is None or not writer.serves():
                writer = self._thread = Writer(
                    self.path, self._dialect, self.connection, self._pass
                )
                writer.start()
            return writer

    def _forget(self, writer: Writer) -> None:
        with self._lock():
            if self._thread is writer:
                self._thread = None
