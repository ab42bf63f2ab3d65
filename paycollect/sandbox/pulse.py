"""A heartbeat: whoever waits is woken by the next beat."""

from __future__ import annotations

import asyncio


class Pulse:
    """Wakes all that wait for it at each `beat`, and counts the beats."""

    def __init__(self) -> None:
        self.beats: int = 0
        self._next = asyncio.Event()

    def beat(self) -> None:
        """Wake everybody who waits."""
        self.beats += 1
        past, self._next = self._next, asyncio.Event()
        past.set()

    async def wait(self) -> None:
        """Wait for the next beat."""
        await self._next.wait()
