"""What lasts: the state of a sandbox in a file, and a start with what a seed says."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from paycollect.sandbox import Sandbox, drop_after_commit, respond
from paycollect.sandbox.http.state_file import VERSION
from tests.sandbox.conftest import ORDER, Caller, Merchant, until

SEED = {
    "balance": 100,
    "webhookUrl": "https://shop.example/hook",
    "collections": [
        {"amount": 25.5, "orderId": "A", "description": "Plan", "collectionId": "SCI0000000000001"},
        {"amount": 10, "orderId": "B", "description": "Plan", "status": "COMPLETED"},
        {"amount": 10, "orderId": "C", "description": "Plan", "status": "FAILED"},
        {"amount": 10, "orderId": "D", "description": "Plan", "status": "CANCELLED"},
        {"amount": 10, "orderId": "E", "description": "Plan", "status": "EXPIRED"},
        {"amount": 10, "orderId": "F", "description": "Plan", "status": "REFUNDED"},
        {
            "amount": 10,
            "orderId": "G",
            "description": "Plan",
            "status": "PARTIALLY_REFUNDED",
            "refundAmount": 3,
        },
    ],
}
TOML = """
balance = 100
webhookUrl = "https://shop.example/hook"

[[collections]]
amount = 25.50
orderId = "A"
description = "Plan"
collectionId = "SCI0000000000001"
"""


async def test_everything_lasts(
    tmp_path: Path, http: aiohttp.ClientSession, merchant: Merchant
) -> None:
    """Collections and their history, money, tokens, webhooks, faults and the time."""
    file = tmp_path / "state.json"
    merchant.answers = [500]
    async with Sandbox(state=file, time_scale=0, event_ids="both", refund_delay=600) as first:
        call = Caller(first, http)
        await call("PUT", "/webhooks", {"webhookUrl": merchant.url})
        paid = await call.create(metadata={"price": 1, "list": [1.5, None, {"ü": True}]})
        other = await call.create(orderId="B", webhookUrl=None)
        first.clock.advance(100)
        await first.pay(paid)
        await first.drained()
        await first.refund(paid, Decimal(5))
        first.faults.next("POST /collections", respond(503, {"Retry-After": "2"}))
        first.faults.always("POST /auth/token", drop_after_commit())
        before = first.collections
    async with Sandbox(state=file, time_scale=0, event_ids="both") as second:
        assert second.collections == before
        assert second.provider.ledger.history(paid)[0][1].status == "PENDING"
        assert second.collection(before[0].event_reference).collection_id == other
        assert str(second.balance) == "19.25"
        assert abs((second.clock.now() - first.clock.now()).total_seconds()) < 2
        assert [str(entry.fault) for entry in second.faults.armed] == [
            "respond(503, Retry-After: 2)",
            "drop_after_commit()",
        ]
        again = Caller(second, http, call.token)
        assert (await again("GET", f"/collections/{paid}")).data["metadata"] == {
            "price": 1,
            "list": [Decimal("1.5"), None, {"ü": True}],
        }
        assert (await again("GET", "/webhooks")).data["webhookUrl"] == merchant.url
        (delivery,) = second.deliveries
        assert (delivery.state, delivery.attempts[0].status) == ("waiting", 500)
        second.clock.advance(60)
        await second.drained()
        assert [attempt.status for attempt in delivery.attempts] == [500, 200]
        await second.redeliver(1)
        await second.drained()
        await second.pay(other)
        await second.drained()
        assert [entry.delivery_id for entry in second.deliveries] == [1, 2]
        second.clock.advance(600)
        assert second.collection(paid).status == "PARTIALLY_REFUNDED"
        await second.drained()
    async with Sandbox(state=file, time_scale=0) as third:
        assert [entry.state for entry in third.deliveries] == ["delivered"] * 3
        assert len(merchant.bodies) == 5
    assert merchant.bodies[0] == merchant.bodies[1]


async def test_the_file_follows_every_change(tmp_path: Path) -> None:
    """Not only the end; it is readable by its owner only, and no draft stays behind."""
    file = tmp_path / "state.json"
    draft = tmp_path / "state.json.new"
    draft.write_text("of a run that was killed")
    async with Sandbox(state=file, time_scale=0) as sandbox:
        await until(file.exists)
        await sandbox.create(ORDER)
        await until(lambda: "INV-001" in file.read_text())
        assert file.stat().st_mode & 0o777 == 0o600
    assert not draft.exists()


async def test_a_sandbox_that_is_opened_again_keeps_its_own_state(tmp_path: Path) -> None:
    """The file is read once."""
    sandbox = Sandbox(state=tmp_path / "state.json", time_scale=0)
    async with sandbox:
        record = await sandbox.create(ORDER)
    async with sandbox:
        assert sandbox.collections == [record]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        f'{{"version": {VERSION}}}',
        f'{{"version": {VERSION}, "webhooks": {{}}, "collections": [1]}}',
        f'{{"version": {VERSION + 1}}}',
    ],
)
async def test_a_file_of_something_else_is_refused(tmp_path: Path, text: str) -> None:
    """And left as it is."""
    file = tmp_path / "state.json"
    file.write_text(text)
    with pytest.raises(ValueError, match=r"state|JSON|Expecting"):
        await Sandbox(state=file).start()
    assert file.read_text() == text


@pytest.mark.parametrize("name", ["seed.json", "seed.toml"])
async def test_a_seed_is_a_reproducible_start(
    tmp_path: Path, merchant: Merchant, name: str
) -> None:
    """The same ids at every start, and nothing is told."""
    file = tmp_path / name
    file.write_text(TOML if name.endswith("toml") else json.dumps(SEED))
    ids = []
    for _ in range(2):
        async with Sandbox(seed=file, time_scale=0) as sandbox:
            ids.append(
                [(r.collection_id, r.event_reference, r.reference) for r in sandbox.collections]
            )
            first = sandbox.collections[-1]
            assert (first.collection_id, str(first.amount)) == ("SCI0000000000001", "25.50")
            assert (first.event_reference, str(sandbox.balance)) == ("COL0000000000001", "100")
            assert sandbox.deliveries == []
            if name == "seed.json":
                states = {r.order.order_id: r.status.value for r in sandbox.collections}
                assert states == {
                    "A": "PENDING", "B": "COMPLETED", "C": "FAILED", "D": "CANCELLED",
                    "E": "EXPIRED", "F": "REFUNDED", "G": "PARTIALLY_REFUNDED",
                }  # fmt: skip
                await sandbox.pay(first.collection_id)
                assert [entry.url for entry in sandbox.deliveries] == ["https://shop.example/hook"]
    assert ids[0] == ids[1]


async def test_a_state_is_stronger_than_a_seed(tmp_path: Path) -> None:
    """The seed is where the first life begins."""
    seed = tmp_path / "seed.json"
    seed.write_text(json.dumps(SEED))
    for count in (7, 8):
        async with Sandbox(seed=seed, state=tmp_path / "state.json", time_scale=0) as sandbox:
            assert len(sandbox.collections) == count
            if count == 7:
                await sandbox.create(ORDER)


@pytest.mark.parametrize(
    ("seed", "problem"),
    [
        ("nonsense", "seed.json is not valid JSON"),
        ([], "an object"),
        ({"collections": [1]}, "collection 1: .*object"),
        ({"collections": [{}]}, "collection 1: amount is required"),
        ({"collections": [ORDER, ORDER]}, "collection 2: orderId must be unique"),
        ({"collections": [ORDER | {"status": "PAID"}]}, "collection 1: status: one of PENDING"),
        ({"webhookUrl": "ftp://x"}, "webhookUrl must be"),
        ({"balance": "much"}, "balance must be a number"),
    ],
)
async def test_a_seed_that_is_wrong_says_where(tmp_path: Path, seed: Any, problem: str) -> None:
    """And the sandbox does not start."""
    file = tmp_path / "seed.json"
    file.write_text(seed if isinstance(seed, str) else json.dumps(seed))
    sandbox = Sandbox(seed=file)
    with pytest.raises(ValueError, match=problem):
        await sandbox.start()
    await asyncio.sleep(0)


@pytest.mark.parametrize("option", ["seed", "state"])
async def test_a_file_that_cannot_be_used_is_an_error(tmp_path: Path, option: str) -> None:
    """It says which and why."""
    with pytest.raises(ValueError, match=f"{option}: .*cannot be .*: No such file"):
        await Sandbox(**{option: tmp_path / "nowhere" / "file.json"}).start()  # type: ignore[arg-type]  # either option
    with pytest.raises(ValueError, match=f"{option}: .*cannot be .*: Is a directory"):
        await Sandbox(**{option: tmp_path}).start()  # type: ignore[arg-type]  # either option


async def test_an_empty_seed_is_one(tmp_path: Path) -> None:
    """All of its members are optional."""
    file = tmp_path / "seed.json"
    file.write_text("{}")
    async with Sandbox(seed=file) as sandbox:
        assert sandbox.collections == []


async def test_the_state_can_be_exported(call: Caller, tmp_path: Path) -> None:
    """As a file that another sandbox takes for its own."""
    collection_id = await call.create()
    reply = await call.send("GET", "/_sandbox/export")
    assert reply.headers["Content-Disposition"] == 'attachment; filename="sandbox-state.json"'
    file = tmp_path / "state.json"
    file.write_text(reply.text)
    async with Sandbox(state=file) as other:
        assert other.collection(collection_id).order.order_id == "INV-001"


async def test_old_tokens_are_forgotten(call: Caller, sandbox: Sandbox) -> None:
    """A day after their end."""
    await call.authenticate()
    sandbox.clock.advance(2 * 86400)
    await call.authenticate()
    assert len(list(sandbox.provider.tokens)) == 1
