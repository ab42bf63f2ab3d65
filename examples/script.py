"""A script that takes money without a server: it makes checkouts, and cron delivers what is paid.

In one terminal `paycollect sandbox`; in another paste the settings that it prints, then

    python examples/script.py sell INV-001      prints the address of the checkout: send it by mail
    python examples/script.py work              delivers what was paid; let cron run it each minute

No webhook comes in: `work` asks the provider. It may be killed at any moment, and run twice at
once: each paid order is delivered once. All is kept in one file, SHOP_DATABASE.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import sys
from contextlib import closing

from paycollect.cashier import Handlers, Held, Payment
from paycollect.ipn import Receiver
from paycollect.sync import Cashier, SessionManager

log = logging.getLogger("shop")
shop: Handlers[sqlite3.Connection] = Handlers()

DATABASE = os.environ.get("SHOP_DATABASE", "shop.db")
PRICE = "25.00"


@shop.on_paid
def ship(tx: sqlite3.Connection, payment: Payment) -> None:
    """Deliver: in the transaction that marks the order, so that both happen or neither."""
    tx.execute("INSERT INTO parcels (order_id) VALUES (?)", (payment.order_id,))


@shop.on_held
def alarm(held: Held) -> None:
    """Tell a person: `paycollect cashier list` shows what waits for them."""
    log.error("order %s needs a person: %s", held.order_id, held.reason)


def main(command: str, *order_ids: str) -> None:
    """Sell, or work."""
    with closing(sqlite3.connect(DATABASE)) as db, db:
        db.execute("CREATE TABLE IF NOT EXISTS parcels (id INTEGER PRIMARY KEY, order_id TEXT)")
    with SessionManager.from_env() as pay:
        cashier = Cashier(pay, Receiver.from_env(), DATABASE, handlers=shop)
        if command == "sell":
            for order_id in order_ids:
                checkout = cashier.create_checkout(
                    amount=PRICE, order_id=order_id, description="A plan"
                )
                print(order_id, checkout.checkout_url, flush=True)
        else:
            done = cashier.run_until_idle()
            print(f"delivered {done.delivered}, waiting for a person {done.held}")
        cashier.aclose()


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    if sys.argv[1:2] not in (["sell"], ["work"]):
        sys.exit(__doc__)
    main(*sys.argv[1:])
