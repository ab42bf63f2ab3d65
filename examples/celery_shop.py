"""A shop with Celery: the cashier delivers, and Celery does what reaches outside.

Both, because each does what the other cannot. The cashier writes the parcel in the transaction
that marks the order: once. A task can run twice (a worker dies, a broker delivers again), so what
it does outside must be safe to repeat: `payment.key` is the same each time.

In one terminal `paycollect sandbox`; in two others paste the settings that it prints, then

    celery --app examples.celery_shop:tasks worker
    python -m examples.celery_shop

and open http://127.0.0.1:8080. CELERY_BROKER_URL names the broker; a Redis here is the default.
"""

from __future__ import annotations

import logging
import os
import secrets
import sqlite3
from contextlib import closing

from celery import Celery
from flask import Flask, redirect, request
from werkzeug.wrappers import Response

from paycollect.cashier import Handlers, Payment
from paycollect.ipn import Receiver
from paycollect.sync import Cashier, SessionManager
from paycollect.web.flask import webhook_blueprint

app = Flask(__name__)
shop: Handlers[sqlite3.Connection] = Handlers()

PORT = int(os.environ.get("PORT", "8080"))
URL = os.environ.get("SHOP_URL", f"http://127.0.0.1:{PORT}")
DATABASE = os.environ.get("SHOP_DATABASE", "shop.db")
TABLES = """
CREATE TABLE IF NOT EXISTS parcels (id INTEGER PRIMARY KEY, order_id TEXT);
CREATE TABLE IF NOT EXISTS mails (key TEXT PRIMARY KEY, order_id TEXT);
"""

tasks = Celery("shop", broker=os.environ.get("CELERY_BROKER_URL", "redis://127.0.0.1:6379/0"))
# A task whose worker died is run again, with Redis after so many seconds: longer than a task takes.
tasks.conf.task_acks_late = True
tasks.conf.broker_transport_options = {"visibility_timeout": 60}
tasks.conf.task_default_queue = os.environ.get("SHOP_QUEUE", "shop")


@tasks.task(name="shop.mail", autoretry_for=(Exception,), retry_backoff=True)
def mail(key: str, order_id: str) -> None:
    """Send a mail; here a row of a table stands for the outbox of a mail service."""
    with closing(sqlite3.connect(DATABASE)) as db, db:
        # The service refuses what it has sent already: here by the primary key.
        db.execute("INSERT OR IGNORE INTO mails VALUES (?, ?)", (key, order_id))


@shop.on_paid
def ship(tx: sqlite3.Connection, payment: Payment) -> None:
    """Deliver: in the transaction that marks the order, so that both happen or neither."""
    tx.execute("INSERT INTO parcels (order_id) VALUES (?)", (payment.order_id,))


@shop.after_paid
def tell(payment: Payment) -> None:
    """Hand over to Celery; where the broker is away this raises, and is called again later."""
    given = payment.key, payment.order_id
    tasks.send_task("shop.mail", given, task_id=payment.key, retry=False)


pay = SessionManager.from_env()
cashier = Cashier(pay, Receiver.from_env(), DATABASE, handlers=shop)
app.register_blueprint(webhook_blueprint("/webhook", cashier))


@app.get("/")
def show() -> str:
    """Show what is for sale."""
    return '<form method="post" action="/buy"><button>Buy</button></form>'


@app.post("/buy")
def buy() -> Response:
    """Send the customer to the checkout."""
    checkout = cashier.create_checkout(
        amount="25.00",
        order_id=f"INV-{secrets.token_hex(4).upper()}",
        description="A plan",
        callback_url=f"{URL}/return",
        webhook_url=f"{URL}/webhook",
    )
    return redirect(checkout.checkout_url, 303)


@app.get("/return")
def come_back() -> str:
    """Show how it stands: by the provider's record, not by the URL."""
    return f"Your payment: {cashier.returned(request.url).standing}"


def make_tables() -> None:
    """Make the shop's own tables; the cashier makes its own."""
    with closing(sqlite3.connect(DATABASE)) as db:
        db.executescript(TABLES)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    make_tables()
    with pay, cashier:  # the worker: confirms, delivers, looks for lost webhooks
        app.run(port=PORT)
