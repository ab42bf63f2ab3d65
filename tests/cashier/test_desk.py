"""What a person asks and decides."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from paycollect.cashier import Cashier, CashierError, HoldChangedError, UnknownOrderError
from tests.cashier.conftest import World, order


async def held_order(world: World, cashier: Cashier[Any], name: str = "A") -> str:
    """An order that is paid with another amount, and held."""
    checkout = await order(cashier, name)
    await world.sandbox.pay(checkout.collection_id)
    world.change("UPDATE paycollect_order SET amount = '24.00' WHERE order_id = ?", name)
    await cashier.replay(name)
    held = next(held for held in await cashier.held() if held.order_id == name)
    return held.hold_id


async def test_one_person_decides(world: World) -> None:
    """Of two who decide about the same hold, the second is told; so is who saw an older one."""
    async with world.life() as cashier:
        first = await held_order(world, cashier)
        with pytest.raises(HoldChangedError):
            await cashier.release("A", accept=True, hold_id="another")
        with pytest.raises(HoldChangedError):
            await cashier.dismiss("A", "?", hold_id="another")
        results = await asyncio.gather(
            *(cashier.release("A", hold_id=first, by=name) for name in ("ann", "bob")),
            return_exceptions=True,
        )
        assert sum(result is None for result in results) == 1
        await cashier.run_until_idle()
        (again,) = await cashier.held()
        assert again.hold_id != first
        with pytest.raises(HoldChangedError):
            await cashier.release("A", accept=True, hold_id=first)
        await cashier.dismiss("A", "refunded by hand", by="ann", hold_id=again.hold_id)
        with pytest.raises(UnknownOrderError, match="nothing is held under 'A'"):
            await cashier.release("A")
    assert world.parcels == []


async def test_a_decision_is_about_the_record_that_was_seen(world: World) -> None:
    """What was accepted is this record, not whatever comes next."""
    async with world.life() as cashier:
        await held_order(world, cashier)
        await cashier.release("A", accept=True, by="ann")
        (record,) = world.sandbox.collections
        await world.sandbox.refund(record.collection_id, Decimal(5))
        await cashier.run_until_idle()
        assert world.state() == "open/amount_mismatch"
    assert world.parcels == []


async def test_what_cannot_be_accepted(world: World) -> None:
    """What is not paid is not delivered, whoever decides."""
    async with world.life() as cashier:
        await order(cashier)
        world.change(
            "UPDATE paycollect_order SET held_reason = 'stuck', held_at = 1, hold_id = 'h'"
        )
        with pytest.raises(CashierError, match="held as stuck, which cannot be accepted"):
            await cashier.release("A", accept=True)
        await cashier.release("A")
        await cashier.run_until_idle()
    assert world.state() == "open"


async def test_two_people_dismiss_a_stray(world: World) -> None:
    """The second is told."""
    async with world.life() as cashier:
        await cashier.run_once()
        world.change(
            "INSERT INTO paycollect_stray (id, reason, hold_id, held_at) VALUES"
            " ('SCIX', 'unknown_order', 'h', 1)"
        )
        with pytest.raises(HoldChangedError):
            await cashier.dismiss("SCIX", "?", hold_id="another")
        await cashier.dismiss("SCIX", "another shop's")
        assert await cashier.held() == []
    assert world.rows("SELECT note FROM paycollect_stray") == [("dismissed: another shop's",)]


async def test_attribute(world: World) -> None:
    """Only to an order that can still become something, and only what is nobody else's."""
    async with world.life() as cashier:
        one, two = await order(cashier, "A"), await order(cashier, "B")
        with pytest.raises(CashierError, match="belongs to another order"):
            await cashier.attribute(one.collection_id, "B")
        with pytest.raises(ValueError, match="collection_id: only letters"):
            await cashier.attribute("a/b", "B")
        await world.sandbox.pay(two.collection_id)
        await cashier.replay("B")
        with pytest.raises(CashierError, match="paid or delivered already"):
            await cashier.attribute("SCIX", "B")
        world.change("DELETE FROM paycollect_order WHERE order_id = 'B'")
        world.change("UPDATE paycollect_order SET state = 'closed', closed_at = 0")
        await cashier.attribute(two.collection_id, "A", by="ann")
        assert world.state() == "closed/too_late", "and then it can be accepted"
        await cashier.release("A", accept=True, by="ann")
        await cashier.run_until_idle()
    assert world.state() == "fulfilled"
    assert world.parcels == ["A", "B"]


async def test_the_timeline(world: World) -> None:
    """A line for each change, with who decided; webhooks among them."""
    async with world.life() as cashier:
        hold_id = await held_order(world, cashier)
        assert hold_id
        (record,) = world.sandbox.collections
        world.clock.advance(1)
        await cashier.receive(world.webhook(collection_id=record.collection_id))
        world.clock.advance(1)
        await cashier.run_until_idle()
        world.clock.advance(1)
        await cashier.release("A", accept=True, by="ann")
        world.clock.advance(1)
        await cashier.run_until_idle()
        lines = await cashier.timeline("A")
    said = [(line.what, line.detail, line.by) for line in lines]
    assert said == [
        ("intended", "25.00 USD", ""),
        ("open", record.collection_id, ""),
        ("held", "amount_mismatch", ""),
        ("webhook", "COMPLETED nothing to do", ""),
        ("alarmed", "", ""),
        ("released, amount_mismatch accepted", "", "ann"),
        ("paid", "found by the sweep", ""),
        ("fulfilled", "delivery 1", ""),
        ("after_paid", "call 1", ""),
    ]
    assert lines == sorted(lines, key=lambda line: line.at)


async def test_repeated_answers_are_a_counter(world: World) -> None:
    """Changes only: equal answers are counted, not listed."""
    async with world.life() as cashier:
        await order(cashier)
        for _ in range(5):
            await cashier.replay("A")
        lines = await cashier.timeline("A")
    assert [(line.what, line.detail) for line in lines[-2:]] == [
        ("seen", "PENDING"),
        ("seen", "PENDING, 5 times"),
    ]


async def test_replay(world: World) -> None:
    """Only what is known; of an order that somebody works on, nothing."""
    async with world.life(handlers=world.handlers(without=("after_paid",))) as cashier:
        await order(cashier)
        with pytest.raises(ValueError, match="again: None or 'after_paid'"):
            await cashier.replay("A", again="on_paid")
        with pytest.raises(CashierError, match="no process on this store has"):
            await cashier.replay("A", again="after_paid")
        world.change("UPDATE paycollect_order SET lease = 'x', lease_until = 9e15")
        world.change(
            "UPDATE paycollect_order SET lease_until = ?", int(world.clock.time() * 1000) + 1000
        )
        assert (await cashier.replay("A")).confirmed == 0
    async with world.life() as cashier:
        with pytest.raises(UnknownOrderError, match="no delivered order"):
            await cashier.replay("A", again="after_paid")


async def test_stats(world: World) -> None:
    """What is undone, and for how long; how it was found; how late webhooks are."""
    async with world.life() as cashier:
        empty = await cashier.stats()
        assert (empty.oldest_undone, empty.found_by_sweep, empty.webhook_lag) == (None, None, None)
        assert (empty.open, empty.held, empty.deliveries, empty.leases_lost) == (0, 0, 0, 0)
        for name in "ABC":
            await order(cashier, name)
        collection = {r.order.order_id: r.collection_id for r in world.sandbox.collections}
        await world.sandbox.pay(collection["A"])
        now = world.clock.now()
        world.clock.advance(7)
        await cashier.receive(
            world.webhook("A", collection_id=collection["A"], completedAt=now.isoformat())
        )
        world.clock.advance(3)
        stats = await cashier.stats()
        assert (stats.open, stats.webhooks_due, stats.oldest_undone) == (3, 1, 3)
        await cashier.run_once()
        await world.sandbox.pay(collection["B"])
        world.clock.advance(130)
        await cashier.run_until_idle()
        stats = await cashier.stats()
    assert (stats.open, stats.deliveries, stats.found_by_sweep) == (1, 2, 0.5)
    assert stats.webhook_lag == pytest.approx(7, abs=0.01)
    assert (stats.after_due, stats.webhooks_due, stats.oldest_undone) == (0, 0, None)


async def test_prune(world: World) -> None:
    """A time in the past is needed."""
    async with world.life() as cashier:
        with pytest.raises(ValueError, match="older_than: a time in the past"):
            await cashier.prune(timedelta(days=-1))
        with pytest.raises(TypeError, match="older_than: a timedelta"):
            await cashier.prune(90)  # type: ignore[arg-type]  # the point
