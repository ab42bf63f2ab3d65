"""From an order to its checkout: the intent first, then the request, then the answer.

Invariants: the intent is committed before anything is sent, and no transaction is open over a
request. One order has one checkout, whatever crashes and however many ask at once. A record that
was found by its order id is taken for ours only with the proof of intent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Generic

from attrs import evolve, frozen

from paycollect import _arguments as check
from paycollect import _json
from paycollect._api import endpoints
from paycollect.cashier.context import Context, new_token
from paycollect.cashier.errors import OrderClosedError, OrderConflictError, UnknownOrderError
from paycollect.cashier.lookup import Found, look_up
from paycollect.cashier.orders import NONCE, TRACEPARENT, Order, OrderState, proves, reckon_end
from paycollect.cashier.steps import OrderWork
from paycollect.cashier.store import Steps, Tx
from paycollect.cashier.transactions import claims, intents
from paycollect.errors import DuplicateOrderError, PayCollectError
from paycollect.models import Checkout, Collection
from paycollect.session import checkout_url_form
from paycollect.status import PaymentStatus

if TYPE_CHECKING:
    from paycollect.session import CallOptions

_LOOK_UP_PAGES: Final = 20
_NONE: Final[CallOptions] = {}


@frozen(kw_only=True)
class Intent:
    """The checked arguments of a create."""

    order_id: str
    amount: Decimal
    currency: str
    request: str


def check_intent(
    *,
    amount: Decimal | int | str,
    order_id: str,
    description: str,
    currency: str,
    callback_url: str | None,
    webhook_url: str | None,
    metadata: Mapping[str, object] | None,
) -> Intent:
    """Check the arguments of a create, so that a mistake is seen before the intent is written.

    Raises:
        TypeError, ValueError: an argument is wrong.

    """
    order = endpoints.Order(
        order_id=check.text(order_id, "order_id"),
        amount=check.amount(amount),
        currency=check.usd(currency),
    )
    if "\0" in order_id:
        raise ValueError("order_id: must have no NUL, which databases refuse")
    if metadata is not None and NONCE in metadata:
        raise ValueError(f"metadata: the name {NONCE!r} is the cashier's")
    endpoints.create_collection(
        order,
        description=description,
        callback_url=callback_url,
        webhook_url=webhook_url,
        metadata=metadata,
    )
    request: dict[str, object] = {
        "description": description,
        "callback_url": callback_url,
        "webhook_url": webhook_url,
        "metadata": metadata,
    }
    given = {name: value for name, value in request.items() if value is not None}
    text = check.document(given, "metadata")
    try:
        _json.read_value(text)
    except ValueError:
        raise ValueError("metadata: nested too deeply, or numbers that are too long") from None
    return Intent(order_id=order_id, amount=order.amount, currency=order.currency, request=text)


def traced(intent: Intent, traceparent: str) -> Intent:
    """Put the trace context of a create beside its arguments; it is not sent."""
    kept: Any = _json.read_value(intent.request)
    return evolve(intent, request=json.dumps({**kept, TRACEPARENT: traceparent}))


def write_intent(intent: Intent, replaces: str | None) -> Steps[Order]:
    """Write an intent, and give up the order that it replaces, in one transaction."""
    if replaces is not None:
        old = yield from intents.give_up(replaces)
        if old is None:
            raise UnknownOrderError(f"replaces: there is no order {replaces!r}")
    return (
        yield from intents.intend(
            intent.order_id, str(intent.amount), intent.currency, intent.request
        )
    )


def refuse_conflict(intent: Intent, order: Order) -> None:
    """Refuse an order that was intended before with another amount or currency.

    Raises:
        OrderConflictError: as said.

    """
    if Decimal(order.amount) != intent.amount or order.currency != intent.currency:
        error = OrderConflictError(
            "the order was intended before, with another amount or currency: use another order id,"
            " or create_checkout(..., replaces=...) to give the old one up"
        )
        error.order_id = order.order_id
        raise error


class Checkouts(Generic[Tx]):
    """Gets the checkout of an intended order."""

    def __init__(self, context: Context[Tx], work: OrderWork[Tx]) -> None:
        self._context = context
        self._store = context.store
        self._work = work

    async def checkout_for(self, order_id: str, options: CallOptions = _NONE) -> Checkout:
        """Give the checkout of an order; ask the provider for it where there is none yet.

        Raises:
            UnknownOrderError: the order was never intended.
            OrderClosedError: it was given up, or it is over.
            DuplicateOrderError: the provider has another collection of this order id.
            PayCollectError: the provider's answer; the intent stays, and the next call sends again.

        """
        order = await self._store.run(partial(intents.read, order_id), reads=True)
        if order is None:
            raise UnknownOrderError(f"there is no order {order_id!r}: intend it first")
        known = self._known(order)
        if known is not None:
            return known
        if order.state != OrderState.INTENDED:
            return await self._address(order, options)
        sent = await self._store.run(partial(intents.sending, order_id))
        if sent is None:
            return await self._known_by_now(order_id, options)
        return await self._send(sent, options)

    def _known(self, order: Order) -> Checkout | None:
        """Give the checkout that is stored; refuse an order that is over."""
        if order.closed_why == "order_id_taken":
            raise _duplicate(order)
        if order.state == OrderState.CLOSED or order.gave_up_at is not None:
            raise _over(
                order, "the order was given up, or its checkout has ended: use another order id"
            )
        return checkout_of(order) if order.checkout else None

    async def _known_by_now(self, order_id: str, options: CallOptions) -> Checkout:
        """Give what somebody else has stored, or decided, meanwhile."""
        order = await self._store.run(partial(intents.read, order_id), reads=True)
        if order is None:  # pragma: no cover  # only where somebody deletes orders
            raise UnknownOrderError(f"there is no order {order_id!r} any more")
        return self._known(order) or await self._address(order, options)

    async def _send(self, order: Order, options: CallOptions) -> Checkout:
        context = self._context
        try:
            context.reach("request:create:before")
            checkout = await context.session.create_checkout(**_request(order), **options)
            context.reach("request:create:after")
            if checkout.recovered:
                # The answer was lost, and a record of this order id and amount found: whose is it?
                record = await context.session.get_collection(checkout.collection_id, **options)
                if not proves(order, record):
                    return await self._taken(order, record)
        except DuplicateOrderError as error:
            return await self._exists(order, error, options)
        except PayCollectError as error:
            await self._store.run(partial(intents.refused, order.order_id, type(error).__name__))
            raise
        return await self._keep(order, checkout)

    async def _exists(
        self, order: Order, refused: DuplicateOrderError, options: CallOptions
    ) -> Checkout:
        """Find out whose checkout it is that has our order id."""
        again = await self._store.run(partial(intents.read, order.order_id), reads=True)
        if again is not None and again.state != OrderState.INTENDED:
            return self._known(again) or await self._address(again, options)
        found = await look_up(self._context, order, pages=_LOOK_UP_PAGES)
        if not isinstance(found, Found):
            raise refused  # it stays intended, and the sweep goes on looking
        if not proves(order, found.record):
            return await self._taken(order, found.record)
        return await self._address(order, options, found.record)

    async def _address(
        self, order: Order, options: CallOptions, record: Collection | None = None
    ) -> Checkout:
        """Give a checkout that was found to be ours, with the address that its answer had."""
        session = self._context.session
        if record is None:
            record = await session.get_collection(order.collection_id or "", **options)
        form = checkout_url_form(session)
        url = record.checkout_url or form.format(collection_id=record.collection_id)
        if not url and record.status.is_final:
            raise _over(order, "the order is paid, or can no longer be: there is no page to pay on")
        endpoints.refuse_insecure(url)
        checkout = Checkout(
            collection_id=record.collection_id,
            checkout_url=url,
            order_id=order.order_id,
            amount=record.amount,
            currency=record.currency,
            status=record.status,
            fee=record.fee,
            net_amount=record.net_amount,
            reference=record.reference,
            expires_at=record.ends_at,
            recovered=True,
        )
        return await self._keep(order, checkout, record)

    async def _keep(
        self, order: Order, checkout: Checkout, record: Collection | None = None
    ) -> Checkout:
        life = reckon_end(record, 0)
        stored = await self._store.run(
            partial(intents.opened, order.order_id, checkout.collection_id, _pack(checkout), life)
        )
        if stored is None:  # pragma: no cover  # only where another transaction deletes orders
            raise UnknownOrderError(f"there is no order {order.order_id!r} any more")
        return self._known(stored) or checkout

    async def _taken(self, order: Order, record: Collection | None) -> Checkout:
        """Close an order whose id belongs to somebody else's collection, and say so."""
        claimed = await self._store.run(partial(claims.claim_one, order.order_id, new_token(), 0))
        if claimed is not None and claimed.order.state == OrderState.INTENDED:
            await self._work.taken(claimed, record)
        error = _duplicate(order)
        error.existing = record
        raise error


def _over(order: Order, text: str) -> OrderClosedError:
    error = OrderClosedError(text)
    error.order_id = order.order_id
    return error


def _duplicate(order: Order) -> DuplicateOrderError:
    error = DuplicateOrderError(
        "the provider has a collection of this order id that this store did not ask for (a restored"
        " backup? two environments on one app?): use another order id"
    )
    error.order_id = order.order_id
    return error


def _request(order: Order) -> dict[str, Any]:
    """Rebuild the arguments of the create, with the proof of intent."""
    kept: Any = _json.read_value(order.request)
    kept.pop(TRACEPARENT, None)
    kept["metadata"] = {**kept.get("metadata", {}), NONCE: order.nonce}
    return {
        "order_id": order.order_id,
        "amount": Decimal(order.amount),
        "currency": order.currency,
        **kept,
    }


_MONEY: Final = ("fee", "net_amount")


def _pack(checkout: Checkout) -> str:
    kept: dict[str, object] = {"url": checkout.checkout_url, "recovered": checkout.recovered}
    kept["reference"] = checkout.reference
    for name in _MONEY:
        amount = getattr(checkout, name)
        kept[name] = None if amount is None else str(amount)
    ends_at = checkout.expires_at
    kept["expires_at"] = None if ends_at is None else ends_at.isoformat()
    return json.dumps(kept)


def checkout_of(order: Order) -> Checkout:
    """Rebuild the checkout of an order, with the state that it is known to be in."""
    kept = json.loads(order.checkout)
    paid = order.state not in (OrderState.INTENDED, OrderState.OPEN)
    return Checkout(
        collection_id=order.collection_id or "",
        checkout_url=kept["url"],
        order_id=order.order_id,
        amount=Decimal(order.amount),
        currency=order.currency,
        status=PaymentStatus.COMPLETED if paid else PaymentStatus.PENDING,
        reference=kept["reference"],
        expires_at=None if kept["expires_at"] is None else _json.instant(kept["expires_at"]),
        recovered=kept["recovered"],
        fee=_decimal(kept["fee"]),
        net_amount=_decimal(kept["net_amount"]),
    )


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
