"""Knowing that a payment was made: compare with the provider's own record.

The law of this room: nothing but a record that says COMPLETED, for this id, this amount, this
currency and this order, is a payment; and what could not be learnt is an error of its own kind,
never "not paid".

Provider docs: collections, "never fulfil from the webhook or the redirect alone".
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from attrs import frozen

from paycollect import _validate as check
from paycollect import _wire
from paycollect._engine import Call, Engine
from paycollect.clock import Clock
from paycollect.errors import (
    DeadlineExceededError,
    NotConfirmedReason,
    NotFoundError,
    PayCollectError,
    PaymentNotConfirmedError,
    clean,
)
from paycollect.ipn import Callback, WebhookEvent
from paycollect.models import LIFETIME, Collection
from paycollect.retry import RetryPolicy
from paycollect.status import PaymentStatus

FIRST_POLL: Final = 2.0
LONGEST_POLL: Final = 30.0
_GROWTH: Final = 1.5
POLLS_PER_SECOND: Final = 20.0
LAST_POLL_SECONDS: Final = 5.0
GRACE: Final = timedelta(minutes=2)
# The provider's own life of a session (provider docs: collections/create), plus the grace.
LONGEST_WAIT: Final = (LIFETIME + GRACE).total_seconds()
_ONE_ATTEMPT: Final = RetryPolicy(max_retries=0)


@frozen(kw_only=True)
class Expected:
    """The payment that a merchant waits for."""

    collection_id: str
    amount: Decimal
    currency: str
    order_ids: frozenset[str]


def expect(
    payment: WebhookEvent | Callback | str,
    *,
    expected_amount: Decimal | int | str,
    order_id: str | None,
    currency: str,
) -> Expected:
    """Gather what is expected, from the arguments and from what the event claims.

    Raises:
        PaymentNotConfirmedError: the event is a test delivery, or has no collection id.
        TypeError, ValueError: an argument is wrong; the text names it.

    """
    order_ids = set() if order_id is None else {check.text(order_id, "order_id")}
    if isinstance(payment, WebhookEvent):
        if payment.is_test:
            raise _refusal("the event is a test delivery", NotConfirmedReason.TEST_EVENT)
        if payment.order_id is not None:
            order_ids.add(payment.order_id)
    elif not isinstance(payment, (Callback, str)):
        raise TypeError(
            "payment: an event, a callback or a collection id is needed,"
            f" not {type(payment).__name__}"
        )
    collection_id = payment if isinstance(payment, str) else _id_of(payment)
    return Expected(
        collection_id=check.path_id(collection_id, "collection_id"),
        amount=check.amount(expected_amount, name="expected_amount"),
        currency=check.text(currency, "currency"),
        order_ids=frozenset(order_ids),
    )


def _id_of(payment: WebhookEvent | Callback) -> str:
    """Give the id that a message names; where it cannot be one, the message is at fault."""
    with suppress(ValueError, TypeError):
        return check.path_id(payment.collection_id, "collection_id")
    raise _refusal("the message names no collection", NotConfirmedReason.NOT_FOUND)


def judge(collection: Collection, expected: Expected) -> PaymentNotConfirmedError | None:
    """Say why a collection is not the payment that is expected; None if it is."""
    reasons = NotConfirmedReason
    if collection.status is not PaymentStatus.COMPLETED:
        text, reason = f"its status is {clean(collection.status)}", reasons.NOT_COMPLETED
    elif collection.currency != expected.currency:
        text, reason = "it is in another currency", reasons.CURRENCY_MISMATCH
    elif collection.amount != expected.amount:
        text, reason = "it is of another amount", reasons.AMOUNT_MISMATCH
    elif expected.order_ids - {collection.order_id}:
        text, reason = "it is for another order", reasons.ORDER_MISMATCH
    else:
        return None
    return _refusal(f"collection {collection.collection_id}: {text}", reason, collection)


def _refusal(
    text: str, reason: NotConfirmedReason, collection: Collection | None = None
) -> PaymentNotConfirmedError:
    return PaymentNotConfirmedError(
        f"not the payment that was expected: {text}", reason=reason, collection=collection
    )


async def confirm(engine: Engine, call: Call, expected: Expected) -> Collection:
    """Get the collection, and judge it.

    Raises:
        PaymentNotConfirmedError: it is not there, or not the payment that is expected.

    """
    request = _wire.get_collection(expected.collection_id)
    try:
        collection = await engine.run(call, request)
        refusal = judge(collection, expected)
        if refusal is None:
            return collection
    except NotFoundError:
        refusal = _refusal("the provider does not know it", NotConfirmedReason.NOT_FOUND)
    engine.complete(refusal, call, request)
    raise refusal


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
    engine: Engine, pacer: Pacer, clock: Clock, collection_id: str, seconds: float
) -> Collection:
    """Poll until the state is final or the session has expired, for so many seconds at most."""
    request = _wire.get_collection(collection_id)
    whole = engine.begin(deadline=seconds)
    wait, pause = 0.0, FIRST_POLL
    last: Collection | None = None
    while True:
        await pacer.turn(wait)
        left = whole.ends - clock.monotonic()
        asked = 0.0
        try:
            call = engine.begin(retry=_ONE_ATTEMPT, deadline=max(left, LAST_POLL_SECONDS))
            whole.attempts += 1
            last = await engine.run(call, request)
        except PayCollectError as failed:
            if not failed.is_retryable:
                raise
            asked = getattr(failed, "retry_after", None) or 0.0
        else:
            if last.status.is_final or _is_over(last, engine.server_time()):
                return last
        wait = max(asked, pause * random.uniform(0.75, 1.25))  # noqa: S311  spreads load, no secret
        pause = min(pause * _GROWTH, LONGEST_POLL)
        left = whole.ends - clock.monotonic()
        if left <= 0 or asked > left:
            error = _gave_up(collection_id, seconds, last)
            engine.complete(error, whole, request)
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
