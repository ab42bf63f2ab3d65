"""The cashier on a DjangoStore: from an order to its delivery, with and without an event loop."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import connection, transaction
from django.test import AsyncRequestFactory, RequestFactory

from paycollect import SessionManager, sync
from paycollect.cashier import (
    Cashier,
    DjangoStore,
    Handlers,
    Held,
    OrderState,
    Payment,
    Standing,
    StoreError,
)
from paycollect.ipn import Receiver
from paycollect.sandbox import Sandbox
from paycollect.testing import sign_webhook
from paycollect.web.django import webhook_view
from tests.cashier.django.world import Parcel, models

ORDER: dict[str, Any] = {"amount": "25.00", "order_id": "INV-1", "description": "Premium plan"}
atomic: Any = transaction.atomic  # which has two forms, that no checker tells apart


class Shop:
    """What the handlers did, and in which thread."""

    def __init__(self) -> None:
        self.handlers: Handlers[None] = Handlers()
        self.told: list[str] = []
        self.held: list[Held] = []
        self.threads: set[int] = set()
        self.handlers.on_paid(self.ship)
        self.handlers.on_closed(lambda _closed: None)
        self.handlers.on_refunded(lambda _refunded: None)
        self.handlers.after_paid(self.tell)
        self.handlers.on_held(self.held.append)

    def ship(self, payment: Payment) -> None:
        """Deliver."""
        self.threads.add(threading.get_ident())
        Parcel.objects.create(order_id=payment.order_id)

    def tell(self, payment: Payment) -> None:
        """Write a mail, with a look into the database."""
        assert models.Order.objects.get(pk=payment.order_id).state == "fulfilled"
        self.told.append(payment.key)


def webhook(sandbox: Any, order_id: str = "INV-1") -> bytes:
    """Make the body of a genuine webhook."""
    data = {"collectionId": "", "orderId": order_id, "status": "COMPLETED"}
    return sign_webhook(data, sandbox.webhook_secret)


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """The provider."""
    async with Sandbox(time_scale=0) as sandbox:
        yield sandbox


@pytest.fixture
def shop() -> Shop:
    """The handlers."""
    return Shop()


@pytest.fixture
async def cashier(store: DjangoStore, sandbox: Sandbox, shop: Shop) -> AsyncIterator[Cashier[None]]:
    """A cashier on this event loop."""
    async with SessionManager(
        app_id=sandbox.app_id, secret_key=sandbox.secret_key, base_url=sandbox.base_url
    ) as pay:
        receiver = Receiver(secrets=sandbox.webhook_secret)
        made = Cashier(pay, receiver, store, handlers=shop.handlers, clock=sandbox.clock)
        yield made
        await made.aclose()


async def test_a_payment_is_delivered_once_on_an_event_loop(
    cashier: Cashier[None], sandbox: Sandbox, shop: Shop
) -> None:
    """Webhook, return page and worker; the handlers run where Django's connection is."""
    checkout = await cashier.create_checkout(**ORDER)
    again = await cashier.create_checkout(**ORDER)
    assert again.collection_id == checkout.collection_id
    await sandbox.pay(checkout.collection_id)
    view = webhook_view(cashier)
    request = AsyncRequestFactory().post(
        "/webhook", webhook(sandbox), content_type="application/json"
    )
    assert (await view(request)).status_code == 200
    done = await cashier.run_until_idle()
    assert (done.delivered, done.held) == (1, 0)
    returned = await cashier.returned({"batch": checkout.collection_id, "status": "COMPLETED"})
    assert (returned.standing, returned.delivered) == (Standing.PAID, True)
    assert await Parcel.objects.acount() == 1
    assert len(shop.told) == 1
    assert shop.threads == {await sync_to_async(threading.get_ident)()}
    await cashier.replay("INV-1", again="after_paid")
    assert len(shop.told) == 2
    assert next(entry.what for entry in await cashier.timeline("INV-1")) == "intended"
    stats = await cashier.stats()
    assert (stats.open, stats.deliveries, stats.found_by_sweep) == (0, 1, 0.0)
    pruned = await cashier.prune()
    assert (pruned.webhooks, pruned.timeline) == (0, 0)


async def test_a_handler_that_gives_an_awaitable_has_not_delivered(
    cashier: Cashier[None], sandbox: Sandbox
) -> None:
    """It would be thrown away: what it has written is rolled back, and it is called again."""

    async def pack(_payment: Payment) -> None: ...

    def ship(payment: Payment) -> Any:
        Parcel.objects.create(order_id=payment.order_id)
        return pack(payment)

    handlers: Handlers[None] = Handlers()
    handlers.on_paid(ship)
    cashier._context.handlers = handlers
    checkout = await cashier.create_checkout(**ORDER)
    await sandbox.pay(checkout.collection_id)
    await cashier.replay("INV-1")
    order = await models.Order.objects.aget(pk="INV-1")
    assert (order.state, await Parcel.objects.acount()) == ("paid", 0)
    assert order.last_error.startswith("on_paid: it gave an awaitable")


async def test_the_worker_runs_until_it_is_ended(cashier: Cashier[None], sandbox: Sandbox) -> None:
    """`async with cashier`, as the command does."""
    checkout = await cashier.create_checkout(**ORDER)
    await sandbox.pay(checkout.collection_id)
    async with cashier:
        assert (await cashier.receive(webhook(sandbox))).status == 200
        for _ in range(2000):
            if await Parcel.objects.acount():
                break
        assert await Parcel.objects.acount() == 1


async def test_an_intent_joins_a_transaction_under_async_to_sync(cashier: Cashier[None]) -> None:
    """A sync function that Django runs for an async view owns the connection, and the loop waits."""

    def buy() -> None:
        with atomic():
            Parcel.objects.create(order_id="draft")
            async_to_sync(cashier.intend)(None, **ORDER)
            transaction.set_rollback(True)
        with atomic():
            async_to_sync(cashier.intend)(None, **{**ORDER, "order_id": "INV-2"})

    await sync_to_async(buy)()
    assert [order.pk async for order in models.Order.objects.all()] == ["INV-2"]
    assert await Parcel.objects.acount() == 0
    checkout = await cashier.checkout_for("INV-2")
    assert checkout.order_id == "INV-2"


async def test_a_handler_that_ends_the_transaction_is_held(
    cashier: Cashier[None], sandbox: Sandbox, shop: Shop
) -> None:
    """At once, with an alarm; the order is not marked."""
    cashier.handlers._handlers["on_paid"] = lambda _payment: transaction.set_rollback(True)
    checkout = await cashier.create_checkout(**ORDER)
    await sandbox.pay(checkout.collection_id)
    await cashier.receive(webhook(sandbox))
    done = await cashier.run_until_idle()
    assert (done.delivered, done.held) == (0, 1)
    (held,) = await cashier.held()
    assert held.reason == "handler_broke_transaction"
    assert [alarm.order_id for alarm in shop.held] == ["INV-1"]
    order: Any = await models.Order.objects.aget(pk="INV-1")
    assert order.state == OrderState.PAID


async def test_a_webhook_within_a_transaction_is_not_said_to_be_stored(
    cashier: Cashier[None], sandbox: Sandbox
) -> None:
    """A view that is within ATOMIC_REQUESTS after all: the provider sends it again."""

    def view() -> int:
        with atomic():
            return int(async_to_sync(cashier.receive)(webhook(sandbox)).status)

    assert await sync_to_async(view)() == 503


@pytest.mark.parametrize("kind", ["on_paid", "on_closed", "on_refunded"])
async def test_handlers_that_cannot_be_called_are_refused_at_once(
    cashier: Cashier[None], kind: str
) -> None:
    """A coroutine function, or one that wants a transaction."""

    async def later(_value: object) -> None: ...

    def with_tx(_tx: object, _value: object) -> None: ...

    for handler, text in ((later, "plain function"), (with_tx, "takes one value")):
        handlers: Handlers[None] = Handlers()
        getattr(handlers, kind)(handler)
        with pytest.raises(TypeError, match=text):
            Cashier(cashier._context.session, cashier._receiver, DjangoStore(), handlers=handlers)


# --- without an event loop


@pytest.fixture
def provider() -> Iterator[Any]:
    """The provider, in a thread."""
    with Sandbox(time_scale=0) as sandbox:
        yield sandbox


def test_a_payment_is_delivered_once_where_no_loop_runs(store: DjangoStore, provider: Any) -> None:
    """As in a sync view: every coroutine ends without waiting, in the thread that calls."""
    shop = Shop()
    with sync.SessionManager(
        app_id=provider.app_id, secret_key=provider.secret_key, base_url=provider.base_url
    ) as pay:
        receiver = Receiver(secrets=provider.webhook_secret)
        cashier = sync.Cashier(pay, receiver, store, handlers=shop.handlers)
        with atomic():
            Parcel.objects.create(order_id="draft")
            cashier.intend(None, **ORDER)
        checkout = cashier.checkout_for("INV-1")
        provider.pay(checkout.collection_id)
        view = webhook_view(cashier)
        request = RequestFactory().post(
            "/webhook", webhook(provider), content_type="application/json"
        )
        assert view(request).status_code == 200
        returned = cashier.returned({"batch": checkout.collection_id, "status": "COMPLETED"})
        assert (returned.standing, returned.delivered) == (Standing.PAID, True)
        assert Parcel.objects.filter(order_id="INV-1").count() == 1
        assert shop.threads == {threading.get_ident()}
        cashier.run_until_idle()
        assert len(shop.told) == 1
        cashier.replay("INV-1", again="after_paid")
        assert len(shop.told) == 2
        third: dict[str, Any] = {**ORDER, "order_id": "INV-3"}
        with atomic():
            cashier.intend(None, **{**ORDER, "order_id": "INV-2"})
            tx: Any = connection
            cashier.close("INV-2", tx)
            with pytest.raises(StoreError, match="non_atomic_requests"):
                cashier.create_checkout(**third)
        assert models.Order.objects.get(pk="INV-2").gave_up_at is not None
        cashier.aclose()
