"""Handlers that fail: rolled back, called again later, and at last a person is told."""

from __future__ import annotations

import asyncio
import inspect
import sqlite3
import threading
from typing import Any

import pytest

from paycollect.cashier import Handlers, Held, Payment, StoreError
from paycollect.cashier.effects import MOST_TRIES
from paycollect.cashier.steps import _Watch
from tests.cashier.conftest import World, order

HOUR = 3600


async def pay(world: World, cashier: Any, name: str = "A") -> None:
    """Create an order, pay it, and tell of it."""
    checkout = await order(cashier, name)
    await world.sandbox.pay(checkout.collection_id)
    await cashier.receive(world.webhook(name, collection_id=checkout.collection_id))


async def test_on_paid_that_fails(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Ten times with backoff, each rolled back; then held, with the type and no text."""
    shop = world.handlers(without=("on_paid",))
    failing = True

    @shop.on_paid
    def ship(tx: sqlite3.Connection, payment: Payment) -> None:
        tx.execute("INSERT INTO parcels VALUES (?)", [payment.order_id])
        if failing:
            raise LookupError("ada@example.com has moved")

    async with world.life(handlers=shop) as cashier:
        await pay(world, cashier)
        rounds = 0
        while world.state() in ("open", "paid"):
            await cashier.run_until_idle()
            world.clock.advance(60)
            rounds += 1
        assert world.state() == "paid/handler_failing"
        assert 8 < rounds < 60
        assert world.rows("SELECT deliveries FROM paycollect_order") == [(10,)]
        assert "ada@" not in caplog.text
        assert world.parcels == []
        await cashier.run_until_idle()
        (held,) = world.alarms
        assert held.payment is not None
        assert held.key == f"held:{held.hold_id}"
        assert held.problem.startswith("on_paid: LookupError at test_effects.py:")
        failing = False
        await cashier.release("A", by="ann")
        await cashier.run_until_idle()
    assert world.parcels == ["A"]
    assert world.state() == "fulfilled"


async def test_a_payment_that_kills_its_worker_is_held(world: World) -> None:
    """Deliveries are counted before the handler runs, so that a dead worker counts, too."""
    async with world.life(max_deliveries=2) as cashier:
        await pay(world, cashier)
        world.change("UPDATE paycollect_order SET deliveries = 2")
        assert (await cashier.run_until_idle()).held == 1
    assert world.state() == "open/handler_failing"


async def test_a_handler_that_ends_its_transaction(world: World) -> None:
    """Held at once: it will not get better by being tried again."""
    shop: Handlers[sqlite3.Connection] = Handlers()

    @shop.on_paid
    def ship(tx: sqlite3.Connection, payment: Payment) -> None:
        tx.execute("INSERT INTO parcels VALUES (?)", [payment.order_id])
        tx.commit()

    async with world.life(handlers=shop) as cashier:
        await pay(world, cashier)
        await cashier.run_until_idle()
        (held,) = await cashier.held()
        assert held.reason == "handler_broke_transaction"
        await cashier.dismiss("A", "shipped by hand")
        await cashier.run_until_idle()
    assert world.parcels == []


async def test_a_handler_that_writes_to_our_tables(world: World) -> None:
    """Our mark is gone at the end: held."""
    shop: Handlers[sqlite3.Connection] = Handlers()

    @shop.on_paid
    def ship(tx: sqlite3.Connection, payment: Payment) -> None:
        tx.execute("UPDATE paycollect_order SET state = 'paid'")

    async with world.life(handlers=shop) as cashier:
        await pay(world, cashier)
        await cashier.run_until_idle()
    assert world.state() == "paid/handler_broke_transaction"


@pytest.mark.parametrize("kind", ["on_closed", "on_refunded"])
async def test_other_handlers_that_fail(world: World, kind: str) -> None:
    """Rolled back with the state, and called again."""
    shop = world.handlers(without=(kind,))
    failures = [RuntimeError(), RuntimeError()]

    def handler(tx: sqlite3.Connection, value: Any) -> None:
        tx.execute("INSERT INTO returned VALUES ('A', ?)", [kind])
        if failures:
            raise failures.pop()

    getattr(shop, kind)(handler)
    async with world.life(handlers=shop) as cashier:
        checkout = await order(cashier)
        if kind == "on_closed":
            await world.sandbox.cancel(checkout.collection_id)
        else:
            await world.sandbox.pay(checkout.collection_id)
            await cashier.replay("A")
            await world.sandbox.refund(checkout.collection_id)
        await cashier.replay("A")
        assert world.given_back == []
        for _ in range(5):
            world.clock.advance(60)
            await cashier.run_until_idle()
    assert world.given_back == [("A", kind)]
    assert world.state() == ("closed" if kind == "on_closed" else "refunded")


class Later:
    """What can be awaited, and is no coroutine."""

    def __await__(self) -> Any:
        raise AssertionError("it is awaited")


@pytest.mark.parametrize("kind", ["on_paid", "on_closed", "on_refunded"])
async def test_a_plain_function_around_one_that_is_async(world: World, kind: str) -> None:
    """The writer's thread awaits nothing: it is as one that raises, and never counts as done."""
    shop = world.handlers(without=(kind,))

    async def ship(tx: sqlite3.Connection, value: Any) -> None:
        raise AssertionError("it has begun")

    given: list[Any] = []

    def handler(tx: sqlite3.Connection, value: Any) -> Any:
        tx.execute("INSERT INTO returned VALUES ('A', ?)", [kind])
        given.append(Later() if given else ship(tx, value))
        return given[-1]

    getattr(shop, kind)(handler)
    async with world.life(handlers=shop, max_deliveries=2) as cashier:
        checkout = await order(cashier)
        if kind == "on_closed":
            await world.sandbox.cancel(checkout.collection_id)
        else:
            await world.sandbox.pay(checkout.collection_id)
        if kind == "on_refunded":
            await cashier.replay("A")
            await world.sandbox.refund(checkout.collection_id)
        before = world.state()
        assert (await cashier.replay("A")).held == 0
        assert world.state() == {"on_paid": "paid"}.get(kind, before)
        for _ in range(3):
            world.clock.advance(60)
            await cashier.run_until_idle()
        (held,) = await cashier.held()
    assert held.reason == "handler_failing"
    assert held.problem.startswith(f"{kind}: it gave an awaitable, which nobody awaits")
    assert world.given_back == []
    assert inspect.getcoroutinestate(given[0]) == inspect.CORO_CLOSED  # no warning is to come


async def test_outside_effects_of_a_plain_function_around_one_that_is_async(world: World) -> None:
    """They are awaited, on the event loop."""
    shop = world.handlers(without=("after_paid",))
    told: list[str] = []

    async def tell(payment: Payment) -> None:
        assert asyncio.get_running_loop() is loop
        told.append(payment.order_id)

    loop = asyncio.get_running_loop()

    @shop.after_paid
    def decorated(payment: Payment) -> Any:
        return tell(payment)

    async with world.life(handlers=shop) as cashier:
        await pay(world, cashier)
        await cashier.run_until_idle()
    assert told == ["A"]


async def test_an_order_without_handlers_for_what_happens(world: World) -> None:
    """No `on_closed` anywhere: it is closed all the same."""
    async with world.life(handlers=world.handlers(without=("on_closed", "on_held"))) as cashier:
        checkout = await order(cashier)
        await world.sandbox.cancel(checkout.collection_id)
        await cashier.replay("A")
    assert (world.state(), world.given_back) == ("closed", [])


async def test_after_paid_that_fails(world: World) -> None:
    """Called again with the same key, some three hours long; then held, and released."""
    shop = world.handlers(without=("after_paid",))
    keys: list[str] = []
    failing = True

    @shop.after_paid
    async def tell(payment: Payment) -> None:
        keys.append(payment.key)
        if failing:
            raise OSError("mail server of ada@example.com")

    async with world.life(handlers=shop) as cashier:
        await pay(world, cashier)
        for _ in range(200):
            await cashier.run_until_idle()
            if world.state() != "fulfilled" and keys:
                break
            world.clock.advance(60)
        assert world.state() == "fulfilled/after_paid_failing"
        assert len(keys) == MOST_TRIES
        failing = False
        await cashier.release("A")
        await cashier.run_until_idle()
        assert world.state() == "fulfilled"
        assert len(await cashier.timeline("A")) < 12
    assert len(set(keys)) == 1
    assert world.parcels == ["A"]


async def test_a_refund_settles_what_is_held_after_the_delivery(world: World) -> None:
    """Nothing is left to be told."""
    async with world.life() as cashier:
        await pay(world, cashier)
        await cashier.run_until_idle()
        world.change(
            "UPDATE paycollect_order SET held_reason = 'after_paid_failing', held_at = 1,"
            " hold_id = 'h'"
        )
        (record,) = world.sandbox.collections
        await world.sandbox.refund(record.collection_id)
        world.clock.advance(HOUR + 60)
        await cashier.run_until_idle()
        assert await cashier.held() == []
    assert world.state() == "refunded"


@pytest.mark.parametrize("is_async", [True, False])
async def test_outside_effects_that_take_too_long(world: World, is_async: bool) -> None:
    """They are given up after the time limit, and called again."""
    shop = world.handlers(without=("after_paid",))
    calls: list[str] = []
    gate, gate_of_threads = asyncio.Event(), threading.Event()

    if is_async:

        @shop.after_paid
        async def tell(payment: Payment) -> None:
            calls.append(payment.key)
            if len(calls) == 1:
                await gate.wait()

    else:

        @shop.after_paid
        def tell_too(payment: Payment) -> None:
            calls.append(payment.key)
            if len(calls) == 1:
                gate_of_threads.wait(10)

    async with world.life(handlers=shop, handler_timeout=0.1) as cashier:
        await pay(world, cashier)
        await cashier.run_until_idle()
        assert len(calls) == 1
        gate_of_threads.set()
        world.clock.advance(60)
        await cashier.run_until_idle()
        assert (await cashier.stats()).slow_handlers == 1
        ((due,),) = world.rows("SELECT after_at FROM paycollect_order")
    assert (len(calls), due) == (2, None)


async def test_on_held_that_fails(world: World) -> None:
    """Called again with the same key, for as long as it takes; for strays, too."""
    shop = world.handlers(without=("on_held",))
    keys: list[str] = []

    @shop.on_held
    def alarm(held: Held) -> None:
        keys.append(held.key)
        if keys.count(held.key) < 3:
            raise OSError

    async with world.life(handlers=shop) as cashier:
        checkout = await order(cashier)
        await world.sandbox.pay(checkout.collection_id)
        world.change("UPDATE paycollect_order SET amount = '24.00'")
        await cashier.replay("A")
        world.change(
            "INSERT INTO paycollect_stray (id, reason, hold_id, held_at, alarm_at) VALUES"
            " ('SCIX', 'unknown_order', 'h', 1, 1)"
        )
        for _ in range(5):
            await cashier.run_until_idle()
            world.clock.advance(10)
    assert len(keys) == 6
    assert len(set(keys)) == 2


async def test_the_store_fails_in_the_middle(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """At the delivery, or when the order is given back: it comes again when the lease is over."""
    async with world.life() as cashier:
        await pay(world, cashier)

        async def fails(*_: object, **__: object) -> Any:
            raise StoreError("the disk is full")

        real, cashier._store.deliver = cashier._store.deliver, fails  # type: ignore[method-assign]  # a full disk
        assert (await cashier.run_once()).delivered == 0
        assert "the disk is full; it is tried again" in caplog.text
        cashier._store.deliver = real  # type: ignore[method-assign]  # as it was
        assert world.state() == "paid"
        world.clock.advance(200)
        process, cashier._work.process = cashier._work.process, fails  # type: ignore[method-assign]  # a full disk
        await cashier.run_once()
        cashier._work.process = process  # type: ignore[method-assign]  # as it was
        world.clock.advance(200)
        await cashier.run_until_idle()
    assert world.parcels == ["A"]


LATE = ["note", "fulfil", "hold", "close", "refund"]


@pytest.mark.parametrize("late", LATE)
async def test_a_lease_that_was_lost(world: World, late: str) -> None:
    """Somebody else has the order meanwhile: this one writes nothing, and counts it."""
    async with world.life() as cashier:
        if late == "close":
            checkout = await order(cashier)
            await world.sandbox.cancel(checkout.collection_id)
        else:
            await pay(world, cashier)
        if late == "hold":
            world.change("UPDATE paycollect_order SET amount = '24'")
        if late == "refund":
            await cashier.run_until_idle()
            await world.sandbox.refund(world.sandbox.collections[0].collection_id)
        shipped = len(world.parcels)
        run, deliver = cashier._store.run, cashier._store.deliver

        async def run_late(steps: Any, *, reads: bool = False, alone: bool = False) -> Any:
            if late in ("note", "hold") and late in str(getattr(steps, "func", "")):
                world.change("UPDATE paycollect_order SET lease = 'other'")
            return await run(steps, reads=reads, alone=alone)

        async def deliver_late(steps: Any, handler: Any) -> Any:
            world.change("UPDATE paycollect_order SET lease = 'other'")
            return await deliver(steps, handler)

        cashier._store.run = run_late  # type: ignore[method-assign]  # somebody comes between
        cashier._store.deliver = deliver_late  # type: ignore[method-assign]  # as above
        done = await cashier.replay("A")
        assert (done.delivered, done.held, done.closed) == (0, 0, 0)
        assert (await cashier.stats()).leases_lost == 1
    assert len(world.parcels) == shipped
    assert world.given_back == []


@pytest.mark.parametrize("fails", [True, False])
async def test_after_paid_that_ends_after_its_lease(world: World, fails: bool) -> None:
    """Whoever has the order now decides when it is called again."""
    shop = world.handlers(without=("after_paid",))

    @shop.after_paid
    async def tell(payment: Payment) -> None:
        world.change("UPDATE paycollect_order SET lease = 'other'")
        if fails:
            raise OSError

    async with world.life(handlers=shop) as cashier:
        await pay(world, cashier)
        await cashier.run_once()
        said = {line.what for line in await cashier.timeline("A")}
        assert not said & {"after_paid", "after_paid failed"}


def test_a_watch_without_an_event_loop(tmp_path: Any) -> None:
    """Code that blocks is watched by who waits for it."""
    context: Any = None
    watch = _Watch(context, "on_paid", "A")
    with watch:
        pass
    assert watch._timer is None
