"""Shops for the crash test: one that is right, and six with a mistake that people make."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from paycollect.cashier import Cashier, Closed, Handlers, Held, Payment, Refunded
from paycollect.crash import Shop, World

Ship = Callable[[World, sqlite3.Connection, Payment], None]
TABLES = ("parcels", "given_back", "taken_back")


def counter(path: Path, table: str) -> Callable[[str], int]:
    """Count the rows of an order in a table of the merchant's."""

    def count(order_id: str) -> int:
        with_table = f"SELECT COUNT(*) FROM {table} WHERE order_id = ?"
        return int(one_value(path, with_table, order_id))

    return count


def one_value(path: Path, sql: str, *args: object) -> Any:
    """Read one value by a connection of one's own."""
    db = sqlite3.connect(path)
    try:
        return db.execute(sql, args).fetchone()[0]
    finally:
        db.close()


def committed(path: Path, sql: str, *args: object) -> None:
    """Change a file by a connection of one's own, which commits."""
    db = sqlite3.connect(path, timeout=0)
    try:
        with db:
            db.execute(sql, args)
    finally:
        db.close()


def right(_world: World, tx: sqlite3.Connection, payment: Payment) -> None:
    """Deliver in the transaction."""
    tx.execute("INSERT INTO parcels VALUES (?)", [payment.order_id])


def shop_of(ship: Ship, parcels: str = "shop.db") -> Callable[[World], Shop]:
    """Make a shop whose deliveries are in a file, and are made by a function."""

    def make_shop(world: World) -> Shop:
        path = world.folder / "shop.db"
        for name in ("shop.db", "other.db"):
            for table in (*TABLES, "marks"):
                committed(
                    world.folder / name, f"CREATE TABLE IF NOT EXISTS {table} (order_id TEXT)"
                )
        handlers: Handlers[sqlite3.Connection] = Handlers()

        @handlers.on_paid
        def on_paid(tx: sqlite3.Connection, payment: Payment) -> None:
            ship(world, tx, payment)

        @handlers.on_closed
        def on_closed(tx: sqlite3.Connection, closed: Closed) -> None:
            tx.execute("INSERT INTO given_back VALUES (?)", [closed.order_id])

        @handlers.on_refunded
        def on_refunded(tx: sqlite3.Connection, refunded: Refunded) -> None:
            tx.execute("INSERT INTO taken_back VALUES (?)", [refunded.payment.order_id])

        @handlers.after_paid
        async def after_paid(payment: Payment) -> None:
            world.effects.record("mail", payment.key)

        @handlers.on_held
        async def on_held(held: Held) -> None:
            world.effects.record("alarm", held.key)

        cashier = Cashier(
            world.pay, world.receiver, store=path, handlers=handlers, clock=world.clock
        )
        return Shop(
            cashier=cashier,
            delivered=counter(world.folder / parcels, "parcels"),
            gave_back=counter(path, "given_back"),
            took_back=counter(path, "taken_back"),
        )

    return make_shop


def mark_first(world: World, tx: sqlite3.Connection, payment: Payment) -> None:
    """Write "processed" first, and commit it: a crash swallows the delivery."""
    marks = world.folder / "other.db"
    if one_value(marks, "SELECT COUNT(*) FROM marks WHERE order_id = ?", payment.order_id):
        return
    committed(marks, "INSERT INTO marks VALUES (?)", payment.order_id)
    right(world, tx, payment)


def effect_first(world: World, tx: sqlite3.Connection, payment: Payment) -> None:
    """Deliver elsewhere, and write "processed" afterwards: a crash in between delivers twice."""
    other = world.folder / "other.db"
    if tx.execute("SELECT 1 FROM marks WHERE order_id = ?", [payment.order_id]).fetchone():
        return
    committed(other, "INSERT INTO parcels VALUES (?)", payment.order_id)
    tx.execute("INSERT INTO marks VALUES (?)", [payment.order_id])


def own_connection(world: World, _tx: sqlite3.Connection, payment: Payment) -> None:
    """Open a connection of one's own to the same file, in place of the one that is given."""
    committed(world.folder / "shop.db", "INSERT INTO parcels VALUES (?)", payment.order_id)


def commits(world: World, tx: sqlite3.Connection, payment: Payment) -> None:
    """Commit in the handler."""
    right(world, tx, payment)
    tx.commit()


def swallows(world: World, tx: sqlite3.Connection, payment: Payment) -> None:
    """Catch whatever comes, so that "the webhook never fails"."""
    with suppress(BaseException):
        right(world, tx, payment)


def calls_outside(world: World, tx: sqlite3.Connection, payment: Payment) -> None:
    """Send the mail in the transaction, which a rollback does not take back."""
    right(world, tx, payment)
    world.effects.record("mail", payment.key)


MISTAKES: dict[str, tuple[Callable[[World], Shop], str]] = {
    "mark first": (shop_of(mark_first), "never delivered"),
    "effect first": (shop_of(effect_first, "other.db"), "delivered 2 x"),
    "own connection": (shop_of(own_connection), "OperationalError"),
    "commit in the handler": (shop_of(commits), "handler_broke_transaction"),
    "swallows BaseException": (shop_of(swallows), "never delivered"),
    "a remote effect in on_paid": (shop_of(calls_outside), "'mail'"),
}
