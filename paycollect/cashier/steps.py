"""The one way that webhook, return page, sweep and replay all go: confirm, note, fulfil.

    claim     somebody else's work is left alone                       (transactions.claims)
    confirm   the provider's record, by our collection id; no transaction is open meanwhile
    note      it is paid, and a delivery begins: counted               (a transaction of its own)
    fulfil    the mark and `on_paid`, in one transaction

Invariants: an error of the provider, of the store or of a handler changes no state: the order
comes back later. What a person must decide is held, and an alarm is due.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from decimal import Decimal
from functools import partial
from typing import Final, Generic

from attrs import evolve, frozen

from paycollect.cashier.context import ASK_SECONDS, Context, new_token, within
from paycollect.cashier.errors import BrokenHandlerError, StoreError
from paycollect.cashier.handlers import HandlerFailedError
from paycollect.cashier.lookup import Found, Missing, NotYet, look_up
from paycollect.cashier.orders import (
    DAY,
    HOUR,
    MINUTE,
    SECOND,
    STUCK_AFTER,
    HeldReason,
    Order,
    OrderState,
    Step,
    Verdict,
    backoff,
    decide,
    next_look,
    pack,
    proves,
    reckon_end,
    refunded_amount,
    traceparent_of,
)
from paycollect.cashier.store import Steps, Tx
from paycollect.cashier.transactions import intents, lookups, outcomes
from paycollect.cashier.transactions.claims import LONGEST_LEASE, Claimed
from paycollect.cashier.values import Closed, Done, Refunded, payment_of
from paycollect.errors import NotFoundError, PayCollectError
from paycollect.models import Collection
from paycollect.status import PaymentStatus

log: Final = logging.getLogger("paycollect.cashier")

NEVER_CREATED_AFTER: Final = HOUR + 10 * MINUTE
"""How long after the last send a create that left no trace counts as never made."""
APART: Final = 10 * MINUTE
"""How far apart the two look-ups are that both find nothing."""
_PAID_LIKE: Final = frozenset(
    {PaymentStatus.COMPLETED, PaymentStatus.REFUNDED, PaymentStatus.PARTIALLY_REFUNDED}
)


@frozen
class _Asked:
    """The provider's record of a claimed order."""

    claimed: Claimed
    record: Collection


class OrderWork(Generic[Tx]):
    """Moves a claimed order on, as far as it goes."""

    def __init__(self, context: Context[Tx]) -> None:
        self._context = context
        self._store = context.store

    async def process(
        self, claimed: Claimed, found_by: str, *, deadline: float = ASK_SECONDS
    ) -> Done:
        """Confirm an order and do what follows; the claim is given back in any case.

        Raises:
            StoreError: the store has failed; the order comes back when its lease is over.

        """
        order = claimed.order
        traceparent = traceparent_of(order) if self._context.observers else ""
        with self._context.work(found_by, order.order_id, order.collection_id, traceparent):
            return await self._process(claimed, found_by, deadline)

    async def _process(self, claimed: Claimed, found_by: str, deadline: float) -> Done:
        if claimed.order.state == OrderState.INTENDED:
            asked = await self._look_for(claimed)
        else:
            asked = await self._confirm(claimed, deadline)
        if isinstance(asked, Done):
            return asked
        claimed, record = asked.claimed, asked.record
        verdict = decide(claimed.order, record, claimed.now)
        return await self._follow(claimed, record, verdict, found_by)

    async def _follow(
        self, claimed: Claimed, record: Collection, verdict: Verdict, found_by: str
    ) -> Done:
        order = claimed.order
        match verdict.step:
            case Step.DELIVER:
                return await self._deliver(claimed, record, found_by)
            case Step.CLOSE if order.state != OrderState.CLOSED:
                return await self._close(claimed, record, verdict.why)
            case Step.HOLD:
                return await self.hold(claimed, HeldReason(verdict.why), record)
            case Step.REFUND:
                return await self._refund(claimed, record, verdict.why)
            case Step.WAIT:
                await self._rest(claimed, record)
            case _ if _stale(claimed, record):
                await self._rest(claimed, record)
            case _:
                settles = int(verdict.step is Step.CLOSE)
                await self._store.run(partial(outcomes.done, claimed, settles))
        return Done(confirmed=1)

    # --- asking the provider

    async def _confirm(self, claimed: Claimed, deadline: float) -> _Asked | Done:
        order = claimed.order
        try:
            return _Asked(claimed, await self._record_of(order, deadline))
        except NotFoundError:
            if claimed.now >= (order.ends_at or claimed.now) + STUCK_AFTER:
                return await self.hold(claimed, HeldReason.STUCK, None)
            await self._failed(claimed, "the provider does not know the collection")
        except PayCollectError as error:
            retry_after = getattr(error, "retry_after", None) or 0.0
            await self._failed(claimed, type(error).__name__, int(retry_after * SECOND))
        return Done()

    async def _record_of(self, order: Order, deadline: float) -> Collection:
        """Get the record by our collection id; where that is not known, by the order id.

        The provider's pages give one payment two ids, and do not say which of them GET knows.
        """
        unknown = NotFoundError("the provider does not know the collection")
        if order.collection_id is not None:
            try:
                return await self._get(order.collection_id, deadline)
            except NotFoundError as error:
                unknown = error
        found = await look_up(self._context, order, pages=3)
        if isinstance(found, Found) and proves(order, found.record):
            return found.record
        raise unknown

    async def _get(self, collection_id: str, deadline: float) -> Collection:
        self._context.reach("request:get:before")
        record = await self._context.session.get_collection(collection_id, deadline=deadline)
        self._context.reach("request:get:after")
        return record

    async def _failed(self, claimed: Claimed, problem: str, least: int = 0) -> None:
        wait = max(backoff(claimed.order.checks - 1), min(least, HOUR))
        await self._store.run(partial(outcomes.failed, claimed, wait, problem))

    async def _look_for(self, claimed: Claimed) -> _Asked | Done:
        """Find out what became of a create whose answer never came, or that was never sent."""
        order = claimed.order
        if order.first_sent_at is None and order.gave_up_at is not None:
            return await self._close(claimed, None, "never_created")
        try:
            found = await look_up(self._context, order)
        except PayCollectError as error:
            await self._failed(claimed, type(error).__name__)
            return Done()
        if isinstance(found, NotYet):
            later = partial(lookups.looked, claimed, cursor=found.cursor, missing=0, wait=MINUTE)
            await self._store.run(later)
            return Done()
        if isinstance(found, Missing):
            return await self._missing(claimed)
        if proves(order, found.record):
            return await self._open(claimed, found.record)
        return await self.taken(claimed, found.record)

    async def _missing(self, claimed: Claimed) -> Done:
        order = claimed.order
        certain_at = (order.last_sent_at or order.created_at) + NEVER_CREATED_AFTER
        if order.missing_at is not None and claimed.now - order.missing_at >= APART:
            return await self._close(claimed, None, "never_created")
        late = claimed.now >= certain_at
        wait = APART if late else min(max(certain_at - claimed.now, MINUTE), APART)
        await self._store.run(
            partial(lookups.looked, claimed, cursor=0, missing=int(late), wait=wait)
        )
        return Done()

    async def _open(self, claimed: Claimed, record: Collection) -> _Asked | Done:
        life = reckon_end(record, 0)
        order = await self._store.run(
            partial(intents.opened, claimed.order.order_id, record.collection_id, "", life)
        )
        if order is None or order.lease != claimed.token:
            return self._lost(claimed)
        return _Asked(evolve(claimed, order=order), record)

    async def taken(self, claimed: Claimed, record: Collection | None) -> Done:
        """Close an order whose id the provider has given to somebody else's collection."""
        return await self._close(claimed, record, "order_id_taken", HeldReason.ORDER_ID_TAKEN)

    # --- what follows

    async def _rest(self, claimed: Claimed, record: Collection) -> None:
        stale_after = None
        if _stale(claimed, record):
            stale_after = backoff(max(hint.tries for hint in claimed.hints) - 1)
        await self._store.run(
            partial(
                outcomes.rest,
                claimed,
                due_at=next_look(claimed.order, claimed.now),
                seen=str(record.status),
                news=str(record.status) != claimed.order.seen,
                stale_after=stale_after,
            )
        )

    async def _deliver(self, claimed: Claimed, record: Collection, found_by: str) -> Done:
        context, order = self._context, claimed.order
        if order.deliveries >= context.max_deliveries:
            return await self.hold(
                claimed, HeldReason.HANDLER_FAILING, record, problem=order.last_error
            )
        lease = int(2 * context.handler_timeout * SECOND) + 30 * SECOND
        noted = await self._store.run(
            partial(
                outcomes.note,
                claimed,
                record=pack(record),
                seen=str(record.status),
                found_by=found_by,
                delivers=int(context.delivers),
                lease=min(lease, LONGEST_LEASE),
            )
        )
        if noted is None:
            return self._lost(claimed)
        if order.state != OrderState.PAID:
            context.tell("paid", noted, f"found by the {found_by}", found_by)
        if not context.delivers:
            return Done(confirmed=1)
        claimed = evolve(claimed, order=noted)
        fulfil = partial(outcomes.fulfil, claimed, int(context.calls_after))
        problem = await self._try(claimed, "on_paid", payment_of(noted, record), fulfil, record)
        if problem is not None:
            return problem
        context.tell("delivered", noted, f"found by the {noted.found_by}", noted.found_by)
        return Done(confirmed=1, delivered=1)

    async def _close(
        self,
        claimed: Claimed,
        record: Collection | None,
        why: str,
        reason: HeldReason | None = None,
    ) -> Done:
        order = claimed.order
        if not self._context.may("on_closed"):
            await self._store.run(partial(outcomes.failed, claimed, MINUTE, ""))
            return Done()
        closed = Closed(
            order_id=order.order_id,
            collection=None if reason else record,
            amount=Decimal(order.amount),
            currency=order.currency,
            reason=why,
        )
        close = partial(outcomes.close, claimed, why, reason or "", new_token())
        problem = await self._try(claimed, "on_closed", closed, close, record)
        if problem is not None:
            return problem
        self._context.tell("closed", order, why)
        if reason is not None:
            self._context.tell("held", order, reason)
        return Done(confirmed=int(record is not None), closed=1, held=int(reason is not None))

    async def _refund(self, claimed: Claimed, record: Collection, state: str) -> Done:
        if not self._context.may("on_refunded"):
            await self._store.run(partial(outcomes.failed, claimed, MINUTE, ""))
            return Done()
        amount = refunded_amount(claimed.order, record)
        refunded = Refunded(
            payment=payment_of(claimed.order, record),
            refunded_amount=amount,
            whole=state == OrderState.REFUNDED,
        )
        refund = partial(
            outcomes.refund, claimed, state, pack(record), "" if amount is None else str(amount)
        )
        problem = await self._try(claimed, "on_refunded", refunded, refund, record)
        if problem is not None:
            return problem
        self._context.tell("refunded", claimed.order, state)
        return Done(confirmed=1)

    async def _try(
        self,
        claimed: Claimed,
        kind: str,
        value: object,
        steps: Callable[[], Steps[bool]],
        record: Collection | None,
    ) -> Done | None:
        """Run a transaction with a handler; None if it is committed, else what became of it."""
        try:
            with self._watched(kind, claimed.order.order_id):
                marked = await self._store.deliver(steps, partial(self._call, kind, value))
        except BrokenHandlerError as error:
            self._context.tell("failed", claimed.order, str(error))
            return await self.hold(
                claimed, HeldReason.HANDLER_BROKE_TRANSACTION, record, broken=True
            )
        except HandlerFailedError as error:
            return await self._handler_failed(claimed, error, record)
        except StoreError as error:
            self._context.tell("failed", claimed.order, f"{error}; it is tried again")
            return Done()
        return None if marked else self._lost(claimed)

    async def _handler_failed(
        self, claimed: Claimed, error: HandlerFailedError, record: Collection | None
    ) -> Done:
        order = claimed.order
        self._context.tell("failed", order, f"{error.problem}; it is rolled back")
        tries = order.deliveries if error.problem.startswith("on_paid") else order.checks
        if tries >= self._context.max_deliveries:
            return await self.hold(
                claimed, HeldReason.HANDLER_FAILING, record, problem=error.problem
            )
        await self._store.run(partial(outcomes.failed, claimed, backoff(tries - 1), error.problem))
        return Done(confirmed=1)

    def _call(self, kind: str, value: object, tx: Tx) -> Awaitable[None] | None:
        context = self._context
        called = context.handlers.call(
            kind, tx, value, context.reach, awaits=self._store.async_handlers
        )
        return None if called is None else self._limited(kind, called)

    async def _limited(self, kind: str, called: Awaitable[object]) -> None:
        try:
            await within(self._context.handler_timeout, called)
        except TimeoutError:
            raise HandlerFailedError(kind, TimeoutError()) from None

    def _watched(self, kind: str, order_id: str) -> _Watch:
        return _Watch(self._context, kind, order_id)

    async def hold(
        self,
        claimed: Claimed,
        reason: HeldReason,
        record: Collection | None,
        *,
        broken: bool = False,
        problem: str = "",
    ) -> Done:
        """Hold an order for a person."""
        kept = "" if record is None or record.status not in _PAID_LIKE else pack(record)
        held = await self._store.run(
            partial(
                outcomes.hold,
                claimed,
                reason=reason,
                hold_id=new_token(),
                record=kept,
                broken=int(broken),
                problem=problem,
            )
        )
        if not held:
            return self._lost(claimed)
        self._context.tell("held", claimed.order, reason)
        return Done(confirmed=int(record is not None), held=1)

    def _lost(self, claimed: Claimed) -> Done:
        self._context.lost(claimed.order)
        return Done()


class _Watch:
    """Says so when a handler takes too long: one that is a plain function cannot be stopped."""

    def __init__(self, context: Context[Tx], kind: str, order_id: str) -> None:
        self._context = context
        self._what = kind, order_id
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return  # code that blocks is watched by who waits for it
        self._timer = loop.call_later(self._context.handler_timeout, self._say)

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _say(self) -> None:
        kind, order_id = self._what
        self._context.slow(kind, order_id)
        log.error(
            "order %s: %s has been running for more than %g s, and holds up all other deliveries;"
            " move what is slow to after_paid",
            order_id,
            kind,
            self._context.handler_timeout,
        )


def _stale(claimed: Claimed, record: Collection) -> bool:
    """Tell whether a webhook knows more than the record: the provider caches its GETs."""
    hinted = {hint.status for hint in claimed.hints if hint.tries <= _MOST_STALE}
    if record.status in _PAID_LIKE:
        return "REFUNDED" in hinted and record.status is PaymentStatus.COMPLETED
    return any(status in hinted for status in _PAID_LIKE)


_MOST_STALE: Final = 3 * DAY // (10 * MINUTE)
