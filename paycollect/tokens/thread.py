"""Work that may block, kept off the event loop's thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


async def in_thread(work: Callable[[], T], undo: Callable[[T], None] = lambda _: None) -> T:
    """Do something that may block in a thread of its own.

    A thread that hangs, such as on a file system that is gone, is left behind: unlike one of the
    loop's executor it keeps neither the loop nor the process from ending.

    Args:
        work: what to do.
        undo: called with a result that nobody waits for any more, such as an open file.

    Raises:
        Exception: whatever `work` raises.

    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if future.done():  # nobody waits any more
            if error is None:
                undo(result)  # type: ignore[arg-type]  # without an error it is a T
        elif error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]  # without an error it is a T

    def run() -> None:
        result: T | None = None
        failed: BaseException | None = None
        try:
            result = work()
        except Exception as error:  # noqa: BLE001  it is raised where it is awaited
            failed = error
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(settle, result, failed)

    threading.Thread(target=run, name="paycollect-token-store", daemon=True).start()
    return await future
