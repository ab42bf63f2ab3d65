"""SqlAlchemyStore on real databases: what commits together, and what a handler cannot break."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import MetaData, String, text
from sqlalchemy import inspect as look_at
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from paycollect import cashier
from paycollect.cashier import schema
from paycollect.cashier.errors import BrokenHandlerError, StoreError, StoreVersionError
from paycollect.cashier.sqlalchemy import SqlAlchemyStore, add_tables, immediate
from paycollect.cashier.store import HANDLER, Steps, reach_nothing
from paycollect.cashier.transactions import claims, intents
from tests.cashier.postgres import DRIVERS, Postgres, find_server, fresh_schema, private_server

pytestmark = pytest.mark.greenlets
Handler = Callable[[Any], Awaitable[None] | None]


class Base(DeclarativeBase):
    """The merchant's own tables."""


class Shipment(Base):
    """A delivery of the merchant's."""

    __tablename__ = "shipment"

    order_id: Mapped[str] = mapped_column(String, primary_key=True)


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    """A schema of the test's own."""
    url = find_server()
    if isinstance(url, str):
        pytest.skip(url)
    with fresh_schema(url) as found:
        yield found


@pytest.fixture(params=[*DRIVERS, "aiosqlite"])
async def engine(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    """Each driver on its database, with the merchant's table."""
    if request.param == "aiosqlite":
        made = immediate(create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'shop.db'}"))
    else:
        made = request.getfixturevalue("postgres").engine(request.param)
    async with made.begin() as conn:
        await conn.run_sync(Base.metadata.create_all)
    yield made
    await made.dispose()


@pytest.fixture
async def store(engine: AsyncEngine) -> SqlAlchemyStore[AsyncSession]:
    """A store that gives its handlers a session."""
    made = SqlAlchemyStore(async_sessionmaker(engine))
    await made.open()
    return made


@pytest.fixture
async def bare(engine: AsyncEngine) -> SqlAlchemyStore[AsyncConnection]:
    """A store that gives its handlers a connection."""
    made = SqlAlchemyStore(engine)
    await made.open()
    return made


def intent(order_id: str = "INV-1") -> Callable[[], Steps[Any]]:
    """Intend an order of 25 USD."""
    return lambda: intents.intend(order_id, "25.00", "USD", "{}")


def shipped(order_id: str = "INV-1") -> Callable[[], Steps[None]]:
    """Mark an order, and let the handler work in between."""

    def steps() -> Steps[None]:
        yield (
            "UPDATE paycollect_order SET state = 'fulfilled' WHERE order_id = :o",
            {"o": order_id},
        )
        yield HANDLER, {}
        rows = yield (
            "SELECT order_id FROM paycollect_order WHERE order_id = :o AND state = 'fulfilled'",
            {"o": order_id},
        )
        assert rows

    return steps


async def marked_and_shipped(store: SqlAlchemyStore[Any], engine: AsyncEngine) -> tuple[bool, int]:
    """Tell whether INV-1 is marked as fulfilled, and how often it was shipped."""
    order = await store.run(lambda: intents.read("INV-1"), reads=True)
    async with engine.connect() as conn:
        count = await conn.scalar(text("SELECT count(*) FROM shipment"))
    return order is not None and order.state == "fulfilled", int(count or 0)


async def test_opens_twice_and_closes(store: SqlAlchemyStore[AsyncSession]) -> None:
    """Opening again changes nothing, and the lent engine serves on after the store was closed."""
    await store.open()
    await store.run(intent())
    await store.aclose()
    assert await store.run(lambda: intents.read("INV-1"), reads=True)
    assert repr(store).startswith("SqlAlchemyStore(")


async def test_two_processes_make_the_tables_at_once(postgres: Postgres) -> None:
    """CREATE TABLE IF NOT EXISTS can fail on PostgreSQL when two do it at the same moment."""
    engines = [postgres.engine() for _ in range(4)]
    await asyncio.gather(*(SqlAlchemyStore(engine).open() for engine in engines))
    for engine in engines:
        await engine.dispose()


async def test_tables_of_a_newer_release_are_refused(engine: AsyncEngine) -> None:
    """The error says which version is there and what to do."""
    await SqlAlchemyStore(engine).open()
    async with engine.begin() as conn:
        await conn.execute(text("UPDATE paycollect_schema SET version = 99, min_compatible = 99"))
    with pytest.raises(StoreVersionError, match=r"version 99.*install a newer release"):
        await SqlAlchemyStore(engine).open()


async def test_missing_tables_are_told(postgres: Postgres) -> None:
    """With create_tables=False the tables come from migrations; where they do not, it is said."""
    engine = postgres.engine()
    store = SqlAlchemyStore(engine, create_tables=False)
    with pytest.raises(StoreError, match=r"tables are missing.*paycollect cashier schema"):
        await store.open()
    await engine.dispose()


async def test_a_schema_and_a_prefix(postgres: Postgres) -> None:
    """The tables can be where the merchant wants them, under another name."""
    engine = postgres.engine()
    store = SqlAlchemyStore(engine, schema=postgres.schema, prefix="till_")
    await store.open()
    await store.run(intent())
    assert await postgres.ask("SELECT order_id FROM till_order") == [("INV-1",)]
    await engine.dispose()


async def test_metadata_for_migrations_is_the_same(engine: AsyncEngine) -> None:
    """What Alembic would make is what the store makes: tables, columns, types, indexes."""
    metadata = MetaData()
    add_tables(metadata)
    assert {name.removeprefix("paycollect_") for name in metadata.tables} == {
        table.name for table in schema.TABLES
    }
    await SqlAlchemyStore(engine).open()
    async with engine.connect() as conn:
        made = await conn.run_sync(
            lambda sync: {
                table.name: {index["name"] for index in look_at(sync).get_indexes(table.name)}
                for table in metadata.tables.values()
            }
        )
    assert made == {
        table.name: {index.name for index in table.indexes} for table in metadata.tables.values()
    }


async def test_a_transaction_that_fails_leaves_nothing(
    store: SqlAlchemyStore[AsyncSession],
) -> None:
    """All statements of a transaction, or none."""

    def steps() -> Steps[None]:
        yield from intents.intend("INV-1", "25.00", "USD", "{}")
        raise LookupError("no")

    with pytest.raises(LookupError):
        await store.run(steps)
    assert await store.run(lambda: intents.read("INV-1"), reads=True) is None


async def test_handler_and_mark_commit_together(
    store: SqlAlchemyStore[AsyncSession], engine: AsyncEngine
) -> None:
    """What the handler adds is there with the mark; it need not flush or commit."""
    await store.run(intent())

    def handler(session: AsyncSession) -> None:
        session.add(Shipment(order_id="INV-1"))

    await store.deliver(shipped(), handler)
    assert await marked_and_shipped(store, engine) == (True, 1)


async def test_a_transaction_whose_handler_is_not_there(
    store: SqlAlchemyStore[AsyncSession], engine: AsyncEngine
) -> None:
    """A process that has no handler of this kind passes its place over."""
    await store.run(intent())
    await store.run(shipped())
    assert await marked_and_shipped(store, engine) == (True, 0)


async def test_a_handler_on_a_connection(
    bare: SqlAlchemyStore[AsyncConnection], engine: AsyncEngine
) -> None:
    """With an engine, handlers write through the connection."""
    await bare.run(intent())

    async def handler(conn: AsyncConnection) -> None:
        await conn.execute(text("INSERT INTO shipment VALUES ('INV-1')"))

    await bare.deliver(shipped(), handler)
    assert await marked_and_shipped(bare, engine) == (True, 1)


async def test_a_handler_that_raises_undoes_the_mark(
    store: SqlAlchemyStore[AsyncSession], engine: AsyncEngine
) -> None:
    """Its error leaves as it is, and neither mark nor shipment stays."""
    await store.run(intent())

    async def handler(session: AsyncSession) -> None:
        session.add(Shipment(order_id="INV-1"))
        await session.flush()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await store.deliver(shipped(), handler)
    assert await marked_and_shipped(store, engine) == (False, 0)


async def test_commit_and_savepoint_of_a_session_are_harmless(
    store: SqlAlchemyStore[AsyncSession], engine: AsyncEngine
) -> None:
    """session.commit() only flushes, and a savepoint can be rolled back."""
    await store.run(intent())

    async def handler(session: AsyncSession) -> None:
        session.add(Shipment(order_id="INV-1"))
        await session.commit()
        async with session.begin_nested() as savepoint:
            session.add(Shipment(order_id="INV-2"))
            await session.flush()
            await savepoint.rollback()
        await session.execute(text("SELECT 1"))

    await store.deliver(shipped(), handler)
    assert await marked_and_shipped(store, engine) == (True, 1)


async def _rolls_back(session: AsyncSession) -> None:
    session.add(Shipment(order_id="INV-1"))
    await session.rollback()


async def _commits_the_connection(session: AsyncSession) -> None:
    session.add(Shipment(order_id="INV-1"))
    await session.flush()
    await (await session.connection()).commit()


async def _swallows_the_refusal(session: AsyncSession) -> None:
    session.add(Shipment(order_id="INV-1"))
    await session.flush()
    try:
        await session.execute(text(" commit "))
    except StoreError:
        return
    raise AssertionError


async def _begins_anew(session: AsyncSession) -> None:
    session.add(Shipment(order_id="INV-1"))
    await session.execute(text("ROLLBACK"))


@pytest.mark.parametrize(
    "handler", [_rolls_back, _commits_the_connection, _swallows_the_refusal, _begins_anew]
)
async def test_a_session_cannot_end_the_transaction(
    store: SqlAlchemyStore[AsyncSession], engine: AsyncEngine, handler: Handler
) -> None:
    """Whoever tries is told, and neither mark nor shipment stays, also if the refusal is caught."""
    await store.run(intent())
    with pytest.raises(BrokenHandlerError, match="neither commit nor roll"):
        await store.deliver(shipped(), handler)
    assert await marked_and_shipped(store, engine) == (False, 0)


@pytest.mark.parametrize("end", ["commit", "rollback"])
async def test_a_connection_cannot_end_the_transaction(
    bare: SqlAlchemyStore[AsyncConnection], engine: AsyncEngine, end: str
) -> None:
    """Neither by commit() nor by rollback(); the connection's further use by others is free."""
    await bare.run(intent())

    async def handler(conn: AsyncConnection) -> None:
        await conn.execute(text("INSERT INTO shipment VALUES ('INV-1')"))
        await getattr(conn, end)()

    with pytest.raises(BrokenHandlerError):
        await bare.deliver(shipped(), handler)
    assert await marked_and_shipped(bare, engine) == (False, 0)
    async with engine.begin() as conn:
        await conn.execute(text("INSERT INTO shipment VALUES ('INV-9')"))


async def test_intent_and_order_commit_together(
    store: SqlAlchemyStore[AsyncSession], engine: AsyncEngine
) -> None:
    """A lent session is neither flushed nor committed; its rollback takes the intent along."""
    sessions = async_sessionmaker(engine)
    async with sessions() as session:
        session.add(Shipment(order_id="INV-1"))
        await store.join(session, intent())
        assert session.new, "the merchant's own objects are not flushed for them"
        await session.rollback()
    assert await marked_and_shipped(store, engine) == (False, 0)
    assert await store.run(lambda: intents.read("INV-1"), reads=True) is None
    async with sessions() as session:
        session.add(Shipment(order_id="INV-1"))
        await store.join(session, intent())
        await session.commit()
    assert await store.run(lambda: intents.read("INV-1"), reads=True)


async def test_a_repeated_intent_does_not_abort_the_merchants_transaction(
    store: SqlAlchemyStore[AsyncSession], engine: AsyncEngine
) -> None:
    """It is no error for the database: the merchant's transaction goes on."""
    await store.run(intent())
    async with engine.begin() as conn:
        again = await SqlAlchemyStore(engine).join(conn, intent())
        await conn.execute(text("INSERT INTO shipment VALUES ('INV-1')"))
    assert again.order_id == "INV-1"
    assert (await marked_and_shipped(store, engine))[1] == 1


async def test_a_transaction_of_another_database_is_refused(
    store: SqlAlchemyStore[AsyncSession], tmp_path: Path
) -> None:
    """Order and intent would not be committed together."""
    other = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'other.db'}")
    async with AsyncSession(other) as session:
        with pytest.raises(StoreError, match="another database"):
            await store.join(session, intent())
    await other.dispose()
    wrong: Any = "no transaction"
    with pytest.raises(TypeError, match="not str"):
        await store.join(wrong, intent())


def test_what_is_no_engine_is_refused() -> None:
    """The error names the argument."""
    wrong: Any = "postgresql://"
    with pytest.raises(TypeError, match=r"bind: .*not str"):
        SqlAlchemyStore(wrong)
    with pytest.raises(TypeError, match="one AsyncEngine"):
        SqlAlchemyStore(async_sessionmaker())


def test_other_databases_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """MySQL has no UPDATE ... RETURNING."""
    engine = create_async_engine("sqlite+aiosqlite://")
    monkeypatch.setattr(engine.sync_engine.dialect, "name", "mysql")
    with pytest.raises(StoreError, match="not with mysql"):
        SqlAlchemyStore(engine)


async def test_sqlite_in_its_default_mode_is_refused(tmp_path: Path) -> None:
    """A SAVEPOINT's rows would survive the rollback around it; the error says what to add."""
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'shop.db'}")
    with pytest.raises(StoreError, match=r"BEGIN IMMEDIATE.*immediate\(engine\)"):
        await SqlAlchemyStore(engine).open()
    await engine.dispose()


@pytest.mark.parametrize("driver", DRIVERS)
async def test_claims_of_two_machines_are_disjoint(postgres: Postgres, driver: str) -> None:
    """What one has claimed and not committed is skipped by the other, and the limit is kept."""
    engine = postgres.engine(driver)
    store = SqlAlchemyStore(engine)
    await store.open()
    for number in range(50):
        await store.run(intent(f"INV-{number}"))
    async with engine.begin() as conn:
        await conn.execute(text("UPDATE paycollect_order SET due_at = 0"))

    async def claim() -> list[str]:
        claimed = await store.run(lambda: claims.claim_due("me", 5, 1, 1))
        return [one.order.order_id for one in claimed]

    found = await asyncio.gather(*(claim() for _ in range(8)))
    assert all(len(part) == 5 for part in found)
    assert len({order_id for part in found for order_id in part}) == 40
    await engine.dispose()


@pytest.mark.parametrize("driver", DRIVERS)
async def test_a_connection_that_the_server_closed(postgres: Postgres, driver: str) -> None:
    """A pooled connection that has died is replaced, and the transaction made once more."""
    engine = postgres.engine(driver)
    store = SqlAlchemyStore(engine)
    await store.open()
    await store.run(intent())
    await postgres.ask(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        f" WHERE application_name = '{postgres.schema}'"
    )
    assert (await store.run(intent("INV-2"))).order_id == "INV-2"
    await engine.dispose()


async def test_errors_show_no_parameters(store: SqlAlchemyStore[AsyncSession]) -> None:
    """SQLAlchemy's texts show statement and parameters: ours say the kind only."""

    def steps() -> Steps[None]:
        yield "SELECT secret_thing FROM paycollect_order WHERE order_id = :o", {"o": "jo@shop.test"}

    with pytest.raises(StoreError, match="refused a statement") as caught:
        await store.run(steps)
    error: BaseException | None = caught.value
    while error is not None:
        assert "jo@shop.test" not in str(error)
        error = error.__cause__ or error.__context__


async def test_no_server(tmp_path: Path) -> None:
    """It says that the database could not be reached, and what to look at."""
    engine = create_async_engine("postgresql+asyncpg://postgres@127.0.0.1:1/test")
    with pytest.raises(StoreError, match="could not be reached") as caught:
        await SqlAlchemyStore(engine).open()
    assert caught.value.is_retryable
    await engine.dispose()


async def test_no_free_connection(postgres: Postgres) -> None:
    """A pool that is used up is told as that."""
    engine = postgres.engine(pool_size=1, max_overflow=0, pool_timeout=0.01)
    store = SqlAlchemyStore(engine)
    async with engine.connect():
        with pytest.raises(StoreError, match="no connection to the database was free"):
            await store.run(intents.now)
    await engine.dispose()


@pytest.mark.parametrize("driver", DRIVERS)
async def test_cancelled_while_it_waits_for_a_lock(postgres: Postgres, driver: str) -> None:
    """The wait ends at once, and no lock and no connection stays behind."""
    engine = postgres.engine(driver, pool_size=2, max_overflow=0)
    store = SqlAlchemyStore(engine)
    await store.open()
    await store.run(intent())
    async with engine.begin() as conn:
        await conn.execute(text("SELECT 1 FROM paycollect_order FOR UPDATE"))
        waiting = asyncio.create_task(store.run(lambda: intents.give_up("INV-1")))
        while not await _is_blocked(postgres):  # noqa: ASYNC110  the database tells nobody
            await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    order = await store.run(lambda: intents.read("INV-1"))
    assert order is not None
    assert order.gave_up_at is None
    await engine.dispose()


async def _is_blocked(postgres: Postgres) -> bool:
    rows = await postgres.ask(
        "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        " AND query LIKE '%gave_up_at%' AND pid <> pg_backend_pid()"
    )
    return bool(rows)


async def test_cancelled_while_it_connects(postgres: Postgres) -> None:
    """The connection that comes all the same goes back to the pool."""
    engine = postgres.engine(pool_size=1, max_overflow=0)
    store = SqlAlchemyStore(async_sessionmaker(engine))
    await store.open()
    for steps in range(12):
        await engine.dispose()
        task = asyncio.create_task(store.run(intent(f"INV-{steps}")))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert cast("Any", engine.pool).checkedout() == 0, steps
    await engine.dispose()


async def test_cancelled_at_the_commit(store: SqlAlchemyStore[AsyncSession]) -> None:
    """A commit that has begun ends; the caller is cancelled afterwards."""
    task: asyncio.Task[Any]

    def reach(point: str) -> None:
        if point == "commit:before":
            task.cancel()

    store.reach = reach
    task = asyncio.create_task(store.run(intent()))
    with pytest.raises(asyncio.CancelledError):
        await task
    store.reach = lambda _: None
    assert await store.run(lambda: intents.read("INV-1"), reads=True)


async def test_a_server_that_is_stopped_and_started() -> None:
    """While it is away each transaction says so; afterwards all is as it was committed."""
    try:
        running = private_server()
        server = running.__enter__()
    except LookupError as reason:
        pytest.skip(str(reason))
    try:
        engine = create_async_engine(server.url.set(drivername="postgresql+asyncpg"))
        store = SqlAlchemyStore(engine)
        await store.open()
        await store.run(intent())
        server.stop()
        with pytest.raises(StoreError):
            await store.run(intent("INV-2"))
        server.start()
        order = await store.run(lambda: intents.read("INV-1"), reads=True)
        assert order is not None
        assert await store.run(lambda: intents.read("INV-2"), reads=True) is None
        await engine.dispose()
    finally:
        running.__exit__(None, None, None)


async def test_a_server_that_dies_within_a_handler() -> None:
    """The handler's error or ours: in either case the mark is gone with the shipment."""
    try:
        running = private_server()
        server = running.__enter__()
    except LookupError as reason:
        pytest.skip(str(reason))
    try:
        engine = create_async_engine(server.url.set(drivername="postgresql+asyncpg"))
        async with engine.begin() as conn:
            await conn.run_sync(Base.metadata.create_all)
        store = SqlAlchemyStore(async_sessionmaker(engine))
        await store.open()
        await store.run(intent())

        async def handler(session: AsyncSession) -> None:
            session.add(Shipment(order_id="INV-1"))
            await session.flush()
            server.stop()

        with pytest.raises(Exception) as caught:
            await store.deliver(shipped(), handler)
        assert not isinstance(caught.value, AssertionError)
        server.start()
        assert await marked_and_shipped(store, engine) == (False, 0)
        await engine.dispose()
    finally:
        running.__exit__(None, None, None)


async def test_listeners(store: SqlAlchemyStore[AsyncSession]) -> None:
    """Whoever listens is called until they have had enough; an injected clock is used."""
    calls: list[int] = []
    stop = store.listen(lambda: calls.append(1))
    store.notify()
    stop()
    store.notify()
    assert calls == [1]
    store.use_clock(lambda: 12345)
    assert await store.run(intents.now) == 12345


def test_the_steps_are_generators() -> None:
    """A transaction is written once, for every store."""
    assert inspect.isgenerator(intents.now())


def test_the_store_is_loaded_when_it_is_asked_for() -> None:
    """SQLAlchemy is an extra: the cashier does without it."""
    assert cashier.SqlAlchemyStore is SqlAlchemyStore
    with pytest.raises(AttributeError, match="no_such_store"):
        _ = cashier.no_such_store


async def test_what_waits_at_once_shares_a_commit(
    store: SqlAlchemyStore[AsyncSession], engine: AsyncEngine
) -> None:
    """Equal statements go as one, each has its own result, and one that fails harms no other."""

    def put(order_id: str | None) -> Callable[[], Steps[None]]:
        def steps() -> Steps[None]:
            yield "INSERT INTO shipment VALUES (:o) ON CONFLICT DO NOTHING", {"o": order_id}

        return steps

    def find(order_id: str) -> Callable[[], Steps[str]]:
        def steps() -> Steps[str]:
            rows = yield (
                "UPDATE shipment SET order_id = :o WHERE order_id = :o RETURNING order_id",
                {"o": order_id},
            )
            return str(rows[0][0])

        return steps

    async def ask(*waiting: Callable[[], Steps[Any]]) -> list[Any]:
        asked = [store.run(steps, alone=True) for steps in waiting]
        return await asyncio.gather(*asked, return_exceptions=True)

    assert await ask(put("a")) == [None]
    points: list[str] = []
    store.reach = points.append
    assert await ask(put("b"), put("b"), find("a"), find("a")) == [None, None, "a", "a"]
    assert points.count("commit:after") == (4 if engine.dialect.name == "sqlite" else 1)
    store.reach = reach_nothing
    *good, bad, last = await ask(put("c"), put("d"), find("b"), put(None), put("e"))
    assert (good, last) == ([None, None, "b"], None)
    assert isinstance(bad, StoreError)
    async with engine.connect() as conn:
        names = await conn.scalars(text("SELECT order_id FROM shipment ORDER BY order_id"))
        assert list(names) == ["a", "b", "c", "d", "e"]
