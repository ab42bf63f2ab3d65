"""A cashier's work, as spans that span the hosted page, and its metrics."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import Any

import pytest
from opentelemetry.trace import SpanKind

from paycollect import SessionManager
from paycollect.cashier import Handlers, Payment, SqliteStore
from paycollect.cashier.records import WebhookReceived, WorkEnded, WorkStarted
from paycollect.observe import Record
from paycollect.testing import sign_webhook
from tests.cashier.conftest import ARGUMENTS, World, order
from tests.otel.conftest import Seen, attributes, id_of, parent_of, trace_of


def count(seen: Seen, name: str) -> dict[Any, int]:
    """Give the sums of a counter by the values of its attributes."""
    return {
        tuple(sorted(map(str, point.attributes.values()))): point.value
        for point in seen.points(name)
    }


def value(seen: Seen, name: str) -> Any:
    """Give the present value of a gauge."""
    (point,) = seen.points(f"paycollect.cashier.{name}")
    return point.value


async def test_one_trace_spans_the_hosted_page(world: World, seen: Seen) -> None:
    """The webhook's span links to the create's, is below it, and has the provider's GET below."""
    sandbox = world.sandbox
    async with (
        SessionManager(
            app_id=sandbox.app_id,
            secret_key=sandbox.secret_key,
            base_url=sandbox.base_url,
            observers=[seen.telemetry],
        ) as world.pay,
        world.life(observers=[seen.telemetry]) as cashier,
    ):
        with seen.tracer.start_as_current_span("checkout view"):
            checkout = await order(cashier)
        await sandbox.pay(checkout.collection_id)
        with seen.tracer.start_as_current_span("webhook view"):
            await cashier.receive(world.webhook(collection_id=checkout.collection_id))
        with seen.tracer.start_as_current_span("a startup that is long over"):
            await cashier.run_until_idle()
    assert world.parcels == ["A"]
    view, create, webhook = map(
        seen.span, ("checkout view", "paycollect create", "paycollect webhook")
    )
    assert (create.kind, webhook.kind) == (SpanKind.PRODUCER, SpanKind.CONSUMER)
    assert parent_of(create) == id_of(view)
    assert parent_of(webhook) == id_of(create)
    assert [link.context.span_id for link in webhook.links] == [id_of(create)]
    for name in ("POST /collections", "GET /collections/{id}"):
        assert trace_of(seen.span(name)) == trace_of(view)
        assert seen.span(name).kind is SpanKind.CLIENT
    assert parent_of(seen.span("paycollect GET /collections/{id}")) == id_of(webhook)
    assert attributes(webhook) == {
        "paycollect.order_id": "A",
        "paycollect.collection_id": checkout.collection_id,
    }
    assert [event.name for event in webhook.events] == ["order paid", "order delivered"]
    assert [event.name for event in seen.span("webhook view").events] == ["webhook received"]


async def test_the_trace_survives_a_restart(world: World, seen: Seen) -> None:
    """It is kept with the order, in the merchant's transaction, and is not sent to the provider."""
    async with world.life(observers=[seen.telemetry]) as cashier:
        await cashier.run_once()
        db = sqlite3.connect(world.path, isolation_level=None)
        db.execute("BEGIN IMMEDIATE")
        await cashier.intend(db, order_id="A", **ARGUMENTS, metadata={"cart": 5})
        db.execute("COMMIT")
        db.close()
    async with world.life(observers=[seen.telemetry]) as cashier:
        checkout = await cashier.checkout_for("A")
        record = await world.pay.get_collection(checkout.collection_id)
        assert set(record.metadata or {}) == {"cart", "paycollect_intent"}
        await world.sandbox.pay(checkout.collection_id)
        await cashier.returned(f"/back?batch={checkout.collection_id}&status=COMPLETED")
    back = seen.span("paycollect return")
    create = seen.span("paycollect create")
    assert back.kind is SpanKind.INTERNAL
    assert [link.context.span_id for link in back.links] == [id_of(create)]
    assert parent_of(back) is None, "a customer who comes back has a request of their own"
    assert world.rows("SELECT request FROM paycollect_order") == [("",)]


async def test_an_order_that_nobody_traced(world: World, seen: Seen) -> None:
    """It begins a trace of its own; so does one whose trace context cannot be read."""
    async with world.life() as cashier:
        for order_id in ("A", "B"):
            checkout = await order(cashier, order_id)
            await world.sandbox.pay(checkout.collection_id)
    world.change(
        'UPDATE paycollect_order SET request = \'{"traceparent": "nonsense"}\''
        " WHERE order_id = 'B'"
    )
    async with world.life(observers=[seen.telemetry]) as cashier:
        await cashier.receive(world.webhook("A"))
        await cashier.receive(world.webhook("B"))
        with seen.tracer.start_as_current_span("startup"):
            await cashier.run_until_idle()
    for span in seen.spans("paycollect webhook"):
        assert (list(span.links), parent_of(span)) == ([], None)
    assert len(seen.spans("paycollect webhook")) == 2


async def test_what_becomes_of_orders_and_webhooks_is_counted(world: World, seen: Seen) -> None:
    """By what and by whom it was found; webhooks by their answer, with how late they came."""
    async with world.life(observers=[seen.telemetry]) as cashier:
        checkout = await order(cashier)
        await world.sandbox.pay(checkout.collection_id)
        await cashier.receive(world.webhook(collection_id=checkout.collection_id))
        await cashier.receive(b"nonsense")
        await cashier.receive(sign_webhook({"collectionId": "SCI1"}, "whsec_other"))
        assert (await cashier.receive(world.webhook(_test=True))).status == 200
        await cashier.run_until_idle()
    assert count(seen, "paycollect.cashier.orders") == {
        ("paid", "webhook"): 1,
        ("delivered", "webhook"): 1,
    }
    assert count(seen, "paycollect.cashier.webhooks") == {
        ("200",): 1,
        ("400", "PayloadError"): 1,
        ("401", "SignatureError"): 1,
    }


@pytest.mark.parametrize(("lag", "counted"), [(7.0, 1), (None, 0)])
def test_the_lag_of_webhooks(seen: Seen, lag: float | None, counted: int) -> None:
    """Only where the provider says when it happened."""
    seen.telemetry(WebhookReceived(event="collection.completed", lag=lag))
    points = seen.points("paycollect.cashier.webhook.lag")
    assert sum(point.count for point in points) == counted
    assert sum(point.sum for point in points) == (lag or 0)


async def test_how_the_cashier_fares(world: World, seen: Seen) -> None:
    """The figures of `stats()` once a minute, by the process that sweeps; nothing undone is 0 s."""
    async with world.life(observers=[seen.telemetry]) as cashier:
        checkout = await order(cashier)
        await cashier.run_once()
        assert (value(seen, "open"), value(seen, "oldest_undone")) == (1, 0)
        assert seen.points("paycollect.cashier.found_by_sweep") == []
        await world.sandbox.pay(checkout.collection_id)
        await cashier.run_once()
        assert value(seen, "open") == 1, "not before a minute is over"
        world.clock.advance(61)
        await cashier.run_until_idle()
        world.clock.advance(61)
        await cashier.run_until_idle()
        assert (value(seen, "open"), value(seen, "deliveries")) == (0, 1)
        assert value(seen, "found_by_sweep") == 1
        await cashier.receive(world.webhook("nobody's"))
        world.clock.advance(61)
        await cashier.run_once()
        world.clock.advance(61)
        await cashier.run_once()
        assert value(seen, "webhooks_due") == 1
        assert value(seen, "oldest_undone") >= 61
    assert world.parcels == ["A"]


async def test_what_goes_wrong_is_counted(world: World, seen: Seen) -> None:
    """Leases that were lost, handlers that take too long, work that raises."""

    def steal(point: str) -> None:
        if point == "request:get:after":
            world.change("UPDATE paycollect_order SET lease = 'other'")

    shop: Handlers[sqlite3.Connection] = Handlers()

    @shop.on_paid
    def ship(payment: Payment) -> None: ...

    @shop.after_paid
    async def tell(payment: Payment) -> None:
        await asyncio.sleep(60)

    async with world.life(
        observers=[seen.telemetry], handlers=shop, handler_timeout=0.01
    ) as cashier:
        checkout = await order(cashier)
        await world.sandbox.pay(checkout.collection_id)
        cashier._store.reach = steal
        await cashier.replay("A")
        cashier._store.reach = lambda _: None
        world.change("UPDATE paycollect_order SET lease = NULL")
        await cashier.replay("A")
        await cashier.run_once()

        def fail(point: str) -> None:
            if point == "request:get:after":
                raise RuntimeError

        cashier._store.reach = fail
        with pytest.raises(RuntimeError):
            await cashier.replay("A")
    assert count(seen, "paycollect.cashier.leases_lost") == {(): 1}
    # On a busy machine on_paid may take longer, too.
    assert count(seen, "paycollect.cashier.slow_handlers")["after_paid",] == 1
    first, *_, last = seen.spans("paycollect replay")
    assert [event.name for event in first.events] == ["lease lost"]
    assert attributes(last)["error.type"] == "RuntimeError"


async def test_a_webhook_that_cannot_be_stored(
    world: World, seen: Seen, caplog: pytest.LogCaptureFixture
) -> None:
    """Counted, and said once in the log, with what to do."""
    store = SqliteStore(world.path.parent / "nowhere" / "shop.db")
    async with world.life(observers=[seen.telemetry], store=store) as cashier:
        assert (await cashier.receive(world.webhook())).status == 503
    assert count(seen, "paycollect.cashier.webhooks") == {("503", "StoreError"): 1}
    (line,) = [line for line in caplog.records if "could not be stored" in line.getMessage()]
    assert "its folder must exist" in line.getMessage()
    assert line.levelname == "ERROR"


async def test_work_whose_beginning_was_missed(seen: Seen) -> None:
    """Its end is passed over."""
    seen.telemetry(WorkEnded(number=5, what="webhook"))
    assert seen.spans() == []


async def test_nothing_is_told_of_work_while_nobody_listens(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No record of it is built, and the order keeps no trace context."""

    def built(self: Record, **_: object) -> None:
        raise AssertionError(type(self).__name__)

    for kind in (WorkStarted, WorkEnded, WebhookReceived):
        monkeypatch.setattr(kind, "__init__", built)
    async with world.life() as cashier:
        checkout = await order(cashier)
        assert "traceparent" not in world.rows("SELECT request FROM paycollect_order")[0][0]
        await world.sandbox.pay(checkout.collection_id)
        await cashier.receive(world.webhook(collection_id=checkout.collection_id))
        await cashier.run_until_idle()
    assert world.parcels == ["A"]
