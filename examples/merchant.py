"""A small shop on aiohttp: create a checkout, receive the webhook and the callback, confirm, ship.

In one terminal `paycollect sandbox`; in another paste the settings that it prints, then

    python examples/merchant.py

and open http://127.0.0.1:8080 in a browser. A real shop keeps its orders, and the events that it
has answered with 2xx, in a database: here they are gone when the program ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal
from html import escape

from aiohttp import web

from paycollect import PayCollectError, PaymentNotConfirmedError, SessionManager, ipn

log = logging.getLogger("shop")

PRICE = Decimal("25.00")
LATER_SECONDS = 5.0


@dataclass
class Order:
    """What was ordered, and whether it went out."""

    order_id: str
    amount: Decimal
    shipped: bool = False


class Shop:
    """Knows its orders; ships what the provider says is paid, once."""

    def __init__(self, pay: SessionManager, webhook_secret: str, public_url: str) -> None:
        self.pay = pay
        self.receiver = ipn.Receiver(secrets=webhook_secret)
        self.public_url = public_url
        self.orders: dict[str, Order] = {}  # by collection id
        self.inbox: asyncio.Queue[ipn.WebhookEvent] = asyncio.Queue()
        self._seen: set[str] = set()

    def routes(self) -> list[web.RouteDef]:
        """What the shop answers to."""
        return [
            web.get("/", self.show),
            web.post("/buy", self.buy),
            web.post("/webhook", self.on_webhook),
            web.get("/return", self.on_return),
        ]

    async def show(self, _: web.Request) -> web.Response:
        """Show what is for sale."""
        return page(f"A plan for {PRICE} USD", '<form method="post" action="/buy"><button>Buy')

    async def buy(self, _: web.Request) -> web.Response:
        """Create the checkout, and send the customer there."""
        order = Order(f"INV-{secrets.token_hex(4).upper()}", PRICE)
        try:
            checkout = await self.pay.create_checkout(
                amount=order.amount,
                order_id=order.order_id,
                description="A plan",
                callback_url=f"{self.public_url}/return",
                webhook_url=f"{self.public_url}/webhook",
            )
        except PayCollectError as error:
            log.warning("no checkout: %s", error)  # no secret and no personal data is in it
            return page("Payment is not available right now. You were not charged.", status=503)
        self.orders[checkout.collection_id] = order
        raise web.HTTPSeeOther(checkout.checkout_url)

    async def on_webhook(self, request: web.Request) -> web.Response:
        """Prove it, keep it, answer at once; the work comes afterwards."""
        try:
            event = self.receiver.parse(await request.read())
        except ipn.IpnError as error:
            return web.Response(status=error.status_hint)
        if event.dedup_key not in self._seen:  # the same event can arrive more than once
            self._seen.add(event.dedup_key)
            self.inbox.put_nowait(event)
        return web.Response(status=200)

    async def on_return(self, request: web.Request) -> web.Response:
        """Show the customer how it ended: by the provider's record, not by the URL."""
        try:
            callback = ipn.parse_callback(request.url)
            await self.fulfil(callback)
        except (ipn.CallbackError, PaymentNotConfirmedError, LookupError):
            return page("This order is not paid.")
        except PayCollectError:
            return page("We are still waiting for the confirmation of your payment.", status=202)
        return page("Thank you! Your order is on its way.")

    async def fulfil(self, payment: ipn.WebhookEvent | ipn.Callback) -> None:
        """Ask the provider, then ship; whichever of webhook and browser comes first does it."""
        order = self.orders[payment.collection_id or ""]
        await self.pay.confirm(payment, expected_amount=order.amount, order_id=order.order_id)
        if not order.shipped:
            order.shipped = True
            log.info("ship %s", order.order_id)

    async def work(self) -> None:
        """Fulfil what the webhooks told; what cannot be confirmed now is tried again."""
        while True:
            event = await self.inbox.get()
            try:
                await self.fulfil(event)
            except (PaymentNotConfirmedError, LookupError) as refusal:
                log.warning("not shipped: %s", refusal)
            except PayCollectError as error:
                log.warning("cannot confirm yet: %s", error)
                await asyncio.sleep(LATER_SECONDS)
                self.inbox.put_nowait(event)


def page(text: str, form: str = "", *, status: int = 200) -> web.Response:
    """Make a page."""
    html = f"<!doctype html><title>Shop</title><h1>{escape(text)}</h1>{form}"
    return web.Response(text=html, content_type="text/html", status=status)


async def make_app(webhook_secret: str, public_url: str) -> web.Application:
    """Put the shop together; its session and its worker live as long as the app."""
    pay = SessionManager.from_env()
    shop = Shop(pay, webhook_secret, public_url)

    async def alive(_: web.Application) -> AsyncIterator[None]:
        async with pay:
            worker = asyncio.create_task(shop.work())
            yield
            worker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await worker

    app = web.Application()
    app.add_routes(shop.routes())
    app.cleanup_ctx.append(alive)
    app[SHOP] = shop
    return app


SHOP = web.AppKey("shop", Shop)

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    url = os.environ.get("SHOP_URL", "http://127.0.0.1:8080")
    web.run_app(make_app(os.environ["PAYCOLLECT_WEBHOOK_SECRET"], url), host="127.0.0.1", port=8080)
