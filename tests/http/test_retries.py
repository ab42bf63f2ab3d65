"""Trying again: what the server sees of it, how long it takes, and what the error then tells."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest

from paycollect import (
    ConnectError,
    DeadlineExceededError,
    Outcome,
    PayCollectError,
    RateLimitError,
    ResponseLostError,
    RetryPolicy,
    ServerError,
    SessionManager,
    Timeout,
)
from tests.provider import faults
from tests.provider.clocks import FakeClock, StuckClock
from tests.provider.fixtures import MakeManager
from tests.provider.messages import Reply, success
from tests.provider.server import Exchange, Fault, Provider

LIST = "GET /collections"
WORST = RetryPolicy(rng=lambda: 1.0)


@pytest.mark.parametrize(
    "fault",
    [
        faults.says(408),
        faults.says(429),
        faults.says(500),
        faults.says(503),
        faults.says(599),
        faults.truncated_after_commit,
    ],
    ids=["408", "429", "500", "503", "599", "truncated"],
)
async def test_a_failed_attempt_is_repeated(
    pay: SessionManager, provider: Provider, clock: FakeClock, fault: Fault
) -> None:
    """A call survives three failures in a row."""
    provider.script(LIST, fault, fault, fault)
    await pay.list_collections(retry=WORST)
    assert clock.sleeps == [1.0, 2.0, 4.0]
    assert provider.count(LIST) == 4


async def test_an_answer_that_was_cut_off(pay: SessionManager, provider: Provider) -> None:
    """The error says so, in plain words."""
    provider.always(LIST, faults.truncated_after_commit)
    with pytest.raises(ResponseLostError, match="was lost: it was cut off "):
        await pay.list_collections(retry=WORST)


async def test_attempts_and_elapsed_are_on_the_error(
    pay: SessionManager, provider: Provider
) -> None:
    """An error tells how often it was tried, and for how long."""
    provider.always(LIST, faults.says(503))
    with pytest.raises(ServerError) as caught:
        await pay.list_collections(retry=WORST)
    assert (caught.value.attempts, caught.value.elapsed) == (4, 7.0)
    assert "4 attempts in 7.0 s" in str(caught.value)
    assert caught.value.is_retryable


@pytest.mark.parametrize("status", [400, 402, 403, 404, 405, 409, 410, 418, 422, 451])
async def test_other_refusals_are_final(
    pay: SessionManager, provider: Provider, clock: FakeClock, status: int
) -> None:
    """No other 4xx is ever tried again."""
    provider.always(LIST, faults.says(status))
    with pytest.raises(PayCollectError) as caught:
        await pay.list_collections()
    assert (caught.value.attempts, caught.value.outcome) == (1, Outcome.REJECTED)
    assert not caught.value.is_retryable
    assert (provider.count(LIST), clock.sleeps) == (1, [])


@pytest.mark.parametrize("status", [429, 503])
async def test_the_providers_wait_is_kept(
    pay: SessionManager, provider: Provider, clock: FakeClock, status: int
) -> None:
    """A Retry-After in seconds is waited for."""
    provider.script(LIST, faults.says(status, Retry_After="11"))
    await pay.list_collections()
    assert clock.sleeps == [11.0]


@pytest.mark.parametrize(
    "fault",
    [faults.answers(success({})), faults.answers(Reply(200, {"success": False}))],
    ids=["no page", "success: false"],
)
async def test_an_odd_answer_to_a_reading_call_is_final(
    pay: SessionManager, provider: Provider, clock: FakeClock, fault: Fault
) -> None:
    """What cannot be read will not be any better the next time: no wait, no repeat."""
    provider.always(LIST, fault)
    with pytest.raises(PayCollectError) as caught:
        await pay.list_collections()
    assert not caught.value.is_retryable
    assert (provider.count(LIST), clock.sleeps) == (1, [])


async def test_the_providers_date_is_kept(
    pay: SessionManager, provider: Provider, clock: FakeClock
) -> None:
    """A Retry-After that is a date is waited for."""
    date = format_datetime(datetime.fromtimestamp(clock.wall + 12, UTC), usegmt=True)
    provider.script(LIST, faults.says(429, Retry_After=date))
    await pay.list_collections()
    assert clock.sleeps == [pytest.approx(12.0)]


@pytest.mark.parametrize("told", ["soon", "--5", "-7", "", "\u00e9", "1e9"])
async def test_a_senseless_wait_is_passed_over(
    pay: SessionManager, provider: Provider, clock: FakeClock, told: str
) -> None:
    """A Retry-After that makes no sense never raises: the own wait is taken."""
    provider.script(LIST, faults.says(429, Retry_After=told))
    await pay.list_collections(retry=WORST)
    assert clock.sleeps == [1.0]


async def test_a_wait_beyond_the_cap_is_raised_at_once(
    pay: SessionManager, provider: Provider, clock: FakeClock
) -> None:
    """A Retry-After that is too long for us is the caller's to know."""
    provider.script(LIST, faults.says(429, Retry_After="3600"))
    with pytest.raises(RateLimitError) as caught:
        await pay.list_collections()
    assert caught.value.retry_after == 3600.0
    assert (provider.count(LIST), clock.sleeps) == (1, [])


async def test_a_wait_beyond_the_deadline_is_raised_at_once(
    pay: SessionManager, provider: Provider, clock: FakeClock
) -> None:
    """A Retry-After that does not fit into the call's deadline is not begun."""
    provider.script(LIST, faults.says(429, Retry_After="20"))
    with pytest.raises(RateLimitError) as caught:
        await pay.list_collections(deadline=10)
    assert (caught.value.retry_after, clock.sleeps) == (20.0, [])


async def test_retries_end_with_the_deadline(
    make: MakeManager, provider: Provider, clock: FakeClock
) -> None:
    """However many retries are allowed, the waits never go past the deadline."""
    pay = make(deadline=20, retry=RetryPolicy(max_retries=99, rng=lambda: 1.0))
    provider.always(LIST, faults.says(503))
    with pytest.raises(ServerError) as caught:
        await pay.list_collections()
    assert clock.sleeps == [1.0, 2.0, 4.0, 8.0]
    assert caught.value.elapsed == 15.0


async def test_an_attempt_never_outlasts_the_deadline(
    make: MakeManager, provider: Provider
) -> None:
    """An attempt gets no more time than the call has left."""
    pay = make(clock=None)
    await pay.list_collections()
    provider.always("POST /payouts", faults.silent)
    with pytest.raises(DeadlineExceededError) as caught:
        await asyncio.wait_for(pay.request("POST", "/payouts", deadline=0.05), 2)
    assert (caught.value.outcome, caught.value.attempts) == (Outcome.UNKNOWN, 1)
    assert caught.value.is_retryable
    assert 0.05 <= caught.value.elapsed < 1


async def test_the_deadline_covers_the_token(make: MakeManager, provider: Provider) -> None:
    """A call does not wait for a token beyond its deadline; nothing was sent then."""
    provider.always("POST /auth/token", faults.silent)
    with pytest.raises(DeadlineExceededError) as caught:
        await asyncio.wait_for(make(clock=None).list_collections(deadline=0.05), 2)
    assert (caught.value.outcome, caught.value.attempts) == (Outcome.NOT_SENT, 0)
    assert caught.value.elapsed < 1


async def test_the_deadline_covers_the_waiting_line(make: MakeManager, provider: Provider) -> None:
    """A call that gets no place in the connection pool in time was not sent."""
    pay = make(clock=None)
    await pay.list_collections()
    provider.always(LIST, faults.silent)
    busy = [asyncio.create_task(pay.list_collections()) for _ in range(100)]
    await provider.received(LIST, 101)
    with pytest.raises(DeadlineExceededError) as caught:
        await asyncio.wait_for(pay.get_collection("SCI0001", deadline=0.05), 2)
    assert (caught.value.outcome, caught.value.attempts) == (Outcome.NOT_SENT, 0)
    for task in busy:
        task.cancel()
    await asyncio.gather(*busy, return_exceptions=True)
    provider.always(LIST, None)
    await pay.list_collections()


async def test_the_deadline_ends_a_look_up(
    make: MakeManager, provider: Provider, clock: FakeClock
) -> None:
    """A look-up over endless pages ends with the deadline of its call."""
    provider.page_size = 1
    for number in range(50):
        provider.add_order(f"INV-{number:04}")

    async def slow(exchange: Exchange) -> None:
        clock.advance(10)
        await exchange.send(exchange.commit())

    provider.always(LIST, slow)
    with pytest.raises(DeadlineExceededError):
        await make(deadline=45).find_by_order_id("INV-")
    assert provider.count(LIST) == 5


@pytest.mark.parametrize("timeout", [0.2, Timeout(total=0.2), Timeout(read=0.2)], ids=repr)
async def test_the_timeout_of_one_call(
    pay: SessionManager,
    provider: Provider,
    timeout: Timeout | float,  # noqa: ASYNC109  the SDK's own
) -> None:
    """Limits of time can be set for one call alone."""
    provider.script(LIST, faults.silent)
    await asyncio.wait_for(pay.list_collections(timeout=timeout), 2)
    assert provider.count(LIST) == 2


async def test_the_retries_of_one_call(pay: SessionManager, provider: Provider) -> None:
    """Retrying can be switched off for one call alone."""
    provider.script(LIST, faults.says(503))
    with pytest.raises(ServerError):
        await pay.list_collections(retry=RetryPolicy(max_retries=0))
    await pay.list_collections()


async def test_nothing_is_held_while_waiting(
    pay: SessionManager, provider: Provider, clock: FakeClock
) -> None:
    """While a call waits for its next attempt, its connection serves others."""

    async def others_call() -> None:
        clock.meanwhile = None
        await pay.list_collections()

    provider.script(LIST, faults.says(503))
    clock.meanwhile = others_call
    await pay.list_collections()
    assert provider.connections == 1


async def test_a_wait_can_be_cancelled(make: MakeManager, provider: Provider) -> None:
    """Cancelling a call during its wait ends it at once, as a cancellation."""
    clock = StuckClock()
    pay = make(clock=clock)
    provider.script(LIST, faults.says(503))
    call = asyncio.create_task(pay.list_collections())
    await clock.asleep.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_nobody_listens(pay: SessionManager, provider: Provider) -> None:
    """Where no connection can be made, nothing was sent; why not is said in plain words."""
    await pay.list_collections()
    await provider.stop()
    with pytest.raises(ConnectError, match=": connection refused ") as caught:
        await pay.list_collections()
    assert (caught.value.outcome, caught.value.attempts) == (Outcome.NOT_SENT, 4)


async def test_what_must_not_be_repeated_is_not(pay: SessionManager, provider: Provider) -> None:
    """An undocumented POST of unknown outcome is made once only."""
    provider.always("POST /payouts", faults.dropped_before_commit)
    with pytest.raises(ResponseLostError) as caught:
        await pay.request("POST", "/payouts", body={"amount": 5})
    assert (caught.value.outcome, provider.count("POST /payouts")) == (Outcome.UNKNOWN, 1)
