"""A provider, a shop with real tables, and lives of a cashier on one file."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from paycollect import SessionManager
from paycollect.cashier import (
    Cashier,
    Closed,
    Handlers,
    Held,
    Payment,
    Refunded,
    SqliteStore,
)
from paycollect.ipn import Receiver
from paycollect.models import Checkout
from paycollect.sandbox import Sandbox
from paycollect.testing import sign_webhook

ARGUMENTS: dict[str, Any] = {"amount": "25.00", "description": "Premium plan"}


class World:
    """A merchant's file, the provider, and what the handlers did."""

    def __init__(self, sandbox: Sandbox, pay: SessionManager, path: Path) -> None:
        self.sandbox = sandbox
        self.pay = pay
        self.path = path
        self.clock = sandbox.clock
        self.told: list[str] = []
        self.alarms: list[Held] = []
        self.payments: list[Payment] = []
        self.refunds: list[Refunded] = []
        self.closed: list[Closed] = []
        with sqlite3.connect(path) as db:
            db.execute("CREATE TABLE parcels (order_id TEXT)")
            db.execute("CREATE TABLE returned (order_id TEXT, why TEXT)")
        db.close()

    def handlers(self, *, without: tuple[str, ...] = ()) -> Handlers[sqlite3.Connection]:
        """The shop's handlers, writing into its own tables."""
        shop: Handlers[sqlite3.Connection] = Handlers()

        def ship(tx: sqlite3.Connection, payment: Payment) -> None:
            tx.execute("INSERT INTO parcels VALUES (?)", [payment.order_id])
            self.payments.append(payment)

        def give_back(tx: sqlite3.Connection, closed: Closed) -> None:
            tx.execute("INSERT INTO returned VALUES (?, ?)", [closed.order_id, closed.reason])
            self.closed.append(closed)

        def take_back(tx: sqlite3.Connection, refunded: Refunded) -> None:
            order_id = refunded.payment.order_id
            tx.execute("INSERT INTO returned VALUES (?, 'refunded')", [order_id])
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

    def cashier(self, **options: Any) -> Cashier[sqlite3.Connection]:
        """A new life on the same file."""
        options.setdefault("handlers", self.handlers())
        options.setdefault("clock", self.clock)
        options.setdefault("store", SqliteStore(self.path))
        receiver = Receiver(secrets=self.sandbox.webhook_secret)
        return Cashier(self.pay, options.pop("receiver", receiver), **options)

    @asynccontextmanager
    async def life(self, **options: Any) -> AsyncIterator[Cashier[sqlite3.Connection]]:
        """A life that ends by itself; its rounds are made by hand."""
        cashier = self.cashier(**options)
        try:
            yield cashier
        finally:
            await cashier.aclose()

    def rows(self, sql: str, *args: object) -> list[Any]:
        """Look into the file by a connection of one's own."""
        db = sqlite3.connect(self.path)
        try:
            return db.execute(sql, args).fetchall()
        finally:
            db.close()

    def change(self, sql: str, *args: object) -> None:
        """Change the file by a connection of one's own."""
        db = sqlite3.connect(self.path)
        with db:
            db.execute(sql, args)
        db.close()

    @property
    def parcels(self) -> list[str]:
        """What was delivered, each time."""
        return [order_id for (order_id,) in self.rows("SELECT order_id FROM parcels ORDER BY 1")]

    @property
    def given_back(self) -> list[tuple[str, str]]:
        """Whose stock was given back, each time, and why."""
        return self.rows("SELECT order_id, why FROM returned ORDER BY rowid")

    def state(self, order_id: str = "A") -> str:
        """The state of an order, with the reason where it is held."""
        ((state, held),) = self.rows(
            "SELECT state, held_reason FROM paycollect_order WHERE order_id = ?", order_id
        )
        return f"{state}/{held}" if held else state

    def webhook(
        self, order_id: str = "A", status: str = "COMPLETED", collection_id: str = "", **more: Any
    ) -> bytes:
        """The body of a genuine webhook."""
        data = {
            "collectionId": collection_id,
            "orderId": order_id,
            "amount": Decimal("25.00"),
            "currency": "USD",
            "status": status,
            "completedAt": "2026-01-08T11:35:00+00:00",
        }
        return sign_webhook(data | more, self.sandbox.webhook_secret)

    def gets(self) -> int:
        """How often the provider was asked for a record."""
        return sum(
            request.method == "GET" and "/collections/" in request.path
            for request in self.sandbox.requests
        )


Make = Callable[..., Any]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A sandbox whose clock is moved by hand, and a shop's file."""
    async with (
        Sandbox(time_scale=0) as sandbox,
        SessionManager(
            app_id=sandbox.app_id, secret_key=sandbox.secret_key, base_url=sandbox.base_url
        ) as pay,
    ):
        yield World(sandbox, pay, tmp_path / "shop.db")


async def order(cashier: Cashier[sqlite3.Connection], order_id: str = "A", **more: Any) -> Checkout:
    """Create a checkout of 25 USD."""
    return await cashier.create_checkout(order_id=order_id, **(ARGUMENTS | more))


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what happens in another task, at once or in a moment."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110  # what is waited for knows nothing of the test
            await asyncio.sleep(0.001)
