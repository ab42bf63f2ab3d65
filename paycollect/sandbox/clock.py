"""The sandbox's clock: it runs like the machine's, or faster, and can be moved forward by hand.

Invariants: everything in the sandbox that has a time reads it here, so that an hour passes in a
test without an hour being waited for. It may be read, moved and slept on from any thread.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from paycollect import clock as _clock
from paycollect.sandbox.wakeup import Wakeup

if TYPE_CHECKING:
    from collections.abc import Callable


class Clock(_clock.Clock):
    """A clock that starts now and goes `time_scale` times as fast as the machine's.

    A scale of 0 makes it stand still except for `advance`. It can be given to a `SessionManager`, a
    `Receiver` or a `Cashier` as their clock: they then live in the sandbox's time.
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
        self._real_seconds = monotonic
        self._zero = monotonic()
        self._advanced = 0.0
        self._moved = Wakeup()

    @property
    def time_scale(self) -> float:
        """Sandbox seconds per real second."""
        return self._scale

    def now(self) -> datetime:
        """Tell the sandbox's time, in UTC."""
        return self._start + timedelta(seconds=self.monotonic())

    def time(self) -> float:
        """Tell the sandbox's time, in seconds since 1970-01-01 in UTC."""
        return self.now().timestamp()

    def monotonic(self) -> float:
        """Seconds of the sandbox's time since this clock was made."""
        return (self._real_seconds() - self._zero) * self._scale + self._advanced

    def advance(self, seconds: float) -> None:
        """Move the clock forward; whatever falls due meanwhile becomes due now.

        Raises:
            ValueError: a negative number of seconds, or more than a thousand years of them.

        """
        if not 0 <= seconds <= 1000 * 366 * 86400:
            raise ValueError("seconds: 0 or more, within a thousand years, are needed")
        self._advanced += seconds
        self._moved.wake_all()

    async def sleep(self, seconds: float) -> None:
        """Wait for so many seconds of the sandbox's time."""
        await self.sleep_until(self.now() + timedelta(seconds=seconds))

    async def sleep_until(self, moment: datetime) -> None:
        """Wait for a moment of the sandbox's time; return at once if it has passed."""
        while (left := (moment - self.now()).total_seconds()) > 0:
            await self._moved.wait(
                unless=lambda: self.now() >= moment,
                seconds=left / self._scale if self._scale else None,
            )
