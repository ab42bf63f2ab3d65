"""Short transactions that wait at the same time, run as one: a commit and a connection for all.

Invariants: each member is told its own result. Who is cancelled leaves its transaction to end by
itself. A group that fails is run again one by one, so only what does no harm twice may come here.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar
from weakref import WeakKeyDictionary

from attrs import define, field

from paycollect.cashier.store import Steps

R = TypeVar("R")
MakeSteps = Callable[[], Steps[Any]]
LARGEST_GROUP: Final = 64


@define(eq=False)
class _Line:
    """Who waits on one event loop; a forked child has another loop, and so a line of its own."""

    waiting: deque[tuple[MakeSteps, asyncio.Future[Any]]] = field(factory=deque)
    is_busy: bool = False
    task: asyncio.Task[None] | None = None


class Grouping:
    """Runs one transaction at once, and whatever comes meanwhile together after it.

    Args:
        alone: runs a transaction.
        together: runs several in one, and gives their results in the same order.

    """

    def __init__(
        self,
        alone: Callable[[MakeSteps], Awaitable[Any]],
        together: Callable[[Sequence[MakeSteps]], Awaitable[list[Any]]],
    ) -> None:
        self._alone = alone
        self._together = together
        self._lines: WeakKeyDictionary[asyncio.AbstractEventLoop, _Line] = WeakKeyDictionary()

    async def run(self, steps: Callable[[], Steps[R]]) -> R:
        """Run a transaction, with others if there are some; raises what it raises alone."""
        loop = asyncio.get_running_loop()
        line = self._lines.get(loop) or self._lines.setdefault(loop, _Line())
        result: R
        if line.is_busy:
            answer: asyncio.Future[R] = loop.create_future()
            line.waiting.append((steps, answer))
            return await answer
        line.is_busy = True
        try:
            result = await self._alone(steps)
        finally:
            self._go_on(line)
        return result

    def _go_on(self, line: _Line) -> None:
        group = [line.waiting.popleft() for _ in range(min(len(line.waiting), LARGEST_GROUP))]
        line.is_busy = bool(group)
        line.task = asyncio.ensure_future(self._serve(line, group)) if group else None

    async def _serve(self, line: _Line, group: list[tuple[MakeSteps, asyncio.Future[Any]]]) -> None:
        try:
            results = await self._together([steps for steps, _ in group])
        except Exception:  # noqa: BLE001  each is told its own, whatever it was
            await asyncio.gather(*(self._one(steps, answer) for steps, answer in group))
        except BaseException as death:  # the loop is ending, or a crash test's death
            for _, answer in group:
                settle(answer, None, death)
            raise
        else:
            for (_, answer), result in zip(group, results, strict=True):
                settle(answer, result, None)
            await asyncio.sleep(0)  # who comes back at once goes with the next group
        finally:
            self._go_on(line)

    async def _one(self, steps: MakeSteps, answer: asyncio.Future[Any]) -> None:
        try:
            result = await self._alone(steps)
        except Exception as problem:  # noqa: BLE001  it is told to whom it concerns
            settle(answer, None, problem)
        else:
            settle(answer, result, None)


def settle(answer: asyncio.Future[Any], result: object, problem: BaseException | None) -> None:
    """Tell whoever waits the result, or what has gone wrong."""
    if answer.done():
        return  # whoever asked was cancelled
    if problem is None:
        answer.set_result(result)
    else:
        answer.set_exception(problem)
