"""Schedules: what is made up, how it is told, and how it is made shorter."""

from __future__ import annotations

import random
from itertools import islice
from pathlib import Path

import pytest

from paycollect.crash.player import play
from paycollect.crash.schedules import (
    STORIES,
    Op,
    Schedule,
    all_schedules,
    by_name,
    shrink,
    storm,
    with_deaths,
)
from tests.cashier.crash.shops import right, shop_of

NAMES = ("commit:before", "handler:on_paid:start", "commit:after", *(["sql:x"] * 20))


def test_the_same_seed_makes_the_same_storms() -> None:
    """And another seed others; whatever happens can be said in words."""
    one, two, other = (storm(random.Random(seed)) for seed in (1, 1, 2))
    assert one == two != other
    for seed in range(200):
        assert all(str(op) for op in storm(random.Random(seed)))


def test_each_point_is_a_place_to_die_if_there_is_time() -> None:
    """Then come two deaths, and storms, without end."""
    points = [NAMES] * len(STORIES)
    total = len(NAMES) * len(STORIES)
    made = list(islice(all_schedules(points, random.Random(0), total), total + 8))
    assert made[:total] == [
        with_deaths(story, place) for story in STORIES for place in range(1, len(NAMES) + 1)
    ]
    assert [op.kind for op in made[total][:3]] == ["die", "die", STORIES[0][0].kind] or made[total]
    assert sum(schedule[0].kind == "die" for schedule in made[total:]) == 2


def test_the_points_of_a_handler_come_first() -> None:
    """Where there is no time for all of them."""
    made = all_schedules([NAMES], random.Random(0), 9)
    places = [schedule[0].n for schedule in islice(made, 9)]
    assert sorted(places)[:9] == [2, 3, 4, 5, 6, 7, 8, 9, places[-1]]


async def test_a_long_schedule_becomes_a_short_one() -> None:
    """Parts that do not matter go, and numbers become smaller."""
    long: Schedule = (
        *(Op("create", order) for order in range(3)),
        Op("die", n=7, at="commit:after"),
        *(Op("wait", n=3700), Op("pay", 1), Op("kill"), Op("lose", n=2), Op("work")),
    )

    async def fails(schedule: Schedule) -> bool:
        wanted = {"create", "pay", "wait", "die"}
        named = [op for op in schedule if op.kind == "die"]
        return wanted <= {op.kind for op in schedule} and all(op.n >= 2 for op in named)

    short = await shrink(long, fails)
    assert [op.kind for op in short] == ["create", "die", "wait", "pay"]
    assert [op.n for op in short] == [0, 2, 1, 0]
    assert "'commit:after', at time 2" in str(short[1])


async def test_shrinking_gives_up_in_time() -> None:
    """A schedule that takes long is not tried for ever."""
    tries = 0

    async def fails(_: Schedule) -> bool:
        nonlocal tries
        tries += 1
        return False

    long = storm(random.Random(1)) * 5
    assert await shrink(long, fails, tries=10) == long
    assert tries == 10


def test_deaths_are_named_by_where_they_were() -> None:
    """One that never came is left out."""
    schedule = (Op("die", n=40), Op("create"), Op("die", n=900))
    assert by_name(schedule, [(3, "commit:after")]) == (
        Op("die", n=3, at="commit:after"),
        Op("create"),
    )


AGREE = [
    with_deaths(STORIES[0], place) for place in (7, 15, 19, 21, 25, 31, 88, 92, 98, 100, 101, 104)
] + [with_deaths(STORIES[3], 90, 60), with_deaths(STORIES[5], 130)]


@pytest.mark.no_cover
@pytest.mark.parametrize("schedule", AGREE, ids=lambda ops: "-".join(str(op.n) for op in ops[:2]))
async def test_raised_deaths_and_real_ones_agree(schedule: Schedule, tmp_path: Path) -> None:
    """A process that is fenced after an exception ends as one that is killed by SIGKILL."""
    outcomes = []
    for real in (False, True):
        folder = tmp_path / str(real)
        folder.mkdir()
        outcomes.append(await play(shop_of(right), schedule, folder, real=real))
    raised, killed = outcomes
    assert raised.problems == killed.problems == ()
    assert raised.deaths == killed.deaths
    assert raised.deaths
    assert raised.orders == killed.orders
