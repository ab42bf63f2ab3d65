"""Creating exactly once: what to do when the answer to a create was lost.

Invariants: "duplicate" after an attempt whose outcome is unknown may mean "it worked", so the
record is looked up and compared before anybody is told that it failed; and until it was seen, the
outcome is unknown, whatever became of the look-up.

The provider has no idempotency key; an order id is unique per app, so a repeat is harmless but
answered with an error (provider docs: errors, "retries").
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Final, Literal

from attrs import evolve

from paycollect._api import endpoints
from paycollect._api.answers import Request
from paycollect._flows.pages import find_by_order_id
from paycollect._flows.unnamed import look_up_or_repeat
from paycollect._http.call import Call, Engine
from paycollect.errors import DecodeError, DuplicateOrderError, Outcome, PayCollectError
from paycollect.models import Checkout, Collection

IfExists = Literal["raise", "return"]
CHECKOUT_URL_FORM: Final = "https://checkout.fyatu.com/sci/checkout?batch={collection_id}"


async def create_checkout(
    engine: Engine,
    call: Call,
    order: endpoints.Order,
    request: Request[Checkout],
    *,
    if_exists: IfExists,
    since: datetime | None,
    checkout_url_form: str,
) -> Checkout:
    """Create a checkout, or find the one that an earlier attempt, or an earlier call, made."""
    try:
        try:
            return await engine.run(call, request)
        except endpoints.UnnamedOrderError as error:
            return await look_up_or_repeat(engine, call, order, request, error.checkout)
    except DuplicateOrderError as error:
        refused = error
    if not call.unsure and if_exists == "raise":
        raise refused
    with unknown_until_told(order.order_id):
        refused.existing = found = await find_by_order_id(engine, call, order.order_id)
        if found is None:
            raise refused
        # Nobody has got the URL of a checkout that this call made: such a one cannot be over yet.
        may_be_ours = since is not None or not found.status.is_final
        if may_be_ours and order.matches(found):
            lacking = not found.checkout_url or (since is not None and found.created_at is None)
            full, failed = await _in_full(engine, call, order, found) if lacking else (found, None)
            if _was_made_since(since, found.created_at or full.created_at, failed or refused):
                return _as_checkout(order, found, full, failed, checkout_url_form)
    refused.add_note(
        "The order id belongs to a checkout of another amount, that is over, or that was made"
        " before `if_exists_since`: see `existing`, and use a new order id for a new order."
    )
    refused.outcome = Outcome.REJECTED  # the id belongs to another order, so ours was never made
    raise refused


@contextmanager
def unknown_until_told(order_id: str | None) -> Iterator[None]:
    """Make every error of a look-up say that the effect of what came before it is unknown."""
    try:
        yield
    except PayCollectError as error:
        error.outcome, error.order_id = Outcome.UNKNOWN, order_id
        raise


def _was_made_since(
    since: datetime | None, created_at: datetime | None, failed: PayCollectError
) -> bool:
    """Tell whether a checkout is as young as it must be, or raise where that cannot be told."""
    if since is None:
        return True
    if created_at is None:
        raise failed
    return created_at >= since.replace(microsecond=0)  # the provider tells whole seconds


def _as_checkout(
    order: endpoints.Order,
    found: Collection,
    full: Collection,
    failed: PayCollectError | None,
    checkout_url_form: str,
) -> Checkout:
    """Give what was compared as a checkout; the full record only adds what a list entry lacks."""
    url = full.checkout_url or checkout_url_form.format(collection_id=found.collection_id)
    if url:
        endpoints.refuse_insecure(url)
    elif not found.status.is_final:
        raise failed or DecodeError(
            "the provider's record of the checkout shows no checkoutUrl: pass `checkout_url_form`"
            " to the SessionManager to have it rebuilt",
            path="data.checkoutUrl",
        )
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


async def _in_full(
    engine: Engine, call: Call, order: endpoints.Order, found: Collection
) -> tuple[Collection, PayCollectError | None]:
    """Get what a list entry lacks; what the list said may do without it."""
    call.retries = 0
    request = endpoints.get_collection(found.collection_id)
    try:
        return await engine.run(call, evolve(request, order_id=order.order_id)), None
    except PayCollectError as error:
        return found, error
