"""A fork while SqliteStore's thread works: SQLite's file is closed meanwhile, and nothing is lost."""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from paycollect.cashier import SqliteStore, _writer
from paycollect.cashier.errors import StoreError
from tests.cashier.test_sqlite import delivery_of_nothing, goods, insert, one

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")

SHOP = """
import asyncio, os, sys, threading, warnings
from paycollect.cashier import SqliteStore

warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
store = SqliteStore(sys.argv[1])

def insert(name):
    def steps():
        yield "INSERT INTO goods VALUES (:name)", {"name": name}
    return store.run(steps)

async def parent():
    await store.open()
    stop = threading.Event()

    async def write():  # so that most forks come in the middle of a transaction
        number = 0
        while not stop.is_set():
            await insert(f"parent-{number}")
            number += 1

    writing = asyncio.create_task(write())
    children = []
    for number in range(5):
        children.append(await asyncio.to_thread(fork, number))
    stop.set()
    await writing
    await store.aclose()  # the last of this process: SQLite removes its log, if nobody has it
    for child, closed in children:
        os.write(closed, b"x")
    print([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child, _ in children])

def fork(number):
    is_closed, closed = os.pipe()
    child = os.fork()
    if not child:
        code = 1
        try:
            code = asyncio.Runner().run(work(number, is_closed))
        finally:
            os._exit(code)
    return child, closed

async def work(number, is_closed):
    await insert(f"child-{number}-early")
    os.read(is_closed, 1)
    await insert(f"child-{number}-late")
    return 0  # and no close: the process is killed

asyncio.run(parent())
"""


@pytest.fixture
async def store(tmp_path: Path) -> SqliteStore:
    """A store in a file of its own, with a table of the merchant's."""
    made = SqliteStore(tmp_path / "shop.db")
    await made.run(lambda: one("CREATE TABLE goods (name TEXT PRIMARY KEY)"))
    return made


def has_log(store: SqliteStore) -> bool:
    """Whether SQLite's log is there: the last one who closes the file removes it."""
    return Path(f"{store.path}-wal").exists()


async def test_children_write_and_lose_nothing(store: SqliteStore) -> None:
    """Neither for a transaction that ran at the fork, nor as the parent closes the file first."""
    await store.aclose()
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-W", "error", "-c", SHOP, store.path],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("[0, 0, 0, 0, 0]\n", "")
    from_children = [name for name in goods(store) if name.startswith("child")]
    assert from_children == [f"child-{n}-{when}" for n in range(5) for when in ("early", "late")]


async def test_the_file_is_closed_while_a_fork_is_made(store: SqliteStore) -> None:
    """Work waits, and goes on in the parent."""
    assert has_log(store)
    await asyncio.to_thread(_writer._before_fork)
    assert not has_log(store)
    waits = asyncio.create_task(insert(store, "a"))
    await asyncio.sleep(0)
    assert goods(store) == []
    _writer._after_fork_in_parent()
    await waits
    assert goods(store) == ["a"]
    await store.aclose()


async def test_two_threads_fork_at_once(store: SqliteStore) -> None:
    """The file stays closed until both have forked."""
    await asyncio.to_thread(_writer._before_fork)
    await asyncio.to_thread(_writer._before_fork)
    _writer._after_fork_in_parent()
    waits = asyncio.create_task(insert(store, "a"))
    await asyncio.sleep(0)
    assert not has_log(store)
    assert not waits.done()
    _writer._after_fork_in_parent()
    await waits
    await store.aclose()


async def test_what_is_in_memory_outlives_a_fork() -> None:
    """It would be gone with its connection, so this one stays open."""
    store = SqliteStore(_writer.MEMORY)
    await store.run(lambda: one("CREATE TABLE goods (name TEXT PRIMARY KEY)"))
    await asyncio.to_thread(_writer._before_fork)
    _writer._after_fork_in_parent()
    await insert(store, "a")
    await store.aclose()


async def test_a_fork_waits_for_the_handler_that_runs(
    store: SqliteStore, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But not for ever: it is said that the child must not use the file."""
    begun, gate = threading.Event(), threading.Event()

    def ship(tx: sqlite3.Connection) -> None:
        tx.execute("INSERT INTO goods VALUES ('parcel')")
        begun.set()
        gate.wait(30)

    shipping = asyncio.create_task(store.deliver(delivery_of_nothing, ship))
    assert await asyncio.to_thread(begun.wait, 30)
    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING):
        patch.setattr(_writer, "LONGEST_PAUSE", 0)
        await asyncio.to_thread(_writer._before_fork)
        _writer._after_fork_in_parent()
    assert "the child must not use the cashier" in caplog.text
    caplog.clear()
    forking = asyncio.create_task(asyncio.to_thread(_writer._before_fork))
    gate.set()
    await forking
    _writer._after_fork_in_parent()
    await shipping
    assert caplog.text == ""
    assert goods(store) == ["parcel"]
    await store.aclose()


async def test_a_handler_that_forks(store: SqliteStore) -> None:
    """It does not wait for itself."""

    def ship(tx: sqlite3.Connection) -> None:
        _writer._before_fork()
        _writer._after_fork_in_parent()
        tx.execute("INSERT INTO goods VALUES ('parcel')")

    await store.deliver(delivery_of_nothing, ship)
    assert goods(store) == ["parcel"]
    await store.aclose()


async def test_a_file_that_is_gone_after_the_fork(tmp_path: Path) -> None:
    """Whoever waits is told; what comes later opens anew."""
    folder = tmp_path / "shop"
    folder.mkdir()
    store = SqliteStore(folder / "shop.db")
    await store.open()
    await asyncio.to_thread(_writer._before_fork)
    folder.rename(tmp_path / "elsewhere")
    waits = asyncio.create_task(insert(store, "a"))
    await asyncio.sleep(0)
    _writer._after_fork_in_parent()
    with pytest.raises(StoreError, match="its folder must exist"):
        await waits
    (tmp_path / "elsewhere").rename(folder)
    await store.open()
    await store.aclose()
