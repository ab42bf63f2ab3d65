"""A process of a shop that waits for a signal, and then does everything at the same instant.

python -m tests.cashier.racer FOLDER_OR_SCHEMA BASE_URL STORE_URL deliver|create
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from collections import Counter
from typing import Any

from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from paycollect import SessionManager
from paycollect.cashier import Cashier, Handlers, Payment, SqlAlchemyStore, SqliteStore
from paycollect.ipn import Receiver
from paycollect.sandbox.options import APP_ID, SECRET_KEY, WEBHOOK_SECRET
from tests.cashier.postgres import Postgres

TASKS = 50
INSERT = "INSERT INTO parcels VALUES (:o)"


def store_of(place: str, url: str) -> tuple[Any, Handlers[Any]]:
    """Make the store, and handlers that fit it."""
    handlers: Handlers[Any] = Handlers()
    if not url:

        @handlers.on_paid
        def ship(tx: sqlite3.Connection, payment: Payment) -> None:
            tx.execute(INSERT, {"o": payment.order_id})

        return SqliteStore(place), handlers
    engine = Postgres(make_url(url), place).engine(pool_size=10, max_overflow=0)

    @handlers.on_paid
    async def send(session: AsyncSession, payment: Payment) -> None:
        await session.execute(text(INSERT), {"o": payment.order_id})

    return SqlAlchemyStore(async_sessionmaker(engine)), handlers


def name_of(told: object) -> str:
    """Name what came of a task."""
    if isinstance(told, BaseException):
        return repr(told)
    return getattr(told, "collection_id", type(told).__name__)


def say(line: str) -> None:
    """Tell the parent."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def main(place: str, base_url: str, url: str, what: str) -> None:
    """Wait for a line, do it, and tell what came of it."""
    store, handlers = store_of(place, url)
    async with SessionManager(app_id=APP_ID, secret_key=SECRET_KEY, base_url=base_url) as pay:
        await pay.get_pricing()
        cashier = Cashier(pay, Receiver(secrets=WEBHOOK_SECRET), store, handlers=handlers)
        await cashier.stats()  # the store is open
        say("ready")
        given = (await asyncio.to_thread(sys.stdin.readline)).split()
        if what == "create":
            order: Any = {"order_id": "A", "amount": "25.00", "description": "Premium"}
            ways: list[Any] = [cashier.create_checkout(**order) for _ in range(TASKS)]
        else:
            body, back = bytes.fromhex(given[0]), f"?batch={given[1]}&status=COMPLETED"
            ways = []
            for _ in range(TASKS // 4 + 1):
                ways += [cashier.receive(body), cashier.returned(back)]
                ways += [cashier.run_once(), cashier.replay("A")]
        told = await asyncio.gather(*ways, return_exceptions=True)
        names = Counter(map(name_of, told))
        await cashier.aclose()
        say(str(dict(names)))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
