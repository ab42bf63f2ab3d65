"""`paycollect doctor --store`: the traps that nothing else shows before money is lost."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import make_url

from paycollect.cli import store_checkup
from paycollect.cli.checkup import Finding
from paycollect.cli.store_checkup import Asked
from paycollect.cli.stores import Named
from tests.cashier.postgres import Postgres, find_server, fresh_schema
from tests.cli.conftest import Provider, Terminal

pytestmark = pytest.mark.greenlets

SERVICE = """
from paycollect import SessionManager
from paycollect.cashier import Cashier, SqlAlchemyStore
from paycollect.cashier.sqlalchemy import immediate
from paycollect.ipn import Receiver
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

def make(wrap):
    engine = create_async_engine("sqlite+aiosqlite:///service.db", poolclass=NullPool)
    store = SqlAlchemyStore(immediate(engine) if wrap else engine)
    return Cashier(SessionManager.from_env(), Receiver.from_env(), store)

def good():
    return make(True)

def trapped():
    return make(False)
"""


def look(store: str = "", app: str = "") -> list[Finding]:
    """Look at a store."""

    async def examine() -> list[Finding]:
        return [found async for found in store_checkup.examine(Named(store=store, app=app))]

    return asyncio.run(examine())


@pytest.fixture
def path(terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A SQLite file with the tables."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE", raising=False)
    assert terminal("cashier", "schema", "--make", "--store", "shop.db") == 0
    return str(tmp_path / "shop.db")


def test_the_doctor_looks_at_a_store(path: str, provider: Provider, terminal: Terminal) -> None:
    """After everything else; what is wrong there makes the exit code 1."""
    assert terminal("doctor", "--store", path, "--json") in {0, 1}
    store = [one for one in terminal.json["findings"] if one["subject"] == "store"]
    assert [one["state"] for one in store] == ["ok", "ok"]
    assert terminal("doctor", "--store", f"{path}.not", "--json") == 1
    assert "there is no file" in terminal.json["findings"][-1]["text"]


def test_a_good_file(path: str) -> None:
    """Its tables, and how it is written."""
    assert [found.state for found in look(path)] == ["ok", "ok"]


def test_a_file_with_other_tables(path: str) -> None:
    """One difference is shown, and where all are."""
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("DROP TABLE paycollect_stray")
    found = look(path)[0]
    assert (found.state, "paycollect_stray is missing" in found.text) == ("wrong", True)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("DROP TABLE paycollect_inbox")
    assert "and 1 more" in look(path)[0].text


def test_a_file_that_does_not_use_wal(path: str) -> None:
    """It is only a sign: the service sets it."""
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode = DELETE")
    found = look(path)[-1]
    assert (found.state, found.text) == ("warning", "journal_mode is delete, not wal")


def test_a_file_that_cannot_be_written(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests may run as root, who may write anywhere: the answer of the system is replaced."""
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert "may not write" in look(path)[-1].text


def test_a_file_on_a_network(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite's locks cannot be relied on there."""
    monkeypatch.setattr(store_checkup, "network_file_system", lambda _: "nfs4")
    found = look(path)[0]
    assert (found.state, "nfs4" in found.text) == ("wrong", True)


def test_sqlite_through_sqlalchemy(path: str) -> None:
    """From outside it cannot be seen how the service's engine begins its transactions."""
    found = look(f"sqlite:///{path}")[-1]
    assert (found.state, "immediate(engine)" in found.advice) == ("warning", True)


def test_a_service_of_which_transactions_begin_late(
    path: str, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trap of SQLAlchemy's default mode is found where the service's own engine is looked at."""
    Path("my_trapped_service.py").write_text(SERVICE)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (good,) = look(app="my_trapped_service:good")
    assert good.state == "ok"
    (trapped,) = look(app="my_trapped_service:trapped")
    assert (trapped.state, "BEGIN IMMEDIATE" in trapped.text) == ("wrong", True)
    sys.modules.pop("my_trapped_service")
    (missing,) = look(app="no_such_module:x")
    assert (missing.state, "cannot be imported" in missing.text) == ("wrong", True)


# --- PostgreSQL


@pytest.fixture
def server() -> Iterator[Postgres]:
    """A PostgreSQL with a schema of its own, or a reason to skip."""
    url = find_server()
    if isinstance(url, str):
        pytest.skip(url)
    with fresh_schema(url) as found:
        yield found


def url_of(server: Postgres, port: int | None = None, **settings: str) -> str:
    """The URL of the test's schema."""
    options = " ".join(
        f"-c {name}={value}" for name, value in {"search_path": server.schema, **settings}.items()
    )
    url = server.url.set(drivername="postgresql+psycopg", port=port or server.url.port)
    return url.update_query_dict({"options": options}).render_as_string(hide_password=False)


def test_a_good_server(server: Postgres, terminal: Terminal) -> None:
    """Tables and clock are told; there is nothing else to say."""
    url = url_of(server, synchronous_commit="on")
    assert terminal("cashier", "schema", "--make", "--store", url) == 0
    found = look(url)
    of_this_server = ("fsync", "autovacuum")
    found = [one for one in found if not one.text.startswith(of_this_server)]
    assert [(one.state, one.text) for one in found] == [
        ("ok", "its tables are those of this release"),
        ("ok", "its clock and this machine's agree"),
    ]


def test_a_server_that_forgets(server: Postgres, terminal: Terminal) -> None:
    """A 200 means that the webhook is stored: synchronous_commit=off makes that untrue."""
    told = [one.text for one in look(url_of(server, synchronous_commit="off"))]
    assert any("synchronous_commit is off: what was answered with 200" in text for text in told)
    told = [one.text for one in look(url_of(server, default_transaction_read_only="on"))]
    assert "it only reads: a standby?" in told


class Between(threading.Thread):
    """Something that stands before the server, as a pooler does: it passes all bytes on."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._to = port
        self._loop: asyncio.AbstractEventLoop
        self._ended: asyncio.Event
        self._listening = threading.Event()
        self.port = 0

    def run(self) -> None:
        """Serve until stopped."""
        asyncio.run(self._serve())

    def stop(self) -> None:
        """End it."""
        self._loop.call_soon_threadsafe(self._ended.set)
        self.join(5)

    def wait(self) -> None:
        """Wait until it listens."""
        assert self._listening.wait(5)

    async def _serve(self) -> None:
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        async with await asyncio.start_server(self._meet, "127.0.0.1", 0) as server:
            self.port = server.sockets[0].getsockname()[1]
            self._listening.set()
            await self._ended.wait()

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to)
        try:
            await asyncio.gather(_pass_on(reader, far_writer), _pass_on(far_reader, writer))
        finally:
            for end in (writer, far_writer):
                end.close()
                with contextlib.suppress(OSError):
                    await end.wait_closed()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
    writer.close()


def test_something_before_the_server_is_seen(server: Postgres) -> None:
    """The server says on which port it listens, and that is not the one that was asked."""
    between = Between(server.url.port or 5432)
    between.start()
    between.wait()
    found = look(url_of(server, between.port))[-1]
    between.stop()
    assert (found.state, "something stands before it" in found.text) == ("warning", True)


SETTINGS = {
    "synchronous_commit": "on",
    "fsync": "on",
    "autovacuum": "on",
    "default_transaction_read_only": "off",
}


def test_a_server_that_does_not_clean_up() -> None:
    """Each payment leaves old rows behind, and indexes are chosen by what autovacuum has counted."""
    settings = SETTINGS | {"autovacuum": "off"}
    asked = Asked(settings=settings, now=0.0, port=None, asked_port=5432, processes=frozenset({1}))
    (found,) = store_checkup.server(asked)
    assert (found.state, found.text[:17]) == ("warning", "autovacuum is off")


@pytest.mark.parametrize(
    ("changes", "states"),
    [
        ({}, []),
        ({"port": None}, []),
        ({"processes": frozenset({1, 2}), "port": 1}, ["wrong"]),
        ({"port": 1}, ["warning"]),
    ],
)
def test_a_pooler_is_told_by_what_it_does(changes: dict[str, Any], states: list[str]) -> None:
    """Transactions of one connection that are served by several processes prove it."""
    given: dict[str, Any] = {
        "settings": SETTINGS,
        "now": 0.0,
        "port": 5432,
        "asked_port": 5432,
        "processes": frozenset({1}),
    }
    assert [found.state for found in store_checkup.server(Asked(**(given | changes)))] == states


@pytest.mark.parametrize(
    ("ahead", "state", "word"),
    [(1, "ok", "agree"), (-9, "warning", "behind"), (90, "wrong", "ahead of")],
)
def test_a_clock_that_differs_is_told(ahead: float, state: str, word: str) -> None:
    """Due times and leases are the database's, ages of webhooks are ours."""
    found = store_checkup.clock(ahead)
    assert (found.state, word in found.text) == (state, True)


def test_the_address_of_a_server_is_never_told(path: str) -> None:
    """A URL may hold a password."""
    (found,) = look("postgresql://u:hunter2@127.0.0.1:1/x")
    assert found.state == "wrong"
    assert "hunter2" not in found.text + found.advice
    assert make_url("postgresql://u:hunter2@h/x").password == "hunter2"


# --- Django


@pytest.mark.parametrize(
    ("databases", "state", "word"),
    [
        ({"default": {"ATOMIC_REQUESTS": True}}, "warning", "only after it was answered"),
        ({"default": {}}, "ok", "is off"),
        (None, "warning", "cannot be read"),
    ],
)
def test_django_that_stores_after_the_answer(
    databases: Any, state: str, word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ATOMIC_REQUESTS commits when the view has returned: a 200 then promises too much."""
    conf: Any = ModuleType("django.conf")
    if databases is not None:
        conf.settings = SimpleNamespace(DATABASES=databases)
    monkeypatch.setitem(sys.modules, "django.conf", conf)
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "shop.settings")
    found = look(app="no_such_module:x")[-1]
    assert (found.state, word in found.text) == (state, True)
    assert list(store_checkup.django(None)) == []
