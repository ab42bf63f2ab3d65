"""Async handlers on a store that awaits them: the protocol is all that a store needs."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from typing import Any

import pytest

from paycollect.cashier import BrokenHandlerError, Cashier, Handlers, Payment, returns
from paycollect.cashier.store import Store
from tests.cashier.async_store import AsyncStore
from tests.cashier.conftest import ARGUMENTS, World, order


@pytest.fixture
async def store() -> AsyncStore:
    """A store with a table of the merchant's."""
    made = AsyncStore()
    made.db.execute("CREATE TABLE parcels (order_id TEXT)")
    return made


def parcels(store: AsyncStore) -> list[Any]:
    """What was delivered."""
    return store.db.execute("SELECT order_id FROM parcels").fetchall()


def state(store: AsyncStore) -> Any:
    """How the only order stands."""
    return store.db.execute("SELECT state, held_reason FROM mine_order").fetchone()


async def delivered(world: World, store: AsyncStore, ship: Any, **options: Any) -> Cashier[Any]:
    """Pay an order, and let it be delivered by this handler."""
    shop: Handlers[sqlite3.Connection] = Handlers()
    shop.on_paid(ship)
    typed: Store[sqlite3.Connection] = store
    cashier = world.cashier(handlers=shop, store=typed, **options)
    checkout = await order(cashier)
    await world.sandbox.pay(checkout.collection_id)
    await cashier.receive(world.webhook(collection_id=checkout.collection_id))
    await cashier.run_once()
    return cashier


async def test_a_handler_is_awaited_in_the_transaction(world: World, store: AsyncStore) -> None:
    """Its work and the mark are committed together."""

    async def ship(tx: sqlite3.Connection, payment: Payment) -> None:
        await asyncio.sleep(0)
        tx.execute("INSERT INTO parcels VALUES (?)", [payment.order_id])

    cashier = await delivered(world, store, ship)
    assert (parcels(store), state(store)) == ([("A",)], ("fulfilled", ""))
    await cashier.intend(store.db, order_id="B", **ARGUMENTS)
    await cashier.aclose()


async def test_a_handler_that_raises(world: World, store: AsyncStore) -> None:
    """Both are rolled back."""

    async def ship(tx: sqlite3.Connection, payment: Payment) -> None:
        tx.execute("INSERT INTO parcels VALUES (?)", [payment.order_id])
        await asyncio.sleep(0)
        raise LookupError

    cashier = await delivered(world, store, ship)
    assert (parcels(store), state(store)) == ([], ("paid", ""))
    await cashier.aclose()


async def test_a_handler_that_never_returns(world: World, store: AsyncStore) -> None:
    """It is cancelled after the time limit, and rolled back."""

    async def ship(tx: sqlite3.Connection, payment: Payment) -> None:
        tx.execute("INSERT INTO parcels VALUES (?)", [payment.order_id])
        await asyncio.Event().wait()

    cashier = await delivered(world, store, ship, handler_timeout=0.01)
    assert (parcels(store), state(store)) == ([], ("paid", ""))
    ((error,),) = store.db.execute("SELECT last_error FROM mine_order").fetchall()
    assert error == "on_paid: TimeoutError"
    await cashier.aclose()


async def test_a_handler_that_ends_its_transaction(world: World, store: AsyncStore) -> None:
    """The store says so; held at once, also where our lease went with it."""

    async def ship(tx: sqlite3.Connection, payment: Payment) -> None:
        raise BrokenHandlerError("a handler must not commit")

    cashier = await delivered(world, store, ship)
    assert state(store) == ("paid", "handler_broke_transaction")
    await cashier.aclose()


async def test_without_an_event_loop(
    world: World, store: AsyncStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Code that blocks can drive `returned`, as long as nothing in it waits; pauses block, too."""

    async def ship(payment: Payment) -> None: ...

    cashier = await delivered(world, store, ship)
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)

    async def work() -> None:
        done.append(1)

    done: list[int] = []

    async def all_of_it() -> None:
        await cashier._returns._bounded(work())
        assert await cashier._returns._pause()

    def drive() -> None:
        with pytest.raises(StopIteration):
            all_of_it().send(None)

    await asyncio.to_thread(drive)
    assert (done, pauses) == ([1], [returns.LOOK_AGAIN])
    await cashier.aclose()
