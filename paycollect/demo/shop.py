"""A small merchant service, as a user of the SDK would write it: sell, be told, confirm, ship.

The law of this room: the webhook and the browser only say where to look; nothing is shipped before
`SessionManager.confirm` has seen the provider's own record, and nothing is shipped twice.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING

from aiohttp import web

from paycollect import ipn
from paycollect.errors import PayCollectError, PaymentNotConfirmedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from decimal import Decimal
    from typing import Self

    from paycollect.models import Checkout, Collection
    from paycollect.session import SessionManager


@dataclass(slots=True, kw_only=True)
class Order:
    """What a customer wants, and what became of it."""

    order_id: str
    amount: Decimal
    description: str
    collection_id: str = ""


@dataclass(slots=True, kw_only=True)
class Delivery:
    """A POST to the webhook endpoint, and what was made of it."""

    body: bytes
    answer: int = 200
    event: ipn.WebhookEvent | None = None
    repeated: bool = False
    refusal: ipn.IpnError | None = None


@dataclass(slots=True, kw_only=True)
class Visit:
    """A browser that came back, and what was made of it."""

    url: str
    callback: ipn.Callback | None = None
    collection: Collection | None = None
    refusal: PayCollectError | None = None


@dataclass(slots=True)
class Shop:
    """The service: use it as `async with Shop(pay, webhook_secret).open() as shop`."""

    pay: SessionManager
    webhook_secret: str = field(repr=False)
    orders: dict[str, Order] = field(default_factory=dict)
    deliveries: list[Delivery] = field(default_factory=list)
    visits: list[Visit] = field(default_factory=list)
    inbox: asyncio.Queue[ipn.WebhookEvent] = field(default_factory=asyncio.Queue)
    shipments: list[str] = field(default_factory=list)
    url: str = ""
    _seen: set[str] = field(default_factory=set)
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Self]:
        """Serve on a free port of loopback."""
        app = web.Application()
        app.router.add_post("/webhook", self._on_webhook)
        app.router.add_get("/return", self._on_return)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield self
        finally:
            await runner.cleanup()

    async def sell(self, order: Order) -> Checkout:
        """Create the checkout that the customer is sent to."""
        checkout = await self.pay.create_checkout(
            amount=order.amount,
            order_id=order.order_id,
            description=order.description,
            callback_url=f"{self.url}/return",
            webhook_url=f"{self.url}/webhook",
        )
        order.collection_id = checkout.collection_id
        self.orders[checkout.collection_id] = order
        return checkout

    async def fulfil(self, payment: ipn.WebhookEvent | ipn.Callback) -> Collection:
        """Ask the provider, and ship if it was paid and was not shipped before."""
        order = self.orders[payment.collection_id or ""]
        collection = await self.pay.confirm(
            payment, expected_amount=order.amount, order_id=order.order_id
        )
        if order.order_id not in self.shipments:
            self.shipments.append(order.order_id)
        return collection

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something that came in makes the condition true."""
        async with self._changed:
            await self._changed.wait_for(condition)

    async def _on_webhook(self, request: web.Request) -> web.Response:
        delivery = Delivery(body=await request.read())
        try:
            event = ipn.parse_webhook(delivery.body, secret=self.webhook_secret)
        except ipn.IpnError as error:
            delivery.refusal, delivery.answer = error, error.status_hint
        else:
            delivery.event, delivery.repeated = event, event.dedup_key in self._seen
            if not delivery.repeated:
                self.inbox.put_nowait(event)
            self._seen.add(event.dedup_key)
        await self._note(lambda: self.deliveries.append(delivery))
        return web.Response(status=delivery.answer)

    async def _on_return(self, request: web.Request) -> web.Response:
        visit = Visit(url=f"{self.url}{request.path_qs}")
        try:
            visit.callback = ipn.parse_callback(visit.url)
            visit.collection = await self.fulfil(visit.callback)
        except (PayCollectError, KeyError) as error:
            if isinstance(error, PayCollectError):
                visit.refusal = error
        await self._note(lambda: self.visits.append(visit))
        return _page(visit)

    async def _note(self, write_down: Callable[[], None]) -> None:
        async with self._changed:
            write_down()
            self._changed.notify_all()


def _page(visit: Visit) -> web.Response:
    if visit.collection is not None:
        text = f"Thank you. Order {visit.collection.order_id} is paid."
    elif isinstance(visit.refusal, PaymentNotConfirmedError):
        text = "There is no payment for this order."
    else:
        text = "We could not find out yet whether this order is paid."
    return web.Response(
        text=f"<!doctype html><title>Shop</title><h1>{escape(text)}</h1>"
        "<p>You can go back to the terminal.</p>",
        content_type="text/html",
    )
