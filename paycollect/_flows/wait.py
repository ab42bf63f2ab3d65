"""Waiting for a payment: patient, polite, and with a clear end.

Invariants: all waits of a manager together ask at a bounded rate; a wait ends within its time,
whatever the provider answers; and a state that was not seen is not told.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final

from paycollect._flows.confirm import read
from paycollect._http.call import Engine
from paycollect.clock import Clock
from paycollect.errors import DeadlineExceededError, Outcome, PayCollectError, clean
from paycollect.models import LIFETIME, Collection
from paycollect.retry import RetryPolicy

FIRST_POLL: Final = 2.0
LONGEST_POLL: Final = 30.0
_GROWTH: Final = 1.5
POLLS_PER_SECOND: Final = 20.0
LAST_POLL_SECONDS: Final = 5.0
GRACE: Final = timedelta(minutes=2)
# The provider's own life of a session (provider docs: collections/create), plus the grace.
LONGEST_WAIT: Final = (LIFETIME + GRACE).total_seconds()
_ONE_ATTEMPT: Final = RetryPolicy(max_retries=0)


class Pacer:
    """Keeps the polls of all waits of one manager below a rate; first come, first served."""

    def __init__(
        self,
        sleep: Callable[[float], Awaitable[None]],
        clock: Clock,
        rate: float = POLLS_PER_SECOND,
    ) -> None:
        self._sleep = sleep
        self._clock = clock
        self._step = 1.0 / rate
        self._free_at = float("-inf")

    async def turn(self, wait: float) -> None:
        """Sleep for `wait` seconds, and then until there is room for one more poll."""
        await self._sleep(wait)
        now = self._clock.monotonic()
        mine = max(now, self._free_at)
        self._free_at = mine + self._step
        if mine > now:
            await self._sleep(mine - now)


async def wait_for_payment(
    engine: Engine,
    pacer: Pacer,
    clock: Clock,
    collection_id: str,
    *,
    order_id: str | None,
    seconds: float,
) -> Collection:
    """Poll until the state is final or the session has expired, for so many seconds at most."""
    whole = engine.begin(deadline=seconds)
    wait, pause = 0.0, FIRST_POLL
    last: Collection | None = None
    while True:
        await pacer.turn(wait)
        left = whole.ends - clock.monotonic()
        asked = 0.0
        call = engine.begin(retry=_ONE_ATTEMPT, deadline=max(left, LAST_POLL_SECONDS))
        try:
            last = await read(engine, call, collection_id, order_id)
        except PayCollectError as failed:
            if not failed.is_retryable:
                raise
            asked = getattr(failed, "retry_after", None) or 0.0
        else:
            if last.status.is_final or _is_over(last, engine.server_time()):
                return last
            if order_id is not None:
                collection_id = last.collection_id  # the one that can be read, if there are two
        whole.attempts += call.attempts
        wait = max(asked, pause * random.uniform(0.75, 1.25))  # noqa: S311  spreads load, no secret
        pause = min(pause * _GROWTH, LONGEST_POLL)
        left = whole.ends - clock.monotonic()
        if left <= 0 or asked > left:
            error = _gave_up(collection_id, seconds, last)
            error.attempts, error.elapsed = whole.attempts, clock.monotonic() - whole.started
            error.order_id, error.outcome = order_id, Outcome.REJECTED  # a read has no effect
            raise error
        wait = min(wait, left)


def _is_over(collection: Collection, server_time: datetime) -> bool:
    """Tell whether the customer can no longer pay, whatever the state says yet."""
    ends_at = collection.ends_at
    return ends_at is not None and server_time - ends_at >= GRACE


def _gave_up(collection_id: str, seconds: float, last: Collection | None) -> DeadlineExceededError:
    state = (
        "its state could not be learnt" if last is None else f"its state was {clean(last.status)}"
    )
    error = DeadlineExceededError(
        f"no final state of collection {collection_id} within {seconds:g} s; {state}"
    )
    error.collection = last
    return error
