"""Transactions that wait at the same time go together, and each is told its own result."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from paycollect.cashier._grouping import LARGEST_GROUP, Grouping


class Database:
    """Plays transactions, of which each is a function that gives its name, or fails."""

    def __init__(self) -> None:
        self.played: list[list[str]] = []
        self.gate = asyncio.Event()
        self.begun = asyncio.Event()
        self.death: BaseException | None = None
        self.grouping = Grouping(self.alone, self.together)

    async def alone(self, steps: Any) -> str:
        """Play one."""
        self.begun.set()
        await self.gate.wait()
        name: str = steps()
        self.played.append([name])
        return name

    async def together(self, group: Sequence[Any]) -> list[str]:
        """Play some: all or none."""
        if self.death is not None:
            raise self.death
        names = [steps() for steps in group]
        self.played.append(names)
        return names

    def ask(self, name: str) -> asyncio.Task[Any]:
        """Ask for one; a name of digits is a number that must not be 0."""
        return asyncio.create_task(
            self.grouping.run(lambda: name if int(name or 1, 36) else 1 // 0)  # type: ignore[arg-type, return-value]  # a fake
        )


@pytest.fixture
async def database() -> Database:
    """A database that is busy until its gate opens."""
    return Database()


async def test_what_waits_goes_together(database: Database) -> None:
    """The first goes alone; who comes meanwhile, and at once after it, shares the next commit."""
    asked = [database.ask(name) for name in "abc"]
    await database.begun.wait()
    database.gate.set()
    assert await asyncio.gather(*asked) == ["a", "b", "c"]
    assert database.played == [["a"], ["b", "c"]]
    assert await database.ask("d") == "d"
    assert database.played[2:] == [["d"]]


async def test_who_comes_back_at_once_is_in_the_next_group(database: Database) -> None:
    """Else a full group and one straggler would take turns."""

    async def twice(name: str) -> None:
        for _ in range(2):
            await database.grouping.run(lambda: name)  # type: ignore[arg-type,return-value]  # a fake

    asked = [asyncio.create_task(twice(name)) for name in "abcd"]
    await database.begun.wait()
    database.gate.set()
    await asyncio.gather(*asked)
    assert database.played == [["a"], ["b", "c", "d"], ["a", "b", "c", "d"]]


async def test_one_that_fails_harms_no_other(database: Database) -> None:
    """They are played one by one, and only who has failed is told so."""
    asked = [database.ask(name) for name in "ab0c"]
    await database.begun.wait()
    database.gate.set()
    results = await asyncio.gather(*asked, return_exceptions=True)
    assert [str(result) for result in results] == [
        "a",
        "b",
        "integer division or modulo by zero",
        "c",
    ]
    assert database.played == [["a"], ["b"], ["c"]]


async def test_who_is_cancelled_keeps_nobody(database: Database) -> None:
    """Neither as the first, nor as one of a group, whether that goes well or not."""
    for last in ("d", "0"):
        database.gate.clear()
        asked = [database.ask(name) for name in ("a", "b", last)]
        await database.begun.wait()
        asked[0].cancel()
        asked[1].cancel()
        await asyncio.wait(asked[:2])
        database.gate.set()
        await asyncio.wait(asked)
        assert [one.cancelled() for one in asked] == [True, True, False]
        database.begun.clear()
        assert await database.ask("x") == "x"


async def test_the_end_of_the_world(database: Database) -> None:
    """Whoever waits in a group is told of a death; what comes later is played again."""

    class DeathError(BaseException):
        pass

    asked = [database.ask(name) for name in "abc"]
    await database.begun.wait()
    database.death = DeathError()
    database.gate.set()
    results = await asyncio.gather(*asked, return_exceptions=True)
    assert results == ["a", database.death, database.death]
    database.death = None
    assert await database.ask("x") == "x"


async def test_no_group_is_endless(database: Database) -> None:
    """The rest goes with the next one."""
    asked = [database.ask("1") for _ in range(LARGEST_GROUP + 3)]
    await database.begun.wait()
    database.gate.set()
    await asyncio.gather(*asked)
    assert [len(names) for names in database.played] == [1, LARGEST_GROUP, 2]


def test_another_event_loop_has_a_line_of_its_own() -> None:
    """Whoever waited on one that has ended holds nobody up: so it is after a fork."""
    made: list[Database] = []

    async def leave() -> None:
        made.append(Database())
        made[0].ask("a")
        await made[0].begun.wait()

    async def come() -> str:
        made[0].gate = asyncio.Event()
        made[0].gate.set()
        found: str = await made[0].ask("b")
        return found

    asyncio.run(leave())
    assert asyncio.run(come()) == "b"
