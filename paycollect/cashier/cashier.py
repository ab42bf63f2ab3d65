"""Cashier: what a merchant uses.

Invariants: a 2xx means that the webhook is stored. `receive` never asks the provider, and never
waits for a handler; `returned` asks at most once, and never waits for a lock.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from decimal import Decimal
from functools import partial
from types import TracebackType
from typing import Any, Final, Generic, Self, TypeVar, Unpack

from paycollect import _arguments as check
from paycollect._observers import Observer, Observers
from paycollect.cashier import checkouts
from paycollect.cashier.checkouts import Checkouts, Intent
from paycollect.cashier.context import Context, TimeLimit
from paycollect.cashier.desk import Desk, Entry, Pruned, Stats
from paycollect.cashier.effects import Effects
from paycollect.cashier.errors import StoreError, UnknownOrderError
from paycollect.cashier.handlers import TRANSACTIONAL, Handlers, is_async, takes_tx
from paycollect.cashier.letters import letter_of
from paycollect.cashier.orders import CLOCK_TOLERANCE, SECOND
from paycollect.cashier.records import WebhookReceived, WebhookRefused
from paycollect.cashier.returns import Returns
from paycollect.cashier.sqlite import SqliteStore
from paycollect.cashier.steps import OrderWork
from paycollect.cashier.store import Store, Tx
from paycollect.cashier.transactions import inbox, intents, settings
from paycollect.cashier.values import UNKNOWN, Done, Held, Returned, instant
from paycollect.cashier.worker import Rounds, Worker
from paycollect.clock import CLOCK_METHODS, Clock, MachineClock
from paycollect.errors import CallbackError, IpnError, TestEventError
from paycollect.ipn import Receiver, parse_callback
from paycollect.ipn.callback import Source
from paycollect.models import Checkout
from paycollect.session import CallOptions, SessionManager
from paycollect.web import Answer

R = TypeVar("R")
log: Final = logging.getLogger("paycollect.cashier")

RECEIVE_SECONDS: Final = 8.0
"""The provider waits 10 s for an answer (provider docs: webhooks)."""
RETRY_AFTER: Final = 30
SHORTEST_MAX_AGE: Final = timedelta(minutes=45)
"""Redeliveries come after up to 36 minutes, and carry the time of the first."""


class Cashier(Generic[Tx]):
    """From order to delivery, exactly once, whatever crashes.

    "Exactly once" needs your tables and the cashier's in the same database: `on_paid` runs in the
    transaction that marks the order. Where they cannot be, use `after_paid` and a unique key of
    your own on `payment.key`: that is at least once, and your key makes it once.

    Args:
        pay: how to ask the provider; lent: whoever made it closes it.
        receiver: how to prove webhooks.
        store: where orders are kept: a store, or the path of a SQLite file.
        handlers: what is to be done; None: those that are added with `@cashier.on_paid` and so on.
        patience: seconds that `returned` may take.
        max_deliveries: after so many failures of `on_paid` a person is told.
        handler_timeout: seconds that an async handler may take; of a plain function it is said when
            it takes longer, as it cannot be stopped.
        owns: tells for an order id whether it is this store's, where several systems use one app.
        keep_bodies: whether the bodies of webhooks, which hold personal data, are stored.
        observers: functions that are called with a record of what becomes of orders
            (`paycollect.cashier.records`).
        clock: the time to live by, in place of the database's clock, too; for simulations.

    Raises:
        ValueError: the receiver's `max_age` would refuse genuine redeliveries.
        TypeError, ValueError: an argument is wrong.

    """

    def __init__(
        self,
        pay: SessionManager,
        receiver: Receiver,
        store: Store[Tx] | str | os.PathLike[str],
        *,
        handlers: Handlers[Tx] | None = None,
        patience: float = 3.0,
        max_deliveries: int = 10,
        handler_timeout: float = 30.0,
        owns: Callable[[str], bool] | None = None,
        keep_bodies: bool = False,
        observers: Iterable[Observer] = (),
        clock: Clock | None = None,
    ) -> None:
        asked = ("create_checkout", "get_collection", "list_collections", "list_refunds")
        check.methods(pay, asked, "pay")
        self._receiver = _check_receiver(receiver)
        kept: Any = SqliteStore(store) if isinstance(store, str | os.PathLike) else store
        self._store: Store[Tx] = check.methods(kept, ("run", "deliver", "join", "open"), "store")
        made: Handlers[Tx] = Handlers()
        self.handlers: Handlers[Tx] = (
            made if handlers is None else check.instance(handlers, Handlers, "handlers")
        )
        self.handlers.bind(self._check_handler)
        if clock is not None:
            time = check.methods(clock, CLOCK_METHODS, "clock").time
            self._store.use_clock(lambda: int(time() * SECOND))
        self._context: Context[Tx] = Context(
            session=pay,
            store=self._store,
            handlers=self.handlers,
            clock=MachineClock() if clock is None else clock,
            patience=check.seconds(patience, "patience"),
            max_deliveries=check.whole(max_deliveries, "max_deliveries", least=1, most=1000),
            handler_timeout=check.seconds(handler_timeout, "handler_timeout"),
            owns=_everything if owns is None else owns,
            keep_bodies=keep_bodies,
            observers=Observers(observers),
        )
        self._work = OrderWork(self._context)
        self._checkouts = Checkouts(self._context, self._work)
        self._returns = Returns(self._context, self._work)
        effects = Effects(self._context, self._work)
        self._rounds = Rounds(self._context, self._work, effects)
        self._desk = Desk(self._context, self._work, effects)
        self._worker: Worker | None = None
        self._is_ready = False
        self._limit = TimeLimit(RECEIVE_SECONDS)

    # --- handlers, for short

    @property
    def on_paid(self) -> Callable[[Callable[..., R]], Callable[..., R]]:
        """See `Handlers.on_paid`."""
        return self.handlers.on_paid

    @property
    def after_paid(self) -> Callable[[Callable[..., R]], Callable[..., R]]:
        """See `Handlers.after_paid`."""
        return self.handlers.after_paid

    @property
    def on_closed(self) -> Callable[[Callable[..., R]], Callable[..., R]]:
        """See `Handlers.on_closed`."""
        return self.handlers.on_closed

    @property
    def on_refunded(self) -> Callable[[Callable[..., R]], Callable[..., R]]:
        """See `Handlers.on_refunded`."""
        return self.handlers.on_refunded

    @property
    def on_held(self) -> Callable[[Callable[..., R]], Callable[..., R]]:
        """See `Handlers.on_held`."""
        return self.handlers.on_held

    # --- life

    async def __aenter__(self) -> Self:
        await self._ready()
        if self._worker is not None:
            raise RuntimeError("the cashier is entered already")
        self._worker = Worker(self._context, self._rounds)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End the worker and what is under way, and close the store; harmless when closed."""
        worker, self._worker = self._worker, None
        if worker is not None:
            await worker.stop(self._context.patience)
        await self._returns.end()
        if self._is_ready:
            try:
                await self._rounds.end(self._context.patience)
            except StoreError as failure:
                log.warning("%s", failure)
            self._is_ready = False
        await self._store.aclose()

    async def _ready(self) -> None:
        """Open the store, once."""
        if self._is_ready:
            return
        await self._store.open()
        born = await self._store.run(settings.born)
        self._context.born_at = born - CLOCK_TOLERANCE
        self._is_ready = True

    def _check_handler(self, kind: str, handler: Callable[..., object]) -> None:
        if kind not in TRANSACTIONAL:
            return
        store = self._store
        if is_async(handler) and not store.async_handlers:
            raise TypeError(
                f"{kind}: {type(store).__name__} needs a plain function, as it runs in the thread"
                " that writes; await what is outside of the database in after_paid"
            )
        if not is_async(handler) and not store.sync_handlers:
            raise TypeError(f"{kind}: {type(store).__name__} needs a coroutine function")
        if takes_tx(handler) and not store.passes_tx:
            raise TypeError(
                f"{kind}: with {type(store).__name__} a handler takes one value: it is in the"
                " transaction of the connection that it uses anyway"
            )

    # --- from order to checkout

    async def create_checkout(
        self,
        *,
        amount: Decimal | int | str,
        order_id: str,
        description: str,
        currency: str = "USD",
        callback_url: str | None = None,
        webhook_url: str | None = None,
        metadata: Mapping[str, object] | None = None,
        replaces: str | None = None,
        **options: Unpack[CallOptions],
    ) -> Checkout:
        """Write the intent, and then ask the provider for the checkout.

        Safe to repeat, also after a crash: the same order gives the same checkout. Do not call it
        in a transaction of yours: what is rolled back there would have a checkout all the same.

        Args:
            amount: in USD, at least 1, at most 2 decimals; no floats.
            order_id: your unique id of the order, 1 to 100 characters.
            description: shown to the customer, 1 to 100 characters.
            currency: only "USD".
            callback_url: where the browser returns to after payment.
            webhook_url: where the provider posts the signed notice.
            metadata: a JSON-serialisable object, kept with the collection.
            replaces: another order, which is given up in the same transaction.
            options: `timeout`, `deadline`, `retry` for this call.

        Raises:
            OrderConflictError: the order was intended before, with another amount or currency.
            OrderClosedError: the order was given up, or is over.
            DuplicateOrderError: the provider has another collection of this order id.
            StoreError: the intent could not be stored; nothing was sent.
            PayCollectError: as `SessionManager.create_checkout`; the intent stays.
            TypeError, ValueError: an argument is wrong; nothing was stored.

        """
        intent = checkouts.check_intent(
            amount=amount,
            order_id=order_id,
            description=description,
            currency=currency,
            callback_url=callback_url,
            webhook_url=webhook_url,
            metadata=metadata,
        )
        await self._ready()
        with self._context.work("create", order_id):
            intent = self._traced(intent)
            order = await self._store.run(partial(checkouts.write_intent, intent, replaces))
            checkouts.refuse_conflict(intent, order)
            return await self._checkouts.checkout_for(order_id, options)

    async def intend(
        self,
        tx: Tx,
        *,
        amount: Decimal | int | str,
        order_id: str,
        description: str,
        currency: str = "USD",
        callback_url: str | None = None,
        webhook_url: str | None = None,
        metadata: Mapping[str, object] | None = None,
        replaces: str | None = None,
    ) -> None:
        """Write the intent in your own transaction, beside your order's row; nothing is sent.

        Commit, and then call `checkout_for`. Arguments as those of `create_checkout`.

        Raises:
            OrderConflictError: the order was intended before, with another amount or currency.
            StoreError: `tx` is not a transaction of this store's database, or was begun before the
                store was open, and keeps it from being opened.
            TypeError, ValueError: an argument is wrong.

        """
        intent = checkouts.check_intent(
            amount=amount,
            order_id=order_id,
            description=description,
            currency=currency,
            callback_url=callback_url,
            webhook_url=webhook_url,
            metadata=metadata,
        )
        with self._context.work("create", order_id):
            intent = self._traced(intent)
            order = await self._store.join(tx, partial(checkouts.write_intent, intent, replaces))
            checkouts.refuse_conflict(intent, order)

    def _traced(self, intent: Intent) -> Intent:
        """Put the trace context of the create beside the intent, where somebody traces."""
        traceparent = self._context.observers.traceparent()
        return checkouts.traced(intent, traceparent) if traceparent else intent

    async def checkout_for(self, order_id: str, **options: Unpack[CallOptions]) -> Checkout:
        """Give the checkout of an intended order; ask the provider where there is none yet.

        Raises:
            UnknownOrderError: the order was never intended.
            PayCollectError: as those of `create_checkout`.

        """
        await self._ready()
        return await self._checkouts.checkout_for(order_id, options)

    async def close(self, order_id: str, tx: Tx | None = None) -> None:
        """Give an order up: what is paid for it from now on is held, not delivered.

        `on_closed` runs once the provider says that it can no longer be paid.

        Args:
            order_id: your order id.
            tx: your own transaction, where it is to be given up in that.

        Raises:
            UnknownOrderError: the order was never intended.

        """
        steps = partial(intents.give_up, order_id)
        if tx is None:
            await self._ready()
            order = await self._store.run(steps)
        else:
            order = await self._store.join(tx, steps)
        if order is None:
            raise UnknownOrderError(f"there is no order {order_id!r}")
        self._store.notify()

    # --- what the provider and the customer tell

    async def receive(self, body: bytes | str) -> Answer:
        """Take the body of a webhook: prove it, store it, and say what to answer.

        200: stored, seen before, or a test. 401: forged. 400: malformed. 413: too large. 503: it
        could not be stored; the provider sends it again.

        Raises:
            TypeError: the body is not bytes or text.

        """
        try:
            event = self._receiver.parse(body)
        except TestEventError:
            log.info("a test webhook arrived: it is genuine, and stands for no payment")
            return Answer(200)
        except IpnError as error:
            return self._refuse(Answer(error.status_hint), error)
        letter = letter_of(event, body if self._context.keep_bodies else None)
        try:
            await self._limit.wait(self._store_letter(letter))
        except (StoreError, TimeoutError) as error:
            answer = Answer(503, {"Retry-After": str(RETRY_AFTER)})
            return self._refuse(answer, error, str(error))
        self._store.notify()
        if self._context.observers:
            self._tell_received(letter)
        return Answer(200)

    def _refuse(self, answer: Answer, error: Exception, problem: str = "") -> Answer:
        self._context.observers.tell(
            WebhookRefused(status=answer.status, error_type=type(error).__name__, problem=problem)
        )
        return answer

    def _tell_received(self, letter: inbox.Letter) -> None:
        lag = None
        if letter.occurred_at is not None:
            lag = max(0.0, self._context.clock.time() - letter.occurred_at / SECOND)
        self._context.observers.tell(
            WebhookReceived(
                order_id=letter.order_id,
                collection_id=letter.collection_id,
                event=letter.event,
                lag=lag,
            )
        )

    async def _store_letter(self, letter: inbox.Letter) -> None:
        if not self._is_ready:
            await self._ready()
        await self._store.run(partial(inbox.put, letter), alone=True)

    async def returned(self, url: Source) -> Returned:
        """Say how the order stands of a customer who comes back, and deliver it if it is paid.

        Nothing in the URL is believed: it names the checkout, and the provider is asked. Where a
        worker is asking already, as the webhook came a moment before, it waits for what comes of
        it, within `patience`.

        Args:
            url: the URL, its query, or the parameters that a framework made of it.

        Raises:
            StoreError: the store has failed.
            TypeError: the source is none of these.

        """
        try:
            collection_id = parse_callback(url).collection_id
        except CallbackError:
            return UNKNOWN
        await self._ready()
        return await self._returns.returned(collection_id)

    # --- work

    async def run_once(self) -> Done:
        """Do what is due now, a batch of it: for cron, serverless and tests.

        Raises:
            StoreError: the store has failed.

        """
        await self._ready()
        done, _ = await self._rounds.once()
        return await self._with_next(done)

    async def run_until_idle(self, limit: int = 10_000) -> Done:
        """Do what is due until there is nothing left, or `limit` things were done.

        Raises:
            StoreError: the store has failed.

        """
        check.whole(limit, "limit", least=1, most=10**9)
        await self._ready()
        total, work = Done(), 0
        while work < limit:
            done, busy = await self._rounds.once()
            total = Done(
                confirmed=total.confirmed + done.confirmed,
                delivered=total.delivered + done.delivered,
                held=total.held + done.held,
                closed=total.closed + done.closed,
            )
            work += busy
            if not busy:
                break
        return await self._with_next(total)

    async def _with_next(self, done: Done) -> Done:
        at = await self._rounds.next_due()
        return Done(
            confirmed=done.confirmed,
            delivered=done.delivered,
            held=done.held,
            closed=done.closed,
            next_due=None if at is None else instant(at),
        )

    # --- what a person asks and decides

    async def held(self) -> list[Held]:
        """List what waits for a person, the longest first."""
        await self._ready()
        return await self._desk.held()

    async def release(
        self, order_id: str, *, accept: bool = False, by: str = "", hold_id: str | None = None
    ) -> None:
        """Settle a hold: the order is checked again, as if it were seen for the first time.

        Args:
            order_id: your order id.
            accept: deliver in spite of the reason it is held for, if the provider's record still
                says the same as when it was held.
            by: who decides, for the timeline.
            hold_id: which hold is meant, where it was looked at before.

        Raises:
            UnknownOrderError: nothing is held under this name.
            HoldChangedError: somebody else has decided, or it is held anew.
            CashierError: the reason cannot be accepted.

        """
        await self._ready()
        await self._desk.release(order_id, accept=accept, by=by, hold_id=hold_id)
        self._store.notify()

    async def dismiss(
        self, order_id: str, note: str, *, by: str = "", hold_id: str | None = None
    ) -> None:
        """Settle a hold without a delivery; an order that is not over is closed.

        Args:
            order_id: your order id; for a payment that belongs to no order its collection id.
            note: why, for the timeline.
            by: who decides, for the timeline.
            hold_id: which hold is meant, where it was looked at before.

        Raises:
            UnknownOrderError: nothing is held under this name.
            HoldChangedError: somebody else has decided, or it is held anew.

        """
        await self._ready()
        await self._desk.dismiss(order_id, note, by=by, hold_id=hold_id)
        self._store.notify()

    async def attribute(self, collection_id: str, order_id: str, *, by: str = "") -> Done:
        """Say that a payment is for an order; it is confirmed and delivered as any other.

        Raises:
            UnknownOrderError: there is no such order.
            CashierError: the order is held, paid or delivered, or the payment is another order's.

        """
        await self._ready()
        done = await self._desk.attribute(collection_id, order_id, by=by)
        self._store.notify()
        return done

    async def replay(self, order_id: str, again: str | None = None) -> Done:
        """Confirm an order once more and do what follows; `on_paid` never runs twice.

        Args:
            order_id: your order id.
            again: "after_paid" calls that handler again for a delivered order.

        Raises:
            UnknownOrderError: there is no such order, or none that was delivered.
            CashierError: no process has such a handler.

        """
        await self._ready()
        done = await self._desk.replay(order_id, again)
        self._store.notify()
        return done

    async def timeline(self, order_id: str) -> list[Entry]:
        """List what happened to an order: changes only, and its webhooks.

        Raises:
            UnknownOrderError: there is no such order.

        """
        await self._ready()
        return await self._desk.timeline(order_id)

    async def stats(self) -> Stats:
        """Tell how the cashier fares."""
        await self._ready()
        return await self._desk.stats()

    async def prune(self, older_than: timedelta = timedelta(days=90)) -> Pruned:
        """Delete handled webhooks, and old lines of the timelines of finished orders.

        Orders stay: they are the proof against an order id that comes back.
        """
        await self._ready()
        return await self._desk.prune(older_than)


async def desk_of(cashier: Cashier[Tx]) -> Desk[Tx]:
    """Open a cashier's store, without a worker, and give its desk: for our commands.

    Raises:
        StoreError: the store cannot be used.

    """
    await cashier._ready()  # noqa: SLF001  # of this file
    return cashier._desk  # noqa: SLF001  # of this file


async def close_with_session(cashier: Cashier[Any]) -> None:
    """Close a service's cashier and the session that it was lent, for our commands.

    The service itself is not running in a process of theirs: nobody else would close it.
    """
    await cashier.aclose()
    await cashier._context.session.aclose()  # noqa: SLF001  # of this file


def _everything(_order_id: str) -> bool:
    return True


def _check_receiver(receiver: Receiver) -> Receiver:
    check.instance(receiver, Receiver, "receiver")
    if receiver.max_age is not None and receiver.max_age < SHORTEST_MAX_AGE:
        raise ValueError(
            "receiver: max_age must be at least 45 minutes, as redeliveries come after up to 36"
            " minutes and may carry the time of the first delivery"
        )
    return receiver
