"""The same storms on PostgreSQL: raised deaths, and processes that are killed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from paycollect.crash.player import play
from paycollect.crash.schedules import STORIES, Op, Schedule, with_deaths
from paycollect.testing import crash_test
from tests.cashier.crash.postgres_shop import own_connection, right, shop_of
from tests.cashier.postgres import Postgres, find_server, fresh_schema

NO_COVER = pytest.mark.no_cover  # one test is enough for the count of lines
pytestmark = [pytest.mark.greenlets, pytest.mark.timeout(300)]


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    """A schema of the test's own."""
    server = find_server()
    if isinstance(server, str):
        pytest.skip(server)
    with fresh_schema(server) as made:
        yield made


@pytest.mark.parametrize("driver", [pytest.param("psycopg", marks=NO_COVER), "asyncpg"])
def test_a_right_shop_passes(postgres: Postgres, driver: str) -> None:
    """On many machines' database, with either driver."""
    report = crash_test(shop_of(postgres, driver), schedules=4, seed=2, processes=1)
    assert report, str(report)
    assert report.processes == 1


@NO_COVER
async def test_a_connection_of_ones_own_is_found(postgres: Postgres, tmp_path: Path) -> None:
    """It is not locked out, as on SQLite: after a death before the mark it delivers twice."""
    schedule = (Op("die", n=1, at="handler:on_paid:end"), *STORIES[0])
    for ship, problems in ((right, 0), (own_connection, 1)):
        folder = tmp_path / ship.__name__
        folder.mkdir()
        outcome = await play(shop_of(postgres, ship=ship), schedule, folder, real=False)
        assert outcome.deaths == ((1, "handler:on_paid:end"),)
        assert len(outcome.problems) == problems
        assert all("delivered 2 x" in problem for problem in outcome.problems)


@NO_COVER
@pytest.mark.parametrize("place", [10, 20, 82, 88, 92, 95])
async def test_raised_deaths_and_real_ones_agree(
    postgres: Postgres, tmp_path: Path, place: int
) -> None:
    """As on SQLite: what is uncommitted is gone, whatever `finally` says."""
    schedule: Schedule = with_deaths(STORIES[0], place)
    outcomes = []
    for real in (False, True):
        folder = tmp_path / str(real)
        folder.mkdir()
        outcomes.append(await play(shop_of(postgres), schedule, folder, real=real))
    raised, killed = outcomes
    assert raised.problems == killed.problems == ()
    assert raised.deaths == killed.deaths
    assert raised.deaths
    assert raised.orders == killed.orders
