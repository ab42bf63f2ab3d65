"""Storms over the cashier itself: a few in `make test`, more than 10,000 in `make fuzz`."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest
from hypothesis import settings

from paycollect.testing import crash_test
from tests.cashier.crash import http_shop, postgres_shop, shops
from tests.cashier.postgres import Postgres, find_server, fresh_schema
from tests.conftest import STEADY

pytestmark = [pytest.mark.no_cover, pytest.mark.greenlets, pytest.mark.timeout(900)]
THOROUGH = settings.get_current_profile_name() == "thorough"
PARTS = 8 if THOROUGH else 1
"""So that two workers share the work."""
ON_SQLITE = 1_280 if THOROUGH else 15
ON_POSTGRES = 20 if THOROUGH else 4
ON_HTTP = 40 if THOROUGH else 5
PROCESSES = 25 if THOROUGH else 2


def seed_of(part: int) -> int:
    """New storms with every run, but where a change is judged."""
    return part if STEADY else secrets.randbelow(10**9)


@pytest.mark.parametrize("part", range(PARTS))
def test_storms_on_sqlite(part: int) -> None:
    """Each paid order is delivered once, or held with an alarm, and nothing is left undone."""
    report = crash_test(
        shops.shop_of(shops.right),
        schedules=ON_SQLITE,
        seed=seed_of(part),
        processes=PROCESSES,
    )
    assert report, str(report)


@pytest.mark.parametrize("part", range(PARTS))
def test_storms_over_http(part: int) -> None:
    """The same where the provider and the shop are servers, and lost answers are hung up on."""
    asked = len(http_shop.REQUESTS)
    make_shop = http_shop.shop_over_http(shops.right)
    report = crash_test(make_shop, schedules=ON_HTTP, seed=seed_of(part), processes=0)
    assert report, str(report)
    assert len(http_shop.REQUESTS) > asked + ON_HTTP


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    """A schema of the test's own."""
    server = find_server()
    if isinstance(server, str):
        pytest.skip(server)
    with fresh_schema(server) as made:
        yield made


@pytest.mark.parametrize("part", range(PARTS))
def test_storms_on_postgres(postgres: Postgres, part: int) -> None:
    """The same where each statement takes a round trip."""
    report = crash_test(
        postgres_shop.shop_of(postgres),
        schedules=ON_POSTGRES,
        seed=seed_of(part),
        processes=PROCESSES // 5,
    )
    assert report, str(report)
