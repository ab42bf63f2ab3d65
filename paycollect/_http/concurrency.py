"""Whose turn it is, and whose time is up: the two kinds of waiting that a busy client needs.

Invariants: both cost next to nothing for a call that does not have to wait.
"""

from __future__ import annotations

import asyncio
from collections import deque

Task = asyncio.Task[object]


class FairQueue:
    """The waiting line in front of the connection pool: first come, first served.

    aiohttp's own pool does not queue fairly, and a call that waits in it already holds its built
    request (10 to 15 KB).
    """

    __slots__ = ("_free", "_line")

    def __init__(self, size: int) -> None:
        self._free = size
        self._line: deque[asyncio.Future[None]] = deque()

    def enter_nowait(self) -> bool:
        """Take a place if one is free and nobody waits."""
        if self._free > 0 and not self._line:
            self._free -= 1
            return True
        return False

    async def enter(self) -> None:
        """Wait for a place."""
        turn = asyncio.get_running_loop().create_future()
        self._line.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave()  # the place was handed over just before the cancellation
            raise

    def leave(self) -> None:
        """Give the place to the first in line who still waits."""
        while self._line:
            turn = self._line.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1


class Interrupter:
    """Cancels tasks on our own behalf, and tells that from anybody else's cancellation.

    A task enters and leaves. In between it catches CancelledError and asks `take_back`: True means
    that the cancellation was ours alone, so that an error can be raised instead (as asyncio.timeout
    does it).
    """

    __slots__ = ("_entered", "_interrupted")

    def __init__(self) -> None:
        self._entered: dict[Task, int] = {}
        self._interrupted: set[Task] = set()

    def enter(self, task: Task) -> None:
        """From now on the task may be interrupted; what cancelled it before is not our concern."""
        self._entered[task] = task.cancelling()

    def leave(self, task: Task) -> None:
        """From now on it may not; an interruption that it has not noticed is taken back."""
        self._entered.pop(task, None)
        if task in self._interrupted:
            self._interrupted.discard(task)
            task.uncancel()

    def interrupt(self, task: Task) -> None:
        """Cancel a task."""
        self._interrupted.add(task)
        task.cancel()

    def interrupt_all(self) -> None:
        """Cancel every task that has entered and not left."""
        for task in self._entered:
            self.interrupt(task)

    def take_back(self, task: Task) -> bool:
        """Take an interruption back; tell whether nobody else has cancelled the task."""
        if task not in self._interrupted:
            return False
        self._interrupted.discard(task)
        return task.uncancel() <= self._entered[task]


class Deadlines(Interrupter):
    """One timer that interrupts whatever takes too long, instead of two for every request.

    aiohttp's own limits set a timer for the whole request and one for each piece that it reads:
    a tenth of what a request costs. Here the next moment is set once for all who wait.
    """

    __slots__ = ("_due", "_loop", "_timer", "_timer_at", "now")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._loop = loop
        self.now = loop.time
        """Gives the loop's time, in seconds."""
        self._due: dict[Task, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = float("inf")

    def limit(self, task: Task, due: float) -> None:
        """Let a task go on until a moment of the loop's time; replaces its earlier limit."""
        if task not in self._due:
            self._entered[task] = task.cancelling()
        self._due[task] = due
        if due < self._timer_at:
            self._set(due)

    def release(self, task: Task) -> None:
        """Let a task go on for as long as it likes."""
        self._due.pop(task, None)
        self._entered.pop(task, None)
        if task in self._interrupted:
            self.leave(task)

    def stop(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._timer_at = None, float("inf")

    def _set(self, due: float) -> None:
        self.stop()
        if due < float("inf"):
            self._timer = self._loop.call_at(due, self._interrupt_late)
            self._timer_at = due

    def _interrupt_late(self) -> None:
        self._timer, self._timer_at = None, float("inf")
        now = self._loop.time()
        for task, due in self._due.items():
            if due <= now:
                self._due[task] = float("inf")
                self.interrupt(task)
        self._set(min(self._due.values(), default=float("inf")))
