"""A PostgreSQL for tests: the one that can be reached, else a private one, else a reason to skip.

PAYCOLLECT_TEST_POSTGRES may name another (postgresql://user@host:port/database). Each test has a
schema of its own, which is dropped at its end.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]  # it ships none
from attrs import define
from sqlalchemy import URL, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

DRIVERS = ("asyncpg", "psycopg")
_USUAL = "postgresql://postgres@127.0.0.1:5432/test"


@define
class Postgres:
    """A schema of its own in a database."""

    url: URL
    schema: str

    def engine(self, driver: str = "asyncpg", **options: object) -> AsyncEngine:
        """Make an engine whose tables are in the test's own schema."""
        # Tests that cut the power have a server of their own; here it need not wait for the disk.
        settings = {
            "search_path": self.schema,
            "application_name": self.schema,
            "synchronous_commit": "off",
        }
        place: dict[str, object] = {"server_settings": settings}
        if driver == "psycopg":
            place = {"options": " ".join(f"-c {name}={value}" for name, value in settings.items())}
        url = self.url.set(drivername=f"postgresql+{driver}")
        return create_async_engine(url, connect_args=place, **options)

    async def ask(self, sql: str) -> list[tuple[object, ...]]:
        """Run a statement beside the store."""
        conn = await connect(self.url)
        try:
            await conn.execute(f"SET search_path TO {self.schema}")
            return [tuple(row) for row in await conn.fetch(sql)]
        finally:
            await conn.close()


def now(work: Coroutine[Any, Any, object]) -> None:
    """Await something from code that may run inside an event loop or not."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, work).result()


async def connect(url: URL) -> asyncpg.Connection:
    """Connect without SQLAlchemy."""
    return await asyncpg.connect(
        url.set(drivername="postgresql").render_as_string(hide_password=False), timeout=3
    )


@contextmanager
def fresh_schema(url: URL) -> Iterator[Postgres]:
    """Make a schema, and drop it afterwards."""
    name = f"paycollect_{secrets.token_hex(6)}"

    async def run(sql: str) -> None:
        conn = await connect(url)
        try:
            await conn.execute("SET synchronous_commit TO off")
            await conn.execute(sql)
        finally:
            await conn.close()

    now(run(f"CREATE SCHEMA {name}"))
    try:
        yield Postgres(url, name)
    finally:
        now(run(f"DROP SCHEMA {name} CASCADE"))


@cache
def find_server() -> URL | str:
    """Give the address of a server that can be reached; else why there is none."""
    named = os.environ.get("PAYCOLLECT_TEST_POSTGRES")
    url = make_url(named or _USUAL)

    async def probe() -> None:
        await (await connect(url)).close()

    try:
        now(probe())
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        return f"no PostgreSQL at {url.host}:{url.port} ({type(error).__name__})"
    return url


def binaries() -> Path | None:
    """Find the folder with `initdb` and `postgres`."""
    found = shutil.which("initdb")
    places = [Path(found).resolve().parent] if found else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((place for place in places if (place / "initdb").exists()), None)


def free_port() -> int:
    """Find a port on loopback that is free now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class PrivateServer:
    """A PostgreSQL of the test's own, which it may stop and start."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self._programs = programs
        self._data = folder / "data"
        self._sockets = folder
        self.port = free_port()
        # PostgreSQL refuses to run as root: then it runs as the user that its package made.
        self._user = "postgres" if os.geteuid() == 0 else None
        self._run("initdb", "-D", str(self._data), "-U", "postgres", "--auth=trust", "--no-sync")

    @property
    def url(self) -> URL:
        """Where it listens."""
        return make_url(f"postgresql://postgres@127.0.0.1:{self.port}/postgres")

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = f"-p {self.port} -h 127.0.0.1 -k {self._sockets} -F"
        log = str(self._sockets / "log")
        self._run("pg_ctl", "-D", str(self._data), "-w", "-l", log, "-o", options, "start")

    def stop(self, mode: str = "immediate") -> None:
        """Stop it: "immediate" is as if its power was cut."""
        self._run("pg_ctl", "-D", str(self._data), "-w", "-m", mode, "stop")

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [str(self._programs / program), *arguments],
            check=True,
            capture_output=True,
            user=self._user,
            cwd="/",
            stdin=subprocess.DEVNULL,
        )


@contextmanager
def private_server() -> Iterator[PrivateServer]:
    """Start a server of the test's own; LookupError where none is installed."""
    programs = binaries()
    if programs is None:
        raise LookupError("PostgreSQL's programs (initdb, pg_ctl) are not installed")
    with tempfile.TemporaryDirectory(prefix="pg") as folder:
        Path(folder).chmod(0o755)
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres")
        server = PrivateServer(Path(folder), programs)
        server.start()
        try:
            yield server
        finally:
            server.stop()
