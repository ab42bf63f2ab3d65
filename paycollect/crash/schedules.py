"""Schedules: what happens in which order, and how a long one that fails becomes a short one.

A few stories are told first without a crash, and then with one at each of their points; then with
two; then storms, in which anything can happen at any time.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import islice
from typing import Final, TypeAlias

from attrs import evolve, frozen


@frozen
class Op:
    """Something that happens.

    `order` says to which order, `n` how often, how long, or after how many points, `at` of which
    name.
    """

    kind: str
    order: int = 0
    n: int = 0
    at: str = ""

    def __str__(self) -> str:
        if self.at:
            return f"the process will be killed at {self.at!r}, at time {self.n} that it is there"
        return _WORDS[self.kind].format(order=f"order-{self.order}", n=self.n)


Schedule: TypeAlias = tuple[Op, ...]

_WORDS: Final = {
    "create": "the shop creates {order}",
    "pay": "the customer pays {order}",
    "decline": "the payment of {order} fails",
    "cancel": "the customer cancels {order}",
    "expire": "the checkout of {order} ends",
    "refund": "all of {order} is refunded",
    "refund_part": "a part of {order} is refunded",
    "webhook": "webhook {n} of {order} arrives",
    "back": "the customer of {order} comes back from the checkout page",
    "replay": "{order} is replayed",
    "rush": "create, webhook, return page, replay and worker are at {order} at the same instant",
    "close": "the shop gives {order} up",
    "work": "the worker does what is due",
    "wait": "{n} s pass",
    "kill": "the process is killed",
    "die": "the process will be killed {n} points from here",
    "fail": "statement {n} of the handlers from here fails, as on a full disk",
    "lose": "the next {n} answers of the provider are lost",
    "away": "the provider cannot be reached",
    "here": "the provider can be reached again",
    "stale": "what the provider tells is {n} s old",
}
_WAITS: Final = (1, 3, 30, 61, 200, 700, 3700, 5000)
_ORDERS: Final = 3

STORIES: Final[tuple[Schedule, ...]] = (
    (Op("create"), Op("pay"), Op("webhook", n=1), Op("work"), Op("work")),
    (Op("create"), Op("pay"), Op("back"), Op("work")),
    (Op("create"), Op("pay"), Op("wait", n=61), Op("work"), Op("work")),
    (
        *(Op("create"), Op("pay"), Op("webhook", n=1), Op("work")),
        *(Op("refund"), Op("webhook", n=2), Op("work")),
    ),
    (Op("create"), Op("expire"), Op("wait", n=5000), Op("work")),
    (
        *(Op("create"), Op("create", 1), Op("pay"), Op("pay", 1), Op("webhook", n=1)),
        *(Op("webhook", 1, 1), Op("webhook", n=1), Op("work"), Op("back"), Op("back", 1)),
    ),
    (Op("fail", n=1), Op("create"), Op("pay"), Op("webhook", n=1), Op("work")),
    (Op("rush"), Op("pay"), Op("rush"), Op("rush"), Op("refund"), Op("rush")),
)


def with_deaths(story: Schedule, *points: int) -> Schedule:
    """Have the process die at points of a story, each counted from the death before it."""
    return (*(Op("die", n=point) for point in points), *story)


def storm(rng: random.Random) -> Schedule:
    """Make up a schedule in which anything can happen at any time."""
    kinds, weights = zip(*_CHANCES.items(), strict=True)
    ops = []
    for kind in rng.choices(kinds, weights, k=rng.randint(6, 24)):
        order = rng.randrange(_ORDERS)
        match kind:
            case "webhook":
                ops += [Op(kind, order, rng.randint(1, 3)) for _ in range(rng.randint(1, 3))]
            case "wait":
                ops.append(Op(kind, n=rng.choice(_WAITS)))
            case "die":
                ops.append(Op(kind, n=rng.randint(1, 60)))
            case "fail" | "lose":
                ops.append(Op(kind, n=rng.randint(1, 2)))
            case "stale":
                ops.append(Op(kind, n=rng.choice((0, 5, 60))))
            case "work" | "kill" | "away" | "here":
                ops.append(Op(kind))
            case _:
                ops.append(Op(kind, order))
    return (Op("create"), *ops)


_CHANCES: Final = {
    "create": 8,
    "pay": 10,
    "decline": 1,
    "cancel": 1,
    "expire": 1,
    "refund": 2,
    "refund_part": 1,
    "webhook": 10,
    "back": 6,
    "replay": 3,
    "rush": 5,
    "close": 1,
    "work": 14,
    "wait": 7,
    "kill": 4,
    "die": 10,
    "fail": 2,
    "lose": 3,
    "away": 1,
    "here": 3,
    "stale": 2,
}


def all_schedules(
    points: Sequence[Sequence[str]], rng: random.Random, singles: int
) -> Iterator[Schedule]:
    """Give schedules without end: single deaths, then pairs and storms in turn.

    Args:
        points: the names of the points of each story.
        rng: where chance comes from.
        singles: how many schedules with a single death there may be; all points where it suffices,
            else those around a handler first.

    """
    places = [
        (story, place) for story, names in enumerate(points) for place in range(1, len(names) + 1)
    ]
    if len(places) > singles:
        rng.shuffle(places)
        places.sort(key=lambda one: not _is_near_handler(points[one[0]], one[1]))
    for story, place in places[:singles]:
        yield with_deaths(STORIES[story], place)
    while True:
        story = rng.randrange(len(points))
        first, second = (rng.randint(1, len(points[story]) + 1) for _ in range(2))
        yield with_deaths(STORIES[story], first, second)
        for _ in range(3):
            yield storm(rng)


def _is_near_handler(names: Sequence[str], place: int) -> bool:
    return any(
        name.partition(":")[0] in ("handler", "statement", "effect")
        for name in names[max(0, place - _NEAR) : place]
    )


_NEAR: Final = 8
"""So many points after a handler its transaction is committed."""


def by_name(schedule: Schedule, deaths: Sequence[tuple[int, str]]) -> Schedule:
    """Name the points of deaths in place of counting them: a shorter schedule has fewer points."""
    named = [Op("die", n=count, at=point) for count, point in deaths]
    ops = []
    for op in schedule:
        if op.kind != "die":
            ops.append(op)
        elif named:
            ops.append(named.pop(0))
    return tuple(ops)


Fails: TypeAlias = Callable[[Schedule], Awaitable[bool]]


async def shrink(schedule: Schedule, fails: Fails, tries: int = 80) -> Schedule:
    """Find a shorter schedule that fails, too: without parts of it, and with smaller numbers."""
    left = tries
    size = max(1, len(schedule) // 2)
    while size and left:
        start = 0
        while start < len(schedule) and left:
            shorter = schedule[:start] + schedule[start + size :]
            left -= 1
            if shorter and await fails(shorter):
                schedule = shorter
            else:
                start += size
        size //= 2
    for place, op in enumerate(schedule):
        for n in islice(_smaller(op), left):
            left -= 1
            simpler = (*schedule[:place], evolve(op, n=n), *schedule[place + 1 :])
            if await fails(simpler):
                schedule = simpler
                break
    return schedule


def _smaller(op: Op) -> Iterator[int]:
    if op.kind in ("wait", "lose", "fail"):
        yield from (n for n in _WAITS if n < op.n)
    if op.at:
        yield from range(1, op.n)
