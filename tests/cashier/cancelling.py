"""A call that is cancelled at the n-th place where it waits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Generator
from typing import Any


class CutShort:
    """Await it in a task of its own.

    Attributes:
        places: how often the call has waited for something.
        lasted: the seconds from the cancellation to the end of the call.

    """

    def __init__(self, call: Coroutine[Any, Any, Any], place: int) -> None:
        self._call = call
        self._place = place
        self.places = 0
        self.lasted = 0.0

    def __await__(self) -> Generator[Any, Any, Any]:
        """Run the call; the cancellation meets it while it waits."""
        told: BaseException | None = None
        cut_at = 0.0
        while True:
            try:
                waits_for = self._call.send(None) if told is None else self._call.throw(told)
            except StopIteration as end:
                return end.value
            finally:
                if cut_at:
                    self.lasted = time.perf_counter() - cut_at
            self.places += 1
            if self.places == self._place:
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
                cut_at = time.perf_counter()
            try:
                told = None
                yield waits_for
            except BaseException as error:  # noqa: BLE001  # it is the call's to handle
                told = error


async def cut_short(call: Coroutine[Any, Any, Any], place: int) -> CutShort:
    """Cancel a call at one place, and wait for its end; `places` is less if it had ended before."""
    cut = CutShort(call, place)

    async def run() -> None:
        await cut

    try:
        await asyncio.create_task(run())
    except asyncio.CancelledError:
        mine = asyncio.current_task()
        if mine is None or mine.cancelling():
            raise
    return cut
