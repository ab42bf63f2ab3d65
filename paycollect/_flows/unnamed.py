"""Creating where the answer does not name its order.

Invariants: such an answer is taken for ours only if the record of our order is the one it tells of.
"""

from __future__ import annotations

from paycollect._api import endpoints
from paycollect._api.answers import Request
from paycollect._flows.pages import find_by_order_id
from paycollect._http.call import Call, Engine
from paycollect.models import Checkout


async def look_up_or_repeat(
    engine: Engine,
    call: Call,
    order: endpoints.Order,
    request: Request[Checkout],
    checkout: Checkout,
) -> Checkout:
    """Look an order up, as the answer to its create leaves open whether it was about this order.

    Raises:
        ResponseLostError: two answers named no order, and the order is not found as they tell it.
        PayCollectError: as in `Engine.run`.

    """
    call.unsure = True
    found = await find_by_order_id(engine, call, order.order_id)
    if found is not None and found.collection_id == checkout.collection_id:
        return checkout
    # A stray answer has taken the place of ours: a repeat makes the order, or finds it taken.
    call.retries = 0
    return await engine.run(call, request)
