"""A process of the shop that does everything in many threads at once, whenever it is told a line.

"create" creates one checkout many times; "BODY COLLECTION_ID" delivers it by all ways that there are.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.cashier.racer import TASKS, name_of, say

THREADS = 6
"""Each has a connection of its own."""


def main() -> None:
    """Do what each line says, and tell what came of it."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.cashier.django.project.settings"
    import django  # noqa: PLC0415  # needs settings

    django.setup()
    from tests.cashier.django.project.payments import blocking  # noqa: PLC0415  # needs settings

    blocking.stats()  # the store is open
    with ThreadPoolExecutor(THREADS) as threads:
        say("ready")
        for line in sys.stdin:
            names = Counter(threads.map(_told, ways_of(blocking, line)))
            say(str(dict(names)))
    blocking.aclose()


def ways_of(blocking: Any, line: str) -> list[Callable[[], object]]:
    """What is done at once."""
    if line == "create\n":
        order: Any = {"order_id": "A", "amount": "25.00", "description": "Premium"}
        return [lambda: blocking.create_checkout(**order)] * TASKS
    body, collection_id = line.split()
    ways = [
        lambda: blocking.receive(bytes.fromhex(body)),
        lambda: blocking.returned(f"?batch={collection_id}&status=COMPLETED"),
        blocking.run_once,
        lambda: blocking.replay("A"),
    ]
    return ways * (TASKS // len(ways) + 1)


def _told(way: Callable[[], object]) -> str:
    try:
        return name_of(way())
    except Exception as error:  # noqa: BLE001  # it is told by its name
        return name_of(error)


if __name__ == "__main__":
    main()
