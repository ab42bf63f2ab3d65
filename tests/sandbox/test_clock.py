"""The clock: it runs at its scale, can be moved, and wakes whoever waits."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from paycollect.sandbox import Clock

START = datetime(2026, 1, 8, 11, 30, tzinfo=UTC)


class Watch:
    """Real seconds, told by hand."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        """Tell them."""
        return self.seconds


def test_it_starts_at_the_present_moment_in_utc() -> None:
    """Without a start, the sandbox's time is the machine's."""
    assert abs(Clock().now() - datetime.now(UTC)) < timedelta(seconds=5)
    assert Clock().now().tzinfo is UTC


def test_it_runs_at_its_scale() -> None:
    """Ten real seconds at scale 60 are ten minutes."""
    watch = Watch()
    clock = Clock(time_scale=60, start=START, monotonic=watch)
    watch.seconds += 10
    assert clock.now() == START + timedelta(minutes=10)
    assert clock.time_scale == 60


def test_advancing_adds_to_what_has_run() -> None:
    """Moving the clock by hand and letting it run add up."""
    watch = Watch()
    clock = Clock(start=START, monotonic=watch)
    clock.advance(3600)
    watch.seconds += 1
    clock.advance(0.5)
    assert clock.now() == START + timedelta(hours=1, seconds=1.5)


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), 1e12])
def test_it_cannot_go_back_or_out_of_sight(seconds: float) -> None:
    """A negative or absurd move is refused."""
    with pytest.raises(ValueError, match="seconds"):
        Clock().advance(seconds)


@pytest.mark.parametrize("scale", [-1, float("nan"), float("inf")])
def test_an_impossible_scale_is_refused(scale: float) -> None:
    """A scale is a finite number, 0 or more."""
    with pytest.raises(ValueError, match="time_scale"):
        Clock(time_scale=scale)


def test_a_start_without_a_zone_is_refused() -> None:
    """A naive datetime would be a guess."""
    with pytest.raises(ValueError, match="aware"):
        Clock(start=datetime(2026, 1, 1))  # noqa: DTZ001 - the naive moment is the test


async def test_sleepers_wake_when_the_clock_is_moved_far_enough() -> None:
    """A move that is too short leaves them asleep."""
    clock = Clock(time_scale=0)
    sleeper = asyncio.create_task(clock.sleep(60))
    await asyncio.sleep(0)
    clock.advance(59)
    for _ in range(5):
        await asyncio.sleep(0)
    assert not sleeper.done()
    clock.advance(1)
    await sleeper


async def test_sleepers_wake_by_themselves_when_the_clock_runs() -> None:
    """At scale 10,000 a minute takes 6 real milliseconds."""
    await Clock(time_scale=10_000).sleep(60)


async def test_a_moment_that_has_passed_is_not_waited_for() -> None:
    """Sleeping until the past returns at once, even if the clock stands still."""
    await Clock(time_scale=0, start=START).sleep_until(START)
