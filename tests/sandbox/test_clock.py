"""The clock: it runs at its scale, can be moved, and wakes whoever waits."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from paycollect import SessionManager
from paycollect.sandbox import Clock, Sandbox, respond
from paycollect.sandbox.wakeup import Wakeup
from tests.sandbox.conftest import until

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


async def test_it_is_a_clock_of_the_project() -> None:
    """Its seconds are those of `now`, and go on as it is moved."""
    clock = Clock(time_scale=0, start=START)
    assert (clock.time(), clock.monotonic()) == (START.timestamp(), 0)
    clock.advance(90.5)
    assert (clock.time(), clock.monotonic()) == (START.timestamp() + 90.5, 90.5)


async def test_a_session_manager_can_live_by_it(sandbox: Sandbox) -> None:
    """A wait between two attempts is over as soon as the clock was moved past it."""
    sandbox.faults.next("GET /refunds/reasons", respond(503, {"Retry-After": "20"}))
    async with SessionManager(
        app_id=sandbox.app_id,
        secret_key=sandbox.secret_key,
        base_url=sandbox.base_url,
        clock=sandbox.clock,
    ) as pay:
        reasons = asyncio.create_task(pay.list_refund_reasons())
        await until(lambda: "respond" in [request.fault for request in sandbox.requests])
        await asyncio.sleep(0.01)
        assert not reasons.done()
        while not reasons.done():
            sandbox.clock.advance(1)
            await asyncio.sleep(0.001)
        assert await reasons


async def test_it_can_be_moved_from_another_thread() -> None:
    """Sleepers of any loop wake."""
    clock = Clock(time_scale=0)
    sleeper = asyncio.create_task(clock.sleep(60))
    await asyncio.sleep(0)
    await asyncio.to_thread(clock.advance, 60)
    await sleeper


def test_a_loop_that_is_gone_is_not_woken() -> None:
    """Whoever slept in it sleeps for good, and the others are not held up."""
    clock = Clock(time_scale=0)
    loop = asyncio.new_event_loop()
    sleeper = clock.sleep(60)
    task = loop.create_task(sleeper)
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    clock.advance(60)
    assert not task.done()
    task._log_destroy_pending = False  # type: ignore[attr-defined]  # as is meant here


async def test_a_move_is_seen_however_narrowly_it_comes() -> None:
    """Between the look at the clock and the wait: nobody is left asleep."""
    wakeup = Wakeup()
    await wakeup.wait(unless=lambda: True)


async def test_a_sleeper_that_is_cancelled_at_the_moment_of_waking_stays_cancelled() -> None:
    """As any other wait."""
    clock = Clock(time_scale=0)
    sleeper = asyncio.create_task(clock.sleep(60))
    await asyncio.sleep(0)
    clock.advance(60)
    sleeper.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sleeper


async def test_a_moment_that_has_passed_is_not_waited_for() -> None:
    """Sleeping until the past returns at once, even if the clock stands still."""
    await Clock(time_scale=0, start=START).sleep_until(START)
