"""The README is true: its code runs, its tree is the tree, its rooms exist."""

from __future__ import annotations

import inspect
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from paycollect import SessionManager, errors, ipn
from paycollect.sandbox import Sandbox
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
async def sandbox() -> AsyncIterator[Sandbox]:
    """The provider on the desk."""
    async with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
async def pay(sandbox: Sandbox) -> AsyncIterator[SessionManager]:
    """A manager that speaks to it."""
    async with SessionManager(
        app_id=sandbox.app_id, secret_key=sandbox.secret_key, base_url=sandbox.base_url
    ) as pay:
        yield pay


async def test_quickstart(code: dict[str, Any], sandbox: Sandbox, pay: SessionManager) -> None:
    """Create, webhook and callback, from the order to the goods."""
    url = await code["start_payment"](pay, "INV-001")
    collection_id = url.rpartition("=")[2]
    callback_url = f"https://shop.example/return?batch={collection_id}&status=COMPLETED"
    receiver = ipn.Receiver(secrets=sandbox.webhook_secret)
    data = {"collectionId": collection_id, "orderId": "INV-001", "amount": 25}
    body = sign_webhook({**data, "status": "COMPLETED"}, sandbox.webhook_secret)

    assert await code["on_webhook"](pay, receiver, body) == 200
    assert code["fulfilled"] == []
    assert await code["on_return"](pay, callback_url) == "We have no payment yet (not_completed)."

    await sandbox.pay(collection_id)
    assert await code["on_webhook"](pay, receiver, body) == 200
    assert code["fulfilled"] == ["INV-001"]
    assert await code["on_webhook"](pay, receiver, body.replace(b"25", b"99")) == 401
    assert await code["on_return"](pay, callback_url) == "Thank you!"


async def test_settings_from_the_environment(
    code: dict[str, Any],
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The blocks that read the environment do, and leave a token for the next process."""
    monkeypatch.setenv("PAYCOLLECT_APP_ID", sandbox.app_id)
    monkeypatch.setenv("PAYCOLLECT_SECRET_KEY", sandbox.secret_key)
    monkeypatch.setenv("PAYCOLLECT_BASE_URL", sandbox.base_url)
    monkeypatch.setenv("PAYCOLLECT_WEBHOOK_SECRET", sandbox.webhook_secret)
    monkeypatch.chdir(tmp_path)
    await code["main"]()
    assert "/sci/checkout?batch=" in capsys.readouterr().out
    async with code["shared_token"]() as pay:
        assert await pay.find_by_order_id("INV-001") is not None
    assert (tmp_path / "paycollect-token.json").exists()
    body = sign_webhook({"collectionId": "SCI1"}, "whsec_of_somebody_else")
    assert "secret" in code["diagnose"](body)
    async with code["impatient"]() as pay:
        found = await pay.find_by_order_id("INV-001")
        await code["in_a_hurry"](pay, found.collection_id)


async def test_recovery(code: dict[str, Any], pay: SessionManager) -> None:
    """An order is started once; its id is not taken twice."""
    assert "batch=" in await code["start_safely"](pay, "INV-002")
    with pytest.raises(errors.DuplicateOrderError):
        await code["start_safely"](pay, "INV-002")


async def test_the_sandbox_in_a_test(code: dict[str, Any]) -> None:
    """The test that the README shows passes."""
    await code["test_my_shop"]()


def test_the_tree_of_errors_is_drawn_as_it_is() -> None:
    """The README, the docstring and the classes agree."""
    text = inspect.getdoc(errors) or ""
    drawing = "\n".join(line[4:] for line in text.splitlines() if line.startswith("    "))
    assert drawing in README
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


def test_the_map_shows_every_room() -> None:
    """Each module is on the map of the rooms, and nothing else is."""
    drawing = next(block for _, block in BLOCKS if block.startswith("paycollect/\n"))
    drawn = {name.rstrip("/") for name in re.findall(r"[a-z_]+(?:\.py|/)", drawing)[1:]}
    package = ROOT / "paycollect"
    rooms = {path.name for path in package.iterdir() if path.suffix == ".py" or path.is_dir()}
    unmapped = {"__init__.py", "__main__.py", "version.py", "__pycache__"}
    assert drawn == rooms - unmapped


def test_links_lead_somewhere() -> None:
    """Every relative link of the README and of the docs names a file that is there."""
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text("utf-8")):
            assert (page.parent / link).exists(), f"{page.name}: {link}"
