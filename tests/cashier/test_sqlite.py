"""SqliteStore: two lanes, groups whose members each have their own outcome, guarded handlers."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from paycollect.cashier import SqliteStore
from paycollect.cashier._guarded import GuardedConnection
from paycollect.cashier._network import network_file_system
from paycollect.cashier._writer import Job, Writer, explain
from paycollect.cashier.errors import BrokenHandlerError, StoreError, StoreVersionError
from paycollect.cashier.store import HANDLER, Steps
from paycollect.cashier.transactions import intents


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    """An open store in a file of its own, with a table of the merchant's."""
    made = SqliteStore(tmp_path / "shop.db")
    await made.open()
    await made.run(lambda: one("CREATE TABLE goods (name TEXT PRIMARY KEY)"))
    yield made
    await made.aclose()


def one(sql: str, **args: str | int) -> Steps[list[Any]]:
    """A transaction of one statement."""
    return (yield sql, args)


def delivery() -> Steps[list[Any]]:
    """A transaction as of a delivery: our mark, the handler, and a look whether the mark is there."""
    yield "INSERT INTO goods VALUES ('mark')", {}
    yield HANDLER, {}
    return (yield "SELECT name FROM goods ORDER BY name", {})


def goods(store: SqliteStore) -> list[str]:
    """What is in the merchant's table, seen by another connection."""
    db = sqlite3.connect(store.path)
    try:
        return [name for (name,) in db.execute("SELECT name FROM goods ORDER BY name")]
    finally:
        db.close()


async def insert(store: SqliteStore, name: str) -> None:
    """Insert into the merchant's table by a transaction of our own."""
    await store.run(lambda: one("INSERT INTO goods VALUES (:name)", name=name))


async def while_blocked(store: SqliteStore, *work: Any) -> list[Any]:
    """Let transactions wait for each other behind a handler, so that they form one group."""
    gate, begun = threading.Event(), threading.Event()

    def wait(_: object) -> None:
        begun.set()
        gate.wait(30)

    first = asyncio.create_task(store.deliver(delivery_of_nothing, wait))
    while not begun.is_set():  # noqa: ASYNC110  # the handler runs in another thread
        await asyncio.sleep(0)
    tasks = [asyncio.ensure_future(one_of) for one_of in work]
    await asyncio.sleep(0)  # each task puts its transaction into its lane
    gate.set()
    await first
    return await asyncio.gather(*tasks, return_exceptions=True)


def delivery_of_nothing() -> Steps[None]:
    """A handler's transaction that writes nothing of ours."""
    yield HANDLER, {}


async def test_members_of_a_group_have_their_own_outcome(store: SqliteStore) -> None:
    """One member breaks a constraint, another raises: the others are committed."""

    def raises() -> Steps[None]:
        yield "INSERT INTO goods VALUES ('lost')", {}
        raise LookupError

    results = await while_blocked(
        store,
        insert(store, "a"),
        store.run(raises),
        insert(store, "b"),
    )
    assert [type(result) for result in results] == [type(None), LookupError, type(None)]
    assert goods(store) == ["a", "b"]
    results = await while_blocked(store, insert(store, "c"), insert(store, "a"), insert(store, "d"))
    assert [type(result) for result in results] == [type(None), StoreError, type(None)]
    assert goods(store) == ["a", "b", "c", "d"]


async def put(store: SqliteStore, name: str) -> None:
    """Insert unless it is there, as a webhook is stored."""
    sql = "INSERT INTO goods VALUES (lower(:name) || substr({now}, 1, 0)) ON CONFLICT (name) DO NOTHING"
    await store.run(lambda: one(sql, name=name), alone=True)


@pytest.mark.parametrize("has_clock", [False, True])
async def test_many_rows_go_with_a_few_statements(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch, has_clock: bool
) -> None:
    """What waits at once is inserted together; what is there already, or twice, does no harm."""
    if has_clock:
        store.use_clock(lambda: 1_700_000_000_000)
    await put(store, "n7")
    sent: list[str] = []
    run = GuardedConnection.run

    def watch(self: GuardedConnection, sql: str, args: Any = None) -> list[Any]:
        sent.append(sql)
        return run(self, sql, args)

    monkeypatch.setattr(GuardedConnection, "run", watch)
    names = [f"N{number}" for number in range(150)]
    results = await while_blocked(store, *(put(store, name) for name in [*names, "N3"]))
    assert results == [None] * 151
    assert goods(store) == sorted(name.lower() for name in names)
    assert [sql.count("lower(") for sql in sent if sql.startswith("INSERT")] == [64, 64, 23]
    sent.clear()
    points: list[str] = []
    store.reach = points.append
    assert await while_blocked(store, put(store, "o1"), put(store, "o2")) == [None, None]
    (insert_both,) = sent[2:]  # after the handler that they waited for
    assert insert_both.count("lower(") == 2, "BEGIN and COMMIT are spared"
    assert [point for point in points if point.startswith("commit")][-2:] == [
        "commit:before",
        "commit:after",
    ]
    assert goods(store)[-2:] == ["o1", "o2"]


async def test_a_row_that_cannot_be_stored_harms_no_other(store: SqliteStore) -> None:
    """The statement for all of them fails; then each is told its own."""
    results = await while_blocked(store, put(store, "a"), put(store, "\ud800"), put(store, "b"))
    assert [type(result) for result in results] == [type(None), UnicodeEncodeError, type(None)]
    assert goods(store) == ["a", "b"]


async def test_short_transactions_that_insert_nothing(store: SqliteStore) -> None:
    """Each runs by itself, and gets its own rows, where it gives some."""
    await insert(store, "a")
    change = "UPDATE goods SET name = name || :more"
    results = await while_blocked(
        store,
        store.run(lambda: one(change, more="b"), alone=True),
        store.run(lambda: one(change, more="c"), alone=True),
        store.run(lambda: one(f"{change} RETURNING name", more="d"), alone=True),
        store.run(lambda: one(f"{change} RETURNING name", more="e"), alone=True),
    )
    assert results == [[], [], [("abcd",)], [("abcde",)]]


async def test_a_commit_that_fails_fails_for_who_caused_it(store: SqliteStore) -> None:
    """A deferred foreign key makes COMMIT fail for the whole group; then each runs by itself."""
    await store.run(
        lambda: one("CREATE TABLE child (name TEXT REFERENCES goods DEFERRABLE INITIALLY DEFERRED)")
    )
    bad = store.run(lambda: one("INSERT INTO child VALUES ('nobody')"))
    results = await while_blocked(store, insert(store, "a"), bad, insert(store, "b"))
    assert [type(result) for result in results] == [type(None), StoreError, type(None)]
    assert goods(store) == ["a", "b"]


async def test_a_handler_is_in_the_transaction_of_the_mark(store: SqliteStore) -> None:
    """Its work and the mark are there together, or neither is."""

    def work(tx: sqlite3.Connection) -> None:
        tx.execute("INSERT INTO goods VALUES ('work')")

    rows = await store.deliver(delivery, work)
    assert rows == [("mark",), ("work",)]
    assert goods(store) == ["mark", "work"]


async def test_a_handler_that_raises_undoes_the_mark(store: SqliteStore) -> None:
    """The exception is the handler's own, also if it is one of SQLite's."""

    def fails(tx: sqlite3.Connection) -> None:
        tx.execute("INSERT INTO goods VALUES ('work')")
        raise RuntimeError("no stock")

    with pytest.raises(RuntimeError, match="no stock"):
        await store.deliver(delivery, fails)
    assert goods(store) == []


def with_tx(tx: sqlite3.Connection) -> None:
    """Commit as the manual of sqlite3 shows it."""
    with tx:
        tx.execute("INSERT INTO goods VALUES ('work')")


ENDINGS: dict[str, Callable[[sqlite3.Connection], object]] = {
    "commit": lambda tx: tx.commit(),
    "rollback": lambda tx: tx.rollback(),
    "close": lambda tx: tx.close(),
    "with": with_tx,
    "script": lambda tx: tx.executescript("INSERT INTO goods VALUES ('work')"),
    "authorizer": lambda tx: tx.set_authorizer(None),
    "COMMIT": lambda tx: tx.execute("COMMIT"),
    "END": lambda tx: tx.cursor().execute("END"),
    "ROLLBACK": lambda tx: tx.execute("ROLLBACK"),
    "BEGIN": lambda tx: tx.execute("BEGIN"),
    "ATTACH": lambda tx: tx.execute("ATTACH ':memory:' AS other"),
    "DETACH": lambda tx: tx.execute("DETACH main"),
    "savepoint": lambda tx: tx.execute("ROLLBACK TO paycollect_member"),
}


@pytest.mark.parametrize("ending", ENDINGS)
async def test_a_handler_cannot_end_the_transaction(store: SqliteStore, ending: str) -> None:
    """Whatever it tries is refused, said so, and undone with the mark."""

    def tries(tx: sqlite3.Connection) -> None:
        ENDINGS[ending](tx)

    with pytest.raises(BrokenHandlerError, match="must not use"):
        await store.deliver(delivery, tries)
    assert goods(store) == []
    await insert(store, "later")
    assert goods(store) == ["later"]


async def test_a_handler_that_is_refused_and_goes_on_has_done_no_harm(store: SqliteStore) -> None:
    """The transaction is whole, so that it is committed with the mark."""

    def tries(tx: sqlite3.Connection) -> None:
        with pytest.raises(BrokenHandlerError):
            tx.commit()
        with pytest.raises(sqlite3.DatabaseError):
            tx.execute("COMMIT")
        tx.execute("SAVEPOINT mine")
        tx.execute("INSERT INTO goods VALUES ('undone')")
        tx.execute("ROLLBACK TO mine")

    await store.deliver(delivery, tries)
    assert goods(store) == ["mark"]


async def test_a_transaction_that_sqlite_ends_is_a_broken_handler(store: SqliteStore) -> None:
    """OR ROLLBACK ends it without a word; what the handler did afterwards is kept, and said so."""

    def breaks(tx: sqlite3.Connection) -> None:
        with pytest.raises(sqlite3.IntegrityError):
            tx.execute("INSERT OR ROLLBACK INTO goods VALUES ('mark')")
        tx.execute("INSERT INTO goods VALUES ('stray')")

    with pytest.raises(BrokenHandlerError, match="may have been kept"):
        await store.deliver(delivery, breaks)
    assert goods(store) == ["stray"]


async def test_what_a_handler_sets_on_the_connection_ends_with_it(store: SqliteStore) -> None:
    """Rows are still read by position afterwards."""

    def sets(tx: sqlite3.Connection) -> None:
        tx.row_factory = lambda _cursor, row: {"row": row}

    assert await store.deliver(delivery, sets) == [("mark",)]
    assert await store.run(intents.now, reads=True) > 0


async def test_a_webhook_waits_for_one_handler_only(store: SqliteStore) -> None:
    """Our own transactions come before the next handler's."""
    order: list[str] = []

    async def note(name: str, work: Any) -> None:
        await work
        order.append(name)

    await while_blocked(
        store,
        note("handler", store.deliver(delivery_of_nothing, lambda _: None)),
        note("webhook", insert(store, "a")),
    )
    assert order == ["webhook", "handler"]


async def test_who_is_cancelled_leaves_no_lock(store: SqliteStore) -> None:
    """The transaction ends by itself, and the next one runs."""
    task = asyncio.create_task(insert(store, "a"))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await insert(store, "b")
    assert goods(store) == ["a", "b"]


async def test_two_stores_on_one_file(store: SqliteStore) -> None:
    """Both write; neither waits for longer than the other's transaction."""
    other = SqliteStore(store.path)
    await asyncio.gather(
        *(insert(one_of, f"{n}{one_of is other}") for n in range(20) for one_of in (store, other))
    )
    await other.aclose()
    assert len(goods(store)) == 40


async def test_the_merchants_own_transaction(store: SqliteStore) -> None:
    """An intent is committed with the merchant's row, or not at all, and nothing is committed."""
    db = sqlite3.connect(store.path)
    db.row_factory = sqlite3.Row
    write = partial(intents.intend, "A", "25.00", "USD", "{}")
    await store.join(db, write)
    db.rollback()
    assert await store.run(partial(intents.read, "A"), reads=True) is None
    db.execute("INSERT INTO goods VALUES ('ordered')")
    await store.join(db, write)
    db.commit()
    db.close()
    order = await store.run(partial(intents.read, "A"), reads=True)
    assert order is not None
    assert goods(store) == ["ordered"]


@pytest.mark.parametrize("is_wal", [False, True])
@pytest.mark.parametrize("begin", ["BEGIN", "BEGIN; SELECT", "BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"])
async def test_a_transaction_that_is_begun_before_the_store_is_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_wal: bool, begin: str
) -> None:
    """Each would wait for the other: the error says what to do, and does not come late."""
    if begin != "BEGIN":  # which has locked nothing
        monkeypatch.setattr("paycollect.cashier.sqlite.OWN_LOCK_SECONDS", 0.02)
    db = sqlite3.connect(tmp_path / "shop.db", isolation_level=None)
    db.execute(f"PRAGMA journal_mode = {'WAL' if is_wal else 'DELETE'}")
    db.execute("CREATE TABLE goods (name TEXT)")
    begin, _, reads = begin.partition(";")
    db.execute(begin)
    if reads:
        assert db.execute("SELECT * FROM goods").fetchall() == []
    store = SqliteStore(tmp_path / "shop.db")
    write = partial(intents.intend, "A", "25.00", "USD", "{}")
    if begin == "BEGIN" and not reads:
        await store.join(db, write)
    else:
        with pytest.raises(StoreError, match="roll it back, and enter the cashier before you"):
            await store.join(db, write)
        db.execute("ROLLBACK")
        await store.open()
        db.execute(begin)
        await store.join(db, write)
    db.execute("COMMIT")
    db.close()
    assert await store.run(partial(intents.read, "A"), reads=True) is not None
    await store.aclose()


async def test_a_store_that_cannot_be_opened_from_within_a_transaction(tmp_path: Path) -> None:
    """What is wrong with it is said, and not the transaction blamed."""
    store = SqliteStore(tmp_path / "shop.db")
    await store.open()
    await store.run(lambda: one("UPDATE paycollect_schema SET min_compatible = 99"))
    await store.aclose()
    db = sqlite3.connect(tmp_path / "shop.db", isolation_level=None)
    db.execute("BEGIN")
    with pytest.raises(StoreError, match="install a newer release"):
        await store.join(db, partial(intents.intend, "A", "25.00", "USD", "{}"))
    db.close()


async def test_another_files_transaction_is_refused(store: SqliteStore, tmp_path: Path) -> None:
    """The intent would not be in the transaction of the order."""
    for path in (":memory:", tmp_path / "other.db"):
        db = sqlite3.connect(path)
        with pytest.raises(StoreError, match="in one transaction"):
            await store.join(db, partial(intents.intend, "A", "25.00", "USD", "{}"))
        db.close()
    with pytest.raises(TypeError, match="a sqlite3"):
        await store.join("shop.db", partial(intents.intend, "A", "25.00", "USD", "{}"))  # type: ignore[arg-type]  # the point


async def test_a_handler_can_intend_another_order(store: SqliteStore) -> None:
    """Its connection is known to be of this file."""

    def upsell(tx: sqlite3.Connection) -> None:
        coroutine = store.join(tx, partial(intents.intend, "UP", "5.00", "USD", "{}"))
        with pytest.raises(StopIteration):
            coroutine.send(None)

    await store.deliver(delivery, upsell)
    assert await store.run(partial(intents.read, "UP"), reads=True) is not None


async def test_memory() -> None:
    """One connection is shared, and all is gone afterwards."""
    store = SqliteStore(":memory:")
    await store.open()
    assert (await store.run(partial(intents.intend, "A", "25.00", "USD", "{}"))).amount == "25.00"
    await store.aclose()
    await store.aclose()
    assert await store.run(partial(intents.read, "A"), reads=True) is None
    await store.aclose()


async def test_an_injected_clock(store: SqliteStore) -> None:
    """It takes the place of the database's."""
    store.use_clock(lambda: 1234)
    assert await store.run(intents.now) == 1234


async def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    """Said so, and it can be tried again once there is a better file."""
    path = tmp_path / "shop.db"
    path.write_text("not a database, but long enough to be looked at" * 50)
    store = SqliteStore(path)
    with pytest.raises(StoreError, match="not a SQLite database: name another file"):
        await store.open()
    path.unlink()
    await store.open()
    await store.aclose()


async def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """Said so."""
    with pytest.raises(StoreError, match="its folder must exist"):
        await SqliteStore(tmp_path / "no" / "shop.db").open()


async def test_tables_of_a_newer_release(store: SqliteStore) -> None:
    """Refused with what to do."""
    await store.run(lambda: one("UPDATE paycollect_schema SET version = 9, min_compatible = 9"))
    with pytest.raises(StoreVersionError, match="install a newer release"):
        await SqliteStore(store.path).open()


async def test_tables_of_a_newer_but_compatible_release(store: SqliteStore) -> None:
    """Accepted, so that two releases can run side by side."""
    await store.run(lambda: one("UPDATE paycollect_schema SET version = 9"))
    other = SqliteStore(store.path)
    await other.open()
    await other.aclose()


async def test_a_full_disk(store: SqliteStore) -> None:
    """Nothing is half done, and it goes on once there is room."""
    (pages,) = (await store.run(lambda: one("PRAGMA page_count")))[0]
    await store.run(lambda: one(f"PRAGMA max_page_count = {pages}"))
    with pytest.raises(StoreError, match="the disk is full: make room"):
        await insert(store, "x" * 100_000)
    await store.run(lambda: one("PRAGMA max_page_count = 100000"))
    await insert(store, "a")
    assert goods(store) == ["a"]


async def test_a_writer_that_does_not_let_go(store: SqliteStore) -> None:
    """Somebody else's transaction that lasts too long is named as the cause."""
    await store.run(lambda: one("PRAGMA busy_timeout = 1"))
    db = sqlite3.connect(store.path, isolation_level=None)
    db.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="another process has been writing for too long"):
        await insert(store, "a")
    assert await store.run(intents.now, reads=True), "reading does not wait"
    db.execute("ROLLBACK")
    db.close()
    await insert(store, "a")


async def test_death_in_a_transaction(store: SqliteStore) -> None:
    """What is no Exception, as a crash test raises it, ends the life: nothing is tried again."""

    class DeathError(BaseException):
        pass

    def die(point: str) -> None:
        if point == "commit:before":
            raise DeathError

    store.reach = die
    with pytest.raises(DeathError):
        await insert(store, "a")
    store.reach = lambda _: None
    assert goods(store) == []
    await insert(store, "b")
    assert goods(store) == ["b"]


async def test_death_leaves_nobody_waiting(store: SqliteStore) -> None:
    """Who was taken in the same turn is told, too."""

    class DeathError(BaseException):
        pass

    def die(point: str) -> None:
        if point == "sql:intents.read 1":
            raise DeathError

    store.reach = die
    waiting = [
        *(store.run(partial(intents.read, "A"), reads=True) for _ in range(3)),
        *(store.run(partial(intents.intend, name, "1", "USD", "")) for name in "ABC"),
    ]
    async with asyncio.timeout(5):
        told = await while_blocked(store, *waiting)
    assert isinstance(told[0], DeathError)
    assert {type(one) for one in told[1:]} <= {DeathError, StoreError}


async def test_death_in_a_group(store: SqliteStore) -> None:
    """All members of the group end with it; what waits behind is told as well."""

    class DeathError(BaseException):
        pass

    deaths = []

    def die(point: str) -> None:
        if point == "sql:test_sqlite.one 1":
            deaths.append(point)
            raise DeathError

    store.reach = die
    results = await while_blocked(
        store,
        insert(store, "a"),
        insert(store, "b"),
        store.deliver(delivery_of_nothing, lambda _: None),
        store.deliver(delivery_of_nothing, lambda _: None),
    )
    assert [type(result).__name__ for result in results[:2]] == ["DeathError"] * 2
    assert len(deaths) == 1
    assert isinstance(results[3], StoreError)


async def test_who_was_told_of_a_death_can_ask_again(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that has told of its end, and has not ended yet, is asked for nothing more."""

    class DeathError(BaseException):
        pass

    def die(_: str) -> None:
        raise DeathError

    gate = threading.Event()
    close = GuardedConnection.close_for_good

    def late(db: GuardedConnection) -> None:
        gate.wait(30)
        close(db)

    monkeypatch.setattr(GuardedConnection, "close_for_good", late)
    dying = store._writer()
    store.reach = die
    with pytest.raises(DeathError):
        await insert(store, "a")
    store.reach = lambda _: None
    assert dying.is_alive()
    await insert(store, "b")
    gate.set()
    assert goods(store) == ["b"]
    await asyncio.to_thread(dying.join)


async def test_death_while_a_group_is_run_one_by_one(store: SqliteStore) -> None:
    """Whoever would have come later is told, too."""

    class DeathError(BaseException):
        pass

    commits = []

    def die(point: str) -> None:
        if point == "commit:before":
            commits.append(point)
            if len(commits) == 3:  # after that of who blocks, and that of the group
                raise DeathError

    await store.run(
        lambda: one("CREATE TABLE child (name TEXT REFERENCES goods DEFERRABLE INITIALLY DEFERRED)")
    )
    store.reach = die
    bad = store.run(lambda: one("INSERT INTO child VALUES ('nobody')"))
    results = await while_blocked(store, bad, insert(store, "a"), insert(store, "b"))
    assert [type(result).__name__ for result in results] == ["DeathError"] * 3


async def test_what_is_asked_after_the_end(store: SqliteStore) -> None:
    """A store that is closed while somebody asks says so; one asked later opens again."""
    writer = store._writer()
    await store.aclose()
    with pytest.raises(StoreError, match="closed"):
        await writer.add(_job(), "own")
    await insert(store, "a")
    assert goods(store) == ["a"]


def _job() -> Any:
    return Job(intents.now)


async def test_a_child_process_gets_a_connection_of_its_own(store: SqliteStore) -> None:
    """SQLite forbids to use a connection that was opened before the fork."""
    writer = store._writer()
    writer.process = os.getpid() + 1
    await insert(store, "child")
    assert store._writer() is not writer
    await asyncio.to_thread(writer.close)
    assert goods(store) == ["child"]


@pytest.mark.parametrize("path", [5, None])
def test_a_path_that_is_none(path: Any) -> None:
    """Refused at once."""
    with pytest.raises(TypeError, match="path: a str or a path"):
        SqliteStore(path)


@pytest.mark.parametrize("path", ["", "a\0b"])
def test_a_path_that_names_no_file(path: str) -> None:
    """Refused at once."""
    with pytest.raises(ValueError, match="the name of a file"):
        SqliteStore(path)


def test_repr(tmp_path: Path) -> None:
    """It names its file."""
    assert repr(SqliteStore("shop.db")) == "<SqliteStore 'shop.db'>"


MOUNTS = """\
22 1 0:20 / / rw - ext4 /dev/sda1 rw
23 22 0:21 / /srv rw shared:5 - nfs4 server:/srv rw
24 23 0:22 / /srv/local\\040disk rw - xfs /dev/sdb1 rw
odd line
"""


@pytest.mark.parametrize(
    ("path", "system"),
    [
        ("/home/a/shop.db", None),
        ("/srv/shop.db", "nfs4"),
        ("/srv/local disk/shop.db", None),
        ("/srvx/shop.db", None),
    ],
)
def test_network_file_systems(path: str, system: str | None, tmp_path: Path) -> None:
    """The innermost mount decides."""
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTS)
    assert network_file_system(path, mounts) == system
    assert network_file_system(path, tmp_path / "none") is None


async def test_a_file_on_a_network_file_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused, with what to use instead."""
    monkeypatch.setattr("paycollect.cashier._writer.network_file_system", lambda _: "nfs4")
    with pytest.raises(StoreError, match="use a local disk, or PostgreSQL"):
        await SqliteStore(tmp_path / "shop.db").open()


async def test_a_file_where_wal_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Said so: without it, who reads waits for who writes."""
    real = GuardedConnection.run

    def run(self: GuardedConnection, sql: str, args: Any = None) -> list[Any]:
        return [("delete",)] if "journal_mode" in sql else real(self, sql, args)

    monkeypatch.setattr(GuardedConnection, "run", run)
    with pytest.raises(StoreError, match="cannot use WAL there"):
        await SqliteStore(tmp_path / "shop.db").open()


def test_a_disk_that_fails() -> None:
    """Whether a commit was done is unknown then."""
    problem = sqlite3.OperationalError("disk I/O error at /home/ada")
    problem.sqlite_errorname = "SQLITE_IOERR_FSYNC"
    error = explain(problem, "shop.db")
    assert "the disk has failed" in str(error)
    assert error.outcome == "unknown"
    assert "ada" not in str(error)
    assert "an error" in str(explain(sqlite3.OperationalError("?"), "shop.db"))


async def test_a_thread_that_was_replaced_is_not_forgotten_twice(store: SqliteStore) -> None:
    """Only the writer that could not open the file is given up, not its successor."""
    writer = store._writer()
    store._forget(Writer(store.path, store._dialect, store.connection, store._pass))
    assert store._writer() is writer


async def test_two_threads_that_open_at_once_share_a_writer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who comes second to the lock takes the writer of who came first."""
    store = SqliteStore(tmp_path / "shop.db")
    await store.open()
    first = store._thread
    lock = threading.Lock()

    def locked() -> threading.Lock:
        store._thread = first
        return lock

    store._thread = None
    monkeypatch.setattr(store, "_lock", locked)
    assert store._writer() is first
    await store.aclose()
