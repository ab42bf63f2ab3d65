"""What is lost by a shop that is killed between its answer and its work, and by the cashier not."""

from __future__ import annotations

import sys

import pytest

from paycollect.sandbox.faults import delay
from tests.examples.conftest import TIMES, Example, Town, until
from tests.examples.losses import BY_HAND, CASHIER, LAST_WEBHOOK

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL"),
    pytest.mark.timeout(100),
]


async def answered_and_killed(town: Town, example: Example) -> None:
    """Have a webhook answered with 200, and kill the shop while it asks the provider."""
    town.sandbox.faults.always("GET /collections/{id}", delay(0.5 * TIMES))
    await town.start(example)
    await town.sandbox.pay(await town.buy())
    await until(lambda: any(sent.state == "delivered" for sent in town.sandbox.deliveries))
    await town.kill()
    assert town.parcels(example) == {}
    await town.start(example)


async def test_a_shop_by_hand_loses_what_it_had_only_in_memory(town: Town) -> None:
    """The provider was told that all is well: no webhook comes again."""
    town.more = {"BY_HAND": "early"}
    await answered_and_killed(town, BY_HAND)
    town.sandbox.clock.advance(LAST_WEBHOOK)
    await town.sandbox.drained()
    assert town.parcels(BY_HAND) == {}


async def down_for_too_long(town: Town, example: Example) -> None:
    """Have an order paid while the shop is down, for longer than the provider tries to tell it."""
    await town.start(example)
    collection_id = await town.buy()
    await town.kill()
    await town.sandbox.pay(collection_id)
    while any(sent.state != "failed" for sent in town.sandbox.deliveries):
        town.sandbox.clock.advance(LAST_WEBHOOK)
        await town.sandbox.drained()
    await town.start(example)


async def test_a_shop_by_hand_never_learns_of_a_payment_while_it_was_down(town: Town) -> None:
    """Also one that answers only when its work is done."""
    town.more = {"BY_HAND": "late"}
    await down_for_too_long(town, BY_HAND)
    town.sandbox.clock.advance(LAST_WEBHOOK)
    await town.sandbox.drained()
    assert town.parcels(BY_HAND) == {}


async def test_the_cashier_finds_it(town: Town) -> None:
    """It looks for itself."""
    await down_for_too_long(town, CASHIER)
    await until(lambda: town.parcels(CASHIER) == dict.fromkeys(town.paid, 1))


async def test_the_cashier_loses_nothing(town: Town) -> None:
    """The webhook was stored before it was answered."""
    await answered_and_killed(town, CASHIER)
    await until(lambda: town.parcels(CASHIER) == dict.fromkeys(town.paid, 1))
