"""The sweep: what nobody told us about is found in time, and the provider is not flooded."""

from __future__ import annotations

import json
import sqlite3
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from paycollect import SessionManager
from paycollect.cashier.sweep import BURST, RATE, Budget
from paycollect.sandbox import Sandbox
from paycollect.sandbox.faults import respond
from paycollect.status import PaymentStatus, RefundStatus
from tests.cashier.conftest import World, order

HOUR = 3600


class FakeProvider:
    """The provider's answers from memory, so that a thousand orders take no time."""

    def __init__(self, world: World) -> None:
        self.pay = world.pay
        self.asked: list[str] = []
        self.lies = False

    def __getattr__(self, name: str) -> Any:
        real = getattr(self.pay, name)

        async def ask(*args: Any, **more: Any) -> Any:
            self.asked.append(name)
            if name == "list_collections" and self.lies and more.get("status") == "PENDING":
                more["status"] = PaymentStatus.FAILED
            return await real(*args, **more)

        return ask


def test_the_budget() -> None:
    """So many at once, then so many a second; a debt is paid first, and nothing is saved up."""
    now = 0.0
    budget = Budget(lambda: now)
    assert budget.left == BURST
    budget.spend(int(BURST) + 10)
    assert budget.left == 0
    now += 5
    assert budget.left == 0
    now += 5
    assert budget.left == 5 * RATE
    now += 1e6
    assert budget.left == BURST
    now -= 100
    assert budget.left == BURST


async def fill(world: World, count: int) -> list[str]:
    """So many open orders, written by one transaction; each is PENDING at the provider."""
    async with world.life() as cashier:
        await cashier.run_once()
    now = int(world.clock.time() * 1000)
    rows = []
    for number in range(count):
        record = await world.sandbox.create(
            {"amount": Decimal(25), "orderId": f"O{number}", "description": "x"}
        )
        rows.append((f"O{number}", record.collection_id, now, now + HOUR * 1000))
    db = sqlite3.connect(world.path)
    with db:
        db.executemany(
            "INSERT INTO paycollect_order (order_id, state, amount, currency, collection_id,"
            " opened_at, ends_at, due_at) VALUES (?1, 'open', '25', 'USD', ?2, ?3, ?4, ?4 + 600000)",
            rows,
        )
    db.close()
    return [collection_id for _, collection_id, _, _ in rows]


async def live(world: World, cashier: Any, seconds: int, step: int = 5) -> None:
    """Let time pass, with a round of work every few seconds."""
    for _ in range(0, seconds, step):
        world.clock.advance(step)
        await cashier.run_until_idle()


@pytest.mark.no_cover
async def test_a_thousand_open_orders(world: World) -> None:
    """A lost webhook is found within three minutes, at two requests a second at most."""
    ids = await fill(world, 1000)
    world.pay = fake = FakeProvider(world)  # type: ignore[assignment]  # answers as the real one
    async with world.life() as cashier:
        await live(world, cashier, 600, 20)
        assert len(fake.asked) <= 600 * RATE
        before = len(fake.asked)
        await world.sandbox.pay(ids[500])
        await live(world, cashier, 180, 20)
        assert world.parcels == ["O500"]
        assert len(fake.asked) - before <= 180 * RATE
        assert fake.asked[before:].count("get_collection") == 1


@pytest.mark.no_cover
async def test_after_an_outage(world: World) -> None:
    """A thousand were paid meanwhile: all are delivered within 500 seconds of the clock."""
    ids = await fill(world, 1000)
    for collection_id in ids:
        await world.sandbox.pay(collection_id)
    async with world.life() as cashier:
        world.clock.advance(61)
        seconds = 0
        while len(world.parcels) < 1000:
            await live(world, cashier, 10, 10)
            seconds += 10
            assert seconds <= 500
    assert len(set(world.parcels)) == 1000


async def test_a_filter_that_lies(world: World) -> None:
    """An empty list of what is PENDING makes nobody paid, and nobody is asked for too often."""
    await fill(world, 100)
    world.pay = fake = FakeProvider(world)  # type: ignore[assignment]  # answers as the real one
    fake.lies = True
    async with world.life() as cashier:
        await live(world, cashier, 600, 20)
        assert len(fake.asked) <= 600 * RATE + BURST
        asked = world.rows("SELECT COUNT(*) FROM paycollect_order WHERE asked_at IS NOT NULL")
        assert asked == [(100,)], "in turn"
    assert world.parcels == []
    assert world.rows("SELECT DISTINCT state FROM paycollect_order") == [("open",)]


async def test_a_pass_that_fails_is_made_again(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """A minute later; it changes nothing."""
    async with world.life() as cashier:
        checkout = await order(cashier)
        await cashier.run_once()
        await world.sandbox.pay(checkout.collection_id)
        world.sandbox.faults.next("GET /collections", respond(403))
        world.clock.advance(61)
        await cashier.run_until_idle()
        assert "the sweep (pending) was cut short" in caplog.text
        assert world.parcels == []
        world.clock.advance(61)
        await cashier.run_until_idle()
    assert world.parcels == ["A"]


async def test_orphans(world: World) -> None:
    """What is paid there and unknown here is found within the hour; each is held once."""
    async with world.life() as cashier:
        await cashier.run_once()
        ids = []
        for number in range(120):
            record = await world.sandbox.create(
                {"amount": Decimal(25), "orderId": f"GHOST{number}", "description": "x"}
            )
            ids.append(record.collection_id)
            await world.sandbox.pay(record.collection_id)
        for _ in range(3):
            world.clock.advance(HOUR + 60)
            await cashier.run_until_idle()
        assert {held.collection_id for held in world.alarms} == set(ids)
        assert len(world.alarms) == 120
        held = (await cashier.held())[0]
        assert held.payment is not None
        assert held.payment.amount == Decimal(25)
        assert (await cashier.stats()).held == 120


async def test_an_intent_whose_payment_is_in_the_list(world: World) -> None:
    """Its create was lost: the list of what is paid wakes it, and the proof decides."""
    async with world.life() as cashier:
        await order(cashier)
        world.change(
            "UPDATE paycollect_order SET state = 'intended', collection_id = NULL, due_at = 9e14"
        )
        (record,) = world.sandbox.collections
        await world.sandbox.pay(record.collection_id)
        world.clock.advance(HOUR + 60)
        await cashier.run_until_idle()
    assert world.parcels == ["A"]


async def test_refunds_that_take_their_time(world: World) -> None:
    """A PENDING refund is nothing yet; days later it is complete, and found from where it began."""
    async with (
        Sandbox(time_scale=0, refund_delay=5 * 24 * HOUR, clock=world.clock) as slow,
        _session(slow) as pay,
    ):
        world.sandbox, world.pay = slow, pay
        async with world.life() as cashier:
            checkout = await order(cashier)
            await slow.pay(checkout.collection_id)
            await cashier.replay("A")
            await slow.refund(checkout.collection_id)
            for _ in range(4):
                world.clock.advance(24 * HOUR)
                await cashier.run_until_idle()
                assert world.state() == "fulfilled"
            assert (await pay.list_refunds()).items[0].status is RefundStatus.PENDING
            world.clock.advance(24 * HOUR + 60)
            await cashier.run_until_idle()
            assert world.state() == "refunded"
    assert len(world.refunds) == 1


def _session(sandbox: Sandbox) -> Any:
    return SessionManager(
        app_id=sandbox.app_id, secret_key=sandbox.secret_key, base_url=sandbox.base_url
    )


async def test_many_refunds(world: World) -> None:
    """All pages are read; those of other systems' payments concern nobody."""
    async with world.life() as cashier:
        checkout = await order(cashier)
        await world.sandbox.pay(checkout.collection_id)
        await cashier.replay("A")
        await world.sandbox.refund(checkout.collection_id)
        for number in range(110):
            record = await world.sandbox.create(
                {"amount": Decimal(25), "orderId": f"X{number}", "description": "x"}
            )
            await world.sandbox.pay(record.collection_id)
            await world.sandbox.refund(record.collection_id)
        world.clock.advance(HOUR + 60)
        await cashier.run_until_idle()
    assert world.state() == "refunded"


async def test_a_clock_that_jumps(world: World) -> None:
    """Hours ahead and back again: what would be put off for years is done."""
    async with world.life() as cashier:
        checkout = await order(cashier)
        await world.sandbox.pay(checkout.collection_id)
        year = int(timedelta(days=365).total_seconds() * 1000)
        world.change("UPDATE paycollect_order SET due_at = due_at + ?", year)
        await cashier.run_once()
        world.change("UPDATE paycollect_setting SET at = at + ?", year)
        world.clock.advance(61)
        await cashier.run_until_idle()
    assert world.parcels == ["A"]


async def test_a_cron_job_makes_each_pass_when_it_is_due(world: World) -> None:
    """A life a minute: the passes of an hour are made once an hour, not each time."""
    async with world.life() as cashier:
        await order(cashier)
    for _ in range(30):
        async with world.life() as cashier:
            await cashier.run_once()
        world.clock.advance(60)
    paths = [request.path for request in world.sandbox.requests]
    assert 25 <= sum(path == "/collections" for path in paths) <= 33
    assert sum(path == "/refunds" for path in paths) <= 2


async def test_lists_that_never_end(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pass reads so many pages, and no more; a refund that failed is nothing."""
    monkeypatch.setattr("paycollect.cashier.sweep.MOST_PAGES", 1)
    monkeypatch.setattr("paycollect.cashier.sweep.PAGE_SIZE", 1)
    async with world.life() as cashier:
        await order(cashier, "A")
        checkout = await order(cashier, "B")
        await cashier.run_once()
        for record in world.sandbox.collections:
            await world.sandbox.pay(record.collection_id)
            await world.sandbox.refund(record.collection_id)
        world.clock.advance(HOUR + 60)
        await cashier.run_until_idle()
        refund = {"refundId": "RFD1", "collectionId": checkout.collection_id, "amount": 1}
        refund |= {"currency": "USD", "status": "FAILED"}
        paging = {"page": 1, "perPage": 1, "totalItems": 1, "totalPages": 1}
        data = {"refunds": [refund], "pagination": paging}
        body = json.dumps({"success": True, "status": 200, "data": data})
        world.sandbox.faults.next("GET /refunds", respond(200, body=body))
        world.clock.advance(HOUR + 60)
        await cashier.run_until_idle()
    assert len(world.refunds) == 0
    assert {world.state("A"), world.state("B")} == {"closed"}
