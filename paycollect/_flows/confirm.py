"""Knowing that a payment was made: compare with the provider's own record.

Invariants: nothing but a record that says COMPLETED, for this amount, this currency and
this order, is a payment; what could not be learnt is an error of its own kind, never "not paid";
and a payment that is known under either of its ids, or by its order, is found.

Provider docs: collections, "never fulfil from the webhook or the redirect alone".
"""

from __future__ import annotations

from contextlib import suppress
from decimal import Decimal
from typing import Final

from attrs import evolve, frozen

from paycollect import _arguments as check
from paycollect import ipn
from paycollect._api import endpoints
from paycollect._api.answers import Request
from paycollect._flows.pages import find_by_order_id
from paycollect._http.call import Call, Engine
from paycollect.clock import Clock
from paycollect.errors import (
    NotConfirmedReason,
    NotFoundError,
    PayCollectError,
    PaymentNotConfirmedError,
    ResponseLostError,
    clean,
)
from paycollect.models import Collection, JsonValue
from paycollect.status import PaymentStatus


@frozen(kw_only=True, eq=False, repr=False)
class Expected:
    """The payment that a merchant expects.

    Attributes:
        collection_id: the id that it is asked for by; "" where a message names none.
        order_id: the order to look up where that id leads nowhere.
        order_ids: what its record must say, by the merchant and by the message.

    """

    collection_id: str
    order_id: str | None
    order_ids: frozenset[str]
    amount: Decimal
    currency: str


def expect(
    payment: ipn.WebhookEvent | ipn.Callback | str,
    *,
    expected_amount: Decimal | int | str,
    order_id: str | None,
    currency: str,
) -> Expected:
    """Gather what is expected, from the arguments and from what the event claims.

    Raises:
        PaymentNotConfirmedError: the event is a test delivery, or names neither collection nor
            order.
        TypeError, ValueError: an argument is wrong; the text names it.

    """
    order_ids = [] if order_id is None else [check.text(order_id, "order_id")]
    if isinstance(payment, str):
        collection_id = check.path_id(payment, "collection_id")
    elif isinstance(payment, ipn.Callback):
        if order_id is None:
            raise TypeError(
                "order_id: is needed with a callback: anybody can type the URL, and name another"
                " order that was paid"
            )
        collection_id = _path_id(payment.collection_id)
    elif isinstance(payment, ipn.WebhookEvent):
        if payment.is_test:
            raise _refusal("the event is a test delivery", NotConfirmedReason.TEST_EVENT)
        collection_id = _path_id(payment.collection_id)
        order_ids += [] if payment.order_id is None else [payment.order_id]
    else:
        raise TypeError(
            "payment: an event, a callback or a collection id is needed,"
            f" not {type(payment).__name__}"
        )
    expected = Expected(
        collection_id=collection_id,
        order_id=_findable(order_ids),
        order_ids=frozenset(order_ids),
        amount=check.amount(expected_amount, name="expected_amount"),
        currency=check.text(currency, "currency"),
    )
    if not expected.collection_id and expected.order_id is None:
        raise _refusal("the message names no collection", NotConfirmedReason.NOT_FOUND)
    return expected


def _path_id(collection_id: str | None) -> str:
    """Give the id that a message names; what cannot be an id is none, and no mistake."""
    with suppress(ValueError, TypeError):
        return check.path_id(collection_id, "collection_id")
    return ""


def _findable(order_ids: list[str]) -> str | None:
    """Choose the order to look up: the merchant's own id before what a message says."""
    for order_id in order_ids:
        with suppress(ValueError):
            return check.text(order_id, "order_id")
    return None


def judge(collection: Collection, expected: Expected) -> PaymentNotConfirmedError | None:
    """Say why a collection is not the payment that is expected; None if it is."""
    reasons = NotConfirmedReason
    status = collection.status
    if status is not PaymentStatus.COMPLETED:
        reason = _OTHER_STATES.get(status, reasons.PENDING)
        text = f"its status is {clean(status)}"
    elif collection.refunds is not None and collection.refunds.total_refunded:
        text, reason = "it was refunded", reasons.REFUNDED
    elif collection.currency != expected.currency:
        text, reason = "it is in another currency", reasons.CURRENCY_MISMATCH
    elif collection.amount != expected.amount:
        text, reason = "it is of another amount", reasons.AMOUNT_MISMATCH
    elif expected.order_ids - {collection.order_id}:
        text, reason = "it is for another order", reasons.ORDER_MISMATCH
    else:
        return None
    return _refusal(f"collection {collection.collection_id}: {text}", reason, collection)


_OTHER_STATES: Final = {
    PaymentStatus.FAILED: NotConfirmedReason.OVER,
    PaymentStatus.CANCELLED: NotConfirmedReason.OVER,
    PaymentStatus.EXPIRED: NotConfirmedReason.OVER,
    PaymentStatus.REFUNDED: NotConfirmedReason.REFUNDED,
    PaymentStatus.PARTIALLY_REFUNDED: NotConfirmedReason.REFUNDED,
}


def _refusal(
    text: str, reason: NotConfirmedReason, collection: Collection | None = None
) -> PaymentNotConfirmedError:
    return PaymentNotConfirmedError(
        f"not the payment that was expected: {text}", reason=reason, collection=collection
    )


async def confirm(engine: Engine, clock: Clock, call: Call, expected: Expected) -> Collection:
    """Get the collection, and judge it.

    Raises:
        PaymentNotConfirmedError: it is not there, or not the payment that is expected.

    """
    refusal: PaymentNotConfirmedError | None
    try:
        collection = await read(engine, call, expected.collection_id, expected.order_id)
        refusal = judge(collection, expected)
        if refusal is None:
            return collection
    except NotFoundError as error:
        if error.path not in ("", f"/collections/{expected.collection_id}"):
            raise  # of the list: nothing was learnt about the payment
        refusal = _refusal("the provider does not know it", NotConfirmedReason.NOT_FOUND)
    refusal.attempts, refusal.elapsed = call.attempts, clock.monotonic() - call.started
    refusal.order_id = expected.order_id
    raise refusal


async def read(engine: Engine, call: Call, collection_id: str, order_id: str | None) -> Collection:
    """Get the provider's record of a payment: by its id, or else by its exact order id.

    A payment has two ids in the published samples: "SCI..." when it is created and read, "COL..."
    in the pages of its events (provider docs: webhooks/webhook-events/collection-received). Whether
    the second can be read is not published. So where an id is not known, or leads to a record
    under another id, or to one that tells no order, the order is looked up.

    Raises:
        NotFoundError: the provider knows neither.
        ResponseLostError: it gave a record under another id, and does not know the order.

    """
    if order_id is None:
        return await engine.run(call, endpoints.get_collection(collection_id))
    record = None
    failed: PayCollectError = NotFoundError("the provider knows no collection of this order")
    if collection_id:
        try:
            record = await engine.run(call, _get_once(collection_id, order_id))
        except (NotFoundError, ResponseLostError) as error:
            if error.is_retryable:
                raise
            failed = error
        else:
            if record.order_id is not None:
                return record
    found = await find_by_order_id(engine, call, order_id)
    if found is not None:
        return await _in_full(engine, call, found)
    if record is not None:
        return record
    failed.is_retryable = isinstance(failed, ResponseLostError)
    raise failed


def _get_once(collection_id: str, order_id: str) -> Request[Collection]:
    """Ask for a collection; for one that comes back under another id do not ask again."""
    request = endpoints.get_collection(collection_id)

    def decode(data: JsonValue) -> Collection:
        try:
            return request.decode(data)
        except ResponseLostError as error:
            error.is_retryable = False
            raise

    return evolve(request, order_id=order_id, decode=decode)


async def _in_full(engine: Engine, call: Call, found: Collection) -> Collection:
    """Get the whole record of an entry of a list, which has fewer fields."""
    call.retries = 0
    try:
        full = await engine.run(call, endpoints.get_collection(found.collection_id))
    except NotFoundError:
        return found
    return full if full.order_id is not None else evolve(full, order_id=found.order_id)
