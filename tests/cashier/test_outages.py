"""When what is below fails for a while: the promise holds, and each error says what to do."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from paycollect.cashier import (
    Cashier,
    Handlers,
    Payment,
    SqlAlchemyStore,
    SqliteStore,
    Standing,
    StoreError,
)
from paycollect.cashier._guarded import GuardedConnection
from paycollect.errors import DuplicateOrderError
from paycollect.sandbox.faults import respond
from tests.cashier.conftest import World, order
from tests.cashier.postgres import Postgres, private_server

HOUR = 3600


async def paid(world: World, cashier: Cashier[Any], order_id: str = "A") -> str:
    """Create an order, and pay it; nobody is told."""
    checkout = await order(cashier, order_id)
    await world.sandbox.pay(checkout.collection_id)
    return checkout.collection_id


class DeathError(BaseException):
    """A life ends here, as by SIGKILL."""


class SmallDisk(GuardedConnection):
    """A connection to a file that cannot grow."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        pages = self.run("PRAGMA page_count")[0][0]
        self.run(f"PRAGMA max_page_count = {pages}")


async def test_a_disk_that_is_full_for_a_while(world: World) -> None:
    """Webhooks are answered 503, nothing is marked; with room again all is delivered once."""
    async with world.life() as cashier:
        ids = {name: await paid(world, cashier, name) for name in ("A", "B", "C")}
    full = SqliteStore(world.path)
    full.connection = SmallDisk
    refused = 0
    async with world.life(store=full) as cashier:
        for number in range(200):
            body = world.webhook(f"X{number}", collection_id=f"SCI{number:012}")
            answer = await cashier.receive(body)
            refused += answer.status == 503
            if answer.status == 503:
                assert answer.headers["Retry-After"] == "30"
                break
        with pytest.raises(StoreError, match="the disk is full: make room"):
            await order(cashier, "D", metadata={"note": "x" * 20_000})
        for collection_id in ids.values():
            await cashier.returned(f"?batch={collection_id}&status=COMPLETED")
    assert refused == 1
    before = world.parcels
    assert len(before) == len(set(before))
    async with world.life() as cashier:
        for _ in range(3):
            world.clock.advance(700)
            await cashier.run_until_idle()
    assert world.parcels == ["A", "B", "C"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody who may not write")
def test_a_file_that_this_user_cannot_write() -> None:
    """Told when the service starts, with what to do."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        path = Path(folder) / "shop.db"
        db = sqlite3.connect(path)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE parcels (order_id TEXT)")
        db.close()
        path.chmod(0o444)
        told = Path(folder) / "told"
        told.touch()
        told.chmod(0o666)
        child = os.fork()
        if not child:  # pragma: no cover  # another process
            os.setuid(65534)
            try:
                asyncio.run(SqliteStore(path).open())
            except StoreError as error:
                told.write_text(str(error))
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        assert "cannot be written to: give this user the right to" in told.read_text()


@pytest.mark.no_cover
async def test_two_days_without_the_provider(world: World) -> None:
    """Nothing is held, closed or lost; then all is delivered."""
    async with world.life() as cashier:
        collection_id = await paid(world, cashier)
        await order(cashier, "B")
        await cashier.receive(world.webhook(collection_id=collection_id))
        world.sandbox.faults.always("* *", respond(403))
        for _ in range(2 * 24 * 4):
            world.clock.advance(HOUR / 4)
            await cashier.run_once()
        back = await cashier.returned(f"?batch={collection_id}&status=COMPLETED")
        assert (back.standing, back.delivered) == (Standing.UNKNOWN, False)
        assert (world.state("A"), world.state("B"), world.alarms) == ("open", "open", [])
        world.sandbox.faults.clear()
        for _ in range(3):
            world.clock.advance(700)
            await cashier.run_until_idle()
    assert world.parcels == ["A"]
    assert world.state("B") == "closed"


@pytest.mark.parametrize("hours", [-30, -3, 3, 30])
async def test_a_clock_that_jumps_between_two_lives(world: World, hours: int) -> None:
    """The lease of the life before is over, or not: the order is delivered once, and soon."""

    class Jumped:
        """The world's clock, wrong by hours."""

        monotonic = staticmethod(world.clock.monotonic)
        sleep = staticmethod(world.clock.sleep)

        def time(self) -> float:
            return world.clock.time() + hours * HOUR

    async with world.life() as cashier:
        collection_id = await paid(world, cashier)
        await cashier.receive(world.webhook(collection_id=collection_id))

        def die(point: str) -> None:
            if point == "handler:on_paid:end":
                raise DeathError

        cashier._store.reach = die
        with pytest.raises(DeathError):
            await cashier.run_once()
        cashier._store.reach = lambda _: None
    async with world.life(clock=Jumped()) as cashier:
        for _ in range(6):
            world.clock.advance(61)
            await cashier.run_until_idle()
        assert world.parcels == ["A"]
    async with world.life() as cashier:
        world.clock.advance(61)
        await cashier.run_until_idle()
    assert (world.parcels, world.alarms) == (["A"], [])


async def test_a_backup_that_is_restored(world: World, tmp_path: Path) -> None:
    """Its sequence gives an order id again: another customer's payment delivers nothing."""
    backup = tmp_path / "backup.db"
    async with world.life() as cashier:
        await cashier.stats()
    shutil.copy(world.path, backup)
    async with world.life() as cashier:
        await paid(world, cashier, "1001")
        world.clock.advance(61)
        await cashier.run_until_idle()
    assert world.parcels == ["1001"]
    for name in ("shop.db", "shop.db-wal", "shop.db-shm"):
        (world.path.parent / name).unlink(missing_ok=True)
    shutil.copy(backup, world.path)
    world.clock.advance(HOUR)
    async with world.life() as cashier:
        with pytest.raises(DuplicateOrderError, match="use another order id"):
            await order(cashier, "1001")
        for _ in range(8):
            world.clock.advance(HOUR)
            await cashier.run_until_idle()
    assert world.parcels == []
    assert world.state("1001") == "closed/order_id_taken"
    assert {held.reason for held in world.alarms} >= {"order_id_taken"}


async def test_stale_answers_for_a_minute(world: World) -> None:
    """A webhook says COMPLETED, the GET is older: it waits, and is delivered once."""
    async with world.life() as cashier:
        collection_id = await paid(world, cashier)
        world.sandbox.provider.options = _stale(world, 60.0)
        await cashier.receive(world.webhook(collection_id=collection_id))
        world.clock.advance(1)
        await cashier.run_until_idle()
        assert world.parcels == []
        for _ in range(20):
            world.clock.advance(10)
            await cashier.run_until_idle()
    assert (world.parcels, world.alarms) == (["A"], [])


def _stale(world: World, seconds: float) -> Any:
    return replace(world.sandbox.provider.options, stale_reads=seconds)


@pytest.mark.greenlets
async def test_a_database_that_is_stopped_in_the_middle_of_a_delivery(world: World) -> None:
    """The power of PostgreSQL is cut while the handler works; after its start: once."""
    try:
        server = private_server()
        with server as running:
            await _stop_and_start(world, running)
    except LookupError as missing:
        pytest.skip(str(missing))


async def _stop_and_start(world: World, server: Any) -> None:
    postgres = Postgres(server.url, "public")
    engine = postgres.engine()
    await postgres.ask("CREATE TABLE parcels (order_id TEXT)")
    shop: Handlers[AsyncSession] = Handlers()
    cuts = [True]

    @shop.on_paid
    async def ship(session: AsyncSession, payment: Payment) -> None:
        await session.execute(text("INSERT INTO parcels VALUES (:o)"), {"o": payment.order_id})
        if cuts.pop() if cuts else False:
            server.stop()

    store = SqlAlchemyStore(async_sessionmaker(engine))
    async with world.life(store=store, handlers=shop) as cashier:
        collection_id = await paid(world, cashier)
        await cashier.receive(world.webhook(collection_id=collection_id))
        with pytest.raises(StoreError, match=r"lost|reached"):
            await cashier.run_until_idle()
        answer = await cashier.receive(world.webhook(collection_id=collection_id))
        assert answer.status == 503
        server.start()
        assert (await cashier.receive(world.webhook(collection_id=collection_id))).status == 200
        for _ in range(6):
            world.clock.advance(61)
            await cashier.run_until_idle()
    await engine.dispose()
    rows = await postgres.ask("SELECT order_id FROM parcels")
    assert rows == [("A",)]
