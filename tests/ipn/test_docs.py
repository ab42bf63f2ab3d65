"""The page on webhooks does what it says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from paycollect import PayCollectError, PaymentNotConfirmedError, ServerError, ipn
from paycollect.errors import NotConfirmedReason
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

    def __init__(self, error: PayCollectError | None = None) -> None:
        self.confirmed: list[str | None] = []
        self.error = error

    async def confirm(self, event: ipn.WebhookEvent, *, deadline: float, **_: object) -> None:
        """Confirm anything, unless there is an error to raise."""
        assert deadline < 10
        if self.error is not None:
            raise self.error
        self.confirmed.append(event.order_id)


async def test_fulfil_once() -> None:
    """The handler of the page fulfils a paid order once, and nothing else."""
    handle = names_after("async def handle")["handle"]
    manager = Manager()
    paid = make_event(order_id="INV-001")
    answers = [await handle(manager, event) for event in (paid, paid, make_event("FAILED"))]
    assert answers == [200, 200, 200]
    assert manager.confirmed == ["INV-001"]


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (PaymentNotConfirmedError(reason=NotConfirmedReason.PENDING), 503),
        (PaymentNotConfirmedError(reason=NotConfirmedReason.NOT_FOUND), 503),
        (PaymentNotConfirmedError(reason=NotConfirmedReason.REFUNDED), 200),
        (ServerError(status=500), 503),
    ],
    ids=["pending", "not found", "refunded", "unknown"],
)
async def test_what_is_not_certain_is_delivered_again(error: PayCollectError, answer: int) -> None:
    """The handler of the page acknowledges nothing that may turn out to be paid."""
    names = names_after("async def handle")
    assert await names["handle"](Manager(error), make_event(order_id="INV-001")) == answer
    assert not names["fulfilled"]


def test_the_table_of_reasons() -> None:
    """The page lists every reason, and says rightly whether it stays so."""
    text = PAGE.read_text()
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|.*\| (yes|no) \|$", text, re.MULTILINE)
    told = {name: final for names, final in rows for name in re.findall(r"\w+", names)}
    assert told == {
        reason: "yes" if PaymentNotConfirmedError(reason=reason).is_final else "no"
        for reason in NotConfirmedReason
    }
