"""Calls that are cancelled, wherever they wait: nothing is lost, done twice or left locked."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from paycollect.cashier import Cashier
from paycollect.sandbox.faults import delay
from tests.cashier.cancelling import cut_short
from tests.cashier.conftest import World, order, until

Call = Callable[[World, Cashier[sqlite3.Connection], str], Coroutine[Any, Any, Any]]
CALLS: dict[str, Call] = {
    "create_checkout": lambda _, cashier, order_id: order(cashier, order_id),
    "receive": lambda world, cashier, order_id: cashier.receive(letter(world, order_id)),
    "returned": lambda world, cashier, order_id: cashier.returned(
        f"?batch={collection_of(world, order_id)}&status=COMPLETED"
    ),
    "run_once": lambda _world, cashier, _order_id: cashier.run_once(),
    "close": lambda _, cashier, order_id: cashier.close(order_id),
}


def collection_of(world: World, order_id: str) -> str:
    """The collection that the provider made for an order."""
    found: dict[str, str] = world.sandbox.provider.ledger._id_by_order
    return found[order_id]


def letter(world: World, order_id: str) -> bytes:
    """The webhook that an order is paid."""
    return world.webhook(order_id, collection_id=collection_of(world, order_id))


@pytest.mark.parametrize("name", CALLS)
async def test_cancelled_at_each_place(world: World, name: str) -> None:
    """Whatever the call had done by then: each order has one checkout, and is delivered once."""
    place = 0
    while True:
        place += 1
        order_id = f"INV-{place}"
        async with world.life() as cashier:
            if name != "create_checkout":
                await order(cashier, order_id)
            if name not in ("create_checkout", "close"):
                await world.sandbox.pay(collection_of(world, order_id))
            if name == "run_once":
                await cashier.receive(letter(world, order_id))
            cut = await cut_short(CALLS[name](world, cashier, order_id), place)
            await order(cashier, f"another-{place}")  # no lock is left, in this life
        world.change("UPDATE paycollect_order SET state = state")  # and in no other
        async with world.life() as cashier:
            if name != "close":
                checkout = await order(cashier, order_id)
                assert checkout.collection_id == collection_of(world, order_id)
            if name in ("create_checkout", "close"):
                await world.sandbox.pay(collection_of(world, order_id))
            assert (await cashier.receive(letter(world, order_id))).status == 200
            for _ in range(3):
                world.clock.advance(120)  # until leases have run out
                await cashier.run_until_idle()
        assert world.state(order_id) in ("fulfilled", "open/too_late")
        assert world.parcels.count(order_id) == (world.state(order_id) == "fulfilled")
        assert world.state(order_id) == "fulfilled" or name == "close"
        if cut.places < place:
            break
    assert place > 1, "it was cancelled nowhere"


@pytest.mark.parametrize("name", ["create_checkout", "receive", "returned", "run_once"])
async def test_cancelled_while_others_hold_the_file(world: World, name: str) -> None:
    """The end does not wait for them: the lock is held by the caller itself."""
    async with world.life() as cashier:
        await order(cashier, "A")
        await world.sandbox.pay(collection_of(world, "A"))
        await cashier.receive(letter(world, "A"))
        other = sqlite3.connect(world.path)
        other.execute("BEGIN IMMEDIATE")
        call = CALLS[name](world, cashier, "B" if name == "create_checkout" else "A")
        task = asyncio.create_task(call)
        await asyncio.sleep(0.01)
        assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        other.rollback()
        other.close()
        for _ in range(2):  # what waited for the file may begin a lease now; it runs out
            world.clock.advance(120)
            await cashier.run_until_idle()
    assert world.parcels == ["A"]


async def test_cancelled_while_the_provider_is_silent(world: World) -> None:
    """The order is created once all the same: the answer is looked for when it is asked again."""
    async with world.life() as cashier:
        world.sandbox.faults.next("POST /collections", delay(3600))
        task = asyncio.create_task(order(cashier, "A"))
        await until(lambda: any("collections" in one.path for one in world.sandbox.requests))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        world.clock.advance(3600)
        checkout = await order(cashier, "A")
        assert checkout.collection_id == collection_of(world, "A")
