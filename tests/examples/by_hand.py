"""A shop as one writes it by hand, without a cashier: not to be copied, see `losses`.

It proves each webhook, confirms it with the provider, and delivers each order once. BY_HAND says in
which of three ways it is written, all of which were seen:

memory    what was ordered is known to this process only, as in an older README of ours
early     it answers 200 at once, as the provider does not wait for long, and then does the work
late      it answers when the work is done, and 503 where it could not be done
"""

from __future__ import annotations

import asyncio
import os
import secrets
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from typing import Final

from aiohttp import web

from paycollect import PayCollectError, PaymentNotConfirmedError, SessionManager, ipn

PRICE: Final = "25.00"
WAY: Final = os.environ["BY_HAND"]


class Shop:
    """Its pages, and its webhook."""

    def __init__(self, file: str, url: str) -> None:
        self.file = file
        self.url = url
        self.pay = SessionManager.from_env()
        self.receiver = ipn.Receiver.from_env()
        self.tasks: set[asyncio.Task[int]] = set()
        self.known: set[str] = set()
        self.write("CREATE TABLE IF NOT EXISTS orders (order_id TEXT PRIMARY KEY)")
        self.write("CREATE TABLE IF NOT EXISTS parcels (order_id TEXT PRIMARY KEY)")

    def write(self, sql: str, *values: str) -> None:
        """Change its file."""
        with closing(sqlite3.connect(self.file)) as db, db:
            db.execute(sql, values)

    def knows(self, order_id: str) -> bool:
        """Tell whether an order is its own."""
        if WAY == "memory":
            return order_id in self.known
        with closing(sqlite3.connect(self.file)) as db:
            rows = db.execute("SELECT 1 FROM orders WHERE order_id = ?", [order_id])
            return rows.fetchone() is not None

    async def show(self, _: web.Request) -> web.Response:
        """Show the button."""
        text = '<form method="post" action="/buy"><button>Buy</button></form>'
        return web.Response(text=text, content_type="text/html")

    async def buy(self, _: web.Request) -> web.Response:
        """Note the order, and send the customer to the checkout."""
        order_id = f"INV-{secrets.token_hex(4).upper()}"
        self.known.add(order_id)
        self.write("INSERT INTO orders VALUES (?)", order_id)
        checkout = await self.pay.create_checkout(
            amount=PRICE,
            order_id=order_id,
            description="A plan",
            callback_url=f"{self.url}/return",
            webhook_url=f"{self.url}/webhook",
        )
        raise web.HTTPSeeOther(checkout.checkout_url)

    async def come_back(self, request: web.Request) -> web.Response:
        """Say how it stands, by the provider's record."""
        try:
            back = ipn.parse_callback(str(request.url))
            await self.pay.confirm(back.collection_id, expected_amount=PRICE)
        except PayCollectError:
            return web.Response(text="We have no payment yet.")
        return web.Response(text="Thank you!")

    async def webhook(self, request: web.Request) -> web.Response:
        """Prove a message, and do what it asks for."""
        try:
            event = self.receiver.parse(await request.read())
        except ipn.IpnError as error:
            return web.Response(status=error.status_hint)
        order_id = event.order_id
        if order_id is None or not self.knows(order_id):
            return web.Response(status=200)  # genuine, but about something else
        task = asyncio.create_task(self.fulfil(event, order_id))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return web.Response(status=200 if WAY == "early" else await task)

    async def fulfil(self, event: ipn.WebhookEvent, order_id: str) -> int:
        """Confirm, and deliver once; give the status to answer with."""
        try:
            await self.pay.confirm(event, expected_amount=PRICE, deadline=8)
        except PaymentNotConfirmedError:
            return 200
        except PayCollectError:
            return 503
        self.write("INSERT OR IGNORE INTO parcels VALUES (?)", order_id)
        return 200


async def make_app(shop: Shop) -> web.Application:
    """Put it together."""

    async def alive(_: web.Application) -> AsyncIterator[None]:
        async with shop.pay:
            yield

    app = web.Application()
    app.cleanup_ctx.append(alive)
    app.add_routes([web.get("/", shop.show), web.post("/buy", shop.buy)])
    app.add_routes([web.get("/return", shop.come_back), web.post("/webhook", shop.webhook)])
    return app


if __name__ == "__main__":
    made = Shop(os.environ["SHOP_DATABASE"], os.environ["SHOP_URL"])
    web.run_app(make_app(made), host="127.0.0.1", port=int(os.environ["PORT"]))
