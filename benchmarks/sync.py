"""What a blocking call costs beside an awaited one.

    python -m benchmarks.sync [--full] [--json FILE]

Both make the same checkout, interleaved in the same run; the server is a process of its own. The
best rounds are compared, as waiting for a busy machine is no cost of ours: the bar is 1.5 times the
awaited call plus 60 microseconds.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from collections.abc import Iterator
from typing import TypedDict

from benchmarks.request import HOST, serve
from benchmarks.table import Row, run_alone
from paycollect import SessionManager, sync


class Options(TypedDict):
    """What a manager is made of."""

    app_id: str
    secret_key: str
    base_url: str


def awaited(options: Options, calls: int) -> float:
    """Give the microseconds of an awaited call."""

    async def main() -> float:
        async with SessionManager(**options) as pay:
            await pay.create_checkout(amount="25.00", order_id="INV-001", description="Plan")
            started = time.perf_counter()
            for _ in range(calls):
                await pay.create_checkout(amount="25.00", order_id="INV-001", description="Plan")
            return (time.perf_counter() - started) / calls * 1e6

    return asyncio.run(main())


def blocking(options: Options, calls: int) -> float:
    """Give the microseconds of a blocking call."""
    with sync.SessionManager(**options) as pay:
        pay.create_checkout(amount="25.00", order_id="INV-001", description="Plan")
        started = time.perf_counter()
        for _ in range(calls):
            pay.create_checkout(amount="25.00", order_id="INV-001", description="Plan")
        return (time.perf_counter() - started) / calls * 1e6


def rows(full: bool) -> Iterator[Row]:
    """Measure both, in turn."""
    rounds, calls = (25, 200) if full else (7, 100)
    context = multiprocessing.get_context("spawn")
    pipe, other_end = context.Pipe()
    server = context.Process(target=serve, args=(other_end,), daemon=True)
    server.start()
    options: Options = {
        "app_id": "A1B2C3D4E5F6G7H8",
        "secret_key": "not_a_real_secret_key_but_as_long",
        "base_url": f"http://{HOST}:{pipe.recv()}/v3",
    }
    measured = [(awaited(options, calls), blocking(options, calls)) for _ in range(rounds)]
    pipe.send(None)
    server.join()
    first, second = (min(column) for column in zip(*measured, strict=True))
    note = f"{first:.0f} us awaited, {second:.0f} us blocking"
    bar = 1.5 * first + 60
    yield Row("create_checkout, blocking / (1.5 awaited + 60 us)", second / bar, goal=1, note=note)


if __name__ == "__main__":
    run_alone("sync", __doc__, rows)
