"""A store for async handlers, as one on an async driver is: one connection, one transaction."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from typing import TypeVar

from paycollect.cashier import schema
from paycollect.cashier.errors import BrokenHandlerError
from paycollect.cashier.store import (
    HANDLER,
    Args,
    Dialect,
    Listeners,
    Reach,
    Row,
    Steps,
    play,
    play_async,
    reach_nothing,
)
from paycollect.cashier.transactions.settings import check_version

R = TypeVar("R")


class AsyncStore:
    """Keeps the tables in memory, under a prefix of its own, and awaits its handlers."""

    sync_handlers = False
    async_handlers = True
    passes_tx = True

    def __init__(self) -> None:
        self.reach: Reach = reach_nothing
        self.db = sqlite3.connect(":memory:", isolation_level=None)
        self.dialect = Dialect("CAST(strftime('%s') AS INTEGER) * 1000", "", "mine_")
        self.listeners = Listeners()
        self.listen, self.notify = self.listeners.listen, self.listeners.notify
        self.use_clock = self.dialect.use_clock
        self.lock = asyncio.Lock()

    async def open(self) -> None:
        """Make the tables."""
        for statement in schema.statements("mine_"):
            self.db.execute(statement)
        play(self.execute, check_version())

    async def aclose(self) -> None:
        """Close."""
        self.db.close()

    def execute(self, sql: str, args: Args) -> list[Row]:
        """Run a statement."""
        text, values = self.dialect.write(sql, args)
        return self.db.execute(text, values).fetchall()

    async def run(
        self, steps: Callable[[], Steps[R]], *, reads: bool = False, alone: bool = False
    ) -> R:
        """Run a transaction of our own."""
        return await self.deliver(steps, lambda _: None)

    async def deliver(
        self,
        steps: Callable[[], Steps[R]],
        handler: Callable[[sqlite3.Connection], Awaitable[None] | None],
    ) -> R:
        """Run a transaction with a handler in it."""

        async def execute(sql: str, args: Args) -> list[Row]:
            if sql is not HANDLER:
                return self.execute(sql, args)
            given = handler(self.db)
            if given is not None:
                await given
            return []

        async with self.lock:
            self.db.execute("BEGIN")
            try:
                result = await play_async(execute, steps(), self.reach)
            except BaseException:
                self.db.execute("ROLLBACK")
                raise
            self.db.execute("COMMIT")
            return result

    async def join(self, tx: sqlite3.Connection, steps: Callable[[], Steps[R]]) -> R:
        """Run statements in the merchant's transaction."""
        if tx is not self.db:
            raise BrokenHandlerError("another connection")
        return play(self.execute, steps(), self.reach)
