"""What the cashier's work costs beside the same statements written by hand.

    python -m benchmarks.cashier [--full] [--json FILE]

Every row is a ratio against a floor that was taken in the same run, round about; the best rounds
are compared, as waiting for a busy machine is no cost of ours. Rows for PostgreSQL need a server
(see tests/cashier/postgres.py), and are left out without one.
"""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import secrets
import sqlite3
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from decimal import Decimal
from functools import partial
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeAlias, cast

import asyncpg  # type: ignore[import-untyped]  # it ships none
import psycopg
from aiohttp import web
from attrs import frozen
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from benchmarks import floors
from benchmarks.table import Row, run_alone
from paycollect import Collection, SessionManager
from paycollect.cashier import Cashier, Handlers, Payment, SqliteStore
from paycollect.cashier.letters import letter_of
from paycollect.cashier.sqlalchemy import SqlAlchemyStore, immediate
from paycollect.cashier.store import Dialect, Steps
from paycollect.cashier.transactions import inbox
from paycollect.ipn import Receiver
from paycollect.sandbox import Sandbox
from paycollect.status import PaymentStatus
from paycollect.testing import sign_webhook
from paycollect.web.aiohttp import webhook_routes
from tests.cashier.cancelling import cut_short
from tests.cashier.postgres import Postgres, find_server, fresh_schema

SECRET = "whsec_benchmark000000000000000000000001"
HOST = "127.0.0.1"
_bodies = count()
Job: TypeAlias = Callable[[], Awaitable[float]]
"""Does its work once; gives seconds for one piece of it."""


# --- the shop -------------------------------------------------------------------------------------


class Provider:
    """In place of a session: every collection is paid, and the answer takes no time."""

    async def get_collection(self, collection_id: str, **_: object) -> Collection:
        return Collection(
            collection_id=collection_id,
            order_id=collection_id.removeprefix("SCI"),
            amount=Decimal("25.00"),
            currency="USD",
            status=PaymentStatus.COMPLETED,
        )

    create_checkout = list_collections = list_refunds = get_collection


def make_cashier(store: Any, handler: Callable[..., object] | None = None) -> Cashier[Any]:
    """Make a cashier whose provider answers at once."""
    shop: Handlers[Any] = Handlers()
    shop.on_paid(handler or ship)
    return Cashier(
        cast("SessionManager", Provider()), Receiver(secrets=SECRET), store, handlers=shop
    )


def ship(tx: sqlite3.Connection, payment: Payment) -> None:
    tx.execute(floors.SHIP, {"order_id": payment.order_id})


async def ship_async(tx: AsyncConnection, payment: Payment) -> None:
    await tx.execute(_SHIP, {"order_id": payment.order_id})


_SHIP = text(floors.SHIP)


def body_of(order_id: str) -> bytes:
    """Make a webhook, as it is published."""
    data = {
        "collectionId": f"SCI{order_id}",
        "reference": "A2B4C6D8E0F2",
        "orderId": order_id,
        "amount": Decimal("25.00"),
        "fee": Decimal("0.75"),
        "netAmount": Decimal("24.25"),
        "currency": "USD",
        "status": "COMPLETED",
        "completedAt": "2026-01-08T11:35:00+00:00",
    }
    return sign_webhook(data, SECRET)


def bodies(number: int) -> list[bytes]:
    """Make webhooks of orders that nobody knows; each is a new one."""
    return [body_of(f"INV-{next(_bodies):08d}") for _ in range(number)]


async def flow(receive: Callable[[bytes], Awaitable[object]], number: int, at_once: int) -> float:
    """Hand over so many webhooks, so many at a time; seconds for each."""
    waiting = iter(bodies(number))

    async def one() -> None:
        for body in waiting:
            await receive(body)

    started = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(at_once)))
    return (time.perf_counter() - started) / number


async def rounds_of(jobs: Sequence[Job], rounds: int) -> list[float]:
    """Do each job in turn, round after round; give the best of each."""
    best = [float("inf")] * len(jobs)
    for number in range(rounds):
        order = range(len(jobs)) if number % 2 else reversed(range(len(jobs)))
        for index in order:
            best[index] = min(best[index], await jobs[index]())
    return best


def rate(seconds: float) -> str:
    return f"{1 / seconds:,.0f} a second"


@contextmanager
def folder() -> Iterator[Path]:
    """Make a folder on the disk that the working directory's temporary files are on."""
    with tempfile.TemporaryDirectory(prefix="bench") as name:
        yield Path(name)


# --- receive, in a file ---------------------------------------------------------------------------


async def receive_rows(full: bool) -> AsyncIterator[Row]:
    """Storing webhooks in a SQLite file, beside a thread that groups them by hand."""
    rounds = 9 if full else 4
    for at_once, number in ((1, 200), (8, 1200), (64, 3000)):
        with folder() as place:
            cashier = make_cashier(SqliteStore(place / "ours.db"))
            store = cast("SqliteStore", cashier._store)
            await cashier.receive(bodies(1)[0])
            floor = floors.Grouping(place / "floor.db", Receiver(secrets=SECRET), store._dialect)
            jobs = [
                partial(flow, floor.receive, number, at_once),
                partial(flow, cashier.receive, number, at_once),
            ]
            by_hand, ours = await rounds_of(jobs, rounds)
            floor.close()
            await cashier.aclose()
            yield Row(
                f"receive, SqliteStore, {at_once} at once / grouped by hand",
                by_hand / ours,
                goal=0.7,
                better="higher",
                note=f"{rate(ours)}, by hand {rate(by_hand)}",
            )


async def alchemy_rows(full: bool) -> AsyncIterator[Row]:
    """Storing webhooks in a SQLite file, beside SQLAlchemy with aiosqlite."""
    with folder() as place:
        engine = _file_engine(place / "alchemy.db")
        other = make_cashier(SqlAlchemyStore(engine), ship_async)
        cashier = make_cashier(SqliteStore(place / "ours.db"))
        jobs = [partial(flow, other.receive, 120, 8), partial(flow, cashier.receive, 1200, 8)]
        alchemy, ours = await rounds_of(jobs, 7 if full else 3)
        for each in (cashier, other):
            await each.aclose()
        await engine.dispose()
    yield Row(
        "receive, SqliteStore / SQLAlchemy + aiosqlite, 8 at once",
        alchemy / ours,
        goal=10,
        better="higher",
        note=f"{rate(ours)}, the latter {rate(alchemy)}",
    )


def _file_engine(path: Path) -> AsyncEngine:
    engine = immediate(create_async_engine(f"sqlite+aiosqlite:///{path}"))

    @event.listens_for(engine.sync_engine, "connect")
    def as_safe_and_quick(connection: Any, _: object) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute("PRAGMA busy_timeout = 5000")
        cursor.close()

    return engine


# --- claim and fulfil, in a file ------------------------------------------------------------------


def open_orders(number: int, prefix: str) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """Make the rows of orders that are open, and of the webhooks that say they are paid."""
    names = [f"{prefix}{each:06d}" for each in range(number)]
    now = int(time.time() * 1000)
    return (
        [(name, f"SCI{name}", secrets.token_hex(12), now) for name in names],
        [(f"h{name}", name, f"SCI{name}", now) for name in names],
    )


ORDER = (
    "INSERT INTO paycollect_order (order_id, collection_id, nonce, created_at, state, amount,"
    " currency, request, opened_at, ends_at)"
    " VALUES (?, ?, ?, ?, 'open', '25.00', 'USD', '{}', 0, 9000000000000)"
)
INBOX = (
    "INSERT INTO paycollect_inbox (id, order_id, collection_id, received_at, event, status, due_at)"
    " VALUES (?, ?, ?, ?, 'collection.received', 'COMPLETED', 0)"
)


def plant(path: Path, number: int, prefix: str) -> None:
    """Write open orders and their webhooks into a file."""
    orders, letters = open_orders(number, prefix)
    db = sqlite3.connect(path)
    with db:
        db.executemany(ORDER, orders)
        db.executemany(INBOX, letters)
    db.close()


async def work_off(cashier: Cashier[Any], number: int) -> float:
    """Claim, note and fulfil all that is due, as a worker does; seconds for each."""
    rounds = cashier._rounds
    done = 0
    started = time.perf_counter()
    while claimed := await rounds._claim(16):
        await asyncio.gather(*map(rounds._process, claimed))
        done += len(claimed)
    assert done == number, (done, number)
    return (time.perf_counter() - started) / number


async def fulfil_rows(full: bool) -> AsyncIterator[Row]:
    """Claiming and fulfilling orders in a SQLite file, beside a commit for each by hand."""
    number = 400 if full else 160
    with folder() as place:
        cashier = make_cashier(SqliteStore(place / "ours.db"))
        await cashier._ready()
        db = floors.connect(place / "floor.db")
        for path in (place / "ours.db", place / "floor.db"):
            with sqlite3.connect(path) as setting_up:
                setting_up.execute(floors.PARCELS)
            setting_up.close()
        recipe = floors.Recipe(cast("SqliteStore", cashier._store)._dialect)
        names = count()

        async def ours() -> float:
            plant(place / "ours.db", number, f"A{next(names)}-")
            return await work_off(cashier, number)

        async def by_hand() -> float:
            plant(place / "floor.db", number, f"A{next(names)}-")
            on = floors.OnSqlite(db)
            started = time.perf_counter()
            while claimed := await floors.claim_by_hand(on, recipe):
                for order, token, hint in claimed:
                    await floors.fulfil_by_hand(on, recipe, order, token, hint)
            return (time.perf_counter() - started) / number

        floor, taken = await rounds_of([by_hand, ours], 7 if full else 4)
        await cashier.aclose()
        db.close()
    yield Row(
        "claim + note + fulfil, SqliteStore / by hand",
        floor / taken,
        goal=0.7,
        better="higher",
        note=f"{rate(taken)}, by hand {rate(floor)}",
    )


# --- a webhook beside a slow handler --------------------------------------------------------------


async def slow_handler_rows(full: bool) -> AsyncIterator[Row]:
    """How long a webhook takes while handlers of 100 ms are at work."""
    waits: list[float] = []
    with folder() as place:

        def slow(tx: sqlite3.Connection, payment: Payment) -> None:
            time.sleep(0.1)
            ship(tx, payment)

        cashier = make_cashier(SqliteStore(place / "ours.db"), slow)
        await cashier._ready()
        with sqlite3.connect(place / "ours.db") as setting_up:
            setting_up.execute(floors.PARCELS)
        setting_up.close()
        number = 60 if full else 25
        plant(place / "ours.db", number, "A-")
        work = asyncio.ensure_future(work_off(cashier, number))
        await asyncio.sleep(0.05)
        while not work.done():
            (body,) = bodies(1)
            started = time.perf_counter()
            await cashier.receive(body)
            waits.append(time.perf_counter() - started)
            await asyncio.sleep(0.013)
        await work
        await cashier.aclose()
    yield Row(
        "webhook beside a handler of 100 ms, p50",
        1000 * statistics.median(waits),
        "ms",
        goal=110,
        note=f"{len(waits)} webhooks, the longest {1000 * max(waits):.0f} ms",
    )


# --- cancellation ---------------------------------------------------------------------------------


async def cancel_rows(full: bool) -> AsyncIterator[Row]:
    """How long a cancelled call goes on, wherever it waits, beside webhooks and a slow handler."""
    lasted: list[float] = []

    def slow(tx: sqlite3.Connection, payment: Payment) -> None:
        time.sleep(0.1)
        ship(tx, payment)

    async with Sandbox() as sandbox, AsyncExitStack() as opened:
        pay = await opened.enter_async_context(
            SessionManager(
                app_id=sandbox.app_id, secret_key=sandbox.secret_key, base_url=sandbox.base_url
            )
        )
        with folder() as place:
            shop: Handlers[sqlite3.Connection] = Handlers()
            shop.on_paid(slow)
            store = SqliteStore(place / "ours.db")
            cashier = Cashier(pay, Receiver(secrets=SECRET), store, handlers=shop)
            with sqlite3.connect(place / "ours.db") as setting_up:
                setting_up.execute(floors.PARCELS)
            setting_up.close()
            calls: tuple[Callable[[str], Coroutine[Any, Any, object]], ...] = (
                lambda order_id: _order(cashier, order_id),
                lambda _: cashier.receive(bodies(1)[0]),
                lambda order_id: cashier.returned(f"?batch={made[order_id]}&status=COMPLETED"),
                lambda _: cashier.run_once(),
            )
            made: dict[str, str] = {}
            beside = asyncio.ensure_future(_webhooks(cashier))
            for turn in range(5 if full else 1):
                for kind, call in enumerate(calls):
                    for number in count(1):
                        order_id = f"C-{turn}-{kind}-{number}"
                        if kind:
                            made[order_id] = await _order(cashier, order_id)
                            await sandbox.pay(made[order_id])
                        cut = await cut_short(call(order_id), number)
                        if cut.places < number:
                            break
                        lasted.append(cut.lasted)
            beside.cancel()
            await asyncio.gather(beside, return_exceptions=True)
            await cashier.aclose()
    yield Row(
        "a cancelled call ends, the longest",
        1000 * max(lasted),
        "ms",
        goal=50,
        note=f"{len(lasted)} places, p50 {1000 * statistics.median(lasted):.2g} ms",
    )


async def _order(cashier: Cashier[Any], order_id: str) -> str:
    checkout = await cashier.create_checkout(
        order_id=order_id, amount="25.00", description="Premium plan"
    )
    return checkout.collection_id


async def _webhooks(cashier: Cashier[Any]) -> None:
    while True:
        await flow(cashier.receive, 8, 8)


# --- statements -----------------------------------------------------------------------------------


async def statements_of_a_payment() -> tuple[int, int]:
    """Count the statements and the commits from a webhook to its delivery, for one payment."""
    with folder() as place:
        store = SqliteStore(place / "ours.db")
        cashier = make_cashier(store)
        await cashier._ready()
        with sqlite3.connect(place / "ours.db") as setting_up:
            setting_up.execute(floors.PARCELS)
        setting_up.close()
        plant(place / "ours.db", 1, "A-")
        await cashier._store.run(_forget_webhooks)
        points: list[str] = []
        store.reach = points.append
        await cashier.receive(body_of("A-000000"))
        for claimed in await cashier._rounds._claim(16):
            assert (await cashier._rounds._process(claimed)).delivered == 1
        await cashier.aclose()
    statements = sum(point.startswith("sql:") for point in points)
    return statements, points.count("commit:after")


def _forget_webhooks() -> Steps[None]:
    yield "DELETE FROM paycollect_inbox", {}


async def statement_rows(_full: bool) -> AsyncIterator[Row]:
    """How many statements one payment takes."""
    statements, commits = await statements_of_a_payment()
    yield Row("statements of a payment, from webhook to delivery", statements, "", note="alone")
    yield Row("commits of a payment, from webhook to delivery", commits, "")


# --- many finished rows ---------------------------------------------------------------------------


FINISHED = (
    (
        "INSERT INTO paycollect_order (order_id, collection_id, nonce, created_at, state, amount,"
        " currency, opened_at, ends_at, paid_at, fulfilled_at, record, found_by)"
        " WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {finished})"
        " SELECT 'old-' || CAST(i AS TEXT), 'SCIold-' || CAST(i AS TEXT), 'n' || CAST(i AS TEXT),"
        " i, 'fulfilled', '25.00', 'USD', i, i + 3600000, i, i, '{{\"status\": \"COMPLETED\"}}',"
        " 'webhook' FROM n"
    ),
    (
        "INSERT INTO paycollect_inbox (id, received_at, order_id, collection_id, event, status,"
        " handled_at, outcome) SELECT order_id, created_at, order_id, collection_id,"
        " 'collection.received', 'COMPLETED', created_at, 'fulfilled' FROM paycollect_order"
        " WHERE state = 'fulfilled'"
    ),
    (
        "INSERT INTO paycollect_timeline (id, order_id, at, what)"
        " SELECT order_id, order_id, created_at, 'fulfilled' FROM paycollect_order"
        " WHERE state = 'fulfilled'"
    ),
)
"""The rows that so many orders leave, in SQLite and PostgreSQL."""


def _age(path: Path, finished: int) -> None:
    db = floors.connect(path)
    db.execute(floors.PARCELS)
    db.execute("PRAGMA synchronous = OFF")
    db.execute("BEGIN")
    for statement in FINISHED:
        db.execute(statement.format(finished=finished))
    db.execute("COMMIT")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()


async def age_rows(full: bool) -> AsyncIterator[Row]:
    """What work costs in a file that many orders have gone through."""
    finished = 1_000_000 if full else 100_000
    with folder() as place:
        jobs: list[Job] = []
        cashiers = []
        for name, size in (("young.db", 1_000), ("old.db", finished)):
            _age(place / name, size)
            cashier = make_cashier(SqliteStore(place / name))
            await cashier._ready()
            cashiers.append(cashier)
            jobs.append(partial(_a_day, cashier, place / name, count()))
        young, old = await rounds_of(jobs, 9 if full else 5)
        for cashier in cashiers:
            await cashier.aclose()
    yield Row(
        f"receive + claim + fulfil, {finished:,} finished orders / 1,000",
        old / young,
        goal=1.2,
        note=f"{1e6 * young:,.0f} us, then {1e6 * old:,.0f} us a payment",
    )


async def _a_day(cashier: Cashier[Any], path: Path, names: Iterator[int]) -> float:
    orders, _ = open_orders(A_DAY, f"A{next(names)}-")
    db = sqlite3.connect(path)
    with db:
        db.executemany(ORDER, orders)
    db.close()
    return await _receive_and_fulfil(cashier, orders)


A_DAY = 96


async def _receive_and_fulfil(cashier: Cashier[Any], orders: list[tuple[Any, ...]]) -> float:
    ready = [body_of(order[0]) for order in orders]
    started = time.perf_counter()
    for start in range(0, len(ready), 8):
        await asyncio.gather(*map(cashier.receive, ready[start : start + 8]))
    await work_off(cashier, len(ready))
    return (time.perf_counter() - started) / len(ready)


# --- over HTTP ------------------------------------------------------------------------------------


def serve(pipe: Connection, path: str) -> None:
    """Serve the floor and the cashier, in a process of their own."""

    async def main() -> None:
        cashier = make_cashier(SqliteStore(path))
        receiver = Receiver(secrets=SECRET)

        async def prove(request: web.Request) -> web.Response:
            receiver.parse(await request.read())
            return web.Response(status=200)

        app = web.Application()
        app.add_routes([web.post("/floor", prove), *webhook_routes("/hook", cashier)])
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, HOST, 0)
        await site.start()
        # As a large service does: else looking for garbage in all that was imported, which takes
        # 40 ms, meets one webhook in a hundred.
        gc.collect()
        gc.freeze()
        pipe.send(runner.addresses[0][1])
        await asyncio.get_running_loop().run_in_executor(None, pipe.recv)
        await runner.cleanup()
        await cashier.aclose()

    asyncio.run(main())


class Poster(asyncio.Protocol):
    """Posts one body after the other on one connection, and notes how long each took."""

    def __init__(self, path: str, waiting: Iterator[bytes], waits: list[float]) -> None:
        self._path = path
        self._waiting = waiting
        self._waits = waits
        self._answer = b""
        self._sent_at = 0.0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._send()

    def _send(self) -> None:
        body = next(self._waiting, None)
        if body is None:
            self._transport.close()
            self.done.set_result(None)
            return
        head = f"POST {self._path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        self._sent_at = time.perf_counter()
        self._transport.write(head.encode() + body)

    def data_received(self, data: bytes) -> None:
        self._answer += data
        if self._answer.endswith(b"\r\n\r\n"):  # the answers have no body
            assert self._answer.startswith(b"HTTP/1.1 200"), self._answer
            self._answer = b""
            self._waits.append(time.perf_counter() - self._sent_at)
            self._send()


async def post(port: int, path: str, number: int, at_once: int, waits: list[float]) -> float:
    """Post so many webhooks on so many connections; seconds for each."""
    waiting = iter(bodies(number))
    loop = asyncio.get_running_loop()
    mine: list[float] = []
    started = time.perf_counter()
    made = [
        await loop.create_connection(partial(Poster, path, waiting, mine), HOST, port)
        for _ in range(at_once)
    ]
    await asyncio.gather(*(poster.done for _, poster in made))
    waits.append(statistics.quantiles(mine, n=100)[98])
    return (time.perf_counter() - started) / number


async def http_rows(full: bool) -> AsyncIterator[Row]:
    """A webhook over HTTP: stored, beside a server that only proves it."""
    context = multiprocessing.get_context("spawn")
    with folder() as place:
        here, there = context.Pipe()
        process = context.Process(target=serve, args=(there, str(place / "ours.db")))
        process.start()
        port = here.recv()
        for at_once, number, goal in ((64, 3000, 0.8), (8, 1500, 0.5)):
            waits: tuple[list[float], list[float]] = [], []
            jobs = [
                partial(post, port, path, number, at_once, late)
                for path, late in zip(("/floor", "/hook"), waits, strict=True)
            ]
            floor, ours = await rounds_of(jobs, 9 if full else 5)
            yield Row(
                f"webhook over HTTP, {at_once} at once / proof alone",
                floor / ours,
                goal=goal,
                better="higher",
                note=f"{rate(ours)}, proof alone {rate(floor)}",
            )
            yield Row(
                f"webhook over HTTP, {at_once} at once / proof alone, p99",
                min(waits[1]) / min(waits[0]),
                goal=2,
                note=f"{1000 * min(waits[1]):.1f} ms",
            )
        here.send("stop")
        await asyncio.to_thread(process.join)


# --- PostgreSQL -----------------------------------------------------------------------------------

CONNECTIONS = 8


async def postgres_receive_rows(place: Postgres, full: bool) -> AsyncIterator[Row]:
    """Storing webhooks in PostgreSQL, beside the same row by bare asyncpg."""
    number = 1500 if full else 600
    for driver in ("asyncpg", "psycopg"):
        async with AsyncExitStack() as stack:
            engine = create_async_engine(**_address(place, driver), pool_size=CONNECTIONS)
            stack.push_async_callback(engine.dispose)
            cashier = make_cashier(SqlAlchemyStore(engine), ship_async)
            stack.push_async_callback(cashier.aclose)
            await cashier._ready()
            pool = [await stack.enter_async_context(_bare(place)) for _ in range(CONNECTIONS)]
            jobs = [
                partial(flow, receive, number, CONNECTIONS)
                for receive in (partial(_receive_by_hand, pool), cashier.receive)
            ]
            floor, ours = await rounds_of(jobs, 7 if full else 4)
            yield Row(
                f"receive, PostgreSQL ({driver}), 8 at once / bare asyncpg",
                floor / ours,
                goal=0.5,
                better="higher",
                note=f"{rate(ours)}, bare {rate(floor)}",
            )


async def _receive_by_hand(pool: list[floors.OnAsyncpg], body: bytes) -> None:
    on = pool.pop()
    sql, args = next(inbox.put(letter_of(_RECEIVER.parse(body), None)))
    written, args = _POSTGRES.write(sql, args)
    await on.execute(written, dict(args))
    pool.append(on)


_RECEIVER = Receiver(secrets=SECRET)
_POSTGRES = Dialect(
    "CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT)", "FOR UPDATE SKIP LOCKED"
)
"""SqlAlchemyStore's own, without an engine."""


def _address(place: Postgres, driver: str) -> dict[str, Any]:
    """Give what `create_async_engine` needs; the disk is waited for, as in earnest."""
    arguments: dict[str, Any] = {"server_settings": {"search_path": place.schema}}
    if driver == "psycopg":
        arguments = {"options": f"-c search_path={place.schema}"}
    return {"url": place.url.set(drivername=f"postgresql+{driver}"), "connect_args": arguments}


@asynccontextmanager
async def _bare(place: Postgres) -> AsyncIterator[floors.OnAsyncpg]:
    url = place.url.set(drivername="postgresql").render_as_string(hide_password=False)
    connection = await asyncpg.connect(url, server_settings={"search_path": place.schema})
    try:
        yield floors.OnAsyncpg(connection)
    finally:
        await connection.close()


@frozen
class Task:
    """What a process is to do: work orders off in some way, when it is told to."""

    way: str
    url: str
    schema: str

    @property
    def place(self) -> Postgres:
        from sqlalchemy import make_url  # noqa: PLC0415  a process of its own begins here

        return Postgres(make_url(self.url), self.schema)


WORKERS, AT_ONCE = 2, 4


def work(pipe: Connection, task: Task) -> None:
    """Be one of the processes."""
    asyncio.run(_work(pipe, task))


async def _work(pipe: Connection, task: Task) -> None:
    async with AsyncExitStack() as stack:
        once = await _way_of(task, stack)
        pipe.send("ready")
        while await asyncio.to_thread(pipe.recv):
            started = time.process_time()
            done = await once()
            pipe.send((done, time.process_time() - started))


async def _way_of(task: Task, stack: AsyncExitStack) -> Callable[[], Awaitable[int]]:
    place = task.place
    way, _, driver = task.way.partition(" ")
    if way == "cashier":
        engine = create_async_engine(**_address(place, driver), pool_size=AT_ONCE, max_overflow=0)
        stack.push_async_callback(engine.dispose)
        cashier = make_cashier(SqlAlchemyStore(engine), ship_async)
        stack.push_async_callback(cashier.aclose)
        await cashier._ready()

        async def ours() -> int:
            done = 0
            while claimed := await cashier._rounds._claim(16):
                await asyncio.gather(*map(cashier._rounds._process, claimed))
                done += len(claimed)
            return done

        return ours
    connections = [await _connection(way, driver, place, stack) for _ in range(AT_ONCE)]
    recipe = floors.Recipe(_POSTGRES)

    async def by_hand() -> int:
        done = 0
        while claimed := await floors.claim_by_hand(connections[0], recipe):
            waiting = iter(claimed)
            await asyncio.gather(*(_all_of(on, recipe, waiting) for on in connections))
            done += len(claimed)
        return done

    return by_hand


async def _all_of(
    on: floors.Transactions, recipe: floors.Recipe, waiting: Iterator[tuple[Any, str, str]]
) -> None:
    for order, token, hint in waiting:
        await floors.fulfil_by_hand(on, recipe, order, token, hint)


async def _connection(
    way: str, driver: str, place: Postgres, stack: AsyncExitStack
) -> floors.Transactions:
    if way == "asyncpg":
        return await stack.enter_async_context(_bare(place))
    if way == "psycopg":
        url = place.url.set(drivername="postgresql").render_as_string(hide_password=False)
        made = await psycopg.AsyncConnection.connect(url, options=f"-c search_path={place.schema}")
        stack.push_async_callback(made.close)
        return floors.OnPsycopg(made)
    engine = create_async_engine(**_address(place, driver), pool_size=1)
    stack.push_async_callback(engine.dispose)
    return floors.OnSqlAlchemy(await stack.enter_async_context(engine.connect()))


WAYS: tuple[str, ...] = (
    "asyncpg",
    "psycopg",
    "sqlalchemy asyncpg",
    "sqlalchemy psycopg",
    "cashier asyncpg",
    "cashier psycopg",
)


@contextmanager
def crew_of(way: str, place: Postgres) -> Iterator[list[Connection]]:
    """Start the processes that work in some way; gives the pipes to them."""
    context = multiprocessing.get_context("spawn")
    task = Task(way, place.url.render_as_string(hide_password=False), place.schema)
    processes, pipes = [], []
    for _ in range(WORKERS):
        here, there = context.Pipe()
        process = context.Process(target=work, args=(there, task), daemon=True)
        process.start()
        there.close()
        processes.append(process)
        pipes.append(here)
    try:
        for pipe in pipes:
            pipe.recv()
        yield pipes
        for pipe in pipes:
            pipe.send("")
        for process in processes:
            process.join()
    finally:
        for process in processes:
            process.kill()


async def postgres_fulfil_rows(place: Postgres, full: bool) -> AsyncIterator[Row]:
    """Claiming, noting and fulfilling in PostgreSQL, by two processes with four connections."""
    number = 600 if full else 200
    names = count()
    cpu = dict.fromkeys(WAYS, float("inf"))
    async with _bare(place) as on, AsyncExitStack() as stack:

        async def run(way: str, pipes: list[Connection]) -> float:
            orders, letters = open_orders(number, f"A{next(names)}-")
            await on._connection.executemany(_numbered(ORDER), orders)
            await on._connection.executemany(_numbered(INBOX), letters)
            started = time.perf_counter()
            for pipe in pipes:
                pipe.send("go")
            answers = [await asyncio.to_thread(pipe.recv) for pipe in pipes]
            taken = time.perf_counter() - started
            assert sum(done for done, _ in answers) == number, answers
            cpu[way] = min(cpu[way], sum(spent for _, spent in answers) / number)
            return taken / number

        crews = {way: stack.enter_context(crew_of(way, place)) for way in WAYS}
        jobs = [partial(run, way, pipes) for way, pipes in crews.items()]
        taken = dict(zip(WAYS, await rounds_of(jobs, 7 if full else 3), strict=True))
    for driver, floor in (("asyncpg", 0.4), ("psycopg", 0.3)):
        mine = f"cashier {driver}"
        for way, goal in ((f"sqlalchemy {driver}", 0.8), (driver, floor)):
            yield Row(
                f"claim + note + fulfil, 2 processes x 4, {driver} / {_named(way)}",
                taken[way] / taken[mine],
                goal=goal,
                better="higher",
                note=f"{rate(taken[mine])}, by hand {rate(taken[way])};"
                f" CPU of the clients {cpu[way] / cpu[mine]:.2f}",
            )


async def postgres_age_rows(place: Postgres, full: bool) -> AsyncIterator[Row]:
    """What work costs in a database that many orders have gone through, and that counted none."""
    finished = 1_000_000 if full else 100_000
    jobs: list[Job] = []
    async with AsyncExitStack() as stack:
        for size in (1_000, finished):
            schema = stack.enter_context(fresh_schema(place.url))
            await _prepare(schema)
            on = await stack.enter_async_context(_bare(schema))
            for statement in FINISHED:
                await on._connection.execute(statement.format(finished=size))
            engine = create_async_engine(**_address(schema, "asyncpg"), pool_size=CONNECTIONS)
            stack.push_async_callback(engine.dispose)
            cashier = make_cashier(SqlAlchemyStore(engine), ship_async)
            stack.push_async_callback(cashier.aclose)
            await cashier._ready()
            jobs.append(partial(_a_day_there, cashier, on._connection, count()))
        young, old = await rounds_of(jobs, 9 if full else 5)
    yield Row(
        f"receive + claim + fulfil, PostgreSQL, {finished:,} finished orders / 1,000",
        old / young,
        goal=1.2,
        note=f"{1e6 * young:,.0f} us, then {1e6 * old:,.0f} us a payment",
    )


async def _a_day_there(cashier: Cashier[Any], connection: Any, names: Iterator[int]) -> float:
    orders, _ = open_orders(A_DAY, f"A{next(names)}-")
    await connection.executemany(_numbered(ORDER), orders)
    return await _receive_and_fulfil(cashier, orders)


def _named(way: str) -> str:
    return "SQLAlchemy" if way.startswith("sqlalchemy") else "bare"


def _numbered(sql: str) -> str:
    for number in range(1, sql.count("?") + 1):
        sql = sql.replace("?", f"${number}", 1)
    return sql


async def _prepare(place: Postgres) -> None:
    engine = create_async_engine(**_address(place, "asyncpg"))
    await SqlAlchemyStore(engine).open()
    await engine.dispose()
    async with _bare(place) as on:
        await on._connection.execute(floors.PARCELS)


# --- all of it ------------------------------------------------------------------------------------

IN_A_FILE = (
    receive_rows,
    alchemy_rows,
    fulfil_rows,
    slow_handler_rows,
    cancel_rows,
    http_rows,
    age_rows,
    statement_rows,
)
IN_POSTGRES = (postgres_receive_rows, postgres_fulfil_rows, postgres_age_rows)


def rows(full: bool) -> Iterator[Row]:
    """Measure everything."""
    with asyncio.Runner() as runner:
        for measure in IN_A_FILE:
            yield from _each(runner, measure(full))
        url = find_server()
        if isinstance(url, str):
            yield Row(f"PostgreSQL: left out, {url}", 0, "")
            return
        with fresh_schema(url) as place:
            runner.run(_prepare(place))
            for each in IN_POSTGRES:
                yield from _each(runner, each(place, full))


def _each(runner: asyncio.Runner, found: AsyncIterator[Row]) -> Iterator[Row]:
    async def following() -> Row | None:
        return await anext(found, None)

    while (row := runner.run(following())) is not None:
        yield row


if __name__ == "__main__":
    run_alone("cashier", __doc__, rows)
