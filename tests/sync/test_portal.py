"""The loop thread: started late, ended at the end, interrupted like any wait."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from paycollect._portal import Portal
from paycollect.errors import ClosedError


@pytest.fixture
def portal() -> Iterator[Portal]:
    """Give one that is ended with the test."""
    portal = Portal()
    yield portal
    portal.close()


async def whereabouts() -> tuple[threading.Thread, asyncio.AbstractEventLoop]:
    """Tell the thread and the loop that run this."""
    return threading.current_thread(), asyncio.get_running_loop()


def test_one_thread_from_the_first_call_on(portal: Portal) -> None:
    """There is none before, and then one, whoever calls first."""
    assert portal._thread is None
    barrier, seen = threading.Barrier(8), []

    def call() -> None:
        barrier.wait()
        seen.append(portal.call(whereabouts, ""))

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 8
    assert len({thread for thread, _ in seen}) == 1
    assert seen[0][0].daemon
    assert seen[0][0] not in threads


def test_who_comes_second_to_the_start(portal: Portal) -> None:
    """Whoever had to wait while another thread started the loop gets that one."""
    assert portal._start() is portal._start()


def test_what_is_raised_arrives(portal: Portal) -> None:
    """The caller gets the very exception."""
    wrong = ValueError("wrong")

    async def fail() -> None:
        raise wrong

    with pytest.raises(ValueError, match="wrong") as caught:
        portal.call(fail, "")
    assert caught.value is wrong


def test_a_wait_can_be_interrupted(portal: Portal) -> None:
    """An exception out of a signal handler ends the wait, and the work it waited for."""
    begun, ended = threading.Event(), threading.Event()

    class TimeLimitError(Exception):
        pass

    def handler(*_: object) -> None:
        raise TimeLimitError

    async def work() -> None:
        begun.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.set()

    def interrupt() -> None:
        begun.wait(5)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    kept = signal.signal(signal.SIGUSR1, handler)
    other = threading.Thread(target=interrupt)
    other.start()
    try:
        with pytest.raises(TimeLimitError):
            portal.call(work, "")
    finally:
        signal.signal(signal.SIGUSR1, kept)
        other.join()
    assert ended.wait(5)


@pytest.mark.parametrize("is_handed_over", [True, False])
def test_an_interruption_before_the_wait(
    portal: Portal, monkeypatch: pytest.MonkeyPatch, is_handed_over: bool
) -> None:
    """An exception that comes just before or after the hand-over leaves nothing running either."""
    loop = portal._start()
    hand_over = loop.call_soon_threadsafe

    async def work() -> None:
        await asyncio.get_running_loop().create_future()

    async def what_runs() -> set[asyncio.Task[Any]]:
        return asyncio.all_tasks()

    def interrupted(*args: Any, **options: Any) -> None:
        monkeypatch.undo()
        if is_handed_over:
            hand_over(*args, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "call_soon_threadsafe", interrupted)
    with pytest.raises(KeyboardInterrupt):
        portal.call(work, "")
    portal.call(whereabouts, "")  # in which a task that was cancelled has time to end
    assert len(portal.call(what_runs, "")) == 1  # the one that looks


def test_the_end_gives_up_what_waits(portal: Portal) -> None:
    """Other threads are told so, and the next call starts anew."""
    begun, errors = threading.Event(), []

    async def work() -> None:
        begun.set()
        await asyncio.get_running_loop().create_future()

    def call() -> None:
        try:
            portal.call(work, "")
        except ClosedError as error:
            errors.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    begun.wait(5)
    portal.close()
    thread.join(5)
    assert "the call was given up" in str(errors[0])
    first, _ = portal.call(whereabouts, "")
    assert first.is_alive()


def test_a_loop_that_was_closed_meanwhile(portal: Portal) -> None:
    """Whoever comes between gets our error, and a spawn is passed over."""
    portal._loop = asyncio.new_event_loop()
    portal._loop.close()
    with pytest.raises(ClosedError, match="the program is ending"):
        portal.call(whereabouts, "")
    portal.spawn(whereabouts)
    portal._loop = None
    portal.spawn(whereabouts)
    portal.close()


def test_after_a_fork(portal: Portal) -> None:
    """The child's first call starts a thread; the parent's loop stays as it is."""
    first, parents = portal.call(whereabouts, "")
    portal.after_fork()
    second, childs = portal.call(whereabouts, "")
    assert (first is second, parents is childs, parents.is_closed()) == (False, False, False)
    parents.call_soon_threadsafe(parents.stop)
    first.join(5)


def test_spawned_work_is_not_waited_for(portal: Portal) -> None:
    """It runs on the loop, and is let go of when it ends."""
    go_on, done = threading.Event(), threading.Event()

    async def work() -> None:
        await asyncio.to_thread(go_on.wait, 5)
        done.set()

    portal.call(whereabouts, "")
    portal.spawn(work)
    assert not done.is_set()
    go_on.set()
    assert done.wait(5)
