"""Closing a manager while it is busy, and cancelling its calls."""

from __future__ import annotations

import asyncio
import gc

import aiohttp
import pytest

from paycollect import ClosedError, MemoryTokenStore, Outcome
from tests.provider import faults
from tests.provider.clocks import StuckClock
from tests.provider.fixtures import MakeManager
from tests.provider.server import Fault, Provider

LIST = "GET /collections"
TOKEN = "POST /auth/token"
CREATE = "POST /collections"

MOMENTS: dict[str, tuple[str, Fault, Outcome]] = {
    "token": (TOKEN, faults.silent, Outcome.NOT_SENT),
    "answer": (CREATE, faults.silent, Outcome.UNKNOWN),
    "body": (CREATE, faults.drip(b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n", b" "), Outcome.UNKNOWN),
    "read": (LIST, faults.silent, Outcome.REJECTED),
}  # fmt: skip


@pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS)
@pytest.mark.parametrize("borrowed", [False, True], ids=["own", "borrowed"])
async def test_closing_during_calls(
    make: MakeManager, provider: Provider, moment: tuple[str, Fault, Outcome], borrowed: bool
) -> None:
    """Calls under way end with ClosedError at once, and say whether they were sent."""
    key, fault, outcome = moment
    provider.always(key, fault)
    async with aiohttp.ClientSession() as http:
        pay = make(http=http if borrowed else None, clock=None)
        calls: list[asyncio.Task[object]] = [
            asyncio.create_task(
                pay.list_collections()
                if key == LIST
                else pay.create_checkout(amount=5, order_id="INV-1", description="d")
            )
            for _ in range(10)
        ]
        await provider.received(key, 1)
        await asyncio.sleep(0.01)
        await pay.aclose()
        results = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 2)
        assert http.closed is False
    assert {type(result) for result in results} == {ClosedError}
    assert {result.outcome for result in results if isinstance(result, ClosedError)} == {outcome}
    assert [task.cancelling() for task in calls] == [0] * 10


async def test_closing_during_a_wait(make: MakeManager, provider: Provider) -> None:
    """A call that waits for its next attempt ends with ClosedError, and tells of the attempt."""
    clock = StuckClock()
    pay = make(clock=clock)
    provider.script(CREATE, faults.lost_after_commit)
    call = asyncio.create_task(pay.create_checkout(amount=5, order_id="INV-1", description="d"))
    await clock.asleep.wait()
    await pay.aclose()
    with pytest.raises(ClosedError) as caught:
        await call
    assert (caught.value.outcome, caught.value.attempts) == (Outcome.UNKNOWN, 1)
    assert caught.value.order_id == "INV-1"


async def test_closing_with_a_waiting_line(make: MakeManager, provider: Provider) -> None:
    """Calls that wait for a place in the pool were not sent when the manager is closed."""
    pay = make(clock=None)
    await pay.list_collections()
    provider.always("POST /payouts", faults.silent)
    calls = [asyncio.create_task(pay.request("POST", "/payouts")) for _ in range(150)]
    await provider.received("POST /payouts", 100)
    await pay.aclose()
    results = await asyncio.gather(*calls, return_exceptions=True)
    outcomes = [result.outcome for result in results if isinstance(result, ClosedError)]
    assert outcomes == [Outcome.UNKNOWN] * 100 + [Outcome.NOT_SENT] * 50


async def test_a_cancelled_call_stays_cancelled_at_close(
    make: MakeManager, provider: Provider
) -> None:
    """A call that its caller cancels while the manager is closed ends as cancelled."""
    pay = make(clock=None)
    provider.always(LIST, faults.silent)
    call = asyncio.create_task(pay.list_collections())
    await provider.received(LIST, 1)
    call.cancel()
    await pay.aclose()
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_a_cancelled_close_still_closes(make: MakeManager, provider: Provider) -> None:
    """A close that is cancelled half-way leaves no connection open."""
    provider.always("POST /auth/revoke", faults.silent)
    pay = make(revoke_on_close=True, clock=None)
    await pay.list_collections()
    closing = asyncio.create_task(pay.aclose())
    await provider.received("POST /auth/revoke", 1)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    await provider.hung_up()


async def test_a_close_that_is_cancelled_at_once_still_closes(
    make: MakeManager, provider: Provider
) -> None:
    """A close that is cancelled while it ends the request for a token leaves nothing open."""
    pay = make(clock=None)
    await pay.list_collections()
    provider.tokens.clear()
    provider.always(TOKEN, faults.silent)
    call = asyncio.create_task(pay.list_collections())
    await provider.received(TOKEN, 2)
    closing = asyncio.create_task(pay.aclose())
    await asyncio.sleep(0)
    closing.cancel()
    results = await asyncio.gather(call, closing, return_exceptions=True)
    assert isinstance(results[0], ClosedError)
    await pay.aclose()
    left = [one for one in gc.get_objects() if type(one) is aiohttp.ClientSession]
    assert all(http.closed for http in left)


async def test_a_cancelled_call_gives_its_place_back(make: MakeManager, provider: Provider) -> None:
    """Calls that are cancelled, in the line or on the way, leave all places free."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=2)) as http:
        pay = make(http=http, clock=None)
        await pay.list_collections()
        provider.always(LIST, faults.silent)
        calls = [asyncio.create_task(pay.list_collections()) for _ in range(6)]
        await provider.received(LIST, 3)
        for number in (0, 3, 1, 5, 2, 4):  # those in the line and those on the way, mixed
            calls[number].cancel()
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(result) for result in results} == {asyncio.CancelledError}
        provider.always(LIST, None)
        await asyncio.wait_for(asyncio.gather(*(pay.list_collections() for _ in range(6))), 2)


async def test_a_second_close_waits_for_the_first(make: MakeManager, provider: Provider) -> None:
    """Whoever closes a manager that is being closed comes back when it is closed."""
    pay = make(revoke_on_close=True, clock=None)
    await pay.list_collections()
    provider.always("POST /auth/revoke", faults.silent)
    first = asyncio.create_task(pay.aclose())
    await provider.received("POST /auth/revoke", 1)
    second, third = (asyncio.create_task(pay.aclose()) for _ in range(2))
    await asyncio.sleep(0)
    assert not second.done()
    third.cancel()  # which harms nobody else
    await asyncio.sleep(0)
    assert not second.done()
    first.cancel()
    await asyncio.wait_for(second, 1)
    assert (first.done(), third.cancelled()) == (True, True)
    await pay.aclose()
    await provider.hung_up()


async def test_closing_during_a_back_off_after_no_connection(
    make: MakeManager, provider: Provider
) -> None:
    """A call that was never sent says so, also where it is closed while it waits."""
    await make(token_store=(store := MemoryTokenStore())).list_collections()
    clock = StuckClock()
    pay = make(clock=clock, token_store=store)
    await provider.stop()
    call = asyncio.create_task(pay.create_checkout(amount=5, order_id="INV-1", description="d"))
    await clock.asleep.wait()
    await pay.aclose()
    with pytest.raises(ClosedError) as caught:
        await call
    assert (caught.value.outcome, caught.value.attempts) == (Outcome.NOT_SENT, 1)


async def test_a_task_that_once_waited_is_its_own_again(
    make: MakeManager, provider: Provider
) -> None:
    """Closing a manager does not cancel a task whose waits and calls are over."""
    pay = make()
    provider.add_order("INV-1", status="COMPLETED")
    await pay.wait_for_payment("SCI0001")
    closing = asyncio.create_task(pay.aclose())
    await asyncio.sleep(0.01)
    await closing
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_closed_manager_leaves_no_timer(make: MakeManager, provider: Provider) -> None:
    """The loop would keep it, and the manager with it, until the longest limit was over."""
    pay = make(clock=None)
    await pay.list_collections()
    deadlines = pay._engine._transport._deadlines
    assert deadlines is not None
    assert deadlines._timer is not None
    await pay.aclose()
    assert deadlines._timer is None
