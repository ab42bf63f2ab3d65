"""The keeper of a token by itself."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from paycollect import ClosedError, MemoryTokenStore
from paycollect.models import Token
from paycollect.tokens import Grant, TokenKeeper
from tests.session.clocks import WALL, FakeClock
from tests.session.messages import APP_ID


def keeper(clock: FakeClock, gate: asyncio.Event) -> TokenKeeper:
    """Make a keeper whose token arrives when the gate opens."""

    async def authenticate() -> Grant:
        await gate.wait()
        token = Token(access_token="t", expires_at=datetime.fromtimestamp(WALL, UTC))
        return Grant(token, 100.0)

    async def renew(_: Token) -> Grant:
        return await authenticate()

    return TokenKeeper(
        authenticate=authenticate,
        renew=renew,
        store=MemoryTokenStore(),
        clock=clock,
        app_id=APP_ID,
        base_url="https://x",
    )


async def test_closing_ends_those_who_wait_for_a_token(clock: FakeClock) -> None:
    """A keeper that is closed ends its flight; who waited for that learns that it was closed."""
    kept = keeper(clock, asyncio.Event())
    waiter = asyncio.create_task(kept.acquire())
    await asyncio.sleep(0)
    await kept.aclose()
    with pytest.raises(ClosedError):
        await waiter


async def test_a_cancellation_stays_one_when_the_flight_is_cancelled_too(
    clock: FakeClock,
) -> None:
    """Where everything is cancelled at once, as at the end of a loop, a waiter is cancelled."""
    kept = keeper(clock, asyncio.Event())
    waiter = asyncio.create_task(kept.acquire())
    await asyncio.sleep(0)
    flights = asyncio.all_tasks() - {asyncio.current_task(), waiter}
    for task in (*flights, waiter):
        task.cancel()
    await asyncio.wait([waiter, *flights])
    assert waiter.cancelled()


async def test_a_token_that_was_replaced_is_not_invalidated(clock: FakeClock) -> None:
    """To invalidate a token that was replaced in the meantime has no effect."""
    gate = asyncio.Event()
    gate.set()
    kept = keeper(clock, gate)
    old = await kept.acquire()
    kept.invalidate(old)
    new = await kept.acquire()
    kept.invalidate(old)
    assert kept.token is new
