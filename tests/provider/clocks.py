"""Time that tests own."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Awaitable, Callable
from itertools import count

from paycollect.clock import Clock

WALL = 1_800_000_000.0


class FakeClock(Clock):
    """A clock on which sleeping takes no time: it moves itself ahead, and notes by how much."""

    def __init__(self) -> None:
        self.now = 5_000.0
        self.wall = WALL
        self.sleeps: list[float] = []
        self.meanwhile: Callable[[], Awaitable[None]] | None = None

    def monotonic(self) -> float:
        """Give the time since an arbitrary start."""
        return self.now

    def time(self) -> float:
        """Give the time since 1970."""
        return self.wall

    async def sleep(self, seconds: float) -> None:
        """Move ahead at once, and let others run."""
        self.sleeps.append(seconds)
        self.advance(seconds)
        await asyncio.sleep(0)
        if self.meanwhile is not None:
            await self.meanwhile()

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
        self.wall += seconds


class CrowdClock(Clock):
    """A clock for many sleepers at once: it jumps to the next alarm when all of them sleep."""

    def __init__(self, crowd: int) -> None:
        self.now = 0.0
        self._awake = crowd
        self._alarms: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = count()

    def monotonic(self) -> float:
        """Give the time since the start."""
        return self.now

    def time(self) -> float:
        """Give the time since 1970."""
        return WALL + self.now

    async def sleep(self, seconds: float) -> None:
        """Sleep until nobody is awake and this alarm is the next."""
        alarm = asyncio.get_running_loop().create_future()
        heapq.heappush(self._alarms, (self.now + seconds, next(self._order), alarm))
        self.leave()
        await alarm

    def leave(self) -> None:
        """Count one of the crowd as not awake any more: asleep, or gone home."""
        self._awake -= 1
        if not self._awake and self._alarms:
            self.now, _, alarm = heapq.heappop(self._alarms)
            self._awake = 1
            alarm.set_result(None)


class StuckClock(FakeClock):
    """A clock on which a sleep lasts until the sleeper is cancelled."""

    def __init__(self) -> None:
        super().__init__()
        self.asleep = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        """Sleep for good."""
        self.sleeps.append(seconds)
        self.asleep.set()
        await asyncio.get_running_loop().create_future()
