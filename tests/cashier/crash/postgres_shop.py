"""The right shop on PostgreSQL; and one that opens a connection of its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from paycollect.cashier import Cashier, Closed, Handlers, Held, Payment, Refunded, SqlAlchemyStore
from paycollect.crash import Shop, World
from tests.cashier.postgres import Postgres

Ship = Callable[[AsyncEngine, AsyncSession, str], Awaitable[None]]
_TABLES = ("parcels", "given_back", "taken_back")
_OURS = ("order", "inbox", "stray", "timeline", "setting")


async def right(_engine: AsyncEngine, session: AsyncSession, order_id: str) -> None:
    """Deliver in the session that is given."""
    await session.execute(text("INSERT INTO parcels VALUES (:o)"), {"o": order_id})


async def own_connection(engine: AsyncEngine, _session: AsyncSession, order_id: str) -> None:
    """Deliver by a connection of one's own, which commits by itself."""
    async with engine.begin() as conn:
        await conn.execute(text("INSERT INTO parcels VALUES (:o)"), {"o": order_id})


def shop_of(postgres: Postgres, driver: str = "asyncpg", ship: Ship = right) -> Any:
    """Make a shop in a schema; the tables are empty at the begin of each schedule."""

    async def prepare(engine: AsyncEngine, world: World) -> None:
        begun = world.folder / "begun"
        if begun.exists():
            return
        async with engine.begin() as conn:
            for table in _TABLES:
                await conn.execute(text(f"CREATE TABLE IF NOT EXISTS {table} (order_id TEXT)"))
                await conn.execute(text(f"DELETE FROM {table}"))
            for table in _OURS:
                exists = await conn.execute(text(f"SELECT to_regclass('paycollect_{table}')"))
                if exists.scalar():
                    await conn.execute(text(f"DELETE FROM paycollect_{table}"))
        begun.touch()

    def counter(engine: AsyncEngine, table: str) -> Callable[[str], Awaitable[int]]:
        async def count(order_id: str) -> int:
            async with engine.connect() as conn:
                query = text(f"SELECT COUNT(*) FROM {table} WHERE order_id = :o")
                return int((await conn.execute(query, {"o": order_id})).scalar_one())

        return count

    async def make_shop(world: World) -> Shop:
        engine = postgres.engine(driver)
        await prepare(engine, world)
        handlers: Handlers[AsyncSession] = Handlers()

        @handlers.on_paid
        async def on_paid(session: AsyncSession, payment: Payment) -> None:
            await ship(engine, session, payment.order_id)

        @handlers.on_closed
        async def on_closed(session: AsyncSession, closed: Closed) -> None:
            insert = text("INSERT INTO given_back VALUES (:o)")
            await session.execute(insert, {"o": closed.order_id})

        @handlers.on_refunded
        async def on_refunded(session: AsyncSession, refunded: Refunded) -> None:
            insert = text("INSERT INTO taken_back VALUES (:o)")
            await session.execute(insert, {"o": refunded.payment.order_id})

        @handlers.after_paid
        def after_paid(payment: Payment) -> None:
            world.effects.record("mail", payment.key)

        @handlers.on_held
        def on_held(held: Held) -> None:
            world.effects.record("alarm", held.key)

        store = SqlAlchemyStore(async_sessionmaker(engine))
        cashier = Cashier(
            world.pay, world.receiver, store=store, handlers=handlers, clock=world.clock
        )
        return Shop(
            cashier=cashier,
            delivered=counter(engine, "parcels"),
            gave_back=counter(engine, "given_back"),
            took_back=counter(engine, "taken_back"),
            close=engine.dispose,
        )

    return make_shop
