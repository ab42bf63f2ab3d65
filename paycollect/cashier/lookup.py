"""Finding the record of an order by its order id, within a number of requests.

The provider's filter is a partial match: "INV-1" among 20,000 orders takes 112 requests. So it is
narrowed by date, stops at the exact hit, and goes on another time where the pages are too many.

Invariants: "missing" is said only after all pages were read; a budget that is spent is "not yet".
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from attrs import frozen

from paycollect.cashier.orders import Order
from paycollect.cashier.values import instant
from paycollect.models import Collection

if TYPE_CHECKING:
    from paycollect.cashier.context import Context

PAGES: Final = 5
_PAGE_SIZE: Final = 100
_A_DAY: Final = timedelta(days=1)


@frozen
class Found:
    """The full record of exactly this order id; whether it is ours is for `proves` to say."""

    record: Collection


@frozen
class Missing:
    """The provider has no record of this order id."""


@frozen
class NotYet:
    """Not found in the pages read so far; go on at this one."""

    cursor: int


Outcome: TypeAlias = Found | Missing | NotYet


async def look_up(context: Context[Any], order: Order, *, pages: int = PAGES) -> Outcome:
    """Look for an order, from where the last pass has stopped.

    Raises:
        PayCollectError: the provider could not be asked.

    """
    first = order.first_sent_at or order.created_at
    last = order.last_sent_at or order.created_at
    page = order.cursor
    for _ in range(pages):
        page += 1
        context.reach("request:list:before")
        found = await context.session.list_collections(
            page=page,
            limit=_PAGE_SIZE,
            order_id=order.order_id,
            # The provider does not say in which zone its days are.
            date_from=(instant(first) - _A_DAY).date(),
            date_to=(instant(last) + _A_DAY).date(),
        )
        context.reach("request:list:after")
        for entry in found.items:
            if entry.order_id == order.order_id:
                context.reach("request:get:before")
                # An entry of a list lacks the metadata, which is the proof.
                record = await context.session.get_collection(entry.collection_id)
                context.reach("request:get:after")
                return Found(record)
        if not found.has_next:
            return Missing()
    return NotYet(page)
