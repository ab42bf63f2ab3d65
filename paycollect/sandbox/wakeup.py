"""Waking everybody who waits for something, also from another thread."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Wakeup:
    """Wakes all that wait for it, whichever loop and thread they wait in."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: set[asyncio.Future[None]] = set()
        self.count: int = 0
        """How often everybody was woken."""

    def wake_all(self) -> None:
        """Wake everybody who waits; call it after the change that they wait for."""
        with self._lock:
            self.count += 1
            waiting, self._waiting = self._waiting, set()
        for future in waiting:
            # A loop that was closed has nobody left who waits.
            with contextlib.suppress(RuntimeError):
                future.get_loop().call_soon_threadsafe(future.set_result, None)

    async def wait(self, *, unless: Callable[[], bool], seconds: float | None = None) -> None:
        """Wait to be woken, for at most so many real `seconds`.

        Args:
            unless: not at all if this is true; asked under the lock, so that no change is missed.
            seconds: None waits for ever.

        """
        with self._lock:
            if unless():
                return
            future = asyncio.get_running_loop().create_future()
            self._waiting.add(future)
        try:
            await asyncio.wait((future,), timeout=seconds)
        finally:
            with self._lock:
                self._waiting.discard(future)
