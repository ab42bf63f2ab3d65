"""From an order to its checkout: one of them, whoever asks, and never another customer's."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from paycollect import DuplicateOrderError, InvalidRequestError
from paycollect.cashier import OrderClosedError, OrderConflictError, UnknownOrderError
from paycollect.errors import DecodeError
from paycollect.sandbox.faults import drop_after_commit, drop_before_commit, respond
from tests.cashier.conftest import ARGUMENTS, World, order


async def elsewhere(world: World, order_id: str = "A", **more: Any) -> str:
    """Another system, or a lost database, has made a collection of this order id; it is paid."""
    body = {"amount": Decimal(25), "orderId": order_id, "description": "x"}
    record = await world.sandbox.create(body | more)
    await world.sandbox.pay(record.collection_id)
    return record.collection_id


async def test_the_same_order_gives_the_same_checkout(world: World) -> None:
    """Also in another life, with another description, and an amount that is written otherwise."""
    async with world.life() as cashier:
        first = await order(cashier, metadata={"cart": {"items": [1, Decimal("2.50")]}})
        assert await order(cashier) == first
    async with world.life() as cashier:
        assert await order(cashier, amount=25, description="Another") == first
        await world.sandbox.pay(first.collection_id)
        await cashier.replay("A")
        again = await order(cashier)
    assert again.checkout_url == first.checkout_url
    assert again.status == "COMPLETED"
    (record,) = world.sandbox.collections
    assert record.order.metadata["cart"] == {"items": [1, Decimal("2.50")]}
    assert len(str(record.order.metadata["paycollect_intent"])) == 32


async def test_another_amount(world: World) -> None:
    """An error before any request."""
    async with world.life() as cashier:
        await order(cashier)
        requests = len(world.sandbox.requests)
        changed: dict[str, Any] = {**ARGUMENTS, "order_id": "A", "amount": 24}
        with pytest.raises(OrderConflictError, match="use another order id") as caught:
            await order(cashier, amount=24)
        assert caught.value.order_id == "A"
        db = sqlite3.connect(world.path)
        with pytest.raises(OrderConflictError):
            await cashier.intend(db, **changed)
        db.close()
    assert len(world.sandbox.requests) == requests


BAD: list[tuple[dict[str, Any], str]] = [
    ({"amount": 2.5}, "amount: a Decimal"),
    ({"amount": "0.5"}, "amount: must be at least 1"),
    ({"order_id": ""}, "order_id: must have 1 to 100"),
    ({"order_id": "a\0b"}, "order_id: must have no NUL"),
    ({"order_id": 5}, "order_id: a str"),
    ({"currency": "EUR"}, "currency: only USD"),
    ({"description": ""}, "description: must have 1"),
    ({"callback_url": "ftp://x"}, "callback_url: an absolute"),
    ({"webhook_url": "x"}, "webhook_url: an absolute"),
    ({"metadata": {"paycollect_intent": 1}}, "is the cashier's"),
    ({"metadata": [1]}, "metadata: a mapping"),
    ({"metadata": {"x": float("nan")}}, "metadata: must be JSON"),
]


@pytest.mark.parametrize(("change", "text"), BAD)
async def test_arguments(world: World, change: dict[str, Any], text: str) -> None:
    """A mistake is seen before anything is stored or sent."""
    async with world.life() as cashier:
        given: dict[str, Any] = {"order_id": "A", **ARGUMENTS, **change}
        with pytest.raises((TypeError, ValueError), match=text):
            await cashier.create_checkout(**given)
        await cashier.run_once()
    assert world.rows("SELECT COUNT(*) FROM paycollect_order") == [(0,)]


async def test_metadata_that_could_not_be_read_again(world: World) -> None:
    """Refused before the intent is written, not when the checkout is asked for."""
    deep: dict[str, Any] = {}
    for _ in range(70):
        deep = {"deeper": deep}
    async with world.life() as cashier:
        with pytest.raises(ValueError, match="metadata: nested too deeply"):
            await order(cashier, metadata=deep)


async def test_unknown_orders(world: World) -> None:
    """Each call says so."""
    async with world.life() as cashier:
        for call in (
            cashier.checkout_for("A"),
            cashier.close("A"),
            cashier.replay("A"),
            cashier.timeline("A"),
            cashier.release("A"),
            cashier.dismiss("A", "?"),
            cashier.attribute("SCI1", "A"),
            order(cashier, "B", replaces="A"),
        ):
            with pytest.raises(UnknownOrderError):
                await call


async def test_replaces(world: World) -> None:
    """The old order is given up in the transaction that intends the new one."""
    async with world.life() as cashier:
        old = await order(cashier)
        await order(cashier, "B", amount=30, replaces="A")
        await world.sandbox.pay(old.collection_id)
        await cashier.replay("A")
    assert world.state("A") == "open/too_late"
    assert world.state("B") == "open"


async def test_close_in_the_merchants_transaction(world: World) -> None:
    """It is given up with the merchant's commit, and not without."""
    async with world.life() as cashier:
        await order(cashier)
        db = sqlite3.connect(world.path)
        await cashier.close("A", db)
        db.rollback()
        await order(cashier)
        await cashier.close("A", db)
        db.commit()
        db.close()
        with pytest.raises(OrderClosedError):
            await order(cashier)
        await cashier.close("A")
        assert [line.what for line in await cashier.timeline("A")].count("given up") == 1


async def test_an_order_that_was_never_sent_and_is_given_up(world: World) -> None:
    """It is closed at once, without a request: nothing can be paid."""
    async with world.life() as cashier:
        await cashier.run_once()
        db = sqlite3.connect(world.path)
        await cashier.intend(db, order_id="A", **ARGUMENTS)
        db.commit()
        db.close()
        await cashier.close("A")
        requests = len(world.sandbox.requests)
        await cashier.run_until_idle()
        with pytest.raises(OrderClosedError):
            await cashier.checkout_for("A")
    assert world.given_back == [("A", "never_created")]
    assert len(world.sandbox.requests) == requests


async def test_an_intent_that_was_never_created(world: World) -> None:
    """Closed after two complete look-ups, ten minutes apart, 70 minutes after the last send."""
    world.sandbox.faults.always("POST /collections", respond(400))
    async with world.life() as cashier:
        with pytest.raises(InvalidRequestError):
            await order(cashier)
        assert world.state() == "intended"
        assert world.rows("SELECT last_error FROM paycollect_order") == [("InvalidRequestError",)]
        passed = 0
        while world.state() == "intended":
            world.clock.advance(60)
            passed += 1
            await cashier.run_until_idle()
    assert 79 <= passed <= 92
    assert world.given_back == [("A", "never_created")]
    (closed,) = world.closed
    assert (closed.amount, closed.collection, closed.key) == (Decimal("25.00"), None, "closed:A")


async def test_a_create_that_was_refused_is_sent_again(world: World) -> None:
    """The intent stays, and the next call sends it."""
    world.sandbox.faults.next("POST /collections", respond(400))
    async with world.life() as cashier:
        with pytest.raises(InvalidRequestError):
            await order(cashier)
        assert (await order(cashier)).recovered is False


async def test_another_customers_record_is_never_ours(world: World) -> None:
    """The order id came back: a COMPLETED record of the same amount delivers nothing."""
    async with world.life() as cashier:
        taken = await elsewhere(world)
        with pytest.raises(DuplicateOrderError, match="did not ask for") as caught:
            await order(cashier)
        assert caught.value.existing is not None
        assert caught.value.existing.collection_id == taken
        with pytest.raises(DuplicateOrderError):
            await order(cashier)
        await cashier.run_until_idle()
        assert world.state() == "closed/order_id_taken"
        assert [held.reason for held in world.alarms] == ["order_id_taken"]
        with pytest.raises(Exception, match="nothing to deliver: dismiss it"):
            await cashier.release("A", accept=True)
        await cashier.dismiss("A", "old backup")
        await cashier.run_until_idle()
    assert world.parcels == []
    assert world.given_back == [("A", "order_id_taken")]


async def test_a_lost_answer_that_is_recovered_at_once_is_proven(world: World) -> None:
    """The session finds a record of this id and amount: ours only with the nonce."""
    world.sandbox.faults.next("POST /collections", drop_after_commit())
    async with world.life() as cashier:
        checkout = await order(cashier)
        assert checkout.recovered
        assert world.state() == "open"
        # Of the other order the request is lost, and its id is another's whose payer has not paid.
        await world.sandbox.create({"amount": Decimal(25), "orderId": "B", "description": "x"})
        world.clock.advance(600)
        world.sandbox.faults.next("POST /collections", drop_before_commit())
        with pytest.raises(DuplicateOrderError):
            await order(cashier, "B")
    assert world.state("B") == "closed/order_id_taken"


async def test_the_sweep_finds_that_an_id_is_taken(world: World) -> None:
    """The create was lost; what is found by the order id has another nonce."""
    async with world.life() as cashier:
        await elsewhere(world)
        world.sandbox.faults.always("GET *", respond(403))
        with pytest.raises(Exception, match="403"):
            await order(cashier)
        assert world.state() == "intended"
        world.clock.advance(300)
        await cashier.run_until_idle()
        assert world.rows("SELECT last_error FROM paycollect_order") == [("PermissionDeniedError",)]
        world.sandbox.faults.clear()
        world.clock.advance(900)
        done = await cashier.run_until_idle()
        assert (done.closed, done.held) == (1, 1)
    assert world.state() == "closed/order_id_taken"


async def test_two_processes_create_the_same_order_at_once(world: World) -> None:
    """One checkout for both."""
    async with world.life() as one, world.life() as two:
        calls = [order(cashier) for cashier in (one, two) for _ in range(5)]
        checkouts = await asyncio.gather(*calls)
    assert len({checkout.collection_id for checkout in checkouts}) == 1
    assert len({checkout.checkout_url for checkout in checkouts}) == 1
    assert len(world.sandbox.collections) == 1


async def test_a_conflict_whose_record_is_not_found(world: World) -> None:
    """409, and no list shows it: the error is the provider's, and the intent stays."""
    world.sandbox.faults.next("POST /collections", respond(409, code="DUPLICATE_REFERENCE"))
    async with world.life() as cashier:
        with pytest.raises(DuplicateOrderError):
            await order(cashier)
    assert world.state() == "intended"


async def test_a_conflict_that_is_our_own(world: World) -> None:
    """The answer was lost with the process: 409, and the nonce says that it is ours."""
    world.sandbox.faults.next("POST /collections", respond(400))
    async with world.life() as cashier:
        with pytest.raises(InvalidRequestError):
            await order(cashier)
        ((nonce,),) = world.rows("SELECT nonce FROM paycollect_order")
        body = {"amount": Decimal(25), "orderId": "A", "description": "x"}
        record = await world.sandbox.create(body | {"metadata": {"paycollect_intent": nonce}})
        checkout = await order(cashier)
    assert checkout.collection_id == record.collection_id
    assert checkout.recovered


async def test_given_up_while_the_create_is_under_way(world: World) -> None:
    """A checkout that comes late does not reopen the order, but what is paid on it is noticed."""
    async with world.life() as cashier:
        await cashier.run_once()

        def close(point: str) -> None:
            if point == "request:create:after":
                world.change("UPDATE paycollect_order SET state = 'closed', closed_at = 0")

        cashier._store.reach = close
        with pytest.raises(OrderClosedError):
            await order(cashier)
        cashier._store.reach = lambda _: None
        (record,) = world.sandbox.collections
        await world.sandbox.pay(record.collection_id)
        world.clock.advance(3700)
        await cashier.run_until_idle()
    assert world.state() == "closed/too_late"


async def test_given_up_just_before_the_create(world: World) -> None:
    """Whoever reads an order, and sends too late, is told."""
    async with world.life() as cashier:
        await cashier.run_once()

        db = sqlite3.connect(world.path)
        await cashier.intend(db, order_id="A", **ARGUMENTS)
        db.commit()
        db.close()
        real = cashier._store.run

        async def run(steps: Any, *, reads: bool = False, alone: bool = False) -> Any:
            found = await real(steps, reads=reads, alone=alone)
            if reads:
                cashier._store.run = real  # type: ignore[method-assign]  # between two steps
                await cashier.close("A")
            return found

        cashier._store.run = run  # type: ignore[method-assign]  # between two steps
        with pytest.raises(OrderClosedError):
            await cashier.checkout_for("A")
    assert world.sandbox.collections == []


async def test_an_address_that_is_not_told(world: World) -> None:
    """A checkout that was found, and whose record shows no URL, is an error that says so."""
    async with world.life() as cashier:
        checkout = await order(cashier)
        world.change("UPDATE paycollect_order SET checkout = ''")
        data = {"collectionId": checkout.collection_id, "orderId": "A", "amount": 25}
        data |= {"currency": "USD", "status": "PENDING"}
        body = json.dumps({"success": True, "status": 200, "data": data})
        world.sandbox.faults.next("GET /collections/{id}", respond(200, body=body))
        with pytest.raises(DecodeError, match="checkoutUrl"):
            await order(cashier)


async def test_an_order_among_many_alike(world: World) -> None:
    """The filter is a partial match: budgets are kept, and "not yet" is never "not there"."""
    world.sandbox.faults.next("POST /collections", respond(403))
    async with world.life() as cashier:
        with pytest.raises(Exception, match="403"):
            await order(cashier, "INV-1")
        ((nonce,),) = world.rows("SELECT nonce FROM paycollect_order")
        body = {"amount": Decimal(25), "description": "x"}
        ours = {"orderId": "INV-1", "metadata": {"paycollect_intent": nonce}}
        await world.sandbox.create(body | ours)
        for number in range(620):
            await world.sandbox.create(body | {"orderId": f"INV-1{number:04}"})
        world.clock.advance(130)
        await cashier.run_until_idle()
        assert world.state("INV-1") == "intended"
        assert world.rows("SELECT cursor FROM paycollect_order") == [(5,)]
        world.clock.advance(timedelta(minutes=1).total_seconds())
        await cashier.run_until_idle()
    assert world.state("INV-1") == "open"


async def test_an_id_that_is_taken_while_a_worker_has_the_order(world: World) -> None:
    """The caller is told at once; the worker will find the same."""
    async with world.life() as cashier:
        await elsewhere(world)

        def take(point: str) -> None:
            if point == "request:list:after":
                later = int(world.clock.time() * 1000) + 60_000
                world.change("UPDATE paycollect_order SET lease = 'x', lease_until = ?", later)

        await cashier.run_once()
        cashier._store.reach = take
        with pytest.raises(DuplicateOrderError):
            await order(cashier)
        cashier._store.reach = lambda _: None
        assert world.state() == "intended"
        world.clock.advance(300)
        await cashier.run_until_idle()
    assert world.state() == "closed/order_id_taken"
