"""The life of an order, from the intent to the delivery, and whatever else can become of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from paycollect.cashier import Cashier, Standing
from paycollect.cashier.records import (
    OrderRecord,
    WebhookReceived,
    WebhookRefused,
    WorkEnded,
    WorkRecord,
    WorkStarted,
)
from paycollect.models import Checkout
from paycollect.observe import Record
from paycollect.sandbox.faults import respond
from paycollect.testing import sign_webhook
from tests.cashier.conftest import World, order

HOUR = 3600


async def test_a_webhook_leads_to_one_delivery(world: World) -> None:
    """Received, confirmed, delivered in one transaction, and told afterwards."""
    async with world.life() as cashier:
        checkout = await order(cashier)
        await world.sandbox.pay(checkout.collection_id)
        answer = await cashier.receive(world.webhook(collection_id=checkout.collection_id))
        assert answer.status == 200
        assert world.gets() == 0, "receive asks nobody"
        done = await cashier.run_once()
        assert (done.confirmed, done.delivered, done.held, done.closed) == (1, 1, 0, 0)
        assert world.parcels == ["A"]
        await cashier.run_until_idle()
        assert world.told == [f"paid:{checkout.collection_id}"]
        assert world.state() == "fulfilled"
        for _ in range(3):
            await cashier.receive(world.webhook(collection_id=checkout.collection_id))
            await cashier.run_until_idle()
    assert world.parcels == ["A"]
    assert world.gets() == 1
    (payment,) = world.payments
    assert payment.amount == Decimal("25.00")
    assert (payment.found_by, payment.delivery, payment.key) == ("webhook", 1, world.told[0])


Act = Callable[[World, Checkout], Awaitable[object]]
ENDS: dict[str, tuple[Act, float, str, list[tuple[str, str]]]] = {
    "cancelled": (
        lambda w, c: w.sandbox.cancel(c.collection_id),
        0,
        "closed",
        [("A", "cancelled")],
    ),
    "declined": (lambda w, c: w.sandbox.decline(c.collection_id), 0, "closed", [("A", "failed")]),
    "expired": (lambda w, c: w.sandbox.drained(), 1.2 * HOUR, "closed", [("A", "expired")]),
    "expired, just so": (lambda w, c: w.sandbox.drained(), 1.1 * HOUR, "open", []),
    "refunded before delivery": (
        lambda w, c: _pay_and_refund(w, c, None),
        0,
        "closed",
        [("A", "refunded")],
    ),
    "refunded in part before delivery": (
        lambda w, c: _pay_and_refund(w, c, Decimal(5)),
        0,
        "open/refunded_before_delivery",
        [],
    ),
}


async def _pay_and_refund(world: World, checkout: Checkout, amount: Decimal | None) -> None:
    await world.sandbox.pay(checkout.collection_id)
    await world.sandbox.refund(checkout.collection_id, amount)


@pytest.mark.parametrize("end", ENDS)
async def test_other_ends(world: World, end: str) -> None:
    """Closed only by the provider's record, and not before nothing can come any more."""
    act, seconds, state, given_back = ENDS[end]
    async with world.life() as cashier:
        checkout = await order(cashier)
        world.clock.advance(seconds)
        await act(world, checkout)
        status = "CANCELLED" if seconds == 0 else "EXPIRED"
        await cashier.receive(world.webhook(status=status, collection_id=checkout.collection_id))
        await cashier.run_until_idle()
        assert world.state() == state
        await cashier.run_until_idle()
    assert world.given_back == given_back
    assert world.parcels == []


async def test_expired_by_itself(world: World) -> None:
    """Nobody tells, and nobody returns: the sweep asks, and gives the stock back."""
    async with world.life() as cashier:
        await order(cashier)
        await cashier.run_until_idle()
        world.clock.advance(1.2 * HOUR)
        done = await cashier.run_until_idle()
        assert done.closed == 1
        assert world.given_back == [("A", "expired")]
        assert done.next_due is not None, "it is looked at again, after an hour and after a day"
        gets = world.gets()
        for hours, more in ((1, 1), (12, 0), (12, 1), (48, 0)):
            world.clock.advance(hours * HOUR + 60)
            await cashier.run_until_idle()
            assert world.gets() == gets + more, hours
            gets += more
        assert (await cashier.run_once()).next_due is None
    assert world.given_back == [("A", "expired")]


async def test_refunded_after_the_delivery(world: World) -> None:
    """Taken back once, in one transaction with the state; found by the hourly look at refunds."""
    async with world.life() as cashier:
        for order_id, amount in (("A", None), ("B", Decimal(5))):
            checkout = await order(cashier, order_id)
            await world.sandbox.pay(checkout.collection_id)
            await cashier.returned(f"?batch={checkout.collection_id}&status=COMPLETED")
            await world.sandbox.refund(checkout.collection_id, amount)
        world.clock.advance(HOUR + 60)
        await cashier.run_until_idle()
        world.clock.advance(HOUR + 60)
        await cashier.run_until_idle()
        assert (world.state("A"), world.state("B")) == ("refunded", "partially_refunded")
        by_order = {r.payment.order_id: (r.refunded_amount, r.whole) for r in world.refunds}
        assert by_order["B"] == (Decimal(5), False)
        assert by_order["A"][1]
        assert len(world.refunds) == 2
        back = await cashier.returned(f"?batch={checkout.collection_id}&status=COMPLETED")
        assert (back.standing, back.delivered) == (Standing.PAID, True)


async def test_a_refund_that_a_webhook_tells_of(world: World) -> None:
    """It is found at once."""
    async with world.life() as cashier:
        checkout = await order(cashier)
        await world.sandbox.pay(checkout.collection_id)
        await cashier.returned(f"?batch={checkout.collection_id}&status=COMPLETED")
        await world.sandbox.refund(checkout.collection_id)
        body = world.webhook(collection_id=checkout.collection_id, refundId="RFD1")
        await cashier.receive(body)
        await cashier.run_until_idle()
        back = await cashier.returned(f"?batch={checkout.collection_id}&status=COMPLETED")
    assert world.state() == "refunded"
    assert (back.standing, back.delivered) == (Standing.NOT_PAID, True)


@pytest.mark.no_cover
async def test_nothing_changes_while_the_provider_is_away(world: World) -> None:
    """Two days without an answer: no state changes; then all goes on."""
    async with world.life() as cashier:
        checkout = await order(cashier)
        await world.sandbox.pay(checkout.collection_id)
        world.sandbox.faults.always("* *", respond(403))
        await cashier.receive(world.webhook(collection_id=checkout.collection_id))
        for _ in range(49):
            done = await cashier.run_until_idle()
            assert (done.closed, done.held, done.delivered) == (0, 0, 0)
            assert world.state() == "open"
            world.clock.advance(HOUR)
        assert world.rows("SELECT last_error FROM paycollect_order") == [("PermissionDeniedError",)]
        world.sandbox.faults.clear()
        await cashier.run_until_idle()
    assert world.parcels == ["A"]


async def test_stuck(world: World) -> None:
    """A day after the end the provider still says PENDING: a person is told, nothing else."""
    async with world.life() as cashier:
        checkout = await order(cashier)
        world.change("UPDATE paycollect_order SET ends_at = ends_at - 90000000, due_at = 0")
        done = await cashier.run_until_idle()
        assert done.held == 1
        assert world.state() == "open/stuck"
        back = await cashier.returned(f"?batch={checkout.collection_id}&status=COMPLETED")
        assert back.standing is Standing.PENDING
        (held,) = await cashier.held()
        assert (held.order_id, held.reason, held.payment) == ("A", "stuck", None)
        await cashier.dismiss("A", "customer has cancelled by phone", by="ann")
        await cashier.run_until_idle()
    assert world.given_back == [("A", "dismissed")]


async def test_a_collection_that_the_provider_has_forgotten(world: World) -> None:
    """404 is "not known yet", until a day after the end; then a person is told."""
    async with world.life() as cashier:
        await order(cashier)
        world.change("UPDATE paycollect_order SET collection_id = 'SCINOBODY', due_at = 0")
        world.sandbox.faults.always("GET /collections", respond(404))
        await cashier.run_until_idle()
        assert world.state() == "open"
        world.clock.advance(30 * HOUR)
        await cashier.run_until_idle()
    assert world.state() == "open/stuck"


async def test_either_of_its_two_ids(world: World) -> None:
    """Where GET does not know the id that the create gave, the order id leads to the record."""
    async with world.life() as cashier:
        checkout = await order(cashier)
        await world.sandbox.pay(checkout.collection_id)
        world.change("UPDATE paycollect_order SET collection_id = 'COLOTHER', due_at = 0")
        await cashier.run_until_idle()
    assert world.parcels == ["A"]


async def test_the_statements_of_a_delivery_are_a_fixed_number(world: World) -> None:
    """Ten orders more cost ten times as much, whatever is in the tables already."""

    async def deliver(cashier: Cashier[object], *names: str) -> int:
        for name in names:
            checkout = await order(cashier, name)  # type: ignore[arg-type]  # any store will do
            await world.sandbox.pay(checkout.collection_id)
            await cashier.receive(world.webhook(name, collection_id=checkout.collection_id))
        points: list[str] = []
        cashier._store.reach = points.append
        await cashier.run_once()
        cashier._store.reach = lambda _: None
        return sum(point.startswith("sql:") for point in points)

    async with world.life() as cashier:
        await cashier.run_once()
        idle = await deliver(cashier)  # type: ignore[arg-type]  # any store will do
        one = await deliver(cashier, "A")  # type: ignore[arg-type]  # any store will do
        ten = await deliver(cashier, *"BCDEFGHIJK")  # type: ignore[arg-type]  # any store will do
    assert world.parcels == list("ABCDEFGHIJK")
    # The hints of the claim, the note and its line, the mark, its line, and the webhook's mark;
    # and after_paid, with its line.
    assert one - idle == 8
    assert ten - idle == 80


async def test_a_webhook_about_an_order_that_was_never_created(world: World) -> None:
    """Another system's payment of this order id: looked for, not ours, and nothing happens."""
    async with world.life() as cashier:
        await order(cashier)
        world.change(
            "UPDATE paycollect_order SET state = 'closed', closed_at = 0, collection_id = NULL,"
            " nonce = 'another'"
        )
        (record,) = world.sandbox.collections
        await world.sandbox.pay(record.collection_id)
        await cashier.receive(world.webhook(collection_id=record.collection_id))
        done = await cashier.run_once()
        assert (done.delivered, done.held) == (0, 0)
        ((error,),) = world.rows("SELECT last_error FROM paycollect_order")
    assert error == "the provider does not know the collection"


async def test_a_refund_whose_record_is_stale(world: World) -> None:
    """A webhook says refunded, the record not yet: it is asked again in a moment."""
    async with world.life() as cashier:
        checkout = await order(cashier)
        await world.sandbox.pay(checkout.collection_id)
        await cashier.replay("A")
        body = world.webhook(collection_id=checkout.collection_id, refundId="RFD1")
        await cashier.receive(body)
        await cashier.run_until_idle()
        assert world.state() == "fulfilled"
        await world.sandbox.refund(checkout.collection_id)
        world.clock.advance(2)
        await cashier.run_until_idle()
    assert world.state() == "refunded"


async def test_a_rate_limit_is_respected(world: World) -> None:
    """The provider says for how long to stay away."""
    async with world.life(patience=0.2) as cashier:
        checkout = await order(cashier)
        await cashier.run_until_idle()
        world.sandbox.faults.always("GET /collections/{id}", respond(429, {"Retry-After": "300"}))
        url = f"?batch={checkout.collection_id}&status=COMPLETED"
        assert (await cashier.returned(url)).standing is Standing.UNKNOWN
        ((due,),) = world.rows("SELECT due_at FROM paycollect_order")
    assert due >= world.clock.time() * 1000 + 299_000


async def test_found_again_by_somebody_else(world: World) -> None:
    """Two look for the same lost checkout; the one that comes late leaves it."""
    async with world.life() as cashier:
        await order(cashier)
        await cashier.run_until_idle()
        world.change("UPDATE paycollect_order SET state = 'intended', due_at = 0, checkout = ''")

        def steal(point: str) -> None:
            if point == "request:list:after":
                world.change("UPDATE paycollect_order SET lease = 'other'")

        cashier._store.reach = steal
        await cashier.run_once()
        cashier._store.reach = lambda _: None
        assert (await cashier.stats()).leases_lost == 1
    assert world.state() == "open"


async def test_what_observers_are_told(world: World) -> None:
    """Each order that is paid, delivered, closed or refunded; ids and no personal data."""
    told: list[object] = []
    async with world.life(observers=[told.append]) as cashier:
        checkout = await order(cashier)
        await world.sandbox.pay(checkout.collection_id)
        await cashier.replay("A")
        await world.sandbox.refund(checkout.collection_id)
        await cashier.replay("A")
        other = await order(cashier, "B")
        await world.sandbox.cancel(other.collection_id)
        await cashier.replay("B")
    orders = [record for record in told if isinstance(record, OrderRecord)]
    assert [(r.what, r.order_id, r.detail, r.found_by) for r in orders] == [
        ("paid", "A", "found by the replay", "replay"),
        ("delivered", "A", "found by the replay", "replay"),
        ("refunded", "A", "refunded", ""),
        ("closed", "B", "cancelled", ""),
    ]
    work = [record for record in told if isinstance(record, WorkRecord)]
    assert [(type(r), r.what, r.order_id) for r in work] == [
        (kind, what, order_id)
        for what, order_id in [
            ("create", "A"), ("replay", "A"), ("replay", "A"), ("create", "B"), ("replay", "B"),
        ]
        for kind in (WorkStarted, WorkEnded)
    ]  # fmt: skip
    assert [r.number for r in work[::2]] == [r.number for r in work[1::2]]


async def test_what_observers_are_told_of_webhooks(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Those that are stored, with how late they came; those that are refused, without a word of them."""
    told: list[object] = []
    async with world.life(observers=[told.append]) as cashier:
        late = datetime.fromtimestamp(world.clock.time() - 7, UTC).isoformat()
        await cashier.receive(world.webhook(collection_id="SCI1", completedAt=late))
        await cashier.receive(sign_webhook({"collectionId": "PRIVATE"}, "whsec_other"))
        received, refused = told
    assert isinstance(received, WebhookReceived)
    assert (received.order_id, received.collection_id) == ("A", "SCI1")
    assert received.event == "collection.received"
    assert received.lag == pytest.approx(7, abs=1.1)
    assert isinstance(refused, WebhookRefused)
    assert (refused.status, refused.error_type) == (401, "SignatureError")
    (line,) = [line for line in caplog.records if "refused" in line.getMessage()]
    assert (line.levelname, line.getMessage()) == (
        "WARNING",
        "webhook refused, HTTP 401: SignatureError",
    )


async def test_an_observer_of_a_cashier_that_fails(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """It is passed over, also where it is asked for its trace context; the next one is heard."""

    class Failing:
        def __call__(self, record: Record) -> None:
            raise KeyError("PRIVATE")

        def traceparent(self) -> str:
            raise KeyError("PRIVATE")

    told: list[object] = []
    async with world.life(observers=[Failing(), told.append]) as cashier:
        checkout = await order(cashier)
        await world.sandbox.pay(checkout.collection_id)
        await cashier.receive(world.webhook(collection_id=checkout.collection_id))
        await cashier.run_until_idle()
    assert world.parcels == ["A"]
    assert len(told) > 5
    assert "Failing failed at WorkStarted: KeyError" in caplog.text
    assert "Failing failed at traceparent: KeyError" in caplog.text
    assert "PRIVATE" not in caplog.text
