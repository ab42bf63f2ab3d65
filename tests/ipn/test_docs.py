"""The page on webhooks does what it says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from paycollect import ipn
from paycollect.testing import make_event, sign_webhook

PAGE = Path(__file__).parents[2] / "docs" / "webhooks.md"
BLOCKS = re.findall(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", PAGE.read_text(), re.DOTALL)
SECRET = "whsec_a1b2c3d4e5f6g7h8"


def names_after(word: str) -> dict[str, Any]:
    """Run the block in which a word occurs, and give the names it defines."""
    code = next(code for code, _ in BLOCKS if word in code)
    names: dict[str, Any] = {}
    exec(compile(code, PAGE.name, "exec"), names)
    return names


@pytest.mark.parametrize(("code", "output"), BLOCKS)
def test_blocks_run(code: str, output: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every block runs as it stands, and prints what stands below it."""
    exec(compile(code, PAGE.name, "exec"), {})
    assert capsys.readouterr().out == output


def test_prove() -> None:
    """The handler of the page answers each case as its table says."""
    receive = names_after("def receive")["receive"]
    body = sign_webhook({"collectionId": "SCI1", "status": "COMPLETED"}, SECRET)
    status, event = receive(body)
    assert (status, event.collection_id) == (200, "SCI1")
    assert receive(body.replace(b"SCI1", b"SCI2")) == (401, None)
    assert receive(b"{") == (400, None)
    assert receive(b" " * (1024 * 1024 + 1)) == (413, None)
    assert receive(sign_webhook({"_test": True}, SECRET)) == (200, None)


class Manager:
    """Stands in for a SessionManager, and notes what it is asked to confirm."""

    def __init__(self) -> None:
        self.confirmed: list[str | None] = []

    async def confirm(self, event: ipn.WebhookEvent, **_: object) -> None:
        """Confirm anything."""
        self.confirmed.append(event.order_id)


async def test_fulfil_once() -> None:
    """The handler of the page fulfils a paid order once, and nothing else."""
    handle = names_after("async def handle")["handle"]
    manager = Manager()
    paid = make_event(order_id="INV-001")
    answers = [await handle(manager, event) for event in (paid, paid, make_event("FAILED"))]
    assert answers == ["fulfilled", "already fulfilled", "ignored"]
    assert manager.confirmed == ["INV-001"]
