"""What comes from outside: webhooks and return URLs, genuine, forged and broken."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from paycollect.cashier import Answer, Handlers, Standing
from paycollect.clock import MachineClock
from paycollect.ipn import Receiver
from paycollect.sandbox.faults import delay, respond
from paycollect.testing import sign_webhook
from tests.cashier.conftest import World, order, until

ANSWERS: dict[str, tuple[bytes | str, int]] = {
    "nonsense": (b"nonsense", 400),
    "no object": ("[]", 400),
    "unsigned": (b'{"event": "x", "data": {}}', 401),
    "forged": (sign_webhook({"collectionId": "SCI1", "status": "COMPLETED"}, "whsec_other"), 401),
    "too large": (b'{"event": "' + b"x" * 2**21 + b'"}', 413),
}


@pytest.mark.parametrize("name", ANSWERS)
async def test_what_is_no_webhook(world: World, name: str) -> None:
    """Answered as the receiver says, without a look at the store."""
    body, status = ANSWERS[name]
    cashier = world.cashier(store=world.path.parent / "nowhere" / "shop.db")
    assert (await cashier.receive(body)).status == status
    await cashier.aclose()


async def test_a_test_delivery(world: World) -> None:
    """200, and nothing is stored."""
    async with world.life() as cashier:
        await cashier.run_once()
        assert (await cashier.receive(world.webhook(_test=True))).status == 200
    assert world.rows("SELECT COUNT(*) FROM paycollect_inbox") == [(0,)]


async def test_a_body_of_the_wrong_type(world: World) -> None:
    """A mistake of the caller: the raw body is needed."""
    async with world.life() as cashier:
        wrong: Any = {"event": "x"}
        with pytest.raises(TypeError, match="body"):
            await cashier.receive(wrong)


@pytest.mark.parametrize("keep_bodies", [False, True])
async def test_what_is_kept(world: World, keep_bodies: bool) -> None:
    """Ids, event, state, instants; the body, which holds personal data, only if asked for."""
    async with world.life(keep_bodies=keep_bodies) as cashier:
        body = world.webhook(payer={"name": "Ada\0Example", "email": "ada@example.com"})
        assert await cashier.receive(body.decode()) == Answer(200)
        assert await cashier.receive(body) == Answer(200)
    (row,) = world.rows("SELECT order_id, event, status, occurred_at, body FROM paycollect_inbox")
    assert row[:3] == ("A", "collection.received", "COMPLETED")
    assert row[3] == int(datetime(2026, 1, 8, 11, 35, tzinfo=UTC).timestamp() * 1000)
    assert ("ada@example.com" in row[4]) is keep_bodies


async def test_other_events_wake_nobody(world: World) -> None:
    """A payout names an order id of yours, perhaps; it is stored, and it is nothing to do."""
    async with world.life() as cashier:
        await order(cashier)
        await cashier.run_until_idle()
        data = {"payoutId": "PAY1", "externalReference": "A", "status": "COMPLETED"}
        body = sign_webhook(data, world.sandbox.webhook_secret, event="payout.completed")
        assert (await cashier.receive(body)).status == 200
        assert (await cashier.run_once()).confirmed == 0
    assert world.rows("SELECT due_at, order_id FROM paycollect_inbox") == [(None, None)]


@pytest.mark.parametrize("odd", ["A\0B", "x" * 101, "\0" * 5000])
async def test_ids_that_no_database_can_store(world: World, odd: str) -> None:
    """They pass the signature: 200, and held under a hash, as they would come again for ever."""
    async with world.life() as cashier:
        await cashier.run_once()
        body = world.webhook(odd, collection_id=odd)
        assert (await cashier.receive(body)).status == 200
        world.clock.advance(130)
        done = await cashier.run_until_idle()
        assert done.held == 1
        (held,) = await cashier.held()
        assert held.collection_id is not None
        assert held.collection_id.startswith("sha256:")
        assert (held.order_id, held.payment, held.reason) == (None, None, "unknown_order")
        await cashier.dismiss(held.collection_id, "nonsense", by="ann")
        assert await cashier.held() == []
        with pytest.raises(LookupError):
            await cashier.dismiss(held.collection_id, "again")


async def test_a_webhook_that_cannot_be_stored(world: World, tmp_path: Any) -> None:
    """503 and Retry-After: the provider sends it again."""
    cashier = world.cashier(store=tmp_path / "nowhere" / "shop.db")
    answer = await cashier.receive(world.webhook())
    assert (answer.status, answer.headers) == (503, {"Retry-After": "30"})
    await cashier.aclose()


async def test_a_store_that_is_too_slow(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """503 in time, as the provider waits for 10 s only."""
    monkeypatch.setattr("paycollect.cashier.cashier.RECEIVE_SECONDS", 0.001)

    async def slow(steps: object, **_: bool) -> None:
        await asyncio.sleep(60)

    async with world.life() as cashier:
        await cashier.run_once()
        real, cashier._store.run = cashier._store.run, slow  # type: ignore[method-assign,assignment]  # a slow disk
        assert (await cashier.receive(world.webhook())).status == 503
        cashier._store.run = real  # type: ignore[method-assign]  # as it was


async def test_stale_answers(world: World) -> None:
    """The webhook knows more than a cached GET: asked again after 1, 2, 5, 10, 30, 60 s."""
    async with world.life() as cashier:
        checkout = await order(cashier)
        body = world.webhook(collection_id=checkout.collection_id)
        await cashier.receive(body)
        for wait in (1, 2, 5, 10, 30):
            await cashier.run_until_idle()
            before = world.gets()
            world.clock.advance(wait - 0.5)
            await cashier.run_until_idle()
            assert world.gets() == before, wait
            world.clock.advance(0.5)
            await cashier.run_until_idle()
            assert world.gets() == before + 1, wait
        await world.sandbox.pay(checkout.collection_id)
        world.clock.advance(60)
        await cashier.run_until_idle()
        seen = [line for line in await cashier.timeline("A") if line.what == "seen"]
        assert [line.detail for line in seen] == ["PENDING"], "repeated answers are a counter"
    assert world.parcels == ["A"]


async def test_a_wake_up_during_a_look_is_not_lost(world: World) -> None:
    """A webhook that comes while another one is being looked at is looked at, too."""
    async with world.life() as cashier:
        checkout = await order(cashier)
        await cashier.receive(world.webhook(status="PENDING", collection_id=checkout.collection_id))
        late = world.webhook(collection_id=checkout.collection_id)

        def another(point: str) -> None:
            if point == "request:get:after":
                cashier._store.reach = lambda _: None
                asyncio.get_running_loop().create_task(cashier.receive(late))

        cashier._store.reach = another
        await cashier.run_once()
        await world.sandbox.pay(checkout.collection_id)
        await until(lambda: world.rows("SELECT COUNT(*) FROM paycollect_inbox") == [(2,)])
        await cashier.run_once()
    assert world.parcels == ["A"]


NONSENSE = ["", "https://shop.example/", "?batch=&status=", "?batch=A&batch=B&status=x", "?batch=a/b&status=COMPLETED", "?batch=SCINOBODY&status=COMPLETED"]  # fmt: skip


@pytest.mark.parametrize("url", NONSENSE)
async def test_nonsense_for_a_return_url(world: World, url: str) -> None:
    """UNKNOWN, without any request: anybody can type a URL."""
    async with world.life() as cashier:
        back = await cashier.returned(url)
    assert (back.standing, back.delivered, back.order_id) == (Standing.UNKNOWN, False, None)
    assert world.sandbox.requests == []


async def test_a_return_source_of_the_wrong_type(world: World) -> None:
    """A mistake of the caller."""
    async with world.life() as cashier:
        wrong: Any = 5
        with pytest.raises(TypeError, match="a URL"):
            await cashier.returned(wrong)


async def test_the_return_page_says_how_it_stands(world: World) -> None:
    """By the provider's record, asked for at most once in two seconds; never by the URL."""
    async with world.life() as cashier:
        checkout = await order(cashier)
        url = f"/back?batch={checkout.collection_id}&status=COMPLETED"
        for _ in range(5):
            assert (await cashier.returned(url)).standing is Standing.PENDING
        assert world.gets() == 1
        await world.sandbox.pay(checkout.collection_id)
        assert (await cashier.returned(url)).standing is Standing.PENDING
        world.clock.advance(2)
        back = await cashier.returned(url)
        assert (back.standing, back.delivered, back.order_id) == (Standing.PAID, True, "A")
        assert world.payments[0].found_by == "return"
        other = await order(cashier, "B")
        await world.sandbox.cancel(other.collection_id)
        back = await cashier.returned(f"/back?batch={other.collection_id}&status=COMPLETED")
        assert (back.standing, back.order_id) == (Standing.NOT_PAID, "B")


async def test_the_return_page_while_the_provider_is_away(world: World) -> None:
    """UNKNOWN is not "not paid"."""
    async with world.life() as cashier:
        checkout = await order(cashier)
        world.sandbox.faults.next("GET *", respond(403))
        back = await cashier.returned(f"?batch={checkout.collection_id}&status=COMPLETED")
    assert (back.standing, back.order_id) == (Standing.UNKNOWN, "A")


async def test_the_return_page_does_not_wait_for_ever(world: World) -> None:
    """What takes longer than the patience goes on by itself."""
    async with world.life(patience=0.05) as cashier:
        checkout = await order(cashier)
        await world.sandbox.pay(checkout.collection_id)
        url = f"?batch={checkout.collection_id}&status=COMPLETED"
        begin = asyncio.Event()
        real = cashier._work.process

        async def slow(*args: Any, **more: Any) -> Any:
            await begin.wait()
            return await real(*args, **more)

        cashier._work.process = slow  # type: ignore[method-assign]  # a slow provider
        assert (await cashier.returned(url)).standing is Standing.PENDING
        begin.set()
        await until(lambda: world.parcels == ["A"])
    async with world.life() as cashier:
        assert (await cashier.returned(url)).delivered


async def test_a_process_without_handlers_delivers_to_nobody(world: World) -> None:
    """It confirms, and leaves the order to a process that has them."""
    async with world.life() as worker:
        await worker.run_once()
    async with world.life(handlers=Handlers()) as web:
        checkout = await order(web)
        url = f"?batch={checkout.collection_id}&status=COMPLETED"
        await world.sandbox.pay(checkout.collection_id)
        await web.receive(world.webhook(collection_id=checkout.collection_id))
        assert (await web.run_until_idle()).delivered == 0
        back = await web.returned(url)
        assert (back.standing, back.delivered) == (Standing.PAID, False)
        assert (await web.replay("A")).delivered == 0
        canceled = await order(web, "B")
        await world.sandbox.cancel(canceled.collection_id)
        await web.replay("B")
        assert (world.state("A"), world.state("B")) == ("paid", "open")
    world.clock.advance(61)
    async with world.life() as worker:
        await worker.run_until_idle()
    assert world.parcels == ["A"]
    assert world.given_back == [("B", "cancelled")]


async def test_without_a_refund_handler_that_others_have(world: World) -> None:
    """The order is left as it is for them."""
    async with world.life() as worker:
        checkout = await order(worker)
        await world.sandbox.pay(checkout.collection_id)
        await worker.replay("A")
        await worker.run_once()
    await world.sandbox.refund(checkout.collection_id)
    async with world.life(handlers=world.handlers(without=("on_refunded",))) as other:
        await other.run_once()
        await other.replay("A")
        assert world.state() == "fulfilled"
    world.clock.advance(61)
    async with world.life() as worker:
        await worker.run_until_idle()
    assert world.state() == "refunded"


async def test_other_systems_orders(world: World) -> None:
    """Several systems on one app: what is another's, or older than this store, alarms nobody."""
    old = await world.sandbox.create({"amount": 25, "orderId": "OLD", "description": "x"})
    world.clock.advance(1200)
    await world.sandbox.pay(old.collection_id)
    async with world.life(owns=lambda order_id: not order_id.startswith("X-")) as cashier:
        await cashier.run_once()
        theirs = await world.sandbox.create({"amount": 25, "orderId": "X-1", "description": "x"})
        unpaid = await world.sandbox.create({"amount": 25, "orderId": "U", "description": "x"})
        await world.sandbox.pay(theirs.collection_id)
        for name, record, status in (
            ("OLD", old, "COMPLETED"),
            ("X-1", theirs, "COMPLETED"),
            ("U", unpaid, "PENDING"),
            ("U", unpaid, "COMPLETED"),
        ):
            await cashier.receive(world.webhook(name, status, record.collection_id))
        world.clock.advance(130)
        await cashier.run_until_idle()
        assert await cashier.held() == []
        world.clock.advance(3700)
        await cashier.run_until_idle()
        assert await cashier.held() == []
    assert world.rows("SELECT COUNT(*) FROM paycollect_inbox WHERE due_at IS NOT NULL") == [(0,)]


async def test_an_unknown_payment_while_the_provider_is_away(world: World) -> None:
    """It comes back; what the provider does not know, though it was signed as paid, is held."""
    async with world.life() as cashier:
        await cashier.run_once()
        await cashier.receive(world.webhook("GHOST", collection_id="SCIGHOST"))
        world.clock.advance(130)
        world.sandbox.faults.next("GET *", respond(403))
        await cashier.run_until_idle()
        assert await cashier.held() == []
        world.clock.advance(11)
        await cashier.run_until_idle()
        (held,) = await cashier.held()
        assert (held.collection_id, held.payment) == ("SCIGHOST", None)
        await cashier.receive(world.webhook("GHOST", "COMPLETED", "SCIGHOST", more=1))
        world.clock.advance(130)
        assert (await cashier.run_until_idle()).held == 0, "known already"
        assert len(world.alarms) == 1


async def test_an_outside_receiver_setting(world: World) -> None:
    """A stale webhook is refused by the receiver, as it says."""
    receiver = Receiver(
        secrets=world.sandbox.webhook_secret,
        max_age=timedelta(minutes=50),
        clock=lambda: datetime(2026, 2, 1, tzinfo=UTC),
    )
    async with world.life(receiver=receiver) as cashier:
        assert (await cashier.receive(world.webhook())).status == 401


async def test_a_delayed_provider_does_not_hold_up_webhooks(world: World) -> None:
    """While the worker waits for the provider, a webhook is stored at once."""
    async with world.life() as cashier:
        checkout = await order(cashier)
        await cashier.run_until_idle()
        world.sandbox.faults.next("GET /collections/{id}", delay(5))
        await cashier.receive(world.webhook(collection_id=checkout.collection_id))
        work = asyncio.create_task(cashier.run_once())
        await until(lambda: world.gets() == 1)
        assert (await cashier.receive(world.webhook("B"))).status == 200
        assert not work.done()
        world.clock.advance(5)
        await work


async def test_the_return_page_waits_for_who_is_asking_already(world: World) -> None:
    """The webhook has come a moment before the customer: the provider is asked once."""
    async with world.life(clock=Quick()) as cashier:
        checkout = await order(cashier)
        await world.sandbox.pay(checkout.collection_id)
        await cashier.receive(world.webhook())
        world.sandbox.faults.next("GET /collections/{id}", delay(1))
        work = asyncio.create_task(cashier.run_once())
        await until(lambda: world.gets() == 1)
        back = asyncio.create_task(
            cashier.returned(f"?batch={checkout.collection_id}&status=COMPLETED")
        )
        await until(lambda: Quick.pauses > 2)
        world.clock.advance(1)
        assert ((await back).standing, (await back).delivered) == (Standing.PAID, True)
        assert (await work).delivered == 1
        assert world.gets() == 1


@pytest.mark.parametrize("clock", ["quick", "still"])
async def test_the_return_page_does_not_wait_for_a_dead_one(world: World, clock: str) -> None:
    """Who has the order may have died: the customer is told to look again, within the patience."""
    Quick.pauses = 0
    options: Any = {"clock": Quick()} if clock == "quick" else {"patience": 0.01}
    async with world.life(**options) as cashier:
        checkout = await order(cashier)
        await world.sandbox.pay(checkout.collection_id)
        lease = int((cashier._context.clock.time() + 60) * 1000)
        world.change("UPDATE paycollect_order SET lease = 'x', lease_until = ?", lease)
        back = await cashier.returned(f"?batch={checkout.collection_id}&status=COMPLETED")
        assert back.standing is Standing.PENDING
    assert Quick.pauses == (60 if clock == "quick" else 0)
    assert world.gets() == 0


class Quick(MachineClock):
    """A clock on which a pause takes no time."""

    pauses = 0

    async def sleep(self, seconds: float) -> None:
        """Let others run."""
        Quick.pauses += 1
        await asyncio.sleep(0)
