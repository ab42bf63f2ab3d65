"""How many paid orders a shop loses that is killed a dozen times: by hand, and with the cashier.

python -m tests.examples.losses [RUNS]

Customers order and pay, one each quarter of a second; the provider needs 0.15 s to answer a GET;
after 12 `kill -9` at random moments the shop lives until the provider's last webhook is long out.
Its table stands in docs/comparison.md.
"""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

import aiohttp

from paycollect.sandbox import Sandbox
from paycollect.sandbox.faults import delay
from tests.examples.conftest import TIMES, Example, Town

KILLS: Final = 12
BETWEEN_CUSTOMERS: Final = 0.25
SLOW_GET: Final = 0.15
LAST_WEBHOOK: Final = 40 * 60.0
"""The provider sends a webhook again for up to 36 minutes (provider docs: webhooks)."""
BY_HAND: Final = Example(name="by hand", commands=(("tests/examples/by_hand.py",),))
CASHIER: Final = Example(name="cashier", commands=(("examples/merchant.py",),))


async def losses(example: Example, way: str = "", kills: int = KILLS) -> tuple[int, int]:
    """Play it once; gives how many paid orders were never delivered, and how many were paid."""
    with tempfile.TemporaryDirectory() as folder:
        async with Sandbox(time_scale=TIMES) as sandbox:
            sandbox.faults.always("GET /collections/{id}", delay(SLOW_GET * TIMES))
            town = Town(sandbox, Path(folder))
            town.more = {"BY_HAND": way}
            try:
                await storm(town, example, kills)
                parcels = town.parcels(example)
                assert set(parcels.values()) <= {1}
                return len(town.paid - set(parcels)), len(town.paid)
            finally:
                await town.aclose()


async def storm(town: Town, example: Example, kills: int) -> None:
    """Let customers come while the shop dies, and then all that is still to come."""
    await town.start(example)
    coming = asyncio.create_task(customers(town))
    for _ in range(kills):
        await asyncio.sleep(random.uniform(0.3, 1.5))
        await town.kill()
        await town.start(example)
    coming.cancel()
    await asyncio.gather(coming, return_exceptions=True)
    await town.sandbox.clock.sleep(LAST_WEBHOOK)
    await town.sandbox.drained()


async def customers(town: Town) -> None:
    """Have them come, whatever becomes of the shop."""
    async with asyncio.TaskGroup() as group:
        while True:
            await asyncio.sleep(random.expovariate(1 / BETWEEN_CUSTOMERS))
            group.create_task(customer(town))


async def customer(town: Town) -> None:
    """Order, pay, and come back, as far as the shop lives."""
    with suppress(aiohttp.ClientError, AssertionError, TimeoutError):
        collection_id = await town.buy()
        await asyncio.sleep(random.uniform(0, 0.3))
        await town.sandbox.pay(collection_id)
        await town.come_back(collection_id)


async def main(runs: int) -> None:
    """Print a line for each shop."""
    for example, way in ((BY_HAND, "memory"), (BY_HAND, "early"), (BY_HAND, "late"), (CASHIER, "")):
        found = [await losses(example, way) for _ in range(runs)]
        numbers = ", ".join(f"{lost} of {paid}" for lost, paid in found)
        print(f"{example.name} {way}: {numbers}", flush=True)  # noqa: T201  # it is a script


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 3))
