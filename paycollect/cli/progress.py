"""A live display for a wait that may take an hour."""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from paycollect.cli.terminal import printable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from paycollect.models import Collection
    from paycollect.session import SessionManager

_TICK_SECONDS: Final = 0.25


async def wait(pay: SessionManager, collection_id: str, timeout: float | None) -> Collection:  # noqa: ASYNC109  handed on
    """Wait for the payment; show meanwhile for how long already, and how long it can take."""
    collection = await pay.get_collection(collection_id)
    if collection.status.is_final:
        return collection
    async with _display(collection, longest_wait(collection, timeout)):
        return await pay.wait_for_payment(collection_id, timeout=timeout)


def longest_wait(collection: Collection, timeout: float | None) -> float | None:
    """Tell for how many seconds there is something to wait for; None where nobody knows."""
    limits = [] if timeout is None else [timeout]
    if collection.expires_at is not None:
        limits.append((collection.expires_at - datetime.now(UTC)).total_seconds())
    return max(min(limits), 0.0) if limits else None


@asynccontextmanager
async def _display(collection: Collection, longest: float | None) -> AsyncIterator[None]:
    console = Console(file=sys.stderr)
    order = printable(collection.order_id or collection.collection_id)
    if not console.is_terminal:
        sys.stderr.write(f"waiting for the payment of {order}\n")
        yield
        return
    columns = (
        SpinnerColumn(),
        TextColumn("waiting for {task.description}", markup=False),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}", markup=False),
    )
    with Progress(*columns, console=console, transient=True, auto_refresh=False) as progress:
        ticking = asyncio.create_task(_tick(progress, order, longest))
        try:
            yield
        finally:
            ticking.cancel()
            await asyncio.gather(ticking, return_exceptions=True)


async def _tick(progress: Progress, order: str, longest: float | None) -> None:
    task = progress.add_task(order, total=longest, left="")
    started = time.monotonic()
    while True:
        elapsed = time.monotonic() - started
        progress.update(task, completed=elapsed, left=left(elapsed, longest), refresh=True)
        await asyncio.sleep(_TICK_SECONDS)


def left(elapsed: float, longest: float | None) -> str:
    """Tell how much time is left, for people."""
    if longest is None:
        return ""
    seconds = max(round(longest - elapsed), 0)
    return f"{seconds // 60}:{seconds % 60:02} left"
