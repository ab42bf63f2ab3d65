"""The example of a merchant's service does what it says, against the sandbox."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from paycollect.demo.payer import Browser, read_form
from paycollect.sandbox import Sandbox, respond, wrongly_signed

EXAMPLE = Path(__file__).parents[2] / "examples" / "merchant.py"


def load(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Import the example by its path, as it belongs to no package."""
    spec = importlib.util.spec_from_file_location("merchant_example", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)  # dataclasses look there
    spec.loader.exec_module(module)
    return module


class Town:
    """A sandbox, the shop, and a customer with a browser."""

    def __init__(self, sandbox: Sandbox, shop: Any, browser: Browser) -> None:
        self.sandbox, self.shop, self.browser = sandbox, shop, browser

    async def buy(self) -> tuple[str, str]:
        """Order something; give the checkout page and the collection's id."""
        shop_page = await self.browser.get(f"{self.shop.public_url}/")
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
    def shipped(self) -> list[bool]:
        """Whether each order went out."""
        return [order.shipped for order in self.shop.orders.values()]


@pytest.fixture
async def town(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Town]:
    """Everything runs; the shop knows its own address only when it listens."""
    module = load(monkeypatch)
    async with Sandbox() as sandbox:
        monkeypatch.setenv("PAYCOLLECT_APP_ID", sandbox.app_id)
        monkeypatch.setenv("PAYCOLLECT_SECRET_KEY", sandbox.secret_key)
        monkeypatch.setenv("PAYCOLLECT_BASE_URL", sandbox.base_url)
        monkeypatch.setattr(module, "LATER_SECONDS", 0.01)
        app = await module.make_app(sandbox.webhook_secret, "")
        runner = web.AppRunner(app, shutdown_timeout=1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        shop = app[module.SHOP]
        shop.public_url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        browser = Browser()
        yield Town(sandbox, shop, browser)
        await browser.aclose()
        await runner.cleanup()


async def test_a_paid_order_is_shipped(town: Town) -> None:
    """The customer is thanked, and the order goes out."""
    checkout, _ = await town.buy()
    assert "Thank you" in await town.press(checkout, "pay")
    assert town.shipped == [True]


async def test_a_declined_order_is_not_shipped(town: Town) -> None:
    """The customer is told so."""
    checkout, _ = await town.buy()
    assert "not paid" in await town.press(checkout, "decline")
    assert town.shipped == [False]


async def test_a_typed_url_ships_nothing(town: Town) -> None:
    """Neither for an order that is not paid, nor for none, nor for no batch at all."""
    _, collection_id = await town.buy()
    for query in (f"batch={collection_id}&status=COMPLETED", "batch=X&status=COMPLETED", ""):
        page = await town.browser.get(f"{town.shop.public_url}/return?{query}")
        assert "not paid" in page.page
    assert town.shipped == [False]


async def test_the_webhook_alone_is_enough(town: Town) -> None:
    """A customer who closes the browser gets the goods; a second confirmation tries again."""
    _, collection_id = await town.buy()
    town.sandbox.faults.next("GET /collections/{id}", respond(400))
    await town.sandbox.pay(collection_id)
    async with asyncio.timeout(5):
        while town.shipped != [True]:  # noqa: ASYNC110  the shop tells nobody
            await asyncio.sleep(0.01)


async def test_a_forged_webhook_is_refused(town: Town) -> None:
    """It is answered with 401, and nothing is shipped."""
    _, collection_id = await town.buy()
    town.sandbox.faults.next("webhook", wrongly_signed())
    await town.sandbox.pay(collection_id)
    await town.sandbox.drained()
    assert town.sandbox.deliveries[0].attempts[0].status == 401
    assert town.shipped == [False]


async def test_a_repeated_webhook_is_taken_once(town: Town) -> None:
    """The second delivery is acknowledged, too."""
    _, collection_id = await town.buy()
    await town.sandbox.pay(collection_id)
    await town.sandbox.drained()
    delivery = town.sandbox.deliveries[0]
    answer = await town.browser.post(delivery.url, delivery.attempts[0].body.encode())
    assert answer.status == 200


async def test_without_the_provider_nobody_is_charged(town: Town) -> None:
    """A create that fails is told politely."""
    town.sandbox.faults.next("POST /collections", respond(400))
    async with aiohttp.ClientSession() as http:
        answer = await http.post(f"{town.shop.public_url}/buy")
        assert answer.status == 503


async def test_not_knowing_is_not_a_no(town: Town) -> None:
    """While the provider cannot be asked, the customer is not told "not paid"."""
    _, collection_id = await town.buy()
    town.sandbox.faults.next("GET /collections/{id}", respond(400))
    url = f"{town.shop.public_url}/return?batch={collection_id}&status=COMPLETED"
    answer = await town.browser.get(url)
    assert answer.status == 202
