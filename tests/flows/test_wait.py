"""Waiting for a payment: patient, polite, and with a clear end."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from paycollect import (
    ClosedError,
    Collection,
    DeadlineExceededError,
    NotFoundError,
    Outcome,
    PaymentStatus,
    SessionManager,
)
from paycollect._flows.wait import Pacer
from tests.provider import faults
from tests.provider.clocks import CrowdClock, FakeClock, StuckClock
from tests.provider.fixtures import MakeManager
from tests.provider.messages import Json
from tests.provider.server import Exchange, Fault, Provider

GET = "GET /collections/{id}"
ID = "SCI0001"


@pytest.fixture(autouse=True)
def order(provider: Provider) -> Json:
    """Have one order that nobody has paid yet, and that lasts."""
    return provider.add_order("INV-001", expiresAt="2999-01-01T00:00:00Z")


def dated(moment: datetime | str) -> Fault:
    """Answer honestly, with a Date by the provider's own clock."""

    async def fault(exchange: Exchange) -> None:
        reply = exchange.commit()
        text = moment if isinstance(moment, str) else format_datetime(moment, usegmt=True)
        reply.headers["Date"] = text
        await exchange.send(reply)

    return fault


@pytest.mark.parametrize("state", [state for state in PaymentStatus if state != "PENDING"])
async def test_it_ends_with_a_final_state(
    pay: SessionManager, provider: Provider, order: Json, clock: FakeClock, state: str
) -> None:
    """The wait ends as soon as the state is final, whichever it is."""

    async def after_three() -> None:
        if provider.count(GET) == 3:
            order["status"] = state

    clock.meanwhile = after_three
    assert (await pay.wait_for_payment(ID)).status == state
    assert provider.count(GET) == 4


async def test_an_unknown_state_is_waited_on(
    pay: SessionManager, provider: Provider, order: Json, clock: FakeClock
) -> None:
    """A state that the SDK does not know may still become a payment."""
    order["status"] = "UNDER_REVIEW"

    async def later() -> None:
        if provider.count(GET) == 2:
            order["status"] = "COMPLETED"

    clock.meanwhile = later
    assert (await pay.wait_for_payment(ID)).status == "COMPLETED"


async def test_intervals_grow_with_jitter(pay: SessionManager, clock: FakeClock) -> None:
    """Intervals grow from 2 seconds by half to 30, each a quarter more or less."""
    with pytest.raises(DeadlineExceededError):
        await pay.wait_for_payment(ID, timeout=600)
    waits = [seconds for seconds in clock.sleeps if seconds][:-1]  # the last one is cut to fit
    middle = [min(2.0 * 1.5**n, 30.0) for n in range(len(waits))]
    assert len(waits) > 15
    for wait, mean in zip(waits, middle, strict=True):
        assert 0.75 * mean <= wait <= 1.25 * mean
    assert len({wait / mean for wait, mean in zip(waits, middle, strict=True)}) > 10


@pytest.mark.parametrize("edge", [0, 1])
async def test_the_edges_of_the_jitter(
    pay: SessionManager, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, edge: int
) -> None:
    """The shortest interval is three quarters, the longest five, of what grows from 2 s to 30 s."""
    monkeypatch.setattr(random, "uniform", lambda *edges: edges[edge])
    with pytest.raises(DeadlineExceededError):
        await pay.wait_for_payment(ID, timeout=600)
    factor = (0.75, 1.25)[edge]
    assert clock.sleeps[:3] == [0, 2 * factor, 3 * factor]
    assert max(clock.sleeps) == 30 * factor


async def test_it_ends_with_the_time_given(
    pay: SessionManager, provider: Provider, clock: FakeClock
) -> None:
    """A wait ends at its timeout, after one last look, and tells the last state."""
    began = clock.now
    with pytest.raises(
        DeadlineExceededError, match=r"within 100 s; its state was PENDING"
    ) as caught:
        await pay.wait_for_payment(ID, timeout=100)
    assert clock.now - began == pytest.approx(100)
    assert caught.value.collection is not None
    assert caught.value.collection.status is PaymentStatus.PENDING
    assert caught.value.is_retryable
    assert caught.value.attempts == provider.count(GET) > 1
    assert caught.value.elapsed == pytest.approx(100)
    assert provider.requests[-1].key == GET
    assert caught.value.outcome is Outcome.REJECTED
    assert "taken effect" not in str(caught.value)


async def test_a_payment_at_the_last_moment_is_seen(
    pay: SessionManager, order: Json, clock: FakeClock
) -> None:
    """The last look of a wait is at its very end."""
    began = clock.now

    async def at_the_end() -> None:
        if clock.now >= began + 100:
            order["status"] = "COMPLETED"

    clock.meanwhile = at_the_end
    assert (await pay.wait_for_payment(ID, timeout=100)).status == "COMPLETED"


async def test_it_waits_no_longer_than_a_session_lasts(
    pay: SessionManager, order: Json, clock: FakeClock
) -> None:
    """Without a timeout a wait lasts 62 minutes at most."""
    began = clock.now
    with pytest.raises(DeadlineExceededError):
        await pay.wait_for_payment(ID)
    assert clock.now - began == pytest.approx(62 * 60)


@pytest.mark.parametrize(
    "case",
    [
        ({"expiresAt": "2027-01-15T09:00:00Z"}, 61.9, False),
        ({"expiresAt": "2027-01-15T09:00:00Z"}, 62.0, True),
        ({"expiresAt": "2027-01-15T09:28:00Z"}, 90.0, True),
        ({"expiresAt": "2027-01-15T09:28:00Z"}, 90.1, False),
        ({"expiresAt": None}, 61.9, False),
        ({"expiresAt": None}, 62.0, True),
        ({"expiresAt": None, "createdAt": None}, 9999.0, False),
        ({"expiresAt": "9999-12-31T23:59:59Z"}, 9999.0, False),
        ({"expiresAt": None, "createdAt": "9999-12-31T23:59:59Z"}, 9999.0, False),
        ({"expiresAt": "0001-01-01T00:00:00Z"}, 0.0, True),
    ],
)
async def test_it_ends_when_the_session_is_over(
    pay: SessionManager, provider: Provider, order: Json, case: tuple[Json, float, bool]
) -> None:
    """Two minutes after the session's end by the provider's clock, a pending one is given."""
    times, minutes, over = case
    order.update(times)
    now = datetime(2027, 1, 15, 8, tzinfo=UTC) + timedelta(minutes=minutes)
    provider.always(GET, dated(now))
    if over:
        collection = await pay.wait_for_payment(ID, timeout=1)
        assert collection.status is PaymentStatus.PENDING
        assert provider.count(GET) == 1
    else:
        with pytest.raises(DeadlineExceededError):
            await pay.wait_for_payment(ID, timeout=1)


@pytest.mark.parametrize("date", ["", "yesterday", "Fri, 31 Dec 9999 23:59:59 -2300", "\xff"])
async def test_a_senseless_date_is_passed_over(
    pay: SessionManager, provider: Provider, clock: FakeClock, date: str
) -> None:
    """Where the provider's clock cannot be read, our own serves."""
    provider.orders["INV-001"]["expiresAt"] = "2027-01-15T08:05:00Z"
    provider.always(GET, dated(date))
    clock.wall = datetime(2027, 1, 15, 8, tzinfo=UTC).timestamp()
    await pay.wait_for_payment(ID)
    assert 7 * 60 <= clock.wall - datetime(2027, 1, 15, 8, tzinfo=UTC).timestamp() < 8 * 60


async def test_the_last_second_of_the_calendar(
    pay: SessionManager, provider: Provider, clock: FakeClock
) -> None:
    """A Date at the end of all time is no reason to fail."""

    async def fault(exchange: Exchange) -> None:
        clock.advance(5)
        await dated("Fri, 31 Dec 9999 23:59:59 GMT")(exchange)

    provider.always(GET, fault)
    provider.orders["INV-001"]["expiresAt"] = None
    provider.orders["INV-001"]["createdAt"] = None
    with pytest.raises(DeadlineExceededError):
        await pay.wait_for_payment(ID, timeout=60)


@pytest.mark.parametrize("hours", [2, 5, 24 * 365])
async def test_a_date_that_is_hours_ahead_ends_nothing(
    pay: SessionManager, provider: Provider, order: Json, clock: FakeClock, hours: int
) -> None:
    """A Date that cannot be a matter of clocks (a proxy's, another zone's) is not believed."""
    order["expiresAt"] = "2027-01-15T09:00:00Z"
    provider.always(GET, dated(datetime(2027, 1, 15, 8, tzinfo=UTC) + timedelta(hours=hours)))

    async def later() -> None:
        if provider.count(GET) == 5:
            order["status"] = "COMPLETED"

    clock.meanwhile = later
    assert (await pay.wait_for_payment(ID)).status == "COMPLETED"


async def test_a_date_that_is_hours_behind_prolongs_nothing(
    pay: SessionManager, provider: Provider, order: Json
) -> None:
    """Where a Date is not believed, a session that is over by our own clock is over."""
    order["expiresAt"] = "2027-01-15T07:00:00Z"
    provider.always(GET, dated(datetime(2027, 1, 15, 4, tzinfo=UTC)))
    assert (await pay.wait_for_payment(ID)).status == "PENDING"
    assert provider.count(GET) == 1


@pytest.mark.parametrize(
    "fault",
    [faults.says(500), faults.says(408), faults.dropped_before_commit, faults.truncated_after_commit],
    ids=["500", "408", "dropped", "truncated"],
)  # fmt: skip
async def test_passing_failures_are_waited_out(
    pay: SessionManager, provider: Provider, order: Json, fault: Fault
) -> None:
    """A wait survives an outage of any length within its time."""
    order["status"] = "COMPLETED"
    provider.script(GET, *[fault] * 6)
    assert (await pay.wait_for_payment(ID)).status == "COMPLETED"


async def test_a_poll_is_one_attempt(
    pay: SessionManager, provider: Provider, order: Json, clock: FakeClock
) -> None:
    """A poll that fails is made again after the interval of polls, not of retries."""
    order["status"] = "COMPLETED"
    provider.script(GET, faults.says(500), faults.says(500), faults.says(500))
    await pay.wait_for_payment(ID)
    assert provider.count(GET) == 4
    waits = [seconds for seconds in clock.sleeps if seconds]
    assert len(waits) == 3
    assert min(waits) >= 1.5


def slow(clock: FakeClock, seconds: float, fault: Fault) -> Fault:
    """Take a while to answer."""

    async def late(exchange: Exchange) -> None:
        clock.advance(seconds)
        await fault(exchange)

    return late


@pytest.mark.parametrize("fault", [dated(""), faults.says(500)], ids=["told", "failed"])
async def test_slow_answers_count(
    pay: SessionManager, provider: Provider, clock: FakeClock, fault: Fault
) -> None:
    """The time that an answer takes is part of the time given."""
    began = clock.now
    provider.always(GET, slow(clock, 9.5, fault))
    with pytest.raises(DeadlineExceededError):
        await pay.wait_for_payment(ID, timeout=10)
    assert [seconds for seconds in clock.sleeps if seconds] == [0.5]
    assert clock.now - began == 19.5


@pytest.mark.parametrize(("seconds", "polls"), [(4.75, 1), (5, 0)])
async def test_a_poll_has_five_seconds(
    pay: SessionManager, provider: Provider, clock: FakeClock, seconds: float, polls: int
) -> None:
    """Also the last poll of a short wait has time for its token, but not for ever."""
    provider.script("POST /auth/token", slow(clock, seconds, dated("")))
    with pytest.raises(DeadlineExceededError):
        await pay.wait_for_payment(ID, timeout=1)
    assert provider.count(GET) == polls


async def test_the_providers_time_goes_on_from_the_asking(
    pay: SessionManager, provider: Provider, order: Json, clock: FakeClock
) -> None:
    """The provider's clock is not asked for again: what has passed since is added."""
    order["expiresAt"] = "2027-01-15T09:00:00Z"
    late = dated(datetime(2027, 1, 15, 9, 1, 55, tzinfo=UTC))
    provider.always(GET, slow(clock, 5, late))
    assert (await pay.wait_for_payment(ID)).status == "PENDING"
    assert provider.count(GET) == 1


async def test_polls_at_once_take_turns() -> None:
    """Waits that want to ask at the same moment ask one after the other, whatever the clock says."""
    clock = FakeClock()
    pacer = Pacer(clock.sleep, clock, rate=10.0)
    await asyncio.gather(*(pacer.turn(0.0) for _ in range(4)))
    assert [seconds for seconds in clock.sleeps if seconds] == [pytest.approx(0.1)] * 3
    clock.sleeps.clear()
    clock.advance(5)
    await pacer.turn(2.0)
    assert clock.sleeps == [2.0]
    clock.sleeps.clear()
    pacer = Pacer(clock.sleep, clock)
    await asyncio.gather(pacer.turn(0.0), pacer.turn(0.0))
    assert clock.sleeps == [0, 0, pytest.approx(1 / 20)]


async def test_the_providers_wait_is_kept(
    pay: SessionManager, provider: Provider, order: Json, clock: FakeClock
) -> None:
    """A Retry-After longer than the interval is waited for."""
    order["status"] = "COMPLETED"
    provider.script(GET, faults.says(429, Retry_After="77"))
    await pay.wait_for_payment(ID)
    assert 77.0 in clock.sleeps


async def test_a_wait_to_the_last_moment_is_kept(
    pay: SessionManager, provider: Provider, order: Json
) -> None:
    """A Retry-After that ends with the timeout leaves one last look."""
    order["status"] = "COMPLETED"
    provider.script(GET, faults.says(429, Retry_After="60"))
    assert (await pay.wait_for_payment(ID, timeout=60)).status == "COMPLETED"


async def test_a_wait_beyond_the_time_given_is_not_begun(
    pay: SessionManager, provider: Provider, clock: FakeClock
) -> None:
    """A Retry-After beyond the timeout ends the wait at once."""
    provider.script(GET, faults.says(429, Retry_After="77"))
    with pytest.raises(DeadlineExceededError, match="could not be learnt") as caught:
        await pay.wait_for_payment(ID, timeout=60)
    assert caught.value.collection is None
    assert sum(clock.sleeps) == 0


async def test_an_unknown_payment_is_not_waited_for(
    pay: SessionManager, provider: Provider
) -> None:
    """A collection that is not there ends the wait."""
    with pytest.raises(NotFoundError):
        await pay.wait_for_payment("SCI9999")
    assert provider.count(GET) == 1


async def test_a_wait_can_be_cancelled(make: MakeManager) -> None:
    """Cancelling a wait ends it at once."""
    clock = StuckClock()
    wait = asyncio.create_task(make(clock=clock).wait_for_payment(ID))
    await clock.asleep.wait()
    wait.cancel()
    with pytest.raises(asyncio.CancelledError):
        await wait


async def test_closing_ends_a_wait(make: MakeManager) -> None:
    """Closing the manager ends a wait in its pause, with a clear error."""
    clock = StuckClock()
    pay = make(clock=clock)
    wait = asyncio.create_task(pay.wait_for_payment(ID))
    await clock.asleep.wait()
    await pay.aclose()
    with pytest.raises(ClosedError):
        await asyncio.wait_for(wait, 2)


@pytest.mark.parametrize(
    ("timeout", "kind"),
    [(0, ValueError), (-1, ValueError), (float("nan"), ValueError), ("5", TypeError), (True, TypeError)],
)  # fmt: skip
async def test_a_senseless_timeout(
    pay: SessionManager,
    timeout: float,  # noqa: ASYNC109  the SDK's own
    kind: type[Exception],
) -> None:
    """A timeout that makes no sense is refused by name."""
    with pytest.raises(kind, match=r"^timeout: "):
        await pay.wait_for_payment(ID, timeout=timeout)


@pytest.mark.no_cover
async def test_a_thousand_waits_are_polite(make: MakeManager, provider: Provider) -> None:
    """A thousand waits at once make no more than 20 requests in any second."""
    crowd = 1000
    clock = CrowdClock(crowd)
    pay = make(clock=clock)
    asked: list[float] = []

    async def note(exchange: Exchange) -> None:
        asked.append(clock.now)
        await exchange.send(exchange.commit())

    provider.always(GET, note)

    async def wait() -> Collection | BaseException:
        try:
            return await pay.wait_for_payment(ID, timeout=30)
        except DeadlineExceededError as error:
            return error
        finally:
            clock.leave()

    results = await asyncio.gather(*(wait() for _ in range(crowd)))
    assert all(isinstance(result, DeadlineExceededError) for result in results)
    assert crowd <= len(asked) <= crowd * 2
    seconds = [
        sum(start <= moment < start + 1 for moment in asked) for start in range(int(asked[-1]))
    ]
    assert max(seconds) <= 21
    assert sum(seconds[:10]) >= 190
