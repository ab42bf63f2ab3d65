"""Whose turn it is, and whose time is up."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from paycollect._http.concurrency import Deadlines, FairQueue, Interrupter


async def test_the_line_is_first_come_first_served() -> None:
    """Places go to those who wait, in the order of their coming."""
    queue = FairQueue(1)
    assert queue.enter_nowait()
    assert not queue.enter_nowait()
    order: list[int] = []

    async def visit(number: int) -> None:
        await queue.enter()
        order.append(number)
        queue.leave()

    visits = [asyncio.create_task(visit(number)) for number in range(5)]
    await asyncio.sleep(0)
    queue.leave()
    assert not queue.enter_nowait()  # nobody gets past those who wait
    await asyncio.gather(*visits)
    assert order == list(range(5))
    assert queue.enter_nowait()


@pytest.mark.parametrize("first", ["cancel", "leave"])
async def test_a_place_is_never_lost(first: str) -> None:
    """Whoever is cancelled in the moment in which a place is handed on does not take it along."""
    queue = FairQueue(1)
    queue.enter_nowait()
    waiting = [asyncio.create_task(queue.enter()) for _ in range(2)]
    await asyncio.sleep(0)
    if first == "cancel":
        waiting[0].cancel()
        queue.leave()
    else:
        queue.leave()
        waiting[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting[0]
    await asyncio.wait_for(waiting[1], 1)
    queue.leave()
    assert queue.enter_nowait()


async def test_who_is_cancelled_in_the_line_frees_no_place() -> None:
    """A waiter that gives up had no place: nobody gets one by that."""
    queue = FairQueue(1)
    assert queue.enter_nowait()
    waiting = asyncio.create_task(queue.enter())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert not queue.enter_nowait()
    queue.leave()
    assert queue.enter_nowait()
    assert not queue.enter_nowait()


async def test_a_limit_that_was_not_noticed_is_taken_back() -> None:
    """A task that leaves before it notices an interruption is not cancelled any more."""
    task = asyncio.current_task()
    assert task is not None
    interrupter = Interrupter()
    interrupter.enter(task)
    assert not interrupter.take_back(task)
    interrupter.interrupt(task)
    with pytest.raises(asyncio.CancelledError):
        await asyncio.Future[None]()
    interrupter.leave(task)
    assert task.cancelling() == 0


async def test_many_limits_and_one_timer() -> None:
    """Each of many tasks is interrupted at its own time, in whatever order they came."""
    deadlines = Deadlines(asyncio.get_running_loop())
    began = deadlines.now()
    ended: list[float] = []

    async def work(seconds: float, *, until: float | None = None) -> None:
        task = asyncio.current_task()
        assert task is not None
        deadlines.limit(task, deadlines.now() + seconds)
        try:
            await asyncio.sleep(until or 5)
        except asyncio.CancelledError:
            assert deadlines.take_back(task)
            assert deadlines.now() >= began + seconds
            ended.append(seconds)
        finally:
            deadlines.release(task)

    waits = (0.04, 0.01, 0.05, 0.02, 0.03)
    await asyncio.wait_for(
        asyncio.gather(*(work(s) for s in waits), work(5.0, until=0.001), work(float("inf"), until=0.06)),
        1,
    )  # fmt: skip
    assert sorted(ended) == sorted(waits)


async def test_a_longer_limit_replaces_a_shorter_one() -> None:
    """A task that is given more time is not interrupted at the earlier moment."""
    deadlines = Deadlines(asyncio.get_running_loop())
    task = asyncio.current_task()
    assert task is not None
    deadlines.limit(task, deadlines.now() + 0.01)
    deadlines.limit(task, deadlines.now() + 0.5)
    await asyncio.sleep(0.02)
    deadlines.release(task)
    deadlines.stop()
    deadlines.stop()
    assert task.cancelling() == 0


async def test_who_was_released_is_forgotten() -> None:
    """A task that has its answer is not kept, nor interrupted when all are."""
    deadlines = Deadlines(asyncio.get_running_loop())
    task = asyncio.current_task()
    assert task is not None
    deadlines.limit(task, deadlines.now() + 60)
    deadlines.release(task)
    deadlines.interrupt_all()
    assert task.cancelling() == 0
    deadlines.stop()


async def test_a_timer_that_rings_for_nobody() -> None:
    """Where all were done in time, the timer rings in silence."""
    loop, failures = asyncio.get_running_loop(), list[object]()
    loop.set_exception_handler(lambda _, context: failures.append(context))
    deadlines = Deadlines(loop)
    task = asyncio.current_task()
    assert task is not None
    deadlines.limit(task, deadlines.now() + 0.01)
    deadlines.release(task)
    await asyncio.sleep(0.02)
    assert failures == []


async def test_a_limit_that_struck_too_late_is_taken_back() -> None:
    """Who is done in the moment in which the time is up is not cancelled afterwards."""
    task = asyncio.current_task()
    assert task is not None
    deadlines = Deadlines(asyncio.get_running_loop())
    deadlines.limit(task, deadlines.now() + 60)
    deadlines.interrupt(task)
    deadlines.release(task)
    assert task.cancelling() == 0
    with suppress(asyncio.CancelledError):  # before 3.13 what was under way cannot be called back
        await asyncio.sleep(0)
    assert not deadlines.take_back(task)


async def test_nobody_is_interrupted_after_a_stop() -> None:
    """A timer that was stopped does not ring, and the next limit sets it anew, also a later one."""
    loop = asyncio.get_running_loop()
    deadlines = Deadlines(loop)
    task = asyncio.current_task()
    assert task is not None
    deadlines.limit(task, deadlines.now() + 0.01)
    deadlines.stop()
    await asyncio.sleep(0.02)
    assert task.cancelling() == 0
    deadlines.limit(task, deadlines.now() + 0.01)
    with pytest.raises(asyncio.CancelledError):
        await asyncio.sleep(1)
    assert deadlines.take_back(task)
    deadlines.release(task)
    deadlines.stop()


async def test_a_limit_that_has_passed_interrupts_once() -> None:
    """Who goes on after its time was up is not interrupted again."""
    deadlines = Deadlines(asyncio.get_running_loop())
    task = asyncio.current_task()
    assert task is not None
    deadlines.limit(task, deadlines.now() - 1)
    with pytest.raises(asyncio.CancelledError):
        await asyncio.sleep(1)
    assert deadlines.take_back(task)
    await asyncio.sleep(0.01)
    deadlines.release(task)
    assert task.cancelling() == 0
