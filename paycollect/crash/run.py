"""From a number of schedules to a report."""

from __future__ import annotations

import asyncio
import random
import shutil
import tempfile
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Final, TypeVar

from paycollect import _arguments as check
from paycollect.crash.player import MakeShop, Outcome, play
from paycollect.crash.report import CrashReport, Finding
from paycollect.crash.schedules import STORIES, Schedule, all_schedules, by_name, shrink

R = TypeVar("R")
_MEMORY: Final = Path("/dev/shm")  # noqa: S108  # a folder of our own is made in it


def crash_test(
    make_shop: MakeShop, *, schedules: int = 200, seed: int = 0, processes: int = 20
) -> CrashReport:
    """Prove your own handlers: have your shop die at every point, and see what is delivered.

    Runs your shop against a provider in the same process, on one simulated clock: first with a
    death at each point of a few stories (each statement, commit, request, handler), then with two,
    then in storms of payments, refunds, webhooks in any order, lost answers and restarts.

    Args:
        make_shop: is given a `World`, and makes a life of your process: a `Shop` with a `Cashier`
            (of `world.pay`, `world.receiver`, `clock=world.clock` and your own store and handlers)
            and `delivered`, which counts in your own tables. It is called again after each death;
            what must outlive a life belongs into `world.folder`, or into your database, which
            `make_shop` must tell apart by `world.folder`.
        schedules: how many to play in this process.
        seed: of the chance in them.
        processes: how many to play with real processes that are killed by SIGKILL.

    Returns:
        A report that is true if each paid order was delivered once, or held with an alarm; else
        it shows the shortest schedule found that breaks the promise.

    Raises:
        TypeError, ValueError: an argument is wrong.

    """
    if not callable(make_shop):
        raise TypeError("make_shop: a function is needed")
    check.whole(schedules, "schedules", least=1, most=10**9)
    check.whole(processes, "processes", least=0, most=10**6)
    return _without_loop(_Run(make_shop, seed).all(schedules, processes))


def _without_loop(work: Coroutine[Any, Any, R]) -> R:
    """Run in a loop of its own; in another thread where a loop is running."""
    result: list[R] = []
    problem: list[BaseException] = []

    async def quietly() -> R:
        # Nobody waits for the tasks of a process that has died.
        asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
        return await work

    def run() -> None:
        try:
            result.append(asyncio.run(quietly()))
        except BaseException as error:  # noqa: BLE001  # it is raised below
            problem.append(error)

    thread = threading.Thread(target=run, name="paycollect-crash-test")
    thread.start()
    thread.join()
    if problem:
        raise problem[0]
    return result[0]


class _Run:
    def __init__(self, make_shop: MakeShop, seed: int) -> None:
        self._make_shop = make_shop
        self._seed = seed
        self._rng = random.Random(seed)  # noqa: S311  # chance, no secret
        self._died_at: list[str] = []
        self._played = 0
        self._processes = 0

    async def all(self, schedules: int, processes: int) -> CrashReport:
        points = []
        for story in STORIES[:schedules]:
            outcome = await self._play(story)
            if outcome.problems:
                return await self._failed(story, outcome)
            points.append(outcome.points)
        more = all_schedules(points, self._rng, (schedules - self._played) // 2)
        while self._played < schedules:
            schedule = next(more)
            outcome = await self._play(schedule)
            if outcome.problems:
                return await self._failed(schedule, outcome)
        return await self._real_ones(points, processes)

    async def _real_ones(self, points: list[tuple[str, ...]], processes: int) -> CrashReport:
        """Play schedules with processes that are killed, those around a handler first."""
        more = all_schedules(points, self._rng, processes // 2)
        while self._processes < processes:
            schedule = next(more)
            outcome = await self._play(schedule, real=True)
            if outcome.problems:
                return self._report(_finding(schedule, outcome))
        return self._report()

    async def _play(self, schedule: Schedule, *, real: bool = False) -> Outcome:
        place = _MEMORY if _MEMORY.is_dir() else None
        folder = Path(tempfile.mkdtemp(prefix="paycollect-", dir=place))
        try:
            outcome = await play(self._make_shop, schedule, folder, real=real)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        if real:
            self._processes += 1
        else:
            self._played += 1
        self._died_at += [point for _, point in outcome.deaths]
        return outcome

    async def _failed(self, schedule: Schedule, outcome: Outcome) -> CrashReport:
        played, died_at = self._played, list(self._died_at)

        async def fails(shorter: Schedule) -> bool:
            return bool((await self._play(shorter)).problems)

        named = by_name(schedule, outcome.deaths)
        shortest = await shrink(named if await fails(named) else schedule, fails)
        again = await self._play(shortest)
        if again.problems:  # what depends on the machine's own timing may not happen again
            schedule, outcome = shortest, again
        self._played, self._died_at = played, died_at
        return self._report(_finding(schedule, outcome))

    def _report(self, *findings: Finding) -> CrashReport:
        return CrashReport(
            schedules=self._played,
            processes=self._processes,
            deaths=len(self._died_at),
            points=frozenset(self._died_at),
            seed=self._seed,
            findings=findings,
        )


def _finding(schedule: Schedule, outcome: Outcome) -> Finding:
    return Finding(problems=outcome.problems, schedule=schedule, timeline=outcome.timeline)
