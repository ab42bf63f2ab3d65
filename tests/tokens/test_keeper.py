"""The keeper of a token by itself."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from paycollect import ClosedError, MemoryTokenStore
from paycollect.models import Token
from paycollect.tokens import TokenStore
from paycollect.tokens.keeper import Grant, TokenKeeper
from tests.provider.clocks import WALL, FakeClock
from tests.provider.messages import APP_ID


def keeper(
    clock: FakeClock,
    gate: asyncio.Event,
    store: TokenStore | None = None,
    lifetime: float = 100.0,
) -> TokenKeeper:
    """Make a keeper whose token arrives when the gate opens."""

    async def authenticate() -> Grant:
        await gate.wait()
        token = Token(access_token="t", expires_at=datetime.fromtimestamp(WALL, UTC))
        return Grant(token, lifetime)

    async def refresh(_: Token) -> Grant:
        return await authenticate()

    return TokenKeeper(
        authenticate=authenticate,
        refresh=refresh,
        store=store or MemoryTokenStore(),
        clock=clock,
        app_id=APP_ID,
        base_url="https://x",
    )


async def test_closing_ends_those_who_wait_for_a_token(clock: FakeClock) -> None:
    """A keeper that is closed ends its renewal; who waited for that learns that it was closed."""
    kept = keeper(clock, asyncio.Event())
    waiter = asyncio.create_task(kept.acquire())
    await asyncio.sleep(0)
    await kept.aclose()
    with pytest.raises(ClosedError):
        await waiter


async def test_a_cancellation_stays_one_when_the_renewal_is_cancelled_too(
    clock: FakeClock,
) -> None:
    """Where everything is cancelled at once, as at the end of a loop, a waiter is cancelled."""
    kept = keeper(clock, asyncio.Event())
    waiter = asyncio.create_task(kept.acquire())
    await asyncio.sleep(0)
    renewals = asyncio.all_tasks() - {asyncio.current_task(), waiter}
    for task in (*renewals, waiter):
        task.cancel()
    await asyncio.wait([waiter, *renewals])
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


class Counting(MemoryTokenStore):
    """A store that counts how often it is cleared."""

    cleared = 0

    def clear(self) -> None:
        """Count."""
        self.cleared += 1
        super().clear()


def open_gate() -> asyncio.Event:
    """Give a gate that lets every token through."""
    gate = asyncio.Event()
    gate.set()
    return gate


async def test_a_token_that_was_replaced_is_not_forgotten(clock: FakeClock) -> None:
    """To forget a token that was replaced leaves the new one, here and in the store."""
    store = Counting()
    kept = keeper(clock, open_gate(), store)
    old = await kept.acquire()
    kept.invalidate(old)
    new = await kept.acquire()
    await kept.forget(old)
    assert (kept.token, store.load(), store.cleared) == (new, new, 0)
    await kept.forget(new)
    assert (kept.token, store.load(), store.cleared) == (None, None, 1)


async def test_an_invalid_token_is_not_given_out(clock: FakeClock) -> None:
    """A token that was refused is gone at once, however long it would have been valid."""
    kept = keeper(clock, open_gate())
    token = await kept.acquire()
    assert kept.fresh(clock.now) is None  # it lives for less than 5 minutes
    kept.invalidate(token)
    assert kept.token is None
    assert await kept.acquire() is not token


async def test_a_refused_token_that_was_fresh(clock: FakeClock) -> None:
    """The fast path does not give a refused token either."""
    kept = keeper(clock, open_gate(), lifetime=86_400.0)
    token = await kept.acquire()
    assert kept.fresh(clock.now) is token
    kept.invalidate(token)
    assert kept.fresh(clock.now) is None


async def test_closing_waits_for_the_renewal(clock: FakeClock) -> None:
    """When a keeper is closed its renewal has ended, and ends in silence."""
    kept = keeper(clock, asyncio.Event())
    failures: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
    waiter = asyncio.create_task(kept.acquire())
    await asyncio.sleep(0)
    (renewal,) = asyncio.all_tasks() - {asyncio.current_task(), waiter}
    await kept.aclose()
    assert renewal.cancelled()
    await asyncio.wait([waiter])
    assert isinstance(waiter.exception(), ClosedError)
    assert failures == []
    await kept.aclose()


async def test_a_child_asks_for_itself(clock: FakeClock) -> None:
    """After a fork the renewal of the parent is not waited for."""
    gate = asyncio.Event()
    kept = keeper(clock, gate)
    waiter = asyncio.create_task(kept.acquire())
    await asyncio.sleep(0)
    kept.after_fork()
    tasks = asyncio.all_tasks()
    other = asyncio.create_task(kept.acquire())
    await asyncio.sleep(0)
    assert len(asyncio.all_tasks() - tasks) == 2  # who waits, and a renewal of its own
    gate.set()
    assert (await waiter).access_token == (await other).access_token
