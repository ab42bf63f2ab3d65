"""The sandbox's pages as Chromium shows them: light, dark, on a phone.

Nothing is fetched but from the sandbox on this machine. A picture has at most 256 colours, which
keeps it small.
"""

from __future__ import annotations

import asyncio
import io
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from aiohttp import web
from PIL import Image
from selenium import webdriver

from paycollect.sandbox import Sandbox, drop_after_commit

PICTURES: Final = Path(__file__).parents[1] / "pictures"
ORDER: Final = {"amount": 25, "orderId": "INV-003", "description": "Premium plan"}
DESK: Final = {"width": 1280, "height": 800, "deviceScaleFactor": 1, "mobile": False}
PHONE: Final = {"width": 390, "height": 720, "deviceScaleFactor": 2, "mobile": True}


def browser(profile: str) -> Any:
    """Start Chromium without a window."""
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if program is None or driver is None:
        raise SystemExit("pictures need Chromium: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    quiet = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking")
    for argument in (*quiet, "--no-first-run", "--hide-scrollbars", f"--user-data-dir={profile}"):
        options.add_argument(argument)
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))


def take(chromium: Any, url: str, name: str, *, screen: dict[str, object], scheme: str) -> None:
    """Save what a page looks like."""
    chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    chromium.get(url)
    picture = Image.open(io.BytesIO(chromium.get_screenshot_as_png())).convert("RGB")
    small = picture.quantize(256, dither=Image.Dither.NONE)
    small.save(PICTURES / f"{name}.png", optimize=True)


@asynccontextmanager
async def shop() -> AsyncIterator[str]:
    """Serve somebody who answers webhooks with 200; gives the URL."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response()

    app = web.Application()
    app.router.add_post("/webhook", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0]
    yield f"http://{host}:{port}/webhook"
    await runner.cleanup()


async def main() -> None:
    """Play a little, and take the pictures."""
    async with Sandbox(time_scale=0) as sandbox, shop() as webhook:
        order = {**ORDER, "webhookUrl": webhook}
        paid = await sandbox.create({**order, "orderId": "INV-001"})
        await sandbox.pay(paid.collection_id)
        refunded = await sandbox.create({**order, "orderId": "INV-002", "amount": 40})
        await sandbox.pay(refunded.collection_id)
        await sandbox.refund(refunded.collection_id)
        await sandbox.drained()
        waiting = await sandbox.create(ORDER)
        sandbox.faults.next("POST /collections", drop_after_commit())
        checkout = f"{sandbox.url}/sci/checkout?batch={waiting.collection_id}"
        with tempfile.TemporaryDirectory() as profile:
            chromium = await asyncio.to_thread(browser, profile)
            try:
                for url, page in ((checkout, "checkout"), (sandbox.url, "console")):
                    for scheme in ("light", "dark"):
                        desk = {"screen": DESK, "scheme": scheme}
                        await asyncio.to_thread(take, chromium, url, f"{page}-{scheme}", **desk)
                    phone = {"screen": PHONE, "scheme": "light"}
                    await asyncio.to_thread(take, chromium, url, f"{page}-phone", **phone)
            finally:
                await asyncio.to_thread(chromium.quit)


asyncio.run(main())
