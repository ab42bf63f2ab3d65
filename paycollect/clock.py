"""Time, as one thing that can be replaced: tests and simulations pass their own."""

from __future__ import annotations

import asyncio
import time


class Clock:
    """The machine's clock. Subclass it and override all three methods to run on another time."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never goes back."""
        return time.monotonic()

    def time(self) -> float:
        """Seconds since 1970-01-01 in UTC."""
        return time.time()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)
