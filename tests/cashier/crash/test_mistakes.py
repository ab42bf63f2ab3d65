"""The crash test finds the mistakes that people make in handlers, and nothing in right ones."""

from __future__ import annotations

import asyncio

import pytest

from paycollect import pytest_plugin, testing
from paycollect.crash.life import Life
from paycollect.testing import Shop, World, crash_test
from tests.cashier.crash.shops import MISTAKES, right, shop_of

pytestmark = pytest.mark.timeout(300)  # a busy machine is no finding
# Lines are counted in the one of them that is held; the others pass the same ones.
EACH = [
    mistake
    if mistake == "commit in the handler"
    else pytest.param(mistake, marks=pytest.mark.no_cover)
    for mistake in MISTAKES
]


def test_a_right_shop_passes() -> None:
    """No story, pair of deaths or storm breaks the promise."""
    report = crash_test(shop_of(right), schedules=30, seed=7, processes=2)
    assert report, str(report)
    assert (report.schedules, report.processes) == (30, 2)
    assert report.deaths > 10


@pytest.mark.parametrize("mistake", EACH)
def test_a_mistake_is_found(mistake: str) -> None:
    """Each is found, with the shortest schedule and a timeline in words."""
    make_shop, what = MISTAKES[mistake]
    report = crash_test(make_shop, seed=3, processes=0)
    assert not report, str(report)
    (finding,) = report.findings
    assert what in str(report), str(report)
    assert len(finding.schedule) <= 9  # told in words that fit on a page
    assert "order-" in "\n".join(finding.timeline)


async def test_it_runs_beside_an_event_loop() -> None:
    """In a test that is a coroutine, too; the shop may be made by one."""

    async def make_shop(world: World) -> Shop:
        return shop_of(right)(world)

    report = crash_test(make_shop, schedules=3, processes=0)
    assert report.ok
    assert "3 schedules and 0 real processes" in str(report)
    assert "cannot see the network of your handlers" in str(report)


def test_what_the_shop_raises_is_raised() -> None:
    """A mistake in making the shop is no finding."""

    def make_shop(_world: World) -> Shop:
        raise LookupError("no such table")

    with pytest.raises(LookupError, match="no such table"):
        crash_test(make_shop, schedules=1)


def test_wrong_arguments_are_refused() -> None:
    """Before anything is run."""
    with pytest.raises(TypeError, match="make_shop"):
        crash_test(3)  # type: ignore[arg-type]  # that is the test
    for wrong in ({"schedules": 0}, {"processes": -1}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            crash_test(shop_of(right), **wrong)


def test_a_mistake_is_found_by_real_processes() -> None:
    """Also where no death is simulated: the first stories pass, the first killed process tells."""
    report = crash_test(MISTAKES["effect first"][0], schedules=1, processes=20)
    assert report.processes
    assert "delivered 2 x" in str(report), str(report)


def test_the_names_are_loaded_when_asked_for() -> None:
    """Else `paycollect.testing` stays light."""
    assert set(testing._OF_THE_CRASH_TEST) <= set(testing.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        testing.nothing  # noqa: B018  # pyright: ignore[reportAttributeAccessIssue]


def test_the_fixture_fails_the_test_with_the_report() -> None:
    """And gives the report where all is well."""
    run = pytest_plugin.paycollect_crash_test.__wrapped__()  # type: ignore[attr-defined]  # under the fixture
    assert run(shop_of(right), schedules=2, processes=0).ok
    with pytest.raises(pytest.fail.Exception, match="delivered 2 x"):
        run(MISTAKES["effect first"][0], schedules=40, processes=0)


def test_a_handler_that_never_returns_ends_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """In time, and says so."""

    async def make_shop(world: World) -> Shop:
        shop = shop_of(right)(world)
        shop.cashier.handlers._handlers["after_paid"] = hangs
        return shop

    async def hangs(_payment: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(Life, "patience", 0.5)
    with pytest.raises(TimeoutError, match="does a handler wait for something"):
        crash_test(make_shop, schedules=1, processes=0)
