"""Which cashier is meant: that of a service (--app), or one that is made for a store (--store).

Invariants: a store that is not there is never made by looking at it; the address of a database,
which may hold a password, is never shown.
"""

from __future__ import annotations

import inspect
import os
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from attrs import frozen

from paycollect import sync
from paycollect.cashier import Cashier, SqliteStore, StoreError
from paycollect.cashier.cashier import close_with_session, desk_of
from paycollect.cashier.schema import PREFIX
from paycollect.cli import settings
from paycollect.cli.exits import UsageError
from paycollect.ipn import Receiver
from paycollect.session import SessionManager

STORE: Final = "PAYCOLLECT_STORE"
APP: Final = "PAYCOLLECT_CASHIER"
StoreOption = Annotated[
    str | None,
    typer.Option(metavar="STORE", help=f"A SQLite file or a database URL; else {STORE}."),
]
AppOption = Annotated[
    str | None,
    typer.Option(metavar="MODULE:NAME", help=f"The cashier in your own service; else {APP}."),
]
_WHICH: Final = (
    f"which cashier? --store names its database (or {STORE}), --app the object in your service,"
    f" as module:cashier (or {APP})"
)
_ASYNC_DRIVERS: Final = {
    "postgresql": ("asyncpg", "psycopg"),
    "postgres": ("asyncpg", "psycopg"),
    "sqlite": ("aiosqlite",),
}


@frozen(kw_only=True)
class Named:
    """What a command line names: one of the two.

    Attributes:
        store: a path, or a SQLAlchemy URL.
        app: "module:cashier".

    """

    store: str = ""
    app: str = ""

    @property
    def is_file(self) -> bool:
        """Whether the store is a SQLite file."""
        return bool(self.store) and "://" not in self.store


def named(store: str | None, app: str | None, *, needs_handlers: bool = False) -> Named:
    """Choose: what was given, else the environment; handlers are in a service only.

    Raises:
        UsageError: nothing is named, or both are.

    """
    if store and app:
        raise UsageError("--store and --app both name a cashier: give one of them")
    if not store and not app:
        store, app = os.environ.get(STORE), os.environ.get(APP)
        if store and app:
            store, app = (None, app) if needs_handlers else (store, None)
    if app:
        return Named(app=app)
    if needs_handlers:
        raise UsageError(f"--app module:cashier is needed (or {APP}): your handlers are in it")
    if not store:
        raise UsageError(_WHICH)
    return Named(store=store)


@asynccontextmanager
async def opened(which: Named, *, asks: bool = False) -> AsyncIterator[Cashier[Any]]:
    """Give the cashier that is meant, without a worker; close it afterwards.

    Args:
        which: what was named.
        asks: whether the provider will be asked, so that credentials are needed.

    Raises:
        UsageError: there is no such cashier.
        StoreError: its store cannot be used.

    """
    if which.app:
        cashier = await of_service(which.app)
        try:
            await desk_of(cashier)
            yield cashier
        finally:
            await close_with_session(cashier)
        return
    pay = settings.session() if asks else _nobody()
    async with pay, store_of(which.store) as store:
        cashier = Cashier(pay, Receiver(secrets="unused"), store)
        try:
            await desk_of(cashier)
            yield cashier
        finally:
            await cashier.aclose()


def _nobody() -> SessionManager:
    """Make a session manager for commands that ask nobody: it has no credentials to send."""
    return SessionManager(app_id="NOBODY0000000000", secret_key="unused-unused-unused")  # noqa: S106  # none


async def of_service(name: str) -> Cashier[Any]:
    """Import the cashier of a service, or call the function that makes it.

    Raises:
        UsageError: it cannot be imported, or is none.

    """
    module, colon, attribute = name.partition(":")
    if not colon or not module or not attribute:
        raise UsageError(f"--app: module:cashier is needed, not {name!r}")
    if (here := os.getcwd()) not in sys.path:  # noqa: PTH109  # a path of imports is a text
        sys.path.insert(0, here)
    try:
        _set_up_django()
        found: Any = import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise UsageError(f"--app: {name} cannot be imported: {error}") from None
    if callable(found):
        found = found()
    if inspect.isawaitable(found):
        found = await found
    if isinstance(found, sync.Cashier):
        found = found._cashier  # noqa: SLF001  # of the same package
    if not isinstance(found, Cashier):
        raise UsageError(f"--app: {name} is no Cashier, but a {type(found).__name__}")
    return found


def _set_up_django() -> None:
    """Load Django's apps where its settings are named: a service's module may hold models."""
    if os.environ.get("DJANGO_SETTINGS_MODULE"):
        import django  # noqa: PLC0415  # an extra

        django.setup()


@asynccontextmanager
async def store_of(name: str, *, create: bool = False) -> AsyncIterator[Any]:
    """Give the store of a path or a URL.

    Args:
        name: a path, or a SQLAlchemy URL.
        create: whether its tables may be made.

    Raises:
        UsageError: there is no such store, or a library is missing.

    """
    if "://" not in name:
        if not create:
            look_for_tables(name)
        yield SqliteStore(name)
        return
    engine = engine_of(name)
    try:
        from paycollect.cashier import SqlAlchemyStore  # noqa: PLC0415  # an extra

        yield SqlAlchemyStore(engine, create_tables=create)
    finally:
        await engine.dispose()


def look_for_tables(path: str) -> None:
    """Refuse a file that is not there, or has no tables of a cashier: looking must not make them.

    Raises:
        UsageError: so it is.
        StoreError: it is no database, or cannot be read.

    """
    if not Path(path).is_file():
        raise UsageError(f"there is no file {path!r}; `paycollect cashier schema --make` makes it")
    try:
        with closing(read_only(path)) as db:
            found = db.execute(
                "SELECT 1 FROM sqlite_master WHERE name = ?", (f"{PREFIX}schema",)
            ).fetchone()
    except sqlite3.Error as error:
        problem = f"SQLite file {path!r} cannot be read: {getattr(error, 'sqlite_errorname', '?')}"
    else:
        if found is None:
            raise UsageError(
                f"{path!r} has no tables of a cashier; `paycollect cashier schema --make` makes"
                " them"
            )
        return
    raise StoreError(problem)


def read_only(path: str) -> sqlite3.Connection:
    """Connect to a file without ever making or changing it."""
    return sqlite3.connect(f"{Path(path).absolute().as_uri()}?mode=ro", uri=True)


@asynccontextmanager
async def asking() -> AsyncIterator[None]:
    """Tell errors of a database by their kind: their texts show addresses and parameters.

    Raises:
        StoreError: in place of any of them.

    """
    try:
        yield
    except Exception as error:  # noqa: BLE001  # drivers raise of their own kinds
        kind = type(error).__name__
    else:
        return
    raise StoreError(f"the database could not be reached, or refused a question: {kind}")


def engine_of(url: str) -> Any:
    """Make an engine of a URL, with a driver for asyncio where the URL names none.

    Raises:
        UsageError: it cannot be made; the URL, which may hold a password, is not shown.

    """
    try:
        from sqlalchemy import make_url  # noqa: PLC0415  # an extra
        from sqlalchemy.exc import ArgumentError, NoSuchModuleError  # noqa: PLC0415  an extra
        from sqlalchemy.ext.asyncio import create_async_engine  # noqa: PLC0415  an extra
    except ImportError:
        raise UsageError(
            "--store: a URL needs SQLAlchemy and a driver: `python -m pip install"
            " 'sqlalchemy[asyncio]' asyncpg`"
        ) from None
    try:
        made = make_url(url)
        kind, _, driver = made.drivername.partition("+")
        if not driver:
            made = made.set(drivername=f"{_plain(kind)}+{_driver(kind)}")
        engine = create_async_engine(made)
    except (ArgumentError, NoSuchModuleError, ImportError) as error:
        name = type(error).__name__
        raise UsageError(
            f"--store: no engine can be made of this URL ({name}): is its driver installed, and"
            " one for asyncio (asyncpg, psycopg, aiosqlite)?"
        ) from None
    if engine.dialect.name == "sqlite":
        from paycollect.cashier.sqlalchemy import immediate  # noqa: PLC0415  # an extra

        immediate(engine)
    return engine


def _plain(kind: str) -> str:
    return "postgresql" if kind == "postgres" else kind


def _driver(kind: str) -> str:
    drivers = _ASYNC_DRIVERS.get(kind, ())
    if not drivers:
        raise UsageError(f"--store: {kind} is not supported: PostgreSQL or SQLite is needed")
    return next((driver for driver in drivers if find_spec(driver)), drivers[0])
