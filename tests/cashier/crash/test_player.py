"""What the player sees beside the end: wrong answers on the way, and shops that are odd."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from paycollect.cashier import Payment, Returned, Standing
from paycollect.crash import player, processes
from paycollect.crash.hooks import watch_statements
from paycollect.crash.life import DeathError, Life, Memory
from paycollect.crash.player import play
from paycollect.crash.schedules import STORIES, Op, Schedule
from paycollect.crash.world import Outside, WorldClock
from paycollect.ipn import Receiver
from paycollect.testing import Shop, World, crash_test
from tests.cashier.crash.shops import right, shop_of, swallows

pytestmark = pytest.mark.timeout(300)
PAID: Schedule = (Op("create"), Op("pay"), Op("webhook", n=1), Op("work"))


async def test_a_provider_that_is_away(tmp_path: Path) -> None:
    """For lives that are processes, too."""
    ops = (Op("create"), Op("pay"), Op("away"), Op("create", 1), Op("work"), Op("here"), Op("work"))
    for real in (False, True):
        folder = tmp_path / str(real)
        folder.mkdir()
        outcome = await play(shop_of(right), ops, folder, real=real)
        assert not outcome.problems
        assert "ConnectError" in "\n".join(outcome.timeline)


async def test_all_that_storms_come_upon_by_chance(tmp_path: Path) -> None:
    """Lost answers, a shop that gives up, and everything else, each by its name."""
    kinds = (
        *("webhook", "back", "replay", "rush", "refund_part", "refund", "fail", "kill"),
        *("cancel", "decline", "expire", "stale", "work"),
    )
    ops = (Op("lose", n=9), Op("create"), Op("lose"), Op("create"), Op("close"), *PAID)
    ops += tuple(Op(kind, order, n=1) for kind in kinds for order in (0, 1, 2))
    outcome = await play(shop_of(right), ops, tmp_path)
    assert not outcome.problems
    assert "ResponseLostError" in "\n".join(outcome.timeline)


@pytest.mark.parametrize("real", [False, True])
async def test_deaths_and_failures_come_where_they_are_planned(tmp_path: Path, real: bool) -> None:
    """Two planned at once: the second counts from the first; a disk may be full before a life."""
    ops = (
        *(Op("fail", n=1), Op("create"), Op("pay"), Op("webhook", n=1)),
        *(Op("die", n=2, at="handler:on_paid:start"), Op("die", n=1, at="statement:on_paid")),
        *(Op("work"), Op("wait", n=3600), Op("work"), Op("wait", n=3600), Op("work")),
        *(Op("fail", n=1), Op("work")),
    )
    outcome = await play(shop_of(right), ops, tmp_path, real=real)
    assert outcome.problems == ()
    assert outcome.deaths == ((2, "handler:on_paid:start"), (1, "statement:on_paid"))
    assert [row[1] for row in outcome.orders] == ["fulfilled"]


async def test_nothing_of_a_dead_life_goes_on(tmp_path: Path) -> None:
    """Whatever it tries raises again; a handler that went on after its death is noted."""
    world = Outside(WorldClock()).world(tmp_path)
    memory = Memory()
    life = Life(shop_of(right)(world), world, memory)
    memory.plan((1, "statement:on_paid"))
    life.reach("handler:on_paid:start")
    with pytest.raises(DeathError):
        life.reach("statement:on_paid")
    for point in ("commit:before", "sql:insert"):
        with pytest.raises(DeathError):
            life.reach(point)
    assert memory.swallowed == set()
    with pytest.raises(DeathError):
        life.reach("handler:on_paid:end")
    assert memory.swallowed == {"on_paid"}
    await life.end()


async def test_statements_of_all_kinds_are_points(tmp_path: Path) -> None:
    """Of the connection, of a cursor, one or many."""

    def ship(_world: World, tx: sqlite3.Connection, payment: Payment) -> None:
        tx.executemany("INSERT INTO marks VALUES (?)", [[payment.order_id]])
        tx.cursor().executemany("INSERT INTO marks VALUES (?)", [[payment.order_id]])
        tx.cursor().execute("DELETE FROM marks")
        right(_world, tx, payment)

    outcome = await play(shop_of(ship), PAID, tmp_path)
    assert not outcome.problems
    assert outcome.points.count("statement:on_paid") == 4


def test_a_store_of_another_kind() -> None:
    """Its own points are there; those of handlers are not."""
    watch_statements(object(), lambda: None)()


async def test_a_genuine_webhook_that_is_refused(tmp_path: Path) -> None:
    """The shop has another secret."""

    def make_shop(world: World) -> Shop:
        world.receiver = Receiver(secrets="whsec_another")
        return shop_of(right)(world)

    outcome = await play(make_shop, PAID, tmp_path)
    assert "a genuine webhook was answered 401" in outcome.problems


class Odd:
    """A cashier that tells what is not so."""

    def __init__(self, cashier: Any) -> None:
        self._cashier = cashier

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cashier, name)

    async def returned(self, url: str) -> Returned:
        """Say that it is paid."""
        return Returned(standing=Standing.PAID)

    async def create_checkout(self, **arguments: Any) -> Any:
        """Give another checkout."""

        class Other:
            collection_id = "SCI000"

        await self._cashier.create_checkout(**arguments)
        return Other


async def test_what_customers_are_told(tmp_path: Path) -> None:
    """That an order is paid, which is not; that there is another checkout for it."""

    def make_shop(world: World) -> Shop:
        shop = shop_of(right)(world)
        odd: Any = Odd(shop.cashier)
        return Shop(cashier=odd, delivered=shop.delivered, close=lambda: None)

    outcome = await play(make_shop, (Op("create"), Op("back")), tmp_path)
    assert outcome.problems == (
        "order-0 has had 1 checkouts",
        "the customer of order-0 was told that it is paid",
    )


async def test_what_nobody_foresaw_is_raised(tmp_path: Path) -> None:
    """Also where everything happens at once; and the shop is closed all the same."""
    closed: list[Path] = []

    class Broken(Odd):
        async def replay(self, order_id: str) -> None:
            raise LookupError(order_id)

    def make_shop(world: World) -> Shop:
        async def close() -> None:
            closed.append(world.folder)

        shop = shop_of(right)(world)
        odd: Any = Broken(shop.cashier)
        return Shop(cashier=odd, delivered=shop.delivered, close=close)

    with pytest.raises(LookupError, match="order-0"):
        await play(make_shop, (Op("create"), Op("rush")), tmp_path)
    assert closed == [tmp_path]


async def test_work_that_does_not_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shop that is always busy is left alone after a while."""
    monkeypatch.setattr(player, "_ROUNDS", 1)
    assert not (await play(shop_of(right), PAID[:3], tmp_path)).problems


async def test_a_handler_that_survives_its_death(tmp_path: Path) -> None:
    """It has caught what it must not catch."""
    outcome = await play(
        shop_of(swallows), (Op("die", n=1, at="statement:on_paid"), *PAID), tmp_path
    )
    assert "on_paid has caught the death of its process" in "\n".join(outcome.problems)


async def test_a_process_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said, and the process is killed."""

    def make_shop(world: World) -> Shop:
        shop = shop_of(right)(world)
        shop.cashier.handlers._handlers["after_paid"] = hangs
        return shop

    async def hangs(_payment: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(processes, "_PATIENCE", 2.0)
    with pytest.raises(TimeoutError, match="the process has not answered for 2 s"):
        await play(make_shop, PAID, tmp_path, real=True)


def test_a_failure_that_does_not_come_again() -> None:
    """It is shown as it was."""
    counts = [2]

    def make_shop(world: World) -> Shop:
        shop = shop_of(right)(world)
        return Shop(
            cashier=shop.cashier,
            delivered=lambda order_id: counts.pop() if counts else shop.delivered(order_id),
        )

    report = crash_test(make_shop, schedules=1)
    (finding,) = report.findings
    assert finding.schedule == STORIES[0]
    assert "delivered 2 x" in str(report)


async def test_the_session_can_be_closed(tmp_path: Path) -> None:
    """As a careful shop does."""
    world = Outside(WorldClock()).world(tmp_path)
    await world.pay.get_pricing()
    await world.pay.aclose()


async def test_a_process_that_dies_after_its_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By what it went on with, while it is looked at: it is started again as after any death."""
    look = processes.ProcessLife.look
    killed: list[int] = []

    async def look_later(life: processes.ProcessLife) -> Any:
        if not killed:
            killed.append(life._pid)
            os.kill(life._pid, signal.SIGKILL)
        return await look(life)

    monkeypatch.setattr(processes.ProcessLife, "look", look_later)
    outcome = await play(shop_of(right), PAID, tmp_path, real=True)
    assert killed
    assert outcome.problems == ()


async def test_what_the_provider_cannot_do_is_told(tmp_path: Path) -> None:
    """A storm may pay what is not there yet, and refund what was never paid."""
    ops = (Op("pay"), Op("create"), Op("refund_part"), Op("pay"), Op("work"))
    outcome = await play(shop_of(right), ops, tmp_path)
    assert outcome.problems == ()
    told = "\n".join(outcome.timeline)
    assert "the provider has no such order" in told
    assert "the provider refuses" in told
