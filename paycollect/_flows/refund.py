"""Refunding exactly once: what to do when the answer to a refund was lost.

Invariants: a refund is taken for ours only if it was made since the call began; and until it was
seen, the outcome is unknown, whatever became of the look-up.

A collection has one refund at most, ever, so a repeat is harmless but answered with an error
(provider docs: refunds/create).
"""

from __future__ import annotations

from contextlib import aclosing
from datetime import timedelta
from decimal import Decimal
from typing import Final

from attrs import evolve

from paycollect._api import endpoints
from paycollect._api.answers import Request
from paycollect._flows.create import unknown_until_told
from paycollect._flows.pages import entries
from paycollect._http.call import Call, Engine
from paycollect.clock import Clock
from paycollect.errors import AlreadyRefundedError, Outcome
from paycollect.models import Page, Refund

_SLACK: Final = timedelta(minutes=5)  # for clocks that differ


async def create_refund(
    engine: Engine,
    clock: Clock,
    call: Call,
    request: Request[Refund],
    *,
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
    with unknown_until_told(None):
        refused.existing = existing = await _find(engine, call, collection_id)
        if existing is None or existing.created_at is None:
            raise refused
        began = engine.server_time() - timedelta(seconds=clock.monotonic() - call.started)
        if existing.created_at >= began - _SLACK:
            wanted = {amount}
            if amount is None:
                call.retries = 0
                collection = await engine.run(call, endpoints.get_collection(collection_id))
                wanted = {collection.net_amount, collection.amount}
            if existing.amount in wanted:
                return evolve(existing, recovered=True)
    refused.outcome = Outcome.REJECTED  # the one refund is another, so ours was never made
    raise refused


async def _find(engine: Engine, call: Call, collection_id: str) -> Refund | None:
    async def get(number: int) -> Page[Refund]:
        call.retries = 0
        filters = {"collection_id": collection_id}
        return await engine.run(
            call, endpoints.list_refunds(number, endpoints.LARGEST_PAGE, filters)
        )

    async with aclosing(entries(get, lambda refund: refund.refund_id)) as found:
        async for refund in found:
            if refund.collection_id == collection_id:
                return refund
    return None
