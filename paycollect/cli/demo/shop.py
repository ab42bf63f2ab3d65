"""The merchant's service, as a user of the SDK would write it: a program of its own.

    python -m paycollect.cli.demo.shop FILE PORT NOW

FILE is its database, NOW the time in seconds since 1970 (UTC) at which its clock begins. It writes
its port; each line that it reads moves its clock forward by so many seconds; it ends when there is
nothing more to read, as when the demo is gone.

Invariants: nothing is remembered but in the file, so that it can be killed at any moment.
"""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
import sys
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING, Final, TextIO

from aiohttp import web

from paycollect.cashier import Cashier, Handlers, Payment, Standing
from paycollect.errors import PayCollectError
from paycollect.ipn import Receiver
from paycollect.retry import RetryPolicy
from paycollect.sandbox import Clock
from paycollect.session import SessionManager
from paycollect.web.aiohttp import webhook_routes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

PRICE: Final = "25.00"
# A real client waits up to a second before it repeats; nobody should wait for a demo.
_RETRY: Final = RetryPolicy(backoff_base=0.2)
_PAGES: Final = {
    Standing.PAID: "Thank you. Order {} is paid.",
    Standing.PENDING: "There is no payment for order {} yet.",
    Standing.NOT_PAID: "Order {} was not paid.",
    Standing.UNKNOWN: "We could not find out yet whether this order is paid.",
}

goods: Final[Handlers[sqlite3.Connection]] = Handlers()


@goods.on_paid
def ship(tx: sqlite3.Connection, payment: Payment) -> None:
    """Deliver, in the transaction that marks the order as fulfilled."""
    tx.execute("INSERT INTO parcels VALUES (?, ?)", (payment.order_id, payment.found_by))


class Shop:
    """The pages of the service."""

    def __init__(self, cashier: Cashier[sqlite3.Connection]) -> None:
        self.cashier = cashier
        self.url = ""

    def app(self) -> web.Application:
        """Give what is to be served."""
        app = web.Application()
        app.router.add_post("/buy", self._buy)
        app.router.add_get("/return", self._come_back)
        app.add_routes(webhook_routes("/webhook", self.cashier))
        return app

    async def _buy(self, _: web.Request) -> web.Response:
        try:
            checkout = await self.cashier.create_checkout(
                amount=PRICE,
                order_id=f"INV-{secrets.token_hex(3).upper()}",
                description="Premium plan",
                callback_url=f"{self.url}/return",
                webhook_url=f"{self.url}/webhook",
            )
        except PayCollectError as error:
            return _page(f"Payment is not available right now: {error}", status=503)
        raise web.HTTPSeeOther(checkout.checkout_url)

    async def _come_back(self, request: web.Request) -> web.Response:
        back = await self.cashier.returned(request.url)
        return _page(_PAGES[back.standing].format(back.order_id))


def _page(text: str, *, status: int = 200) -> web.Response:
    return web.Response(
        text=f"<!doctype html><title>{escape(text)}</title><h1>{escape(text)}</h1>"
        "<p>You can go back to the terminal.</p>",
        content_type="text/html",
        status=status,
    )


@asynccontextmanager
async def serving(file: str, port: int, clock: Clock) -> AsyncIterator[int]:
    """Serve on a port of loopback, 0 for any; give the port."""
    with closing(sqlite3.connect(file)) as db, db:
        db.execute("CREATE TABLE IF NOT EXISTS parcels (order_id TEXT, found_by TEXT)")
    async with (
        SessionManager.from_env(retry=_RETRY) as pay,
        Cashier(pay, Receiver.from_env(), file, handlers=goods, clock=clock) as cashier,
    ):
        shop = Shop(cashier)
        runner = web.AppRunner(shop.app(), access_log=None, shutdown_timeout=1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", port).start()
            found: int = runner.addresses[0][1]
            shop.url = f"http://127.0.0.1:{found}"
            yield found
        finally:
            await runner.cleanup()


async def run(argv: Sequence[str], told: TextIO, says: TextIO) -> None:
    """Serve until nothing more is told."""
    file, port, now = argv
    clock = Clock(start=datetime.fromtimestamp(float(now), UTC))
    async with serving(file, int(port), clock) as found:
        says.write(f"{found}\n")
        says.flush()
        await asyncio.to_thread(_obey, told, clock)


def _obey(told: TextIO, clock: Clock) -> None:
    for line in told:
        clock.advance(float(line))


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1:], sys.stdin, sys.stdout))  # pragma: no cover  # in a child process
