"""A shop under load, with lost webhooks, faulty answers and workers that are killed.

    python -m benchmarks.soak [--payments N] [--store sqlite|postgresql|both] [--json FILE]

The provider is the sandbox, over HTTP, on a clock of its own that runs faster. Of all webhooks 2 %
are swallowed on their way, of all the provider's answers 1 % are faulty, and every few seconds a
worker process is killed (SIGKILL) and started again. At the end each payment must have been
delivered once: the exit code says so.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import random
import re
import sqlite3
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import datetime, timedelta
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from attrs import asdict, frozen
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from benchmarks.table import write_text
from paycollect import SessionManager
from paycollect.cashier import Cashier, Handlers, Payment, SqliteStore
from paycollect.cashier.sqlalchemy import SqlAlchemyStore
from paycollect.ipn import Receiver
from paycollect.sandbox import Sandbox
from paycollect.sandbox.clock import Clock
from paycollect.sandbox.faults import (
    Act,
    Exchange,
    Fault,
    drop_after_commit,
    malformed_json,
    respond,
    truncate,
)
from paycollect.web.aiohttp import webhook_routes
from tests.cashier.postgres import Postgres, find_server, free_port, fresh_schema

HOST = "127.0.0.1"
TIME_SCALE = 10.0
LOST, FAULTY = 0.02, 0.01
KILL_EVERY = 5.0
BUYERS = 24
PARCELS = "CREATE TABLE parcels (order_id TEXT, found_by TEXT, at BIGINT)"
SHIP = "INSERT INTO parcels (order_id, found_by, at) VALUES (:order_id, :found_by, :at)"


# --- a worker process -----------------------------------------------------------------------------


@frozen
class Shop:
    """What a worker needs to know."""

    path: str
    postgres: str
    schema: str
    port: int
    base_url: str
    app_id: str
    secret_key: str
    webhook_secret: str
    start: datetime
    zero: float

    def clock(self) -> Clock:
        """Give the sandbox's clock; the machine's monotonic clock is the same in all processes."""
        passed = (time.monotonic() - self.zero) * TIME_SCALE
        return Clock(time_scale=TIME_SCALE, start=self.start + timedelta(seconds=passed))


def work(shop: Shop, serves: Any) -> None:
    """Be a worker, until killed."""
    asyncio.run(_work(shop, serves))


async def _work(shop: Shop, serves: Any) -> None:
    clock = shop.clock()
    handlers: Handlers[Any] = Handlers()

    def parcel(payment: Payment) -> dict[str, object]:
        at = int(clock.time() * 1000)
        return {"order_id": payment.order_id, "found_by": payment.found_by, "at": at}

    def ship(tx: sqlite3.Connection, payment: Payment) -> None:
        tx.execute(SHIP, parcel(payment))

    async def ship_async(tx: AsyncConnection, payment: Payment) -> None:
        await tx.execute(_SHIP, parcel(payment))

    handlers.on_paid(ship if shop.path else ship_async)
    store: Any = SqliteStore(shop.path) if shop.path else SqlAlchemyStore(_engine(shop))
    pay = SessionManager(
        app_id=shop.app_id, secret_key=shop.secret_key, base_url=shop.base_url, deadline=20
    )
    receiver = Receiver(secrets=shop.webhook_secret)
    async with pay, Cashier(pay, receiver, store, handlers=handlers, clock=clock) as cashier:

        async def buy(request: web.Request) -> web.Response:
            wanted = await request.json()
            checkout = await cashier.create_checkout(amount="25.00", description="Plan", **wanted)
            return web.json_response({"collection_id": checkout.collection_id})

        app = web.Application()
        app.add_routes([web.post("/buy", buy), *webhook_routes("/hook", cashier)])
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, HOST, shop.port, reuse_port=True).start()
        serves.set()
        await asyncio.Event().wait()


_SHIP = text(SHIP)


def _engine(shop: Shop) -> Any:
    arguments = {"server_settings": {"search_path": shop.schema}}
    url = make_url(shop.postgres).set(drivername="postgresql+asyncpg")
    return create_async_engine(url, connect_args=arguments, pool_size=4)


class Workers:
    """The worker processes: started, killed one after the other, and started again."""

    def __init__(self, shop: Shop, number: int) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._shop = shop
        self._running = [self._start() for _ in range(number)]
        self.killed = 0
        self.memory = 0

    def _start(self) -> BaseProcess:
        self._serves = self._context.Event()
        args = (self._shop, self._serves)
        process = self._context.Process(target=work, args=args, daemon=True)
        process.start()
        return process

    async def kill_for_ever(self) -> None:
        """Kill one every few seconds, once the one before it serves."""
        while True:
            while not await asyncio.to_thread(self._serves.wait, 1):
                pass
            await asyncio.sleep(KILL_EVERY * random.uniform(0.5, 1.5))
            process = self._running.pop(0)
            self._measure(process)
            process.kill()
            await asyncio.to_thread(process.join)
            self.killed += 1
            self._running.append(self._start())

    def stop(self) -> None:
        """End them all."""
        for process in self._running:
            self._measure(process)
            process.kill()
            process.join()

    def _measure(self, process: BaseProcess) -> None:
        with suppress(OSError):
            status = Path(f"/proc/{process.pid}/status").read_text("utf-8")
            peak = re.search(r"VmHWM:\s+(\d+)", status)
            self.memory = max(self.memory, int(peak[1]) if peak else 0)


# --- the provider, and the customers --------------------------------------------------------------


def now_and_then() -> Fault:
    """Let some answers be faulty, each in one of four ways."""
    ways = [drop_after_commit(), truncate(), malformed_json(), respond(503)]

    def _act() -> Act:
        async def act(exchange: Exchange) -> None:
            if random.random() < FAULTY:
                await random.choice(ways).act(exchange)
            else:
                await exchange.send(await exchange.work())

        return act

    return Fault("now_and_then", {}, "request", _act())


@asynccontextmanager
async def sink() -> AsyncIterator[str]:
    """Take webhooks, say 200, and lose them."""

    async def swallow(request: web.Request) -> web.Response:
        await request.read()
        return web.Response()

    app = web.Application()
    app.add_routes([web.post("/hook", swallow)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, HOST, 0).start()
    try:
        yield f"http://{HOST}:{runner.addresses[0][1]}/hook"
    finally:
        await runner.cleanup()


@frozen
class Report:
    """What came of it; instants and lags are of the sandbox's clock."""

    store: str
    workers: int
    payments: int
    delivered_once: int
    doubles: int
    not_delivered: int
    unpaid_delivered: int
    webhooks_lost: int
    workers_killed: int
    seconds: float
    payments_a_second: float
    lag_p50: float
    lag_p99: float
    longest_lag: float
    found_by: dict[str, int]
    worker_memory_mib: float
    table_mib: float

    @property
    def kept(self) -> bool:
        """Whether the promise was kept."""
        return self.delivered_once == self.payments and not self.unpaid_delivered


class Soak:
    """One run on one store."""

    def __init__(self, payments: int, ask: Callable[[str], Any]) -> None:
        self._payments = payments
        self._ask = ask
        self.paid_at: dict[str, float] = {}
        self.lost = 0
        self._began = time.monotonic()

    async def buy_all(self, sandbox: Sandbox, shop: Shop, lossy: str) -> None:
        """Have customers buy and pay, some at a time; two of a hundred go away."""
        numbers = iter(range(self._payments))
        async with aiohttp.ClientSession() as http:

            async def buyer() -> None:
                for number in numbers:
                    is_lost = random.random() < LOST
                    hook = lossy if is_lost else f"http://{HOST}:{shop.port}/hook"
                    self.lost += is_lost
                    order_id = f"INV-{number:06d}"
                    collection_id = await self._buy(http, shop, order_id, hook)
                    if number % 50 == 7:
                        await self._buy(http, shop, f"GONE-{number:06d}", hook)
                    self.paid_at[order_id] = sandbox.clock.time()
                    await sandbox.pay(collection_id)

            await asyncio.gather(*(buyer() for _ in range(BUYERS)))

    async def _buy(self, http: aiohttp.ClientSession, shop: Shop, order_id: str, hook: str) -> str:
        """Buy, and try again for as long as the shop dies meanwhile."""
        wanted = {"order_id": order_id, "webhook_url": hook}
        while True:
            with suppress(aiohttp.ClientError, OSError, TimeoutError):
                limit = aiohttp.ClientTimeout(total=20)
                url = f"http://{HOST}:{shop.port}/buy"
                async with http.post(url, json=wanted, timeout=limit) as answer:
                    if answer.status == 200:
                        return str((await answer.json())["collection_id"])
            await asyncio.sleep(0.2)

    async def wait_for_all(self, sandbox: Sandbox) -> None:
        """Wait until everything is delivered, or nothing was for an hour of the sandbox's clock."""
        before, until = -1, 0.0
        while before < self._payments:
            ((count,),) = await self._ask("SELECT COUNT(DISTINCT order_id) FROM parcels")
            self.show(int(count))
            if count > before:
                before, until = int(count), sandbox.clock.time() + 3600
            elif sandbox.clock.time() > until:
                return
            await asyncio.sleep(1)

    async def show_for_ever(self) -> None:
        """Keep the progress bar up to date."""
        while True:
            ((count,),) = await self._ask("SELECT COUNT(DISTINCT order_id) FROM parcels")
            self.show(int(count))
            await asyncio.sleep(2)

    def show(self, delivered: int) -> None:
        """Draw the progress bar."""
        share = delivered / self._payments
        bar = ("#" * round(30 * share)).ljust(30, ".")
        took = time.monotonic() - self._began
        figures = f"{len(self.paid_at):,} paid, {delivered:,} delivered, {took:.0f} s"
        end = "\r" if sys.stderr.isatty() else "\n"
        print(f"  [{bar}] {figures}", end=end, file=sys.stderr, flush=True)

    async def report(self, place: Place, workers: Workers, size: float) -> Report:
        """Count."""
        took = time.monotonic() - self._began
        rows = await self._ask("SELECT order_id, found_by, at FROM parcels")
        counts = Counter(str(row[0]) for row in rows)
        lags = sorted(
            int(at) / 1000 - self.paid_at[order_id]
            for order_id, _, at in rows
            if order_id in self.paid_at
        )
        quantiles = statistics.quantiles(lags, n=100)
        return Report(
            store=place.name,
            workers=place.workers,
            payments=self._payments,
            delivered_once=sum(counts[order_id] == 1 for order_id in self.paid_at),
            doubles=sum(count > 1 for count in counts.values()),
            not_delivered=sum(not counts[order_id] for order_id in self.paid_at),
            unpaid_delivered=len(counts.keys() - self.paid_at.keys()),
            webhooks_lost=self.lost,
            workers_killed=workers.killed,
            seconds=round(took, 1),
            payments_a_second=round(self._payments / took, 1),
            lag_p50=round(quantiles[49], 1),
            lag_p99=round(quantiles[98], 1),
            longest_lag=round(lags[-1], 1),
            found_by=dict(Counter(str(row[1]) for row in rows)),
            worker_memory_mib=round(workers.memory / 1024, 1),
            table_mib=round(size, 1),
        )


@frozen
class Place:
    """A database, and who works on it."""

    name: str
    workers: int
    where: Postgres | Path
    ask: Callable[[str], Any]
    size: Callable[[], Any]


async def _run(payments: int, place: Place) -> Report:
    where = place.where
    async with AsyncExitStack() as stack:
        sandbox = await stack.enter_async_context(Sandbox(time_scale=TIME_SCALE))
        sandbox.faults.always("* *", now_and_then())
        lossy = await stack.enter_async_context(sink())
        shop = Shop(
            path=str(where) if isinstance(where, Path) else "",
            postgres="" if isinstance(where, Path) else str(where.url),
            schema="" if isinstance(where, Path) else where.schema,
            port=free_port(),
            base_url=sandbox.base_url,
            app_id=sandbox.app_id,
            secret_key=sandbox.secret_key,
            webhook_secret=sandbox.webhook_secret,
            start=sandbox.clock.now(),
            zero=time.monotonic(),
        )
        workers = Workers(shop, place.workers)
        stack.callback(workers.stop)
        soak = Soak(payments, place.ask)
        beside = [
            asyncio.create_task(each) for each in (workers.kill_for_ever(), soak.show_for_ever())
        ]
        await soak.buy_all(sandbox, shop, lossy)
        await soak.wait_for_all(sandbox)
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        workers.stop()
        return await soak.report(place, workers, await place.size())


async def on_sqlite(payments: int) -> Report:
    """Run it on a file, with one worker process."""
    with tempfile.TemporaryDirectory(prefix="soak") as folder:
        path = Path(folder) / "shop.db"

        async def ask(sql: str) -> list[tuple[object, ...]]:
            db = sqlite3.connect(path, timeout=30)
            try:
                return db.execute(sql).fetchall()
            finally:
                db.close()

        async def size() -> float:
            await ask("PRAGMA wal_checkpoint(TRUNCATE)")
            return path.stat().st_size / 2**20

        await ask(PARCELS)
        return await _run(payments, Place("SQLite", 1, path, ask, size))


async def on_postgres(payments: int, place: Postgres) -> Report:
    """Run it on PostgreSQL, with four worker processes."""

    async def size() -> float:
        tables = "('order'), ('inbox'), ('timeline')"
        ((found,),) = await place.ask(
            "SELECT SUM(pg_total_relation_size(('paycollect_' || name)::regclass))::bigint"
            f" FROM (VALUES {tables}) AS tables (name)"
        )
        return int(str(found)) / 2**20

    engine = place.engine()
    async with engine.begin() as conn:
        await conn.execute(text(PARCELS))
    await SqlAlchemyStore(engine).open()
    await engine.dispose()
    return await _run(payments, Place("PostgreSQL", 4, place, place.ask, size))


def show(report: Report) -> None:
    """Print a report."""
    print(f"{report.store}: {'kept' if report.kept else 'BROKEN'}")
    for name, value in asdict(report).items():
        print(f"  {name.replace('_', ' '):<20} {value}")


def run(payments: int, stores: Sequence[str]) -> list[Report]:
    """Run it on each store."""
    reports = []
    for store in stores:
        if store == "sqlite":
            reports.append(asyncio.run(on_sqlite(payments)))
        else:
            url = find_server()
            if isinstance(url, str):
                print(f"PostgreSQL: left out, {url}")
                continue
            with fresh_schema(url) as place:
                reports.append(asyncio.run(on_postgres(payments, place)))
        show(reports[-1])
    return reports


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--payments", type=int, default=100_000, metavar="N")
    parser.add_argument("--store", choices=("sqlite", "postgresql", "both"), default="both")
    parser.add_argument("--json", metavar="FILE", help="write the reports as JSON, too")
    given = parser.parse_args()
    stores = ("sqlite", "postgresql") if given.store == "both" else (given.store,)
    reports = run(given.payments, stores)
    if given.json is not None:
        write_text(json.dumps([asdict(report) for report in reports], indent=2), given.json)
    return int(not all(report.kept for report in reports))


if __name__ == "__main__":
    sys.exit(main())
