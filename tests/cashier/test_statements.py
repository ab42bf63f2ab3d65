"""How much one payment asks of the database: a fixed number, so that nobody adds to it unseen."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

import pytest

from paycollect.cashier import schema
from paycollect.cashier.store import HANDLER, Args, Dialect, Row, Steps, play, play_async
from paycollect.cashier.transactions import claims, inbox
from tests.cashier.conftest import World, order

TRANSACTIONS = [
    ["inbox.put 1"],  # receive
    [
        "worker.claims > claim_woken 1",
        "worker.claims > claim_woken > with_hints 1",
        "worker.claims > claim_due 1",
    ],
    ["outcomes.note 1", "outcomes.note 2"],
    ["outcomes.fulfil 1", "outcomes.fulfil > handle 2", "outcomes.fulfil > handled 1"],
]


async def test_statements_of_a_payment(world: World) -> None:
    """From the webhook to the delivery: nine statements of our own, in four transactions."""
    async with world.life(handlers=world.handlers(without=("after_paid", "on_held"))) as cashier:
        checkout = await order(cashier)
        await world.sandbox.pay(checkout.collection_id)
        points: list[str] = []
        cashier._store.reach = points.append
        await cashier.receive(world.webhook(collection_id=checkout.collection_id))
        (claimed,) = await cashier._rounds._claim(16)
        assert (await cashier._rounds._process(claimed)).delivered == 1
    assert transactions(points) == TRANSACTIONS
    assert world.parcels == ["A"]


def transactions(points: list[str]) -> list[list[str]]:
    """Give the names of the statements, transaction by transaction."""
    found: list[list[str]] = [[]]
    for point in points:
        if point == "commit:after":
            found.append([])
        elif point.startswith("sql:"):
            found[-1].append(point.removeprefix("sql:"))
    return found[:-1]


def inner() -> Steps[None]:
    """Two statements whose texts begin in the same way."""
    yield "SELECT 1", {}
    yield (
        "SELECT 1",
        {},
    )


def outer() -> Steps[None]:
    """A loop, and statements of another function between two of its own."""
    for _ in range(2):
        yield "SELECT 1", {}
    yield HANDLER, {}
    yield from inner()
    yield "SELECT 1", {}


NAMES = ["outer 1", "outer 1", "outer > inner 1", "outer > inner 2", "outer 3"]


async def test_each_statement_has_a_name_of_its_own() -> None:
    """A crash report tells where a process died: the function, and which of its statements."""
    points: list[str] = []
    play(lambda _sql, _args: [], outer(), points.append)
    assert points == [f"sql:test_statements.{name}" for name in NAMES]

    async def ask(_sql: str, _args: Args) -> list[Row]:
        return []

    await play_async(ask, outer(), points.append)
    assert points[len(NAMES) :] == points[: len(NAMES)]


def steps_of(waiting: int, transaction: Steps[Any]) -> int:
    """Count what SQLite does for a transaction while so many webhooks of open orders wait."""
    db = sqlite3.connect(":memory:", isolation_level=None)
    for statement in schema.statements():
        db.execute(statement)
    for number in range(waiting):
        name = f"{number:05}"
        order = (
            "INSERT INTO paycollect_order (order_id, state, collection_id) VALUES (?, 'open', ?)"
        )
        db.execute(order, (f"O{name}", f"C{name}"))
        letter = (
            "INSERT INTO paycollect_inbox (id, order_id, collection_id, received_at, due_at)"
            " VALUES (?, ?, ?, ?, ?)"
        )
        db.execute(letter, (name, f"O{name}", f"C{name}", number, number))
    dialect = Dialect("1000000", "")
    steps = 0

    def count() -> None:
        nonlocal steps
        steps += 1

    db.set_progress_handler(count, 10)
    play(lambda sql, args: db.execute(*dialect.write(sql, args)).fetchall(), transaction)
    db.close()
    return steps


@pytest.mark.parametrize(
    "make",
    [
        lambda: claims.claim_woken("token", 16, 1),
        lambda: claims.claim_due("token", 16, 1, 1),
        lambda: inbox.claim_strays(32),
        claims.next_due,
    ],
    ids=["woken", "due", "strays", "next due"],
)
def test_a_queue_of_webhooks_slows_nothing_down(make: Callable[[], Steps[Any]]) -> None:
    """After an outage each claim costs the same whether hundreds wait or thousands."""
    assert steps_of(3000, make()) <= 1.5 * steps_of(300, make()) + 10
