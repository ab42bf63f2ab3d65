"""A store for many machines: PostgreSQL, or SQLite, through SQLAlchemy's asyncio engine.

    store = SqlAlchemyStore(async_sessionmaker(engine))   # handlers are given an AsyncSession
    store = SqlAlchemyStore(engine)                       # handlers are given an AsyncConnection

Invariants: a handler works on the connection that marks the order, and can neither commit nor roll
back what is not its own; a session that is lent to `join` is never committed, flushed or rolled
back; no text of SQLAlchemy's errors leaves, as it shows the parameters.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, Final, Generic, TypeVar, cast, overload

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    MetaData,
    Table,
    Text,
    TextClause,
    event,
    exc,
    text,
)
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, async_sessionmaker

from paycollect.cashier import schema
from paycollect.cashier._grouping import Grouping
from paycollect.cashier.errors import BrokenHandlerError, StoreError
from paycollect.cashier.store import (
    ENDS_TRANSACTION,
    HANDLER,
    Args,
    Dialect,
    Listeners,
    Reach,
    Row,
    Steps,
    play_together,
    point_of,
    reach_nothing,
)
from paycollect.cashier.transactions.settings import check_version
from paycollect.errors import Outcome

R = TypeVar("R")
T = TypeVar("T")
Tx = TypeVar("Tx", AsyncSession, AsyncConnection)

_NOW: Final = {
    "postgresql": "CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT)",
    "sqlite": "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)",
}
_SKIP: Final = {"postgresql": "FOR UPDATE SKIP LOCKED", "sqlite": ""}
_IDLE_LIMIT: Final = text("SET LOCAL idle_in_transaction_session_timeout = '10min'")
"""Ends the transaction of a handler that waits for ever, should nothing else have ended it."""
_IMMEDIATE_NEEDED: Final = (
    "SQLite through SQLAlchemy needs its transactions begun with BEGIN IMMEDIATE, as by default a"
    " SAVEPOINT's rows survive the rollback around it. Add both listeners of"
    " paycollect.cashier.sqlalchemy.immediate(engine) before the first connection, or use"
    " SqliteStore"
)
_IN_HANDLER: Final = "paycollect_in_handler"


class SqlAlchemyStore(Generic[Tx]):
    """Keeps orders where the merchant's own tables are, for any number of processes and machines.

    The engine is lent: who made it disposes of it.

    Args:
        bind: an `async_sessionmaker` (handlers are given an AsyncSession), or an `AsyncEngine`
            (handlers are given an AsyncConnection); of PostgreSQL (asyncpg or psycopg) or SQLite.
        schema: the database schema that the tables are in; None: where the search path leads.
        prefix: what the tables' names begin with.
        create_tables: whether `open` makes the tables that are missing; with False they come from
            the merchant's migrations (`add_tables`).

    Raises:
        TypeError: `bind` is neither, or the sessionmaker has no engine.
        StoreError: a database that is not supported.

    """

    sync_handlers = True
    async_handlers = True
    passes_tx = True

    @overload
    def __init__(
        self: SqlAlchemyStore[AsyncSession],
        bind: async_sessionmaker[AsyncSession],
        *,
        schema: str | None = None,
        prefix: str = schema.PREFIX,
        create_tables: bool = True,
    ) -> None: ...

    @overload
    def __init__(
        self: SqlAlchemyStore[AsyncConnection],
        bind: AsyncEngine,
        *,
        schema: str | None = None,
        prefix: str = schema.PREFIX,
        create_tables: bool = True,
    ) -> None: ...

    def __init__(
        self,
        bind: async_sessionmaker[AsyncSession] | AsyncEngine,
        *,
        schema: str | None = None,
        prefix: str = schema.PREFIX,
        create_tables: bool = True,
    ) -> None:
        self.reach: Reach = reach_nothing
        self._sessions = bind if isinstance(bind, async_sessionmaker) else None
        engine = _engine_of(bind)
        name = engine.dialect.name
        if name not in _NOW:
            raise StoreError(
                f"SqlAlchemyStore works with PostgreSQL and SQLite, not with {name}: the cashier"
                " needs UPDATE ... RETURNING and rows that can be skipped while they are locked"
            )
        self._is_sqlite = name == "sqlite"
        # SQLite has one level, and its driver's autocommit mode would end the listeners' work.
        self._engine = engine if self._is_sqlite else _at(engine, "READ COMMITTED")
        self._alone = engine if self._is_sqlite else _at(engine, "AUTOCOMMIT")
        full = prefix if schema is None else f"{schema}.{prefix}"
        self._dialect = Dialect(_NOW[name], _SKIP[name], full)
        self._metadata = MetaData()
        add_tables(self._metadata, schema=schema, prefix=prefix)
        self._creates = create_tables
        self._texts: dict[str, TextClause] = {}
        self._listeners = Listeners()
        self._grouping = Grouping(partial(self._twice, alone=True), self._group)
        self._is_open = False
        for name, listener in (("commit", _refuse_end), ("before_cursor_execute", _refuse_text)):
            if not event.contains(engine.sync_engine, name, listener):
                event.listen(engine.sync_engine, name, listener)

    def __repr__(self) -> str:
        return f"SqlAlchemyStore({self._engine.dialect.name})"

    async def open(self) -> None:
        """Check the database, and make the tables that are missing, if that is wanted.

        Raises:
            StoreError: it cannot be reached, or SQLite's transactions are not as they must be.
            StoreVersionError: its tables are of a version that this release cannot work with.

        """
        if self._is_open:
            return
        if self._is_sqlite:
            await self._check_sqlite()
        if self._creates:
            await self._create()
        await self.run(check_version)
        self._is_open = True

    async def aclose(self) -> None:
        """Let go of the engine, which stays open: it is lent."""
        self._is_open = False

    def use_clock(self, now: Callable[[], int]) -> None:
        """Take the time from here, in milliseconds since 1970, in place of the database's clock."""
        self._dialect.use_clock(now)

    def listen(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Have a function called when there may be work; other processes are seen by polling."""
        return self._listeners.listen(wake)

    def notify(self) -> None:
        """Call whoever listens in this process."""
        self._listeners.notify()

    async def run(
        self, steps: Callable[[], Steps[R]], *, reads: bool = False, alone: bool = False
    ) -> R:
        """Run a short transaction of the cashier's own; once more if its connection was dead.

        Args:
            steps: makes the generator.
            reads: it only reads.
            alone: it is one statement, which needs no transaction around it.

        Raises:
            StoreError: the database failed; nothing was done, or `outcome` is UNKNOWN.

        """
        if self._is_sqlite or not (reads or alone):
            return await self._twice(steps)
        return await (self._twice(steps, alone=True) if reads else self._grouping.run(steps))

    async def deliver(
        self, steps: Callable[[], Steps[R]], handler: Callable[[Tx], Awaitable[None] | None]
    ) -> R:
        """Run a transaction with a handler in it, alone, and commit if neither has failed.

        Raises:
            BrokenHandlerError: the handler has ended the transaction.
            StoreError: the database failed.
            Exception: whatever the handler raised; everything is rolled back.

        """

        async def handle(conn: AsyncConnection) -> None:
            if not self._is_sqlite:
                await self._ask(conn.execute(_IDLE_LIMIT))
            await self._handle(conn, handler)

        return await self._run(steps(), handle=handle)

    async def join(self, tx: Tx, steps: Callable[[], Steps[R]]) -> R:
        """Run statements within the merchant's transaction; commit, flush and roll back nothing.

        Raises:
            StoreError: `tx` is not a transaction of this store's database, or the database failed.
            TypeError: `tx` is no AsyncSession or AsyncConnection.

        """
        lent: object = tx
        conn = await self._ask(lent.connection()) if isinstance(lent, AsyncSession) else lent
        if not isinstance(conn, AsyncConnection):
            raise TypeError(
                f"tx: an AsyncSession or AsyncConnection is needed, not {type(tx).__name__}"
            )
        if _place(conn.engine) != _place(self._engine):
            raise StoreError(
                "tx: it is of another database than the cashier's store: the order and its intent"
                " would not be committed together"
            )
        return await self._play(conn, steps(), None)

    # --- one transaction --------------------------------------------------------------------------

    async def _twice(self, steps: Callable[[], Steps[R]], *, alone: bool = False) -> R:
        try:
            return await self._run(steps(), alone=alone)
        except _DeadConnectionError:
            pass  # the pool gave one that the server had closed; the rest of them are gone, too
        return await self._run(steps(), alone=alone)

    async def _group(self, group: Sequence[Callable[[], Steps[Any]]]) -> list[Any]:
        """Run transactions of one statement each as one."""
        async with self._connected(self._engine) as conn:
            await self._ask(conn.begin().start())
            results = await conn.run_sync(self._play_group, group)
            self.reach("commit:before")
            await self._ask(_to_the_end(conn.commit()), Outcome.UNKNOWN)
            self.reach("commit:after")
            return results

    def _play_group(self, conn: Connection, group: Sequence[Callable[[], Steps[Any]]]) -> list[Any]:
        return play_together(lambda sql, rows: self._execute(conn, sql, *rows), group, self.reach)

    async def _run(
        self,
        steps: Steps[R],
        *,
        alone: bool = False,
        handle: Callable[[AsyncConnection], Awaitable[None]] | None = None,
    ) -> R:
        async with self._connected(self._alone if alone else self._engine) as conn:
            if alone:
                return await self._play(conn, steps, None, Outcome.UNKNOWN)
            await self._whole(conn.begin().start())
            result = await self._play(conn, steps, handle)
            self.reach("commit:before")
            await self._ask(_to_the_end(conn.commit()), Outcome.UNKNOWN)
            self.reach("commit:after")
            return result

    @asynccontextmanager
    async def _connected(self, engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
        conn = engine.connect()
        try:
            # Who is cancelled here has a connection all the same, which must go back.
            await self._ask(_to_the_end(conn.start()))
            yield conn
        finally:
            # What was not committed is rolled back by this. The connection may be dead.
            with suppress(StoreError):
                await self._ask(_to_the_end(conn.close()))

    async def _whole(self, work: Awaitable[T]) -> T:
        """Await SQLite to its end even if cancelled: its thread would begin later, unseen."""
        return await self._ask(_to_the_end(work) if self._is_sqlite else work)

    async def _play(
        self,
        conn: AsyncConnection,
        steps: Steps[R],
        handle: Callable[[AsyncConnection], Awaitable[None]] | None,
        outcome: Outcome = Outcome.NOT_SENT,
    ) -> R:
        """Run the statements; a connection that turns out to be dead at the first is told apart."""
        to_handler = partial(self._advance, steps=steps, outcome=outcome)
        ended, result = await conn.run_sync(to_handler, rows=None, dead=handle is None)
        while not ended:
            if handle is not None:
                await handle(conn)
            ended, result = await conn.run_sync(to_handler, rows=[])
        return cast("R", result)

    def _advance(
        self,
        conn: Connection,
        *,
        steps: Steps[R],
        outcome: Outcome,
        rows: list[Row] | None,
        dead: bool = False,
    ) -> tuple[bool, R | None]:
        """Run statements up to a handler, or to the end: in one go, as each switch costs time."""
        while True:
            try:
                sql, args = next(steps) if rows is None else steps.send(rows)
            except StopIteration as end:
                return True, end.value
            if sql == HANDLER:
                return False, None
            if self.reach is not reach_nothing:
                self.reach(point_of(steps))
            try:
                rows = self._execute(conn, sql, args)
            except Exception as error:  # noqa: BLE001  as in `_ask`
                failed = _told(error, dead=dead and rows is None)
            else:
                continue
            failed.outcome = outcome
            raise failed

    def _execute(self, conn: Connection, sql: str, *args: Args) -> list[Row]:
        written, given = "", []
        for each in args:
            written, values = self._dialect.write(sql, each)
            given.append(dict(values))
        clause = self._texts.get(written)
        if clause is None:
            clause = self._texts[written] = text(written)
        result = conn.execute(clause, given if len(given) > 1 else given[0])
        return cast("list[Row]", result.all()) if result.returns_rows else []

    async def _handle(
        self, conn: AsyncConnection, handler: Callable[[Tx], Awaitable[None] | None]
    ) -> None:
        """Let the handler work on the connection; watch what it does to the transaction."""
        connection = cast("Connection", conn.sync_connection)
        info, ours = connection.info, connection.get_transaction()
        info[_IN_HANDLER] = True
        given: Any = conn
        try:
            if self._sessions is None:
                await _called(handler, given)
            else:
                # Under "create_savepoint" a rollback by the handler would leave our mark committed.
                given = self._sessions(bind=conn, join_transaction_mode="rollback_only")
                try:
                    await given.connection()  # a rollback before any work must be ours, too
                    await _called(handler, given)
                    if ours is not None and ours.is_active:
                        await given.commit()  # which only flushes in this mode
                finally:
                    await _to_the_end(given.close())
        except BrokenHandlerError:
            pass  # raised by our own listeners: told below
        finally:
            broke = info.pop(_IN_HANDLER, None) is not True
        if broke or ours is None or not ours.is_active:
            # A refused commit leaves the database's transaction open and SQLAlchemy's closed: such
            # a connection must not go back to the pool.
            await self._ask(_to_the_end(conn.invalidate()))
            raise BrokenHandlerError(_BROKEN)

    async def _ask(self, work: Awaitable[T], outcome: Outcome = Outcome.NOT_SENT) -> T:
        """Await the database; its errors are told without their texts, which show parameters."""
        try:
            return await work
        except Exception as error:  # noqa: BLE001  drivers raise of their own kinds while connecting
            failed = _told(error)
        failed.outcome = outcome
        raise failed

    # --- tables -----------------------------------------------------------------------------------

    async def _create(self) -> None:
        """Make the missing tables; another process may do so at the same moment."""
        try:
            await self._create_once()
        except StoreError:
            pass
        else:
            return
        await self._create_once()

    async def _create_once(self) -> None:
        async with self._connected(self._engine) as conn:
            await self._ask(conn.run_sync(self._metadata.create_all))
            await self._ask(_to_the_end(conn.commit()))

    async def _check_sqlite(self) -> None:
        """Refuse the driver's default mode: see `immediate`."""
        async with self._connected(self._engine) as conn:
            await self._ask(_to_the_end(conn.begin().start()))
            raw = await self._ask(conn.get_raw_connection())
            begun = raw.driver_connection is not None and raw.driver_connection.in_transaction
        if not begun:
            raise StoreError(_IMMEDIATE_NEEDED)


_BROKEN: Final = (
    "the handler has ended the transaction that it runs in: it must neither commit nor roll it"
    " back; session.commit() only flushes here, and session.begin_nested() is at its service"
)


class _DeadConnectionError(StoreError):
    """The connection was dead before anything was done on it."""


def immediate(engine: AsyncEngine) -> AsyncEngine:
    """Have an engine of SQLite begin its transactions with BEGIN IMMEDIATE; gives the engine.

    SQLAlchemy's default leaves BEGIN to the driver, which begins late: a SAVEPOINT's rows then
    survive the rollback around it, and a transaction that reads before it writes can fail at once
    (SQLITE_BUSY_SNAPSHOT). Call this before the first connection is made.
    """

    @event.listens_for(engine.sync_engine, "connect")
    def leave_begin_to_us(connection: Any, _: object) -> None:
        connection.isolation_level = None

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def add_tables(
    metadata: MetaData, *, schema: str | None = None, prefix: str = schema.PREFIX
) -> None:
    """Add the cashier's tables to the merchant's metadata, so that Alembic makes them.

    Args:
        metadata: such as `Base.metadata`.
        schema: the database schema that they are in.
        prefix: what their names begin with.

    """
    for table in _tables():
        made = Table(
            prefix + table.name,
            metadata,
            *(
                Column(
                    column.name,
                    BigInteger() if column.type == "BIGINT" else Text(),
                    primary_key=column is table.columns[0],
                    nullable=column.default is None,
                    server_default=None if column.default is None else text(column.default),
                    autoincrement=False,
                )
                for column in table.columns
            ),
            schema=schema,
        )
        for index in table.indexes:
            where = text(index.where) if index.where else None
            Index(
                prefix + index.name,
                *(made.c[name.strip()] for name in index.columns.split(",")),
                postgresql_where=where,
                sqlite_where=where,
            )


def _tables() -> tuple[schema.Table, ...]:
    return schema.TABLES


def _engine_of(bind: object) -> AsyncEngine:
    engine = bind.kw.get("bind") if isinstance(bind, async_sessionmaker) else bind
    if isinstance(engine, AsyncEngine):
        return engine
    if isinstance(bind, async_sessionmaker):
        raise TypeError("bind: give the async_sessionmaker one AsyncEngine as its bind")
    raise TypeError(
        f"bind: an async_sessionmaker or AsyncEngine is needed, not {type(bind).__name__}"
    )


def _at(engine: AsyncEngine, level: str) -> AsyncEngine:
    return engine.execution_options(isolation_level=level)


def _place(engine: AsyncEngine) -> tuple[object, ...]:
    url = engine.url
    return (url.get_backend_name(), url.host, url.port, url.database)


async def _called(handler: Callable[[Tx], Awaitable[None] | None], tx: Tx) -> None:
    answer = handler(tx)
    if inspect.isawaitable(answer):
        await answer


async def _to_the_end(work: Coroutine[Any, Any, T] | Awaitable[T]) -> T:
    """Await something that a cancellation must not leave half done; it ends the wait afterwards."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        with suppress(asyncio.CancelledError):
            task.exception()  # it was seen: the cancellation is what is told
        raise


def _told(error: Exception, *, dead: bool = False) -> StoreError:
    """Say what happened to the database, by kind and SQLSTATE only."""
    if isinstance(error, exc.DBAPIError):
        if error.connection_invalidated:
            kind = _DeadConnectionError if dead else StoreError
            return kind("the connection to the database was lost: it is made anew at the next try")
        state = getattr(error.orig, "sqlstate", None)
        code = "" if state is None else f", SQLSTATE {state}"
        hint = ""
        if state == "42P01":
            hint = ": its tables are missing: make them with `paycollect cashier schema`"
        return StoreError(f"the database refused a statement: {type(error).__name__}{code}{hint}")
    if isinstance(error, exc.TimeoutError):
        return StoreError(
            "no connection to the database was free in time: make the engine's pool larger, or end"
            " what holds its connections"
        )
    return StoreError(
        f"the database could not be reached: {type(error).__name__}: is it running, and is the"
        " address of the engine right?"
    )


def _refuse_end(connection: Connection) -> None:
    if connection.info.get(_IN_HANDLER):
        connection.info[_IN_HANDLER] = "broken"
        raise BrokenHandlerError(_BROKEN)


def _refuse_text(connection: Connection, _cursor: object, statement: str, *_rest: object) -> None:
    if connection.info.get(_IN_HANDLER) and ENDS_TRANSACTION.match(statement):
        connection.info[_IN_HANDLER] = "broken"
        raise BrokenHandlerError(_BROKEN)
