"""Who may go, and who has waited too long: the two kinds of waiting that a busy client needs.

The law of this room: both cost next to nothing for a call that does not have to wait.
"""

from __future__ import annotations

import asyncio
from collections import deque

Task = asyncio.Task[object]


class Gate:
    """A waiting line in front of the connection pool: first come, first served.

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

    The caller of a cancelled task catches CancelledError and asks `took`: True means that it was
    ours alone and is taken back, so that an error can be raised instead (as asyncio.timeout does).
    """

    __slots__ = ("_before",)

    def __init__(self) -> None:
        self._before: dict[Task, int] = {}

    def interrupt(self, task: Task) -> None:
        """Cancel a task."""
        self._before[task] = task.cancelling()
        task.cancel()

    def took(self, task: Task) -> bool:
        """Tell whether the task was cancelled by `interrupt` and by nobody else."""
        before = self._before.pop(task, None)
        return before is not None and task.uncancel() <= before

    def forget(self, task: Task) -> None:
        """Take a cancellation back that the task has ended without noticing."""
        if self._before and self._before.pop(task, None) is not None:
            task.uncancel()


class Watch:
    """One timer that interrupts whatever takes too long, instead of two for every request.

    aiohttp's own limits set a timer for the whole request and one for each piece that it reads:
    a tenth of what a request costs. Here the next moment is set once for all who wait.
    """

    __slots__ = ("_due", "_interrupter", "_loop", "_timer", "_timer_at")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._interrupter = Interrupter()
        self._due: dict[Task, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = float("inf")

    def now(self) -> float:
        """Give the loop's time, in seconds."""
        return self._loop.time()

    def limit(self, task: Task, due: float) -> None:
        """Let a task go on until a moment of the loop's time; replaces its earlier limit."""
        self._due[task] = due
        if due < self._timer_at:
            self._set(due)

    def release(self, task: Task) -> None:
        """Let a task go on for as long as it likes."""
        self._due.pop(task, None)
        self._interrupter.forget(task)

    def took(self, task: Task) -> bool:
        """Tell whether a CancelledError in the task means that its time was up."""
        return self._interrupter.took(task)

    def stop(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._timer_at = None, float("inf")

    def _set(self, due: float) -> None:
        self.stop()
        self._timer = self._loop.call_at(due, self._ring)
        self._timer_at = due

    def _ring(self) -> None:
        self._timer, self._timer_at = None, float("inf")
        now = self._loop.time()
        for task in [task for task, due in self._due.items() if due <= now]:
            del self._due[task]
            self._interrupter.interrupt(task)
        if self._due:
            self._set(min(self._due.values()))
