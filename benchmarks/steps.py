"""How many steps of our own one warm `create_checkout` takes.

    python -m benchmarks.steps [--list]

A step is a call of one of our own functions, or a coroutine that goes on; a move is a step in
another file than the step before. Both are counted, not timed, so that they are the same on any
machine.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import FrameType

import paycollect
from benchmarks.request import manager, our_call, provider
from benchmarks.table import Row, run_alone

ROOT = str(Path(paycollect.__file__).parent)


async def steps_of_a_create(url: str) -> list[tuple[str, str]]:
    """Give file and function of each step of a create, when token and connection are there."""
    steps: list[tuple[str, str]] = []

    def note(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(ROOT):
            steps.append((code.co_filename[len(ROOT) + 1 :], code.co_qualname))

    async with manager(url) as pay:
        call = our_call(pay)
        for number in range(3):
            await call(number)
        sys.setprofile(note)
        try:
            await call(3)
        finally:
            sys.setprofile(None)
    return steps


def moves(steps: list[tuple[str, str]]) -> int:
    """Count the steps that are in another file than the one before."""
    return sum(one[0] != other[0] for one, other in pairwise(steps))


def rows(_full: bool) -> Iterator[Row]:
    """Count; a second run would give the same."""
    with provider() as url:
        steps = asyncio.run(steps_of_a_create(url))
    files = len({file for file, _ in steps})
    yield Row("steps of our own in a warm create", len(steps), "", goal=45, note=f"{files} files")
    yield Row("moves between files in a warm create", moves(steps), "", goal=28)


def main() -> None:
    if "--list" not in sys.argv[1:]:
        run_alone("steps", __doc__, rows)
        return
    with provider() as url:
        for file, function in asyncio.run(steps_of_a_create(url)):
            print(f"  {file:<24} {function}")


if __name__ == "__main__":
    main()
