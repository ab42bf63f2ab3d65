"""The sandbox's clock: it runs like the wall clock, or faster, and can be moved forward by hand.

The law of this room: everything in the sandbox that has a time reads it here, so that an hour
passes in a test without an hour being waited for.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from paycollect.sandbox.pulse import Pulse

if TYPE_CHECKING:
    from collections.abc import Callable


class Clock:
    """A clock that starts now and goes `time_scale` times as fast as the wall clock.

    A scale of 0 makes it stand still except for `advance`.
    """

    def __init__(
        self,
        *,
        time_scale: float = 1.0,
        start: datetime | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Set the clock.

        Args:
            time_scale: sandbox seconds per real second, 0 or more.
            start: an aware moment to start at; the present one if absent.
            monotonic: where real seconds are read.

        Raises:
            ValueError: a negative or infinite scale, or a start without a zone.

        """
        if not 0 <= time_scale < float("inf"):
            raise ValueError("time_scale: a finite number, 0 or more, is needed")
        if start is not None and start.tzinfo is None:
            raise ValueError("start: an aware datetime is needed")
        self._scale = time_scale
        self._start = datetime.now(UTC) if start is None else start.astimezone(UTC)
        self._monotonic = monotonic
        self._zero = monotonic()
        self._advanced = timedelta()
        self._moved = Pulse()

    @property
    def time_scale(self) -> float:
        """Sandbox seconds per real second."""
        return self._scale

    def now(self) -> datetime:
        """Tell the sandbox's time, in UTC."""
        real = self._monotonic() - self._zero
        return self._start + timedelta(seconds=real * self._scale) + self._advanced

    def advance(self, seconds: float) -> None:
        """Move the clock forward; whatever falls due meanwhile becomes due now.

        Raises:
            ValueError: a negative number of seconds, or more than a thousand years of them.

        """
        if not 0 <= seconds <= 1000 * 366 * 86400:
            raise ValueError("seconds: 0 or more, within a thousand years, are needed")
        self._advanced += timedelta(seconds=seconds)
        self._moved.beat()

    async def sleep(self, seconds: float) -> None:
        """Wait for so many seconds of sandbox time."""
        await self.sleep_until(self.now() + timedelta(seconds=seconds))

    async def sleep_until(self, moment: datetime) -> None:
        """Wait for a moment of sandbox time; return at once if it has passed."""
        while (left := (moment - self.now()).total_seconds()) > 0:
            try:
                async with asyncio.timeout(left / self._scale if self._scale else None):
                    await self._moved.wait()
            except TimeoutError:
                continue
