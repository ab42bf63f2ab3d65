"""Everything at once: failures, cancellations and time limits, in an order that a seed decides."""

from __future__ import annotations

import asyncio
import random

import aiohttp
import pytest

from paycollect import Checkout, PayCollectError, RetryPolicy, SessionManager
from tests.provider import faults
from tests.provider.fixtures import MakeManager
from tests.provider.server import Exchange, Provider

# Counting lines here would take longer than the tests, and others reach them all.
pytestmark = pytest.mark.no_cover

CREATE = "POST /collections"
KINDS = [
    faults.lost_after_commit,
    faults.dropped_before_commit,
    faults.truncated_after_commit,
    faults.garbled_after_commit,
    faults.failing_after_commit(500),
    faults.says(503),
    faults.says(429),
    faults.says(401),
    faults.silent_after_commit,
    faults.silent,
    faults.text(200, b"<html>"),
]


async def create(pay: SessionManager, number: int) -> Checkout:
    """Create a checkout of an order of its own."""
    return await pay.create_checkout(
        amount=5, order_id=f"ORD-{number:04}-", description="d", timeout=0.05
    )


@pytest.mark.parametrize("seed", range(2))
async def test_a_storm(make: MakeManager, provider: Provider, seed: int) -> None:
    """In a storm each call ends as it should, each order exists once, and nothing is left over."""
    dice = random.Random(seed)

    async def weather(exchange: Exchange) -> None:
        await asyncio.sleep(dice.random() * 0.01)
        if dice.random() < 0.4:
            await dice.choice(KINDS)(exchange)
        else:
            await exchange.send(exchange.commit())

    for key in (CREATE, "GET /collections", "GET /collections/{id}"):
        provider.always(key, weather)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=20)) as http:
        pay = make(http=http, retry=RetryPolicy(max_retries=3))
        calls = [asyncio.create_task(create(pay, number)) for number in range(150)]
        victims = set()
        for victim in dice.sample(calls, 40):
            await asyncio.sleep(dice.random() * 0.004)
            if victim.cancel():
                victims.add(victim)
        results = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 20)
        for call, result in zip(calls, results, strict=True):
            expected = asyncio.CancelledError if call in victims else Checkout | PayCollectError
            assert isinstance(result, expected), result
            assert call.cancelling() == (call in victims)
        for number, result in enumerate(results):
            if isinstance(result, Checkout):
                assert result.order_id == f"ORD-{number:04}-"
                record = provider.orders[result.order_id]
                assert record["collectionId"] == result.collection_id
        for key in (CREATE, "GET /collections", "GET /collections/{id}"):
            provider.always(key, None)
        again = (pay.list_collections() for _ in range(40))
        await asyncio.wait_for(asyncio.gather(*again), 5)  # all 20 places are free again


@pytest.mark.parametrize("seed", range(2))
async def test_closing_in_a_storm(make: MakeManager, provider: Provider, seed: int) -> None:
    """A manager that is closed in a storm ends all its calls, and leaves no connection."""
    dice = random.Random(seed)

    async def weather(exchange: Exchange) -> None:
        await asyncio.sleep(dice.random() * 0.01)
        await dice.choice([*KINDS, faults.lost_after_commit])(exchange)

    provider.always(CREATE, weather)
    pay = make()
    calls = [asyncio.create_task(create(pay, number)) for number in range(120)]
    await asyncio.sleep(dice.random() * 0.05)
    victims = {victim for victim in dice.sample(calls, 20) if victim.cancel()}
    await pay.aclose()
    results = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 2)
    for call, result in zip(calls, results, strict=True):
        expected = asyncio.CancelledError if call in victims else Checkout | PayCollectError
        assert isinstance(result, expected), result
        assert call.cancelling() == (call in victims)
    await provider.hung_up()
