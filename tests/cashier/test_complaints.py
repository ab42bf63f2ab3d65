"""What users of other systems suffer: each complaint of the design's table is a test here."""

from __future__ import annotations

import asyncio
import sqlite3
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from paycollect.cashier import (
    CashierError,
    Handlers,
    HeldReason,
    OrderClosedError,
    Payment,
    Standing,
    StoreError,
)
from paycollect.sandbox.faults import drop_after_commit, respond
from tests.cashier.conftest import ARGUMENTS, World, order

HOUR = 3600


async def test_1_a_lost_webhook_is_found_within_three_minutes(world: World) -> None:
    """By the list of what is PENDING: the payer's tab was closed, and no webhook came."""
    async with world.life() as cashier:
        checkout = await order(cashier)
        await order(cashier, "B")
        await cashier.run_until_idle()
        await world.sandbox.pay(checkout.collection_id)
        for _ in range(3):
            world.clock.advance(60)
            await cashier.run_until_idle()
        assert world.parcels == ["A"]
        assert world.payments[0].found_by == "sweep"
        assert (await cashier.stats()).found_by_sweep == 1


async def test_2_the_webhook_comes_before_the_order(world: World) -> None:
    """It waits, and leads to the delivery when the order's row is there."""
    async with world.life() as cashier:
        record = await world.sandbox.create(
            {"amount": Decimal(25), "orderId": "A", "description": "Premium plan"}
        )
        await world.sandbox.pay(record.collection_id)
        await cashier.receive(world.webhook(collection_id=record.collection_id))
        await cashier.run_until_idle()
        assert world.alarms == []
        db = sqlite3.connect(world.path)
        await cashier.intend(db, order_id="A", **ARGUMENTS)
        db.commit()
        db.close()
        nonce = world.rows("SELECT nonce FROM paycollect_order")[0][0]
        world.change(
            "UPDATE paycollect_order SET state = 'open', collection_id = ?, ends_at = 9e15,"
            " opened_at = 0",
            record.collection_id,
        )
        assert nonce
        world.clock.advance(15)
        await cashier.run_until_idle()
    assert world.parcels == ["A"]


async def test_3_the_webhook_races_the_return_page(world: World) -> None:
    """Both at the same instant: one delivery, and the customer is told that it is paid."""
    async with world.life() as cashier:
        checkout = await order(cashier)
        await world.sandbox.pay(checkout.collection_id)
        url = f"https://shop.example/back?batch={checkout.collection_id}&status=COMPLETED"
        await cashier.receive(world.webhook(collection_id=checkout.collection_id))
        await asyncio.gather(cashier.run_once(), *(cashier.returned(url) for _ in range(5)))
        back = await cashier.returned(url)
    assert (back.standing, back.delivered, back.order_id) == (Standing.PAID, True, "A")
    assert world.parcels == ["A"]


async def test_4_duplicates_at_the_same_instant(world: World) -> None:
    """Fifty tasks in each of two lives: webhook, return, sweep and replay; one delivery."""
    async with world.life() as one, world.life() as two:
        checkout = await order(one)
        await world.sandbox.pay(checkout.collection_id)
        body = world.webhook(collection_id=checkout.collection_id)
        url = f"?batch={checkout.collection_id}&status=COMPLETED"
        ways: list[Any] = []
        for cashier in (one, two):
            for _ in range(13):
                ways += [cashier.receive(body), cashier.returned(url)]
                ways += [cashier.run_once(), cashier.replay("A")]
        await asyncio.gather(*ways)
        await one.run_until_idle()
    assert world.parcels == ["A"]
    assert len(world.told) == 1


class DeathError(BaseException):
    """A life ends here, as by SIGKILL."""


@pytest.mark.parametrize("after_handler", [False, True])
async def test_5_and_6_a_crash_around_the_effect(world: World, after_handler: bool) -> None:
    """Mark and effect are one transaction: neither is swallowed, neither happens twice."""

    def die(point: str) -> None:
        if point == ("handler:on_paid:end" if after_handler else "handler:on_paid:start"):
            raise DeathError

    async with world.life() as cashier:
        checkout = await order(cashier)
        await world.sandbox.pay(checkout.collection_id)
        await cashier.receive(world.webhook(collection_id=checkout.collection_id))
        cashier._store.reach = die
        with pytest.raises(DeathError):
            await cashier.run_once()
        cashier._store.reach = lambda _: None
    assert (world.state(), world.parcels) == ("paid", [])
    world.clock.advance(120)
    async with world.life() as cashier:
        await cashier.run_until_idle()
        assert world.parcels == ["A"]
        assert world.payments[-1].delivery == 2
    world.clock.advance(HOUR)
    async with world.life() as cashier:
        await cashier.run_until_idle()
    assert world.parcels == ["A"]


async def test_7_a_later_state_is_not_undone_by_an_earlier_message(world: World) -> None:
    """PENDING and FAILED that come after COMPLETED change nothing."""
    async with world.life() as cashier:
        checkout = await order(cashier)
        await world.sandbox.pay(checkout.collection_id)
        for status in ("COMPLETED", "PENDING", "FAILED", "EXPIRED"):
            body = world.webhook(status=status, collection_id=checkout.collection_id)
            await cashier.receive(body)
            await cashier.run_until_idle()
            assert world.state() == "fulfilled"
    assert world.parcels == ["A"]
    assert world.given_back == []


async def test_8_no_checkout_without_an_order(world: World) -> None:
    """A rollback of the merchant's transaction leaves no checkout, as nothing was sent yet."""
    async with world.life() as cashier:
        await cashier.run_once()
        db = sqlite3.connect(world.path)
        db.execute("INSERT INTO parcels VALUES ('not yet')")
        await cashier.intend(db, order_id="A", **ARGUMENTS)
        db.rollback()
        with pytest.raises(CashierError, match="there is no order 'A'"):
            await cashier.checkout_for("A")
        await cashier.intend(db, order_id="A", **ARGUMENTS)
        db.commit()
        db.close()
        assert world.sandbox.collections == []
        checkout = await cashier.checkout_for("A")
        assert await cashier.checkout_for("A") == checkout
    assert len(world.sandbox.collections) == 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("amount = '24.00'", HeldReason.AMOUNT_MISMATCH),
        ("currency = 'EUR'", HeldReason.CURRENCY_MISMATCH),
    ],
)
async def test_9_the_paid_amount_is_not_the_orders(
    world: World, change: str, reason: HeldReason
) -> None:
    """Held for a person, who can have it delivered all the same."""
    async with world.life() as cashier:
        checkout = await order(cashier)
        await world.sandbox.pay(checkout.collection_id)
        world.change(f"UPDATE paycollect_order SET {change}")
        url = f"?batch={checkout.collection_id}&status=COMPLETED"
        back = await cashier.returned(url)
        assert (back.standing, back.delivered) == (Standing.PAID, False)
        await cashier.run_until_idle()
        (held,) = world.alarms
        assert (held.order_id, held.reason) == ("A", reason)
        assert held.payment is not None
        assert held.payment.amount == Decimal("25.00")
        assert (await cashier.stats()).mismatches == 1
        await cashier.release("A", by="ann")
        await cashier.run_until_idle()
        assert world.state() == f"open/{reason}", "the same checks again"
        assert len(world.alarms) == 2
        await cashier.release("A", accept=True, by="ann")
        await cashier.run_until_idle()
    assert world.parcels == ["A"]


async def test_10_a_payment_that_nobody_knows(world: World) -> None:
    """Kept, and a person is told after two minutes; it can be given to an order."""
    async with world.life() as cashier:
        await cashier.run_once()
        record = await world.sandbox.create(
            {"amount": Decimal(25), "orderId": "GHOST", "description": "x"}
        )
        await world.sandbox.pay(record.collection_id)
        await cashier.receive(world.webhook("GHOST", collection_id=record.collection_id))
        world.clock.advance(60)
        await cashier.run_until_idle()
        assert world.alarms == []
        world.clock.advance(65)
        await cashier.run_until_idle()
        (held,) = world.alarms
        assert (held.order_id, held.collection_id) == (None, record.collection_id)
        assert held.reason is HeldReason.UNKNOWN_ORDER
        await order(cashier, "A")
        done = await cashier.attribute(record.collection_id, "A", by="ann")
        assert done.delivered == 1
        assert await cashier.held() == []
    assert world.parcels == ["A"]
    assert world.payments[0].found_by == "replay"


async def test_11_a_job_whose_worker_died(world: World) -> None:
    """The lease ends by itself; nobody needs to be rescued, and a clock's jump does not prolong it."""
    async with world.life() as cashier:
        checkout = await order(cashier)
        await world.sandbox.pay(checkout.collection_id)
        for until in ("lease_until = 9000000000000000", "lease_until = 1"):
            world.change(f"UPDATE paycollect_order SET lease = 'dead', {until}, due_at = 1")
            done = await cashier.run_until_idle()
            if done.delivered:
                break
    assert world.parcels == ["A"]


async def test_12_pruning_leaves_what_is_live(world: World) -> None:
    """Handled webhooks and finished timelines go; orders, and whatever is undone, stay."""
    async with world.life() as cashier:
        await order(cashier, "A")
        checkout = await order(cashier, "B")
        first = world.sandbox.collections[-1]
        await world.sandbox.pay(first.collection_id)
        await cashier.receive(world.webhook(collection_id=first.collection_id))
        await cashier.run_until_idle()
        await cashier.receive(world.webhook("B", "COMPLETED", checkout.collection_id))
        world.clock.advance(100 * 24 * HOUR)
        pruned = await cashier.prune(timedelta(days=90))
        assert pruned.webhooks == 1
        assert pruned.timeline > 2
        assert {line.what for line in await cashier.timeline("B")} > {"intended", "open"}
        assert await cashier.timeline("A") == []
        assert (await cashier.prune()).webhooks == 0
    assert world.rows("SELECT COUNT(*) FROM paycollect_order") == [(2,)]


async def test_13_can_i_run_that_webhook_again(world: World) -> None:
    """Yes: it confirms again, never delivers twice, and calls after_paid again if asked to."""
    async with world.life() as cashier:
        checkout = await order(cashier)
        await world.sandbox.pay(checkout.collection_id)
        assert (await cashier.replay("A")).delivered == 1
        assert (await cashier.replay("A")).delivered == 0
        await cashier.run_until_idle()
        await cashier.replay("A", again="after_paid")
    assert world.parcels == ["A"]
    assert world.told == [f"paid:{checkout.collection_id}"] * 2


async def test_14_paid_after_the_merchant_gave_up(world: World) -> None:
    """A person decides; nothing is delivered by itself."""
    async with world.life() as cashier:
        checkout = await order(cashier)
        await cashier.close("A")
        with pytest.raises(OrderClosedError, match="another order id"):
            await order(cashier)
        await world.sandbox.pay(checkout.collection_id)
        await cashier.receive(world.webhook(collection_id=checkout.collection_id))
        await cashier.run_until_idle()
        assert world.state() == "open/too_late"
        assert world.parcels == []
        await cashier.dismiss("A", "refunded by hand", by="ann")
        await cashier.run_until_idle()
        assert world.given_back == [("A", "dismissed")]
        await cashier.receive(world.webhook(status="PAID", collection_id=checkout.collection_id))
        await cashier.run_until_idle()
        assert world.state() == "closed", "what was dismissed is not held again"
    assert world.parcels == []


async def test_14_paid_after_it_was_closed(world: World) -> None:
    """The stock was given back: held; and a refund made meanwhile settles it."""
    for name, refunds in (("A", False), ("B", True)):
        async with world.life() as cashier:
            await order(cashier, name)
            collection_id = world.sandbox.collections[0].collection_id
            world.change(
                "UPDATE paycollect_order SET state = 'closed', closed_at = 0 WHERE order_id = ?",
                name,
            )
            await world.sandbox.pay(collection_id)
            await cashier.receive(world.webhook(name, collection_id=collection_id))
            await cashier.run_until_idle()
            assert world.state(name) == "closed/too_late"
            back = await cashier.returned(f"?batch={collection_id}&status=COMPLETED")
            assert (back.standing, back.delivered) == (Standing.PAID, False)
            if refunds:
                await world.sandbox.refund(collection_id)
                world.clock.advance(2 * HOUR)
            else:
                await cashier.release(name, accept=True, by="ann")
            await cashier.run_until_idle()
            await cashier.run_until_idle()
    assert (world.state("A"), world.state("B")) == ("fulfilled", "closed")
    assert world.parcels == ["A"]


async def test_an_answer_that_is_lost_is_no_second_checkout(world: World) -> None:
    """The provider has made it, the answer is lost, the process dies: the sweep finds it."""
    world.sandbox.faults.next("POST /collections", drop_after_commit())
    world.sandbox.faults.next("GET /collections", *[respond(403)] * 4)
    async with world.life() as cashier:
        with pytest.raises(Exception, match="403"):
            await order(cashier)
    assert world.state() == "intended"
    (record,) = world.sandbox.collections
    world.sandbox.faults.clear()
    world.clock.advance(180)
    async with world.life() as cashier:
        await cashier.run_until_idle()
        assert world.state() == "open"
        checkout = await order(cashier)
        assert checkout.collection_id == record.collection_id
        assert checkout.checkout_url == world.sandbox.checkout_url(record.collection_id)
        assert await order(cashier) == checkout
        world.change("UPDATE paycollect_order SET checkout = ''")
        await world.sandbox.pay(record.collection_id)
        with pytest.raises(OrderClosedError, match="no page to pay on"):
            await order(cashier)
        await cashier.replay("A")
    assert world.parcels == ["A"]


async def test_a_commit_whose_answer_is_lost_is_not_repeated(world: World) -> None:
    """The store fails after the commit: the next claim sees that it is done."""

    def lose(point: str) -> None:
        if point == "commit:after":
            failures.append(point)
            raise StoreError("the connection was lost")

    failures: list[str] = []

    def ship(tx: sqlite3.Connection, payment: Payment) -> None:
        tx.execute("INSERT INTO parcels VALUES (?)", [payment.order_id])
        cashier._store.reach = lose

    shop: Handlers[sqlite3.Connection] = Handlers()
    shop.on_paid(ship)
    async with world.life(handlers=shop) as cashier:
        checkout = await order(cashier)
        await world.sandbox.pay(checkout.collection_id)
        assert (await cashier.replay("A")).delivered == 0, "not known to be"
        cashier._store.reach = lambda _: None
        world.clock.advance(HOUR)
        await cashier.run_until_idle()
    assert failures
    assert world.parcels == ["A"]
