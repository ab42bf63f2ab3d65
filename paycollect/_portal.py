"""One event loop on a thread of its own, for code that has none.

Invariants: no thread before the first call; a forked child starts its own; whoever runs an event
loop in the calling thread is told so at once, as waiting there would stop that loop.
"""

from __future__ import annotations

import asyncio
import atexit
import contextvars
import os
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final, Generic, TypeVar

from paycollect.errors import ClosedError, EventLoopError

T = TypeVar("T")

_LONGEST_END: Final = 5.0
"""Seconds that the end of the program waits for the thread."""


class Portal:
    """Runs coroutines on its own loop, and waits for them in the thread that calls."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._left: list[object] = []
        self._spawned: set[asyncio.Future[object]] = set()

    def check(self, instead: str) -> None:
        """Refuse to block a thread that runs an event loop.

        Raises:
            EventLoopError: it runs one; `instead` says what to do there.

        """
        if asyncio._get_running_loop() is not None:  # noqa: SLF001  exported, and does not raise
            raise EventLoopError(
                f"this call blocks, and this thread runs an event loop, which would stop: {instead}"
            )

    def call(self, function: Callable[[], Coroutine[Any, Any, T]], instead: str) -> T:
        """Run a coroutine function on the loop, in the caller's context, and give its result.

        An exception that interrupts the wait (KeyboardInterrupt, a time limit of a task queue)
        cancels the coroutine.

        Raises:
            EventLoopError: as in `check`.
            ClosedError: the program is ending.

        """
        self.check(instead)
        loop = self._loop or self._start()
        return _Work(function, loop).run()

    def spawn(self, function: Callable[[], Coroutine[Any, Any, object]]) -> None:
        """Have a coroutine function run, and do not wait; no effect where no loop runs."""
        loop = self._loop

        def start() -> None:
            task = asyncio.ensure_future(function())
            self._spawned.add(task)  # as the loop alone would let go of it
            task.add_done_callback(self._spawned.discard)

        if loop is not None:
            with suppress(RuntimeError):  # it was closed meanwhile
                loop.call_soon_threadsafe(start)

    def _start(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=_run, args=(loop,), name="paycollect", daemon=True
                )
                self._thread.start()
                self._loop = loop
            return self._loop

    def close(self) -> None:
        """End what runs, and the thread. The next call starts anew."""
        with self._lock:
            loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(_LONGEST_END)

    def after_fork(self) -> None:
        """Let go of the parent's loop: its thread does not run here.

        It is kept, never closed: its selector is the parent's, and closing it would take the
        parent's own wake-up socket out of it.
        """
        self._left.append((self._loop, self._thread))
        self._lock = threading.Lock()
        self._loop = self._thread = None


class _Work(Generic[T]):
    """One coroutine on its way through the loop."""

    __slots__ = ("_done", "_function", "_loop", "_task")

    def __init__(
        self, function: Callable[[], Coroutine[Any, Any, T]], loop: asyncio.AbstractEventLoop
    ) -> None:
        self._function = function
        self._loop = loop
        self._task: asyncio.Task[T] | None = None
        # A bare lock: a Future of concurrent.futures costs a third of a call more.
        self._done = threading.Lock()
        self._done.acquire()

    def run(self) -> T:
        try:
            self._hand_over()
            self._done.acquire()
        except BaseException:  # as soon as the loop may have it: a signal waits for no line
            with suppress(RuntimeError):  # the loop was closed
                self._loop.call_soon_threadsafe(self._cancel)
            raise
        task = self._task
        if task is None or task.cancelled():
            raise ClosedError("the program is ending: the call was given up")
        return task.result()

    def _hand_over(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._start, context=contextvars.copy_context())
        except RuntimeError:  # it was closed since the call asked for it
            raise ClosedError("the program is ending: nothing is sent any more") from None

    def _start(self) -> None:
        self._task = self._loop.create_task(self._function())
        self._task.add_done_callback(self._end)

    def _end(self, _task: asyncio.Task[T]) -> None:
        self._done.release()

    def _cancel(self) -> None:  # comes after `_start`: the loop keeps the order
        if self._task is not None:
            self._task.cancel()


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        loop.run_until_complete(_wind_up())
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()


async def _wind_up() -> None:
    await asyncio.sleep(0)  # what was asked for just before the end begins, and is cancelled, too
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


portal: Final = Portal()
atexit.register(portal.close)
if hasattr(os, "register_at_fork"):  # pragma: no branch  Windows does not fork
    os.register_at_fork(after_in_child=portal.after_fork)
