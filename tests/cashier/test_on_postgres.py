"""The same lives on PostgreSQL: sweep, desk, life, doors and checkouts, by the tests of SQLite.

A statement that SQLite takes can still be wrong there: PostgreSQL wants to know each type.
"""

# ruff: noqa: F403 - the tests are those of the other modules, on the world below

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from paycollect import SessionManager
from paycollect.cashier import Cashier, Closed, Handlers, Held, Payment, Refunded, SqlAlchemyStore
from paycollect.ipn import Receiver
from paycollect.sandbox import Sandbox
from tests.cashier.conftest import World, order
from tests.cashier.postgres import Postgres, connect, find_server, fresh_schema, now
from tests.cashier.test_desk import *
from tests.cashier.test_life import *
from tests.cashier.test_sweep import *

pytestmark = [pytest.mark.no_cover, pytest.mark.greenlets]

# These fill a file by hand, or take long for what they show on any database.
for name in (
    "test_a_thousand_open_orders",
    "test_after_an_outage",
    "test_a_filter_that_lies",
    "test_nothing_changes_while_the_provider_is_away",
    "test_a_cron_job_makes_each_pass_when_it_is_due",
):
    del globals()[name]


class PostgresWorld(World):
    """A merchant's tables in a schema of the test's own."""

    def __init__(self, sandbox: Sandbox, pay: SessionManager, postgres: Postgres) -> None:
        self.sandbox, self.pay, self.clock = sandbox, pay, sandbox.clock
        self.postgres = postgres
        self.told: list[str] = []
        self.alarms: list[Held] = []
        self.payments: list[Payment] = []
        self.refunds: list[Refunded] = []
        self.closed: list[Closed] = []
        self.engine = postgres.engine()
        self.change("CREATE TABLE parcels (order_id TEXT)")
        self.change("CREATE TABLE returned (rowid SERIAL, order_id TEXT, why TEXT)")

    def handlers(self, *, without: tuple[str, ...] = ()) -> Any:
        """The shop's handlers, on a connection that is awaited."""
        shop: Handlers[AsyncConnection] = Handlers()
        write = "INSERT INTO returned (order_id, why) VALUES (:o, :why)"

        async def ship(tx: AsyncConnection, payment: Payment) -> None:
            await tx.execute(text("INSERT INTO parcels VALUES (:o)"), {"o": payment.order_id})
            self.payments.append(payment)

        async def give_back(tx: AsyncConnection, closed: Closed) -> None:
            await tx.execute(text(write), {"o": closed.order_id, "why": closed.reason})
            self.closed.append(closed)

        async def take_back(tx: AsyncConnection, refunded: Refunded) -> None:
            order_id = refunded.payment.order_id
            await tx.execute(text(write), {"o": order_id, "why": "refunded"})
            self.refunds.append(refunded)

        async def tell(payment: Payment) -> None:
            self.told.append(payment.key)

        async def alarm(held: Held) -> None:
            self.alarms.append(held)

        for kind, handler in {
            "on_paid": ship,
            "on_closed": give_back,
            "on_refunded": take_back,
            "after_paid": tell,
            "on_held": alarm,
        }.items():
            if kind not in without:
                getattr(shop, kind)(handler)
        return shop

    def cashier(self, **options: Any) -> Any:
        """A new life on the same tables."""
        options.setdefault("handlers", self.handlers())
        options.setdefault("clock", self.clock)
        options.setdefault("store", SqlAlchemyStore(self.engine))
        receiver = Receiver(secrets=self.sandbox.webhook_secret)
        return Cashier(self.pay, options.pop("receiver", receiver), **options)

    def rows(self, sql: str, *args: object) -> list[Any]:
        """Look into the schema by a connection of one's own."""
        numbered = sql
        for number in range(1, len(args) + 1):
            numbered = numbered.replace("?", f"${number}", 1)
        found: list[Any] = []

        async def ask() -> None:
            conn = await connect(self.postgres.url)
            try:
                await conn.execute(f"SET search_path TO {self.postgres.schema}")
                found.extend(tuple(row) for row in await conn.fetch(numbered, *args))
            finally:
                await conn.close()

        now(ask())
        return found

    def change(self, sql: str, *args: object) -> None:
        """Change the schema by a connection of one's own."""
        self.rows(sql, *args)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A sandbox whose clock is moved by hand, and a shop's schema."""
    url = find_server()
    if isinstance(url, str):
        pytest.skip(url)
    with fresh_schema(url) as postgres:
        async with (
            Sandbox(time_scale=0) as sandbox,
            SessionManager(
                app_id=sandbox.app_id, secret_key=sandbox.secret_key, base_url=sandbox.base_url
            ) as pay,
        ):
            made = PostgresWorld(sandbox, pay, postgres)
            yield made
            await made.engine.dispose()


FINISHED = 20_000
FILL = f"""
    INSERT INTO paycollect_order (order_id, state, collection_id, created_at, fulfilled_at)
        SELECT 'OLD-' || n, 'fulfilled', 'SCIOLD' || n, n, n FROM generate_series(1, {FINISHED}) n;
    INSERT INTO paycollect_inbox (id, order_id, collection_id, received_at, handled_at)
        SELECT 'OLD-' || n, 'OLD-' || n, 'SCIOLD' || n, n, n FROM generate_series(1, {FINISHED}) n;
    INSERT INTO paycollect_timeline (id, order_id, at, what)
        SELECT 'OLD-' || n, 'OLD-' || n, n, 'fulfilled' FROM generate_series(1, {FINISHED}) n;
"""
LOOKED_THROUGH = (
    "SELECT relname, seq_tup_read FROM pg_stat_user_tables WHERE schemaname = current_schema()"
    " AND relname IN ('paycollect_order', 'paycollect_inbox', 'paycollect_timeline')"
)


@pytest.mark.parametrize("analyzed", [False, True])
async def test_finished_orders_are_not_looked_through(world: Any, analyzed: bool) -> None:
    """However many there are; also before the database has counted them."""
    async with world.life() as cashier:
        await cashier.run_once()
    for statement in [*FILL.split(";")[:-1], *(["ANALYZE"] if analyzed else [])]:
        world.change(statement)
    await world.engine.dispose()  # a connection tells what it has read when it ends
    before = dict(world.rows(LOOKED_THROUGH))
    async with world.life() as cashier:
        made = []
        for number in range(4):
            checkout = await order(cashier, f"INV-{number}")
            made.append(checkout.collection_id)
            back = f"?batch={checkout.collection_id}&status=COMPLETED"
            if number == 0:
                await world.sandbox.decline(checkout.collection_id)
            else:
                await world.sandbox.pay(checkout.collection_id)
            if number == 1:
                await cashier.returned(back)
            elif number == 2:
                letter = world.webhook(f"INV-{number}", collection_id=checkout.collection_id)
                await cashier.receive(letter)
            await cashier.run_until_idle()
        world.clock.advance(7200)
        await cashier.run_until_idle()
        await world.sandbox.refund(made[3])  # nobody tells of it but the sweep
        world.clock.advance(7200)
        await cashier.run_until_idle()
        await cashier.replay("INV-3")
        await cashier.timeline("INV-3")
        assert world.state("INV-3") == "refunded"
        assert world.parcels == ["INV-1", "INV-2", "INV-3"]
    await world.engine.dispose()
    after = dict(world.rows(LOOKED_THROUGH))
    assert [name for name in after if after[name] - before[name] >= FINISHED] == []
    world.change("SELECT COUNT(*) FROM paycollect_order WHERE amount = '1'")
    seen = dict(world.rows(LOOKED_THROUGH))["paycollect_order"] - after["paycollect_order"]
    assert seen >= FINISHED, "this is how a look through all would show"
