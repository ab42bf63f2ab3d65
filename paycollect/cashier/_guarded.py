"""The connection that handlers get: it does everything but end the transaction they run in.

Threat: a handler that commits, rolls back or detaches would commit its work without our mark, or
our mark without its work: delivered twice, or never.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Literal, NoReturn, Self

from paycollect.cashier.errors import BrokenHandlerError
from paycollect.cashier.store import Args, Row

_REFUSED = frozenset(
    {sqlite3.SQLITE_TRANSACTION, sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH},
)


class GuardedConnection(sqlite3.Connection):
    """A connection whose transaction is ours: a handler cannot end it."""

    _guards = False
    _tried = False
    _cursor: sqlite3.Cursor | None = None

    def run(self, sql: str, args: Args | Sequence[object] | None = None) -> list[Row]:
        """Run a statement of our own and read all its rows, by position."""
        cursor = self._cursor
        if cursor is None:
            cursor = self._cursor = sqlite3.Cursor(self)
            cursor.row_factory = None
        return cursor.execute(sql, args or {}).fetchall()

    def close_for_good(self) -> None:
        """Close; `close` is refused to handlers."""
        super().close()

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Deny what ends a transaction, and say so where a handler has tried and then failed.

        A handler that tries, is refused, and goes on, has done no harm.
        """
        self._guards, self._tried = True, False
        settings = self.row_factory, self.text_factory
        super().set_authorizer(self._authorize)
        try:
            yield
        except Exception as problem:
            if self._tried and not isinstance(problem, BrokenHandlerError):
                self._refuse("a statement that ends the transaction")
            raise
        finally:
            self._guards = False
            super().set_authorizer(None)
            self.row_factory, self.text_factory = settings

    def _authorize(
        self, action: int, _operation: str | None, name: str | None, *_: str | None
    ) -> int:
        ours = action == sqlite3.SQLITE_SAVEPOINT and (name or "").startswith("paycollect_")
        if ours or action in _REFUSED:
            self._tried = True
            return sqlite3.SQLITE_DENY
        return sqlite3.SQLITE_OK

    def _refuse(self, what: str) -> NoReturn:
        self._tried = True
        raise BrokenHandlerError(
            f"a handler must not use {what}: the cashier commits its work together with the mark"
            " that the order is delivered. Use SAVEPOINT to undo a part, or raise to undo all"
        )

    def commit(self) -> None:
        """Refuse: the cashier commits."""
        self._refuse("commit()")

    def rollback(self) -> None:
        """Refuse: to raise is what rolls back."""
        self._refuse("rollback()")

    def close(self) -> None:
        """Refuse: the connection is the store's."""
        self._refuse("close()")

    def __enter__(self) -> Self:
        self._refuse("`with tx:`, which commits")

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> Literal[False]:  # pragma: no cover  # __enter__ never returns
        return False

    def executescript(self, _script: str) -> sqlite3.Cursor:
        """Refuse: it commits before it begins."""
        self._refuse("executescript(), which commits first")

    def set_authorizer(self, *_: Any, **__: Any) -> None:
        """Refuse: it is in use."""
        self._refuse("set_authorizer()")
