"""A small shop on aiohttp: what is paid is delivered once, also if it is killed at any moment.

In one terminal `paycollect sandbox`; in another paste the settings that it prints, then

    python examples/merchant.py

and open http://127.0.0.1:8080. Its own tables and the cashier's are in one file, SHOP_DATABASE.
Where the provider cannot reach PORT of this machine, SHOP_URL says how the shop is reached.
"""

from __future__ import annotations

import logging
import os
import secrets
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing

from aiohttp import web

from paycollect import PayCollectError, SessionManager
from paycollect.cashier import Cashier, Handlers, Held, Payment, Standing
from paycollect.ipn import Receiver
from paycollect.web.aiohttp import webhook_routes

log = logging.getLogger("shop")
shop: Handlers[sqlite3.Connection] = Handlers()

PRICE = "25.00"
PAGES = {
    Standing.PAID: "Thank you! Your order is on its way.",
    Standing.PENDING: "We are still waiting for your payment.",
    Standing.NOT_PAID: "This order was not paid.",
    Standing.UNKNOWN: "We could not find out yet whether this order is paid.",
}


@shop.on_paid
def ship(tx: sqlite3.Connection, payment: Payment) -> None:
    """Deliver: in the transaction that marks the order, so that both happen or neither."""
    tx.execute("INSERT INTO parcels (order_id) VALUES (?)", (payment.order_id,))


@shop.after_paid
async def thank(payment: Payment) -> None:
    """Do what no transaction can take back: at least once, so give `payment.key` along."""
    log.info("mail about order %s, message id %s", payment.order_id, payment.key)


@shop.on_held
async def alarm(held: Held) -> None:
    """Tell a person: `paycollect cashier list` shows what waits for them."""
    log.error("order %s needs a person: %s", held.order_id, held.reason)


class Pages:
    """What customers see."""

    def __init__(self, cashier: Cashier[sqlite3.Connection], url: str) -> None:
        self.cashier = cashier
        self.url = url

    async def show(self, _: web.Request) -> web.Response:
        """Show what is for sale."""
        return page(f"A plan for {PRICE} USD", '<form method="post" action="/buy"><button>Buy')

    async def buy(self, _: web.Request) -> web.Response:
        """Send the customer to the checkout."""
        try:
            checkout = await self.cashier.create_checkout(
                amount=PRICE,
                order_id=f"INV-{secrets.token_hex(4).upper()}",
                description="A plan",
                callback_url=f"{self.url}/return",
                webhook_url=f"{self.url}/webhook",
            )
        except PayCollectError as error:
            log.warning("no checkout: %s", error)  # no secret and no personal data is in it
            return page("Payment is not available right now. You were not charged.", status=503)
        raise web.HTTPSeeOther(checkout.checkout_url)

    async def come_back(self, request: web.Request) -> web.Response:
        """Show how it stands: by the provider's record, not by the URL."""
        back = await self.cashier.returned(request.url)
        return page(PAGES[back.standing])


def page(text: str, form: str = "", *, status: int = 200) -> web.Response:
    """Make a page."""
    html = f"<!doctype html><title>Shop</title><h1>{text}</h1>{form}"
    return web.Response(text=html, content_type="text/html", status=status)


async def make_app(database: str, url: str) -> web.Application:
    """Put the shop together; the cashier's worker lives as long as the app."""
    with closing(sqlite3.connect(database)) as db, db:
        db.execute("CREATE TABLE IF NOT EXISTS parcels (id INTEGER PRIMARY KEY, order_id TEXT)")
    pay = SessionManager.from_env()
    cashier = Cashier(pay, Receiver.from_env(), database, handlers=shop)
    pages = Pages(cashier, url)

    async def alive(_: web.Application) -> AsyncIterator[None]:
        async with pay, cashier:
            yield

    app = web.Application()
    app.cleanup_ctx.append(alive)
    app.add_routes(webhook_routes("/webhook", cashier))
    app.add_routes([web.get("/", pages.show), web.post("/buy", pages.buy)])
    app.router.add_get("/return", pages.come_back)
    return app


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    port = int(os.environ.get("PORT", "8080"))
    address = os.environ.get("SHOP_URL", f"http://127.0.0.1:{port}")
    made = make_app(os.environ.get("SHOP_DATABASE", "shop.db"), address)
    web.run_app(made, host="127.0.0.1", port=port)
