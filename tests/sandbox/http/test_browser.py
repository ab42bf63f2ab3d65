"""The pages in a real browser: Debian's Chromium, headless, driven through Selenium."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest
from aiohttp import web

from paycollect.sandbox import CollectionRecord, Sandbox, respond
from tests.sandbox.conftest import ORDER, until

T = TypeVar("T")

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = [
    pytest.mark.skipif(
        CHROMIUM is None or DRIVER is None,
        reason="needs Chromium: apt-get install chromium chromium-driver",
    ),
    pytest.mark.no_cover,  # the same count with and without a browser
]
webdriver: Any = pytest.importorskip(
    "selenium.webdriver", reason="needs selenium from the extra dev"
)

ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--window-size=1200,900",
)
PHONE = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}


class Browser:
    """A browser, whose blocking calls run beside the event loop that serves it."""

    def __init__(self, profile: Path) -> None:
        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM
        for argument in (*ARGUMENTS, f"--user-data-dir={profile}"):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        service = webdriver.ChromeService(executable_path=DRIVER)
        self.driver = webdriver.Chrome(options=options, service=service)

    async def do(self, work: Callable[[], T]) -> T:
        """Do something that blocks."""
        return await asyncio.to_thread(work)

    async def open(self, url: str) -> None:
        """Open a page, with an empty log."""
        await self.do(lambda: self.driver.get_log("browser"))
        await self.do(lambda: self.driver.get(url))

    async def press(self, label: str, *, within: str = "") -> None:
        """Press the first button or link of that label."""
        path = f"{within}//*[self::button or self::a or self::summary][starts-with(., '{label}')]"
        element = await self.do(lambda: self.driver.find_element("xpath", path))
        await self.do(element.click)

    async def shows(self, text: str) -> None:
        """Wait until the page shows a text."""
        for _ in range(500):
            if text in await self.text():
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"{text!r} is not in {await self.text()!r}")

    async def text(self) -> str:
        """What a person reads."""
        script = "return document.body ? document.body.innerText : ''"
        return str(await self.do(lambda: self.driver.execute_script(script)))

    async def script(self, source: str) -> Any:
        """Run a script in the page."""
        return await self.do(lambda: self.driver.execute_script(source))

    async def command(self, name: str, options: dict[str, Any]) -> Any:
        """Send a command of the browser's own protocol."""
        return await self.do(lambda: self.driver.execute_cdp_cmd(name, options))

    async def complaints(self) -> list[str]:
        """What the browser has logged: blocked assets, scripts that failed, forms that must not."""
        entries = await self.do(lambda: self.driver.get_log("browser"))
        return [entry["message"] for entry in entries]


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser with a fresh profile."""
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.driver.quit()


@pytest.fixture
async def browser(chromium: Browser) -> AsyncIterator[Browser]:
    """The browser, showing nothing, at the size of a desk's."""
    await chromium.open("about:blank")
    yield chromium
    await chromium.command("Emulation.clearDeviceMetricsOverride", {})
    await chromium.command("Emulation.setScriptExecutionDisabled", {"value": False})


@dataclass
class Shop:
    """A shop that customers return to."""

    url: str = ""
    returns: list[str] = field(default_factory=list)

    async def welcome(self, request: web.Request) -> web.Response:
        """Say hello to a customer who is back."""
        self.returns.append(request.query_string)
        if "elsewhere" in request.query:
            return web.Response(status=302, headers={"Location": request.query["elsewhere"]})
        return web.Response(text="<h1>Welcome back</h1>", content_type="text/html")


async def _run_shop() -> tuple[Shop, web.AppRunner]:
    shop = Shop()
    app = web.Application()
    app.router.add_get("/return", shop.welcome)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    shop.url = f"http://127.0.0.1:{runner.addresses[0][1]}/return"
    return shop, runner


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    """A running shop."""
    service, runner = await _run_shop()
    yield service
    await runner.cleanup()


async def _checkout(sandbox: Sandbox, **other: object) -> tuple[CollectionRecord, str]:
    record = await sandbox.create(ORDER | other)
    return record, sandbox.checkout_url(record.collection_id)


@pytest.mark.parametrize(
    ("button", "status"), [("Pay", "COMPLETED"), ("Decline", "FAILED"), ("Cancel", "CANCELLED")]
)
async def test_a_button_brings_the_customer_back(
    browser: Browser, sandbox: Sandbox, shop: Shop, button: str, status: str
) -> None:
    """To the shop's own page, on another origin, with its query and the outcome."""
    record, url = await _checkout(sandbox, callbackUrl=f"{shop.url}?cart=7")
    await browser.open(url)
    await browser.press(button)
    await browser.shows("Welcome back")
    assert shop.returns == [f"cart=7&batch={record.collection_id}&status={status}"]


async def test_the_shop_may_send_the_customer_on(
    browser: Browser, sandbox: Sandbox, shop: Shop
) -> None:
    """As a shop under development does, whose API and pages have different ports."""
    pages, runner = await _run_shop()
    _, url = await _checkout(sandbox, callbackUrl=f"{shop.url}?elsewhere={pages.url}")
    await browser.open(url)
    await browser.press("Pay")
    await browser.shows("Welcome back")
    await runner.cleanup()
    assert len(pages.returns) == 1


async def test_no_script_of_an_order_runs(browser: Browser, shop: Shop) -> None:
    """It is shown as the text that it is."""
    evil = "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>"
    async with Sandbox(merchant=evil) as sandbox:
        record, url = await _checkout(sandbox, orderId=evil, description=evil, callbackUrl=shop.url)
        await browser.open(url)
        assert evil in await browser.text()
        await sandbox.pay(record.collection_id)
        await browser.open(sandbox.url)
        assert evil in await browser.text()
        assert await browser.script("return window.hacked === undefined")


@pytest.mark.parametrize("path", ["/", "/sci/checkout?batch=unknown", None])
async def test_the_browser_has_nothing_to_complain_about(
    browser: Browser, sandbox: Sandbox, path: str | None
) -> None:
    """The policy allows what the pages need, and they need nothing else."""
    _, url = await _checkout(sandbox)
    await browser.open(url if path is None else sandbox.url + path)
    complaints = await browser.complaints()
    assert [text for text in complaints if "404 (Not Found)" not in text] == []


async def test_the_remaining_time_runs(browser: Browser) -> None:
    """On the sandbox's clock; when it is over, the page says so by itself."""
    async with Sandbox(time_scale=8000) as sandbox:
        _, url = await _checkout(sandbox)
        await browser.open(url)
        await browser.shows("This checkout has expired")


@pytest.mark.parametrize("page", ["checkout", "finished", "console", "story"])
async def test_a_page_fits_a_phone(browser: Browser, sandbox: Sandbox, page: str) -> None:
    """Nothing has to be scrolled sideways, however long the words of an order are."""
    record, url = await _checkout(sandbox, orderId="x" * 100, description="y" * 100)
    if page == "finished":
        await sandbox.pay(record.collection_id)
    await browser.command("Emulation.setDeviceMetricsOverride", PHONE)
    story = f"{sandbox.url}/?checkout={record.collection_id}"
    await browser.open({"console": sandbox.url, "story": story}.get(page, url))
    assert await browser.script("return document.documentElement.scrollWidth") == PHONE["width"]


@pytest.mark.parametrize("page", ["checkout", "console"])
async def test_every_control_has_a_name_for_those_who_cannot_see(
    browser: Browser, sandbox: Sandbox, page: str
) -> None:
    """As the browser tells it to a screen reader."""
    _, url = await _checkout(sandbox)
    await browser.open(sandbox.url if page == "console" else url)
    await browser.script(
        "for (const item of document.querySelectorAll('details')) item.open = true"
    )
    tree = await browser.command("Accessibility.getFullAXTree", {})
    roles = {"button", "link", "textbox", "combobox", "heading", "timer"}
    controls = [node for node in tree["nodes"] if node.get("role", {}).get("value") in roles]
    nameless = [
        node["role"] for node in controls
        if not node.get("name", {}).get("value")
    ]  # fmt: skip
    assert len(controls) > 3
    assert nameless == []


async def test_the_console_is_live(browser: Browser, sandbox: Sandbox, shop: Shop) -> None:
    """What happens elsewhere appears, and a button acts without leaving the page."""
    await browser.open(sandbox.url)
    await browser.script("window.stayed = true")
    record, _ = await _checkout(sandbox, webhookUrl=shop.url)
    await browser.shows("INV-001")
    await browser.press("Pay", within="//article")
    await browser.shows("COMPLETED")
    await browser.shows("collection.received")
    assert sandbox.collection(record.collection_id).status == "COMPLETED"
    assert await browser.script("return window.stayed")


async def test_the_console_opens_the_story_of_a_checkout(
    browser: Browser, sandbox: Sandbox
) -> None:
    """Which is live, too."""
    record, _ = await _checkout(sandbox)
    await browser.open(sandbox.url)
    await browser.press("INV-001")
    await browser.shows("What happened")
    await sandbox.pay(record.collection_id)
    await browser.shows("COMPLETED")
    assert await browser.complaints() == []


async def test_what_somebody_writes_is_not_lost(browser: Browser, sandbox: Sandbox) -> None:
    """When something happens elsewhere meanwhile."""
    record, _ = await _checkout(sandbox)
    await sandbox.pay(record.collection_id)
    await browser.open(sandbox.url)
    await browser.shows("live")
    find = "const i = document.querySelector('#collections input[name=amount]');"
    await browser.script(f"{find} i.focus(); i.value = '5'")
    await _checkout(sandbox, orderId="INV-002", description="Another plan", webhookUrl=None)
    sandbox.faults.next("* *", respond(500))
    await browser.shows("respond(500)")
    assert await browser.script(f"{find} return i.value") == "5"
    await browser.script("document.activeElement.blur()")
    await browser.shows("INV-002")


async def test_the_console_says_what_went_wrong(browser: Browser, sandbox: Sandbox) -> None:
    """Without leaving the page."""
    await browser.open(sandbox.url)
    await browser.press("Send a test delivery")
    await browser.press("Send", within="//form[@action='/_sandbox/webhooks/test']")
    await browser.shows("no webhook URL is configured")


async def test_the_console_asks_only_for_what_a_fault_needs(
    browser: Browser, sandbox: Sandbox
) -> None:
    """A delay has seconds, an answer has a status; without scripts all fields are there."""
    await browser.open(sandbox.url)
    await browser.press("Arm a fault")
    shown = "return [...document.querySelectorAll('[data-faults]:not([hidden]) input')].map(i => i.name)"
    choose = "const s = document.querySelector('select[name=fault]'); s.value = '{}'; s.dispatchEvent(new Event('change'))"
    for fault, fields in (
        ("delay", ["seconds"]),
        ("respond", ["status", "retryAfter"]),
        ("truncate", []),
    ):
        await browser.script(choose.format(fault))
        assert await browser.script(shown) == fields


async def test_the_console_notices_that_the_sandbox_is_gone(browser: Browser) -> None:
    """Instead of showing old news as live."""
    async with Sandbox() as sandbox:
        await browser.open(sandbox.url)
        await browser.shows("live")
    await browser.shows("sandbox is gone")


async def test_everything_works_without_javascript(
    browser: Browser, sandbox: Sandbox, shop: Shop
) -> None:
    """The checkout, and the buttons of the console."""
    await browser.command("Emulation.setScriptExecutionDisabled", {"value": True})
    first, url = await _checkout(sandbox, callbackUrl=shop.url)
    second, _ = await _checkout(sandbox, orderId="INV-002")
    await browser.open(url)
    await browser.press("Pay")
    await until(lambda: bool(shop.returns))
    await browser.open(sandbox.url)
    await browser.press("Pay", within="//article")
    await until(lambda: sandbox.collection(second.collection_id).status == "COMPLETED")
    assert not await browser.do(lambda: browser.driver.find_element("id", "live").is_displayed())
    assert shop.returns == [f"batch={first.collection_id}&status=COMPLETED"]
