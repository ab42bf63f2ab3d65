"""The worker: it looks at once when something comes, goes on after failures, and ends in time."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from typing import Any

import pytest

from paycollect.cashier import Cashier, Handlers, Payment, StoreError
from paycollect.cashier.context import TimeLimit, within
from paycollect.cashier.effects import _in_thread
from paycollect.sandbox.faults import delay
from tests.cashier.conftest import World, order, until


async def swept(cashier: Cashier[Any]) -> None:
    """Wait for the first passes of the sweep; the clock stands still, so that no others follow."""
    await until(lambda: len(cashier._rounds._sweep._next) == 3)


async def test_a_webhook_is_worked_on_at_once(world: World) -> None:
    """Though the clock stands still: whoever stores it wakes the worker."""
    async with world.cashier() as cashier:
        checkout = await order(cashier)
        await world.sandbox.pay(checkout.collection_id)
        await cashier.receive(world.webhook(collection_id=checkout.collection_id))
        await until(lambda: world.told != [])
        with pytest.raises(RuntimeError, match="entered already"):
            await cashier.__aenter__()
    assert world.parcels == ["A"]


async def test_a_lost_webhook_with_a_worker(world: World) -> None:
    """The sweep runs beside it, on the injected clock."""
    async with world.cashier() as cashier:
        checkout = await order(cashier)
        await world.sandbox.pay(checkout.collection_id)
        for _ in range(3):
            await asyncio.sleep(0.05)
            world.clock.advance(60)
        await until(lambda: world.parcels == ["A"])
    assert world.payments[0].found_by == "sweep"


async def test_a_slow_order_holds_up_no_other(world: World) -> None:
    """While the provider takes its time about one order, the next one is delivered."""
    async with world.cashier() as cashier:
        slow, fast = await order(cashier, "SLOW"), await order(cashier, "FAST")
        await swept(cashier)
        for checkout in (slow, fast):
            await world.sandbox.pay(checkout.collection_id)
        world.sandbox.faults.next("GET /collections/{id}", delay(5))
        await cashier.receive(world.webhook("SLOW", collection_id=slow.collection_id))
        await until(lambda: world.gets() == 1)
        await cashier.receive(world.webhook("FAST", collection_id=fast.collection_id))
        await until(lambda: world.parcels == ["FAST"])
        world.clock.advance(5)
        await until(lambda: len(world.parcels) == 2)


async def test_it_goes_on_after_a_failure(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """A store that fails once, or anything else, does not end the worker."""
    cashier = world.cashier()
    real = cashier._rounds._claim
    failures: list[Exception] = [StoreError("the disk is full"), LookupError("a mistake of ours")]

    async def claim(limit: int) -> Any:
        if failures:
            raise failures.pop(0)
        return await real(limit)

    cashier._rounds._claim = claim  # type: ignore[method-assign]  # a store that fails
    async with cashier:
        checkout = await order(cashier)
        await world.sandbox.pay(checkout.collection_id)
        while failures:
            cashier._store.notify()
            await asyncio.sleep(0.01)
        await cashier.receive(world.webhook(collection_id=checkout.collection_id))
        await until(lambda: world.parcels == ["A"])
    assert "the disk is full; the worker goes on" in caplog.text
    assert "what it did not expect" in caplog.text


async def test_an_order_that_meets_what_was_not_expected(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said, and the others go on."""
    async with world.cashier() as cashier:
        await swept(cashier)
        checkout = await order(cashier)
        await world.sandbox.pay(checkout.collection_id)

        async def fails(*_: object, **__: object) -> None:
            raise LookupError("a mistake of ours")

        real, cashier._work.process = cashier._work.process, fails  # type: ignore[method-assign,assignment]  # a mistake
        await cashier.receive(world.webhook(collection_id=checkout.collection_id))
        await until(lambda: "not expected" in caplog.text)
        cashier._work.process = real  # type: ignore[method-assign]  # as it was
        world.clock.advance(130)
        await until(lambda: world.parcels == ["A"])


async def test_it_ends_in_time(world: World) -> None:
    """Whatever the provider does, leaving takes no longer than the patience; nothing is lost."""
    async with world.cashier(patience=0.05) as cashier:
        await swept(cashier)
        checkout = await order(cashier)
        await world.sandbox.pay(checkout.collection_id)
        await cashier.receive(world.webhook(collection_id=checkout.collection_id))
        world.sandbox.faults.next("GET /collections/{id}", delay(50))
        await until(lambda: world.gets() == 1)
        began = time.monotonic()
    assert time.monotonic() - began < 2
    world.clock.advance(130)
    async with world.life() as cashier:
        await cashier.run_until_idle()
    assert world.parcels == ["A"]


async def test_a_sweep_under_way_ends_with_the_worker(world: World) -> None:
    """Its request is cancelled."""
    world.sandbox.faults.always("GET /collections", delay(50))
    async with world.cashier(patience=0.05) as cashier:
        await order(cashier)
        cashier._rounds._sweep._next.clear()
        world.clock.advance(61)
        await until(
            lambda: any(request.path == "/collections" for request in world.sandbox.requests[-3:])
        )


async def test_a_handler_that_is_too_slow_is_named(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """It cannot be stopped, but it is said while it runs, and counted."""
    gate = threading.Event()
    shop: Handlers[sqlite3.Connection] = Handlers()

    @shop.on_paid
    def ship(payment: Payment) -> None:
        gate.wait(5)

    async with world.life(handlers=shop, handler_timeout=0.01) as cashier:
        checkout = await order(cashier)
        await world.sandbox.pay(checkout.collection_id)
        work = asyncio.create_task(cashier.replay("A"))
        await until(lambda: "move what is slow to after_paid" in caplog.text)
        gate.set()
        assert (await work).delivered == 1
        assert (await cashier.stats()).slow_handlers == 1


async def test_a_worker_whose_loop_is_gone_is_not_woken(world: World) -> None:
    """Another thread may still tell of news."""
    async with world.cashier() as cashier:
        worker = cashier._worker
        assert worker is not None
        loop, worker._loop = worker._loop, asyncio.new_event_loop()
        worker._loop.close()
        worker.wake()
        worker._loop = loop


async def test_a_store_that_fails_at_the_end(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Leaving does not raise: the turn of the sweep ends by itself."""
    cashier = world.cashier()
    async with cashier:
        await until(lambda: cashier._rounds._turn_until > 0)

        async def fails(*_: object, **__: object) -> None:
            raise StoreError("the disk is full")

        cashier._rounds._store.run = fails  # type: ignore[method-assign,assignment]  # a store that fails
    assert "the disk is full" in caplog.text


async def test_one_process_sweeps(world: World) -> None:
    """Whoever has the turn keeps it, until it ends or is given back."""
    async with world.life() as one, world.life() as two:
        await order(one)
        await one.run_once()
        await two.run_once()
        world.clock.advance(61)
        lists = len(world.sandbox.requests)
        await one.run_once()
        await two.run_once()
        assert sum(r.path == "/collections" for r in world.sandbox.requests[lists:]) == 1
    async with world.life() as three:
        await three.run_once()
        assert three._rounds._turn_until > 0


async def test_other_processes_with_other_handlers_are_named(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Said at the start: orders that need a missing handler are left to who has it."""
    async with world.life() as one:
        await one.run_once()
    async with world.life(handlers=world.handlers(without=("on_closed", "after_paid"))) as two:
        await two.run_once()
        assert "handlers that this one lacks (after_paid, on_closed)" in caplog.text
        checkout = await order(two)
        await world.sandbox.pay(checkout.collection_id)
        await two.replay("A")
        await two.run_until_idle()
        assert world.told == []
    async with world.life() as one:
        await one.run_until_idle()
    assert world.told == [f"paid:{checkout.collection_id}"]


async def test_the_machines_clock(world: World) -> None:
    """Without an injected clock the database's is the time, and a worker polls on the machine's."""
    async with world.cashier(clock=None) as cashier:
        checkout = await order(cashier)
        await world.sandbox.pay(checkout.collection_id)
        await cashier.receive(world.webhook(collection_id=checkout.collection_id))
        await until(lambda: world.parcels == ["A"])


async def test_run_until_idle_stops_at_its_limit(world: World) -> None:
    """For who has little time."""
    async with world.life() as cashier:
        for name in "ABC":
            checkout = await order(cashier, name)
            await world.sandbox.pay(checkout.collection_id)
            await cashier.receive(world.webhook(name, collection_id=checkout.collection_id))
        assert (await cashier.run_until_idle(1)).delivered == 3
        with pytest.raises(ValueError, match="limit: must be 1"):
            await cashier.run_until_idle(0)


def test_without_an_event_loop() -> None:
    """Code that blocks can drive the same coroutines, as long as nothing in them waits."""
    done: list[int] = []

    async def work() -> int:
        return 5

    async def all_of_it() -> int:
        await _in_thread(lambda: done.append(1))
        return await within(1, work())

    coroutine = all_of_it()
    with pytest.raises(StopIteration) as end:
        coroutine.send(None)
    assert (end.value.value, done) == (5, [1])


async def test_a_time_limit_lets_the_cancellations_of_others_through() -> None:
    """Only its own becomes a TimeoutError."""
    waiting = asyncio.create_task(TimeLimit(60).wait(asyncio.Event().wait()))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_closing_waits_for_a_look_that_is_under_way(world: World) -> None:
    """What `returned` began and did not wait for ends before the store is closed."""

    async def look() -> None:
        await asyncio.sleep(0)

    cashier = world.cashier()
    late = asyncio.create_task(look())
    cashier._returns._late.add(late)
    await cashier.aclose()
    assert late.done()


async def test_closing_does_not_wait_for_ever(world: World) -> None:
    """A round that does not end within the patience is cancelled; its order comes again."""
    begun = asyncio.Event()
    shop = world.handlers(without=("after_paid",))

    @shop.after_paid
    async def hang(_payment: Payment) -> None:
        begun.set()
        await asyncio.Event().wait()

    async with world.cashier(handlers=shop, patience=0.05) as cashier:
        checkout = await order(cashier)
        await world.sandbox.pay(checkout.collection_id)
        await cashier.receive(world.webhook())
        async with asyncio.timeout(10):
            await begun.wait()
    assert world.parcels == ["A"]
