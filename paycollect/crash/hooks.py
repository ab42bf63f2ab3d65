"""The points within a handler: its statements, before each of which its process can die.

A store's own statements are points by `store.reach`. For those of a handler, the connection that
it is given is made to tell; so no line of this is there in production.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from paycollect.cashier import Handlers, SqliteStore
from paycollect.cashier._guarded import GuardedConnection
from paycollect.cashier.handlers import TRANSACTIONAL
from paycollect.cashier.store import Reach
from paycollect.crash.world import inside


class _TellingCursor(sqlite3.Cursor):
    def execute(self, *args: Any) -> Any:
        self.connection.told()  # type: ignore[attr-defined]  # made by the connection below
        return super().execute(*args)

    def executemany(self, *args: Any) -> Any:
        self.connection.told()  # type: ignore[attr-defined]  # as above
        return super().executemany(*args)


class _TellingConnection(GuardedConnection):
    """Tells of each statement of a handler; the store's own run past this."""

    told: Callable[[], None]

    def cursor(self, factory: Any = _TellingCursor) -> Any:
        """Make a cursor whose statements are told."""
        return super().cursor(factory)

    def execute(self, *args: Any) -> Any:
        """Run a statement by a cursor that tells of it."""
        return self.cursor().execute(*args)

    def executemany(self, *args: Any) -> Any:
        """Run a statement many times by a cursor that tells of it."""
        return self.cursor().executemany(*args)


def watch_statements(store: Any, told: Callable[[], None]) -> Callable[[], None]:
    """Have a function called before each statement of a handler; gives what ends that."""
    if isinstance(store, SqliteStore):
        store.connection = type("Telling", (_TellingConnection,), {"told": staticmethod(told)})
        return _nothing
    alchemy = sys.modules.get("sqlalchemy")
    engine = getattr(getattr(store, "_engine", None), "sync_engine", None)
    if alchemy is None or engine is None:
        return _nothing

    def tell(*_: object) -> None:
        if inside.get() in TRANSACTIONAL:
            told()

    alchemy.event.listen(engine, "before_cursor_execute", tell)
    return partial(alchemy.event.remove, engine, "before_cursor_execute", tell)


def _nothing() -> None:
    pass


class WatchedHandlers(Handlers[Any]):
    """A merchant's handlers; what they are called with is told."""

    def __init__(self, handlers: Handlers[Any], told: Callable[[str, Any], None]) -> None:
        self.__dict__.update(handlers.__dict__)
        self._told = told

    def call(self, kind: str, tx: Any, value: object, reach: Reach, *, awaits: bool = True) -> Any:
        """Call a handler, and tell about it."""
        self._told(kind, value)
        return super().call(kind, tx, value, reach, awaits=awaits)
