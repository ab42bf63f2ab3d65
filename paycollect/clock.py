"""Time, as one thing that can be replaced: tests and simulations pass their own."""

from __future__ import annotations

import asyncio
import time
from typing import Final, Protocol


class Clock(Protocol):
    """What time it is, and waiting. Anything with these three methods is a clock.

    A subclass that overrides none of them lives by the machine's time.
    """

    def __init__(self) -> None:  # else Python refuses to make a plain `Clock()`, as of any protocol
        return

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never goes back."""
        return time.monotonic()

    def time(self) -> float:
        """Seconds since 1970-01-01 in UTC."""
        return time.time()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


class MachineClock(Clock):
    """The machine's clock."""

    # Straight to C: the clock is read several times a call.
    monotonic = staticmethod(time.monotonic)  # pyright: ignore[reportAssignmentType]  # called alike
    time = staticmethod(time.time)  # pyright: ignore[reportAssignmentType]  # called alike


CLOCK_METHODS: Final = ("monotonic", "time", "sleep")
"""What is looked for in a clock that a caller passes."""
