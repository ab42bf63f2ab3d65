"""The README is true: its code runs, and its links lead somewhere."""

from __future__ import annotations

import asyncio
import inspect
import re
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web

from paycollect import RetryPolicy, SessionManager, errors
from paycollect.cli.demo import settings
from paycollect.sandbox import Sandbox, drop_after_commit
from paycollect.testing import sign_webhook

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.fixture
def code() -> dict[str, Any]:
    """Everything that the README's Python blocks define, and the orders that they fulfil."""
    fulfilled: list[str] = []

    async def fulfil_once(order_id: str) -> None:
        fulfilled.append(order_id)

    names: dict[str, Any] = {"fulfil_once": fulfil_once, "fulfilled": fulfilled}
    for language, block in BLOCKS:
        if language == "python":
            exec(compile(block, "README.md", "exec", dont_inherit=True), names)
    return names


@pytest.fixture
async def sandbox(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Sandbox]:
    """The provider on the desk, named by the environment."""
    async with Sandbox() as sandbox:
        for name, value in settings(sandbox).items():
            monkeypatch.setenv(name, value)
        yield sandbox


@pytest.fixture
async def pay(sandbox: Sandbox) -> AsyncIterator[SessionManager]:
    """A manager that speaks to it."""
    async with SessionManager.from_env() as pay:
        yield pay


@asynccontextmanager
async def serving(make_app: Any) -> AsyncIterator[str]:
    """A life of the quickstart's shop, on a free port."""
    runner = web.AppRunner(await make_app(), shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def parcels() -> list[tuple[str]]:
    """What was delivered; the table is made with the first parcel."""
    with closing(sqlite3.connect("shop.db")) as db, suppress(sqlite3.OperationalError):
        return db.execute("SELECT * FROM parcels").fetchall()
    return []


async def test_quickstart(
    code: dict[str, Any], sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A payment of which the shop hears only in its next life is delivered once."""
    monkeypatch.chdir(tmp_path)
    async with ClientSession() as browser:
        async with serving(code["make_app"]) as url:
            answer = await browser.post(f"{url}/buy/INV-001", allow_redirects=False)
            assert answer.status == 303
            (made,) = sandbox.collections
            back = f"/return?batch={made.collection_id}&status=COMPLETED"
            assert await (await browser.get(url + back)).text() == "Your payment: pending"
        data = {"collectionId": made.collection_id, "orderId": "INV-001", "status": "COMPLETED"}
        sandbox.provider.send = lambda _: None  # to nowhere
        await sandbox.pay(made.collection_id)
        async with serving(code["make_app"]) as url:
            genuine = sign_webhook(data, sandbox.webhook_secret)
            forged = sign_webhook(data, "whsec_guessed")
            for body, status in ((forged, 401), (genuine, 200), (genuine, 200)):
                assert (await browser.post(f"{url}/webhook", data=body)).status == status
            async with asyncio.timeout(5):
                while not parcels():  # noqa: ASYNC110  # a thread writes it
                    await asyncio.sleep(0.01)
            assert parcels() == [("INV-001",)]
            assert await (await browser.get(url + back)).text() == "Your payment: paid"


def test_the_quickstart_is_short() -> None:
    """And so is the README."""
    assert len(next(block for language, block in BLOCKS if language == "python").splitlines()) < 40
    assert len(README.splitlines()) < 200


async def test_by_hand(code: dict[str, Any], sandbox: Sandbox, pay: SessionManager) -> None:
    """Create, webhook and callback, from the order to the goods."""
    sandbox.provider.send = lambda _: None  # to nowhere
    url = await code["start_payment"](pay, "INV-001")
    collection_id = url.rpartition("=")[2]
    callback_url = f"https://shop.example/return?batch={collection_id}&status=COMPLETED"
    webhooks = code["webhooks"](pay)
    data = {"collectionId": collection_id, "orderId": "INV-001", "amount": 25}
    body = sign_webhook({**data, "status": "COMPLETED"}, sandbox.webhook_secret)

    async def answer(body: bytes) -> int:
        status: int = (await webhooks.receive(body)).status
        return status

    # The event says COMPLETED, the record does not yet: nothing to fulfil, and to be sent again.
    assert await answer(body) == 503
    pending = sign_webhook({**data, "status": "PENDING"}, sandbox.webhook_secret)
    assert await answer(pending) == 200
    other = sign_webhook({**data, "orderId": "INV-9"}, sandbox.webhook_secret)
    assert await answer(other) == 200
    assert code["fulfilled"] == []
    assert await code["on_return"](pay, callback_url) == "We have no payment yet (pending)."

    await sandbox.pay(collection_id)
    assert await answer(body) == 200
    assert code["fulfilled"] == ["INV-001"]
    assert await answer(body.replace(b"25", b"99")) == 401
    assert await code["on_return"](pay, callback_url) == "Thank you!"


async def test_recovery(code: dict[str, Any], pay: SessionManager) -> None:
    """An order is started once; its id is not taken twice."""
    assert "batch=" in await code["start_safely"](pay, "INV-002")
    with pytest.raises(errors.DuplicateOrderError):
        await code["start_safely"](pay, "INV-002")


async def test_the_way_out_of_unknown(code: dict[str, Any], sandbox: Sandbox) -> None:
    """After a lost answer, the order that was made is the one that the customer is sent to."""
    async with SessionManager(
        app_id=sandbox.app_id,
        secret_key=sandbox.secret_key,
        base_url=sandbox.base_url,
        retry=RetryPolicy(max_retries=0),
    ) as pay:
        sandbox.faults.next("POST /collections", drop_after_commit())
        url = await code["start_safely"](pay, "INV-003")
        (made,) = sandbox.collections
        assert (made.order.order_id, made.collection_id in url) == ("INV-003", True)


async def test_the_sandbox_in_a_test(code: dict[str, Any]) -> None:
    """The test that the README shows passes."""
    await code["test_my_shop"]()


def test_the_tree_of_errors_is_drawn_as_it_is() -> None:
    """The docstring, which the reference shows, and the classes agree."""
    text = inspect.getdoc(errors) or ""
    drawing = "\n".join(line[4:] for line in text.splitlines() if line.startswith("    "))
    parents: list[type] = []
    drawn = set()
    for line in drawing.splitlines():
        stem, name = re.findall(r"^((?:[|` ]   |[|`]-- )*)(\w+)", line)[0]
        depth, cls = len(stem) // 4, getattr(errors, name)
        parents[depth:] = [cls]
        drawn.add(cls)
        assert depth == 0 or cls.__bases__[0] is parents[depth - 1]
    assert drawn == {
        cls
        for cls in vars(errors).values()
        if isinstance(cls, type) and issubclass(cls, errors.PayCollectError)
    }


def test_links_lead_somewhere() -> None:
    """Every relative link of the README and of the docs names a file that is there."""
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text("utf-8")):
            assert (page.parent / link).exists(), f"{page.name}: {link}"
