"""What the doctor looks at in a store: the traps that nothing else shows before money is lost.

Invariants: nothing is changed, and no address of a database is shown.
"""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

from paycollect.cashier import CashierError, StoreError
from paycollect.cashier._network import network_file_system
from paycollect.cli import stores, tables
from paycollect.cli.checkup import LARGE_SKEW, SMALL_SKEW, Finding
from paycollect.cli.exits import CommandError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

_IMMEDIATE: Final = (
    "your engine must be wrapped: paycollect.cashier.sqlalchemy.immediate(engine); else a"
    " SAVEPOINT's rows survive a rollback. `--app module:cashier` looks whether it is"
)
_SETTINGS: Final = "DJANGO_SETTINGS_MODULE"


async def examine(which: stores.Named) -> AsyncIterator[Finding]:
    """Look at the store that is named, one thing after the other."""
    if which.app:
        yield await _of_service(which.app)
    else:
        try:
            async for finding in _of_store(which):
                yield finding
        except (CommandError, StoreError) as error:
            yield _wrong(str(error), "name a store with --store, or repair this one")
    for finding in django(os.environ.get(_SETTINGS)):
        yield finding


async def _of_service(name: str) -> Finding:
    """Open the service's own store, which refuses what it cannot work with."""
    try:
        async with stores.opened(stores.Named(app=name)):
            pass  # it was looked at when it was opened
    except (CommandError, CashierError) as error:
        return _wrong(str(error), "correct what is named")
    return Finding(subject="store", state="ok", text="the service's own store can be used")


async def _of_store(which: stores.Named) -> AsyncIterator[Finding]:
    name = which.store
    if which.is_file:
        system = network_file_system(name)
        if system is not None:
            yield _wrong(f"it is on a network file system ({system})", "use a local disk")
    problems = tables.differences(await tables.look(name))
    if problems:
        more = f" and {len(problems) - 1} more" if len(problems) > 1 else ""
        yield _wrong(problems[0] + more, "`paycollect cashier check` shows all of them")
    else:
        yield Finding(subject="store", state="ok", text="its tables are those of this release")
    if which.is_file:
        yield file(name)
        return
    asked = await _ask(name)
    if asked is None:
        text = "SQLite through SQLAlchemy"
        yield Finding(subject="store", state="warning", text=text, advice=_IMMEDIATE)
        return
    yield clock(asked.now - time.time())
    for finding in server(asked):
        yield finding


def file(path: str) -> Finding:
    """Look at a SQLite file, and whether this user may write to it."""
    with closing(stores.read_only(path)) as db:
        mode = db.execute("PRAGMA journal_mode").fetchone()[0]
    if not os.access(path, os.W_OK) or not os.access(Path(path).absolute().parent, os.W_OK):
        return _wrong("this user may not write to the file, or to its folder", "give it the right")
    if mode != "wal":
        advice = "your service sets it when it opens the file: it has not yet, or it could not"
        text = f"journal_mode is {mode}, not wal"
        return Finding(subject="store", state="warning", text=text, advice=advice)
    return Finding(subject="store", state="ok", text=f"SQLite {sqlite3.sqlite_version}, WAL")


@frozen(kw_only=True)
class Asked:
    """What a PostgreSQL says about itself.

    Attributes:
        settings: some of its settings.
        now: its time, in seconds since 1970.
        port: the one that it listens on; None for a socket of its machine.
        asked_port: the one that was connected to.
        processes: its processes that served one connection of ours, a transaction each.

    """

    settings: dict[str, str]
    now: float
    port: int | None
    asked_port: int
    processes: frozenset[int]


async def _ask(url: str) -> Asked | None:
    """Ask a PostgreSQL; None for another database."""
    from sqlalchemy import text  # noqa: PLC0415  # an extra

    engine = stores.engine_of(url)
    try:
        if engine.dialect.name != "postgresql":
            return None
        async with stores.asking(), engine.connect() as conn:

            async def one(sql: str) -> Any:
                return (await conn.execute(text(sql))).scalar_one()

            names = ("synchronous_commit", "fsync", "autovacuum", "default_transaction_read_only")
            settings = {name: str(await one(f"SHOW {name}")) for name in names}
            now = float(await one("SELECT EXTRACT(EPOCH FROM clock_timestamp())"))
            port = await one("SELECT inet_server_port()")
            processes = set()
            for _ in range(5):
                processes.add(await one("SELECT pg_backend_pid()"))
                await conn.commit()
            return Asked(
                settings=settings,
                now=now,
                port=port,
                asked_port=engine.url.port or 5432,
                processes=frozenset(processes),
            )
    finally:
        await engine.dispose()


def server(asked: Asked) -> Iterator[Finding]:
    """Judge what a PostgreSQL says about itself."""
    for name, threat in (
        ("synchronous_commit", "what was answered with 200 can be lost with the power"),
        ("fsync", "what was answered with 200 can be lost with the power"),
    ):
        if asked.settings[name] == "off":
            yield _wrong(f"{name} is off: {threat}", f"set {name} = on for this user or database")
    if asked.settings["autovacuum"] == "off":
        yield Finding(
            subject="store",
            state="warning",
            text="autovacuum is off: the tables grow, and the server cannot tell which index helps",
            advice="set autovacuum = on, or run VACUUM ANALYZE every few minutes",
        )
    if asked.settings["default_transaction_read_only"] == "on":
        yield _wrong("it only reads: a standby?", "name the primary server")
    if len(asked.processes) > 1:
        yield _wrong(
            "a pooler gives each transaction another connection (pgbouncer, pool_mode=transaction)",
            "connect directly, or with pool_mode=session: asyncpg cannot work with it",
        )
    elif asked.port not in (None, asked.asked_port):
        text = f"something stands before it: port {asked.asked_port} leads to {asked.port}"
        advice = "if it is pgbouncer, pool_mode must be session"
        yield Finding(subject="store", state="warning", text=text, advice=advice)


def clock(ahead: float) -> Finding:
    """Judge how far the database's clock is ahead of this machine's."""
    off = abs(ahead)
    which = "ahead of" if ahead > 0 else "behind"
    text = f"the database's clock is {off:.0f} s {which} this machine's"
    if off > LARGE_SKEW:
        return _wrong(text, "set both by NTP")
    if off > SMALL_SKEW:
        return Finding(subject="store", state="warning", text=text, advice="set both by NTP")
    return Finding(subject="store", state="ok", text="its clock and this machine's agree")


def django(module: str | None) -> Iterator[Finding]:
    """Look at Django's settings, where they are named."""
    if not module:
        return
    try:
        from django.conf import settings  # noqa: PLC0415  # an extra

        databases: dict[str, dict[str, Any]] = settings.DATABASES
    except Exception as error:  # noqa: BLE001  # settings are a program of the user's
        yield Finding(
            subject="django",
            state="warning",
            text=f"{_SETTINGS} is set, but its settings cannot be read: {type(error).__name__}",
            advice="run it where manage.py runs",
        )
        return
    found = [name for name, database in databases.items() if database.get("ATOMIC_REQUESTS")]
    if found:
        yield Finding(
            subject="django",
            state="warning",
            text=f"ATOMIC_REQUESTS is on for {', '.join(found)}: a webhook would be stored only"
            " after it was answered",
            advice="put @transaction.non_atomic_requests on your webhook view; `manage.py check`"
            " looks at it",
        )
    else:
        yield Finding(subject="django", state="ok", text="ATOMIC_REQUESTS is off")


def _wrong(text: str, advice: str) -> Finding:
    return Finding(subject="store", state="wrong", text=text, advice=advice)
