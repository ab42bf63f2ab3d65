"""Creating exactly once: what to do when the answer to a create was lost.

The law of this room: "duplicate" after an attempt whose outcome is unknown may mean "it worked",
so the record is looked up and compared before anybody is told that it failed.

The provider has no idempotency key; an order id is unique per app, and a collection has one refund
at most, so a repeat is harmless but answered with an error (provider docs: errors, "retries").
"""

from __future__ import annotations

from contextlib import aclosing
from decimal import Decimal
from typing import Final, Literal

from attrs import evolve

from paycollect import _wire
from paycollect._answers import Request
from paycollect._engine import Call, Engine
from paycollect._paging import entries
from paycollect.errors import (
    AlreadyRefundedError,
    DuplicateOrderError,
    Outcome,
    PayCollectError,
)
from paycollect.models import Checkout, Collection, Page, Refund
from paycollect.retry import RetryPolicy

IfExists = Literal["raise", "return"]
CHECKOUT_URL_FORM: Final = "https://checkout.fyatu.com/sci/checkout?batch={collection_id}"


async def create_checkout(
    engine: Engine,
    call: Call,
    order: _wire.Order,
    request: Request[Checkout],
    *,
    if_exists: IfExists,
    checkout_url_form: str,
) -> Checkout:
    """Create a checkout, or find the one that an earlier attempt, or an earlier call, made."""
    try:
        return await engine.run(call, request)
    except DuplicateOrderError as error:
        refused = error
    if not call.unsure and if_exists == "raise":
        raise refused
    existing = await find_by_order_id(engine, call, order.order_id)
    if existing is None:
        raise refused
    # Nobody has got the URL of a checkout that this call made: such a one cannot be over yet.
    ours = if_exists == "return" or not existing.status.is_final
    if ours and order.matches(existing):
        return await _as_checkout(engine, call, order, existing, checkout_url_form)
    refused.existing = existing
    refused.outcome = Outcome.REJECTED  # the id belongs to another order, so ours was never made
    raise refused


async def find_by_order_id(engine: Engine, call: Call, order_id: str) -> Collection | None:
    """Look an order up; the filter is a partial match (provider docs: collections/list)."""

    async def get(number: int) -> Page[Collection]:
        call.retries = 0
        request = _wire.list_collections(number, _wire.LARGEST_PAGE, {"order_id": order_id})
        return await engine.run(call, evolve(request, order_id=order_id))

    async with aclosing(entries(get, lambda collection: collection.collection_id)) as found:
        async for collection in found:
            if collection.order_id == order_id:
                return collection
    return None


async def _as_checkout(
    engine: Engine, call: Call, order: _wire.Order, found: Collection, checkout_url_form: str
) -> Checkout:
    """Give what was compared as a checkout; the full record only adds what a list entry lacks."""
    full = found if found.checkout_url else await _in_full(engine, call, found)
    url = full.checkout_url or checkout_url_form.format(collection_id=found.collection_id)
    _wire.refuse_insecure(url)
    return Checkout(
        collection_id=found.collection_id,
        checkout_url=url,
        order_id=order.order_id,
        amount=found.amount,
        currency=found.currency,
        status=found.status,
        fee=found.fee,
        net_amount=found.net_amount,
        reference=found.reference,
        expires_at=found.ends_at or full.ends_at,
        recovered=True,
    )


async def _in_full(engine: Engine, call: Call, found: Collection) -> Collection:
    """Get the checkout URL, which a list entry lacks; what the list said will do without it."""
    brief = Call(call.started, call.ends, call.limits, RetryPolicy(max_retries=0))
    try:
        return await engine.run(brief, _wire.get_collection(found.collection_id))
    except PayCollectError:
        return found


async def create_refund(
    engine: Engine,
    call: Call,
    request: Request[Refund],
    collection_id: str,
    amount: Decimal | None,
) -> Refund:
    """Refund, or find the refund that an earlier attempt of this call made."""
    try:
        return await engine.run(call, request)
    except AlreadyRefundedError as error:
        refused = error
    if not call.unsure:
        raise refused
    call.retries = 0
    found = await engine.run(
        call, _wire.list_refunds(1, _wire.LARGEST_PAGE, {"collection_id": collection_id})
    )
    existing = next((r for r in found.items if r.collection_id == collection_id), None)
    if existing is None:
        raise refused
    wanted = {amount}
    if amount is None:
        collection = await engine.run(call, _wire.get_collection(collection_id))
        wanted = {collection.net_amount, collection.amount}
    if existing.amount in wanted:
        return evolve(existing, recovered=True)
    refused.existing = existing
    refused.outcome = Outcome.REJECTED
    raise refused
