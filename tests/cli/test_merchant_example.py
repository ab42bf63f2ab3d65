"""The example of a merchant's service does what it says, against the sandbox; killed, too."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import sqlite3
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import closing, suppress
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from paycollect.cli.demo.payer import Browser, read_form
from paycollect.sandbox import Sandbox, respond, wrongly_signed
from paycollect.status import PaymentStatus
from tests.cli.merchant_process import EXAMPLE, load


def parcels(database: Path) -> Counter[str]:
    """Count what went out, as the shop's own table says."""
    with closing(sqlite3.connect(database)) as db:
        return Counter(order_id for (order_id,) in db.execute("SELECT order_id FROM parcels"))


async def until(condition: Callable[[], bool], seconds: float = 5) -> None:
    """Wait for what another task or process does."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  the shop tells nobody
            await asyncio.sleep(0.01)


def free_port() -> int:
    """Find a port that nobody uses at this moment."""
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def settings(sandbox: Sandbox) -> dict[str, str]:
    """What the shop reads from its environment."""
    return {
        "PAYCOLLECT_APP_ID": sandbox.app_id,
        "PAYCOLLECT_SECRET_KEY": sandbox.secret_key,
        "PAYCOLLECT_BASE_URL": sandbox.base_url,
        "PAYCOLLECT_WEBHOOK_SECRET": sandbox.webhook_secret,
    }


class Town:
    """A sandbox, the shop, and a customer with a browser."""

    def __init__(self, sandbox: Sandbox, url: str, browser: Browser, database: Path) -> None:
        self.sandbox, self.url, self.browser = sandbox, url, browser
        self.database = database

    async def buy(self) -> tuple[str, str]:
        """Order something; give the checkout page and the collection's id."""
        shop_page = await self.browser.get(f"{self.url}/")
        form = read_form(shop_page.page)
        answer = await self.browser.press(form, "", shop_page.url)
        assert answer.location is not None
        return answer.location, answer.location.rpartition("=")[2]

    async def press(self, checkout: str, button: str) -> str:
        """Press a button of the checkout page; give the page that the shop shows then."""
        form = read_form((await self.browser.get(checkout)).page)
        answer = await self.browser.press(form, button, checkout)
        assert answer.location is not None
        return (await self.browser.get(answer.location)).page

    @property
    def shipped(self) -> int:
        """How many parcels went out."""
        return parcels(self.database).total()


@pytest.fixture
async def town(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Town]:
    """Everything runs in this process."""
    async with Sandbox() as sandbox:
        for name, value in settings(sandbox).items():
            monkeypatch.setenv(name, value)
        port, database = free_port(), tmp_path / "shop.db"
        url = f"http://127.0.0.1:{port}"
        runner = web.AppRunner(await load().make_app(str(database), url), shutdown_timeout=1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        browser = Browser()
        yield Town(sandbox, url, browser, database)
        await browser.aclose()
        await runner.cleanup()


async def test_a_paid_order_is_shipped(town: Town) -> None:
    """The customer is thanked, and the order goes out."""
    checkout, _ = await town.buy()
    assert "Thank you" in await town.press(checkout, "pay")
    await until(lambda: town.shipped == 1)


async def test_a_declined_order_is_not_shipped(town: Town) -> None:
    """The customer is told so."""
    checkout, _ = await town.buy()
    assert "not paid" in await town.press(checkout, "decline")
    assert town.shipped == 0


async def test_a_typed_url_ships_nothing(town: Town) -> None:
    """Neither for an order that is not paid, nor for none, nor for no batch at all."""
    _, collection_id = await town.buy()
    for query, told in (
        (f"batch={collection_id}&status=COMPLETED", "waiting for your payment"),
        ("batch=X&status=COMPLETED", "could not find out"),
        ("", "could not find out"),
    ):
        assert told in (await town.browser.get(f"{town.url}/return?{query}")).page
    assert town.shipped == 0


async def test_the_webhook_alone_is_enough(town: Town) -> None:
    """A customer who closes the browser gets the goods."""
    _, collection_id = await town.buy()
    await town.sandbox.pay(collection_id)
    await until(lambda: town.shipped == 1)


async def test_a_forged_webhook_is_refused(town: Town) -> None:
    """It is answered with 401, and nothing is shipped."""
    _, collection_id = await town.buy()
    town.sandbox.faults.next("webhook", wrongly_signed())
    await town.sandbox.pay(collection_id)
    await town.sandbox.drained()
    assert town.sandbox.deliveries[0].attempts[0].status == 401
    assert town.shipped == 0


async def test_a_repeated_webhook_is_taken_once(town: Town) -> None:
    """The second delivery is acknowledged, too."""
    _, collection_id = await town.buy()
    await town.sandbox.pay(collection_id)
    await town.sandbox.drained()
    delivery = town.sandbox.deliveries[0]
    answer = await town.browser.post(delivery.url, delivery.attempts[0].body.encode())
    assert answer.status == 200
    await until(lambda: town.shipped == 1)


async def test_without_the_provider_nobody_is_charged(town: Town) -> None:
    """A create that fails is told politely."""
    town.sandbox.faults.next("POST /collections", respond(400))
    async with aiohttp.ClientSession() as http:
        answer = await http.post(f"{town.url}/buy")
        assert answer.status == 503


async def test_not_knowing_is_not_a_no(town: Town) -> None:
    """While the provider cannot be asked, the customer is not told "not paid"."""
    _, collection_id = await town.buy()
    town.sandbox.faults.next("GET /collections/{id}", respond(400))
    url = f"{town.url}/return?batch={collection_id}&status=COMPLETED"
    assert "could not find out" in (await town.browser.get(url)).page


def test_the_example_is_short() -> None:
    """A person reads it in a few minutes."""
    assert len(EXAMPLE.read_text("utf-8").splitlines()) <= 120


# --- kill -9

TIMES = 60.0
"""How much faster than the machine's the clocks run: a dead process's order is free in a second."""


class MortalShop:
    """The example in a process of its own."""

    def __init__(self, sandbox: Sandbox, database: Path) -> None:
        self._sandbox, self._database = sandbox, database
        self._port = free_port()
        self._process: asyncio.subprocess.Process | None = None
        self.url = f"http://127.0.0.1:{self._port}"

    async def start(self) -> None:
        """Start it on the same file, and wait until it serves."""
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.cli.merchant_process", self._database),
            *(str(self._port), self._sandbox.clock.now().isoformat(), str(TIMES)),
            env={**os.environ, **settings(self._sandbox)},
            cwd=EXAMPLE.parents[1],
        )
        async with asyncio.timeout(20):
            while not await self._serves():
                assert self._process.returncode is None, "the example did not start"
                await asyncio.sleep(0.02)

    async def _serves(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            return False
        writer.close()
        await writer.wait_closed()
        return True

    async def kill(self) -> None:
        """Kill it: SIGKILL, which nothing can catch."""
        assert self._process is not None
        self._process.kill()
        await self._process.wait()


async def custom(shop: MortalShop, sandbox: Sandbox, browser: Browser) -> None:
    """One customer after the other, whatever becomes of the shop: order, pay, come back or not."""
    while True:
        with suppress(aiohttp.ClientError):  # the shop is dead at this moment
            answer = await browser.post(f"{shop.url}/buy", b"")
            if answer.location is not None:
                collection_id = answer.location.rpartition("=")[2]
                if random.random() < 0.8:  # others never pay
                    await sandbox.pay(collection_id)
                if random.random() < 0.5:
                    await browser.get(f"{shop.url}/return?batch={collection_id}&status=COMPLETED")
        await asyncio.sleep(0.01)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
async def test_each_paid_order_is_delivered_once_whenever_the_shop_is_killed(
    tmp_path: Path,
) -> None:
    """At several moments while customers pay, and started again each time."""
    database, browser = tmp_path / "shop.db", Browser()
    async with Sandbox(time_scale=TIMES) as sandbox:
        shop = MortalShop(sandbox, database)
        for moment in (0.05, 0.15, 0.3):
            await shop.start()
            before = len(sandbox.collections)
            customers = [asyncio.create_task(custom(shop, sandbox, browser)) for _ in range(4)]
            await until(lambda before=before: len(sandbox.collections) > before + 4, 20)  # type: ignore[misc]  # of a loop's variable
            await asyncio.sleep(moment)
            slow = await browser.post(f"{shop.url}/buy", b"")
            await shop.kill()
            for customer in customers:
                customer.cancel()
            await asyncio.gather(*customers, return_exceptions=True)
            await sandbox.pay((slow.location or "").rpartition("=")[2])

        paid = {
            record.order.order_id
            for record in sandbox.collections
            if record.status is PaymentStatus.COMPLETED
        }
        assert len(paid) > 3
        assert set(parcels(database)) < paid
        await shop.start()
        await until(lambda: set(parcels(database)) >= paid, 20)
        await shop.kill()
        assert parcels(database) == dict.fromkeys(paid, 1)
    await browser.aclose()
