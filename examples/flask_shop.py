"""A shop on Flask: what is paid is delivered once, also if it is killed at any moment.

In one terminal `paycollect sandbox`; in another paste the settings that it prints, then

    python examples/flask_shop.py

and open http://127.0.0.1:8080. The shop's tables and the cashier's are in one file, SHOP_DATABASE.
Where the provider cannot reach PORT of this machine, SHOP_URL says how the shop is reached.
"""

from __future__ import annotations

import logging
import os
import secrets
import sqlite3
from contextlib import closing

from flask import Flask, redirect, request
from werkzeug.wrappers import Response

from paycollect import PayCollectError
from paycollect.cashier import Handlers, Held, Payment, Standing
from paycollect.ipn import Receiver
from paycollect.sync import Cashier, SessionManager
from paycollect.web.flask import webhook_blueprint

log = logging.getLogger("shop")
app = Flask(__name__)
shop: Handlers[sqlite3.Connection] = Handlers()

PORT = int(os.environ.get("PORT", "8080"))
URL = os.environ.get("SHOP_URL", f"http://127.0.0.1:{PORT}")
DATABASE = os.environ.get("SHOP_DATABASE", "shop.db")
PRICE = "25.00"
TABLES = """
CREATE TABLE IF NOT EXISTS orders (id TEXT PRIMARY KEY, amount TEXT);
CREATE TABLE IF NOT EXISTS parcels (id INTEGER PRIMARY KEY, order_id TEXT);
"""
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


@shop.on_held
def alarm(held: Held) -> None:
    """Tell a person: `paycollect cashier list` shows what waits for them."""
    log.error("order %s needs a person: %s", held.order_id, held.reason)


# Both may be made before a server forks: each process has connections and threads of its own.
pay = SessionManager.from_env()
cashier = Cashier(pay, Receiver.from_env(), DATABASE, handlers=shop)
app.register_blueprint(webhook_blueprint("/webhook", cashier))


@app.get("/")
def show() -> str:
    """Show what is for sale."""
    return f'A plan for {PRICE} USD <form method="post" action="/buy"><button>Buy</button></form>'


@app.post("/buy")
def buy() -> Response | tuple[str, int]:
    """Note the order and its payment in one transaction; then send the customer to the checkout."""
    order_id = f"INV-{secrets.token_hex(4).upper()}"
    with closing(sqlite3.connect(DATABASE)) as tx, tx:
        tx.execute("INSERT INTO orders VALUES (?, ?)", (order_id, PRICE))
        cashier.intend(
            tx,
            amount=PRICE,
            order_id=order_id,
            description="A plan",
            callback_url=f"{URL}/return",
            webhook_url=f"{URL}/webhook",
        )
    try:
        return redirect(cashier.checkout_for(order_id).checkout_url, 303)
    except PayCollectError as error:
        log.warning("no checkout: %s", error)  # no secret and no personal data is in it
        return "Payment is not available right now. You were not charged.", 503


@app.get("/return")
def come_back() -> str:
    """Show how it stands: by the provider's record, not by the URL."""
    return PAGES[cashier.returned(request.url).standing]


def make_tables() -> None:
    """Make the shop's own tables; the cashier makes its own."""
    with closing(sqlite3.connect(DATABASE)) as db:
        db.executescript(TABLES)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    make_tables()
    with pay, cashier:  # the worker: confirms, delivers, looks for lost webhooks
        app.run(port=PORT)
