"""Answers that nobody asked for: none is taken for the answer to the next request."""

from __future__ import annotations

import asyncio
import pickle
from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from paycollect import (
    Checkout,
    DecodeError,
    Outcome,
    PayCollectError,
    PaymentStatus,
    ResponseLostError,
    RetryPolicy,
    SessionManager,
)
from paycollect._api import endpoints
from paycollect._http import transport
from tests.provider import faults
from tests.provider.fixtures import MakeManager
from tests.provider.messages import Reply, failure, success
from tests.provider.server import Exchange, Fault, Provider

CREATE = "POST /collections"
LIST = "GET /collections"
GET = "GET /collections/{id}"
ONCE = RetryPolicy(max_retries=0)


async def create(pay: SessionManager, order_id: str = "INV-1") -> Checkout:
    """Create an order."""
    return await pay.create_checkout(amount=5, order_id=order_id, description="d")


def keeping(exchanges: list[Exchange]) -> Fault:
    """Behave, and keep the connection in reach, so that more can be written on it later."""

    async def fault(exchange: Exchange) -> None:
        exchanges.append(exchange)
        await exchange.send(exchange.commit())

    return fault


@pytest.mark.parametrize("status", [201, 400, 402, 409, 500])
@pytest.mark.parametrize("turns", [0, 3], ids=["not read yet", "read"])
async def test_an_unasked_answer_on_an_idle_connection(
    pay: SessionManager, provider: Provider, status: int, turns: int
) -> None:
    """Nothing is sent on a connection on which something waits, whether the loop has read it or not."""
    kept: list[Exchange] = []
    provider.script(LIST, keeping(kept))
    await pay.list_collections()
    stray = failure(status, "DUPLICATE_REFERENCE") if status != 201 else success({}, 201)
    kept[0].writer.write(stray.encode())
    for _ in range(turns):
        await asyncio.sleep(0.001)
    checkout = await create(pay)
    assert (checkout.order_id, checkout.recovered) == ("INV-1", False)
    assert (provider.count(CREATE), provider.connections) == (1, 2)


async def test_a_connection_that_the_server_has_closed(
    pay: SessionManager, provider: Provider
) -> None:
    """A create is not sent on a connection whose end has arrived, so that its outcome is clear."""
    kept: list[Exchange] = []
    provider.script(LIST, keeping(kept))
    await pay.list_collections()
    kept[0].writer.close()
    assert (await create(pay)).recovered is False
    assert provider.count(CREATE) == 1


async def test_a_silent_connection_serves_on(pay: SessionManager, provider: Provider) -> None:
    """Calls one after the other share one connection."""
    for number in range(5):
        await create(pay, f"INV-{number}")
    assert provider.connections == 1


FOREIGN: dict[str, Reply | Fault] = {
    "another order": success({"collectionId": "SCI9", "orderId": "X", "amount": 5, "currency": "USD", "status": "PENDING", "checkoutUrl": "https://x.example/"}, 201),
    "no data": success({}),
    "a gateway's": faults.text(403, b"<html>"),
    "no envelope": Reply(200, {"ok": 1}),
}  # fmt: skip


@pytest.mark.parametrize("stray", FOREIGN.values(), ids=FOREIGN)
@pytest.mark.parametrize("borrowed", [False, True], ids=["own", "borrowed"])
async def test_a_connection_ends_with_a_stray_answer(
    make: MakeManager, provider: Provider, stray: Reply | Fault, borrowed: bool
) -> None:
    """After an answer that is not ours the connection is closed: the next one there may be late."""
    provider.script(CREATE, faults.answers(stray) if isinstance(stray, Reply) else stray)
    async with aiohttp.ClientSession() as http:
        pay = make(http=http if borrowed else None, retry=ONCE)
        with pytest.raises(PayCollectError) as caught:
            await create(pay)
        assert caught.value.outcome is Outcome.UNKNOWN
        await provider.hung_up()
        await pay.list_collections()
    assert provider.connections == 2


async def test_nobody_gets_the_connection_of_an_answer_that_was_not_judged(
    make: MakeManager, provider: Provider
) -> None:
    """Of two calls at once, the second does not go out where the first got a stray answer."""
    pay = make(retry=ONCE)
    await pay.list_collections()

    async def late(exchange: Exchange) -> None:
        await exchange.send(success({"collections": []}))
        await asyncio.sleep(0.01)
        await exchange.send(exchange.commit())

    provider.script(CREATE, late)
    first = asyncio.create_task(create(pay, "INV-1"))
    await provider.received(CREATE, 1)
    with pytest.raises(DecodeError):
        await first
    assert (await pay.list_collections()).page == 1
    assert provider.connections == 2


def nameless(provider: Provider, **changes: object) -> Fault:
    """Create the order, and leave its id out of the answer."""

    async def fault(exchange: Exchange) -> None:
        reply = exchange.commit()
        assert isinstance(reply.document, dict)
        if reply.status == 201:
            del reply.document["data"]["orderId"]
            reply.document["data"] |= changes
        await exchange.send(reply)

    return fault


async def test_an_answer_without_an_order_id_is_looked_up(
    pay: SessionManager, provider: Provider
) -> None:
    """A create whose answer names no order is ours if the record of the order says so."""
    provider.always(CREATE, nameless(provider))
    checkout = await create(pay)
    assert (checkout.order_id, checkout.collection_id) == ("INV-1", "SCI0001")
    assert (provider.count(CREATE), provider.count(LIST), checkout.recovered) == (1, 1, False)


async def test_another_answer_without_an_order_id(pay: SessionManager, provider: Provider) -> None:
    """Where the record is another one, the answer was stray: the order itself is recovered."""
    provider.script(CREATE, nameless(provider, collectionId="SCI9999"))
    checkout = await create(pay)
    assert (checkout.collection_id, checkout.recovered) == ("SCI0001", True)
    assert list(provider.orders) == ["INV-1"]


async def test_a_stray_answer_without_an_order_id(pay: SessionManager, provider: Provider) -> None:
    """Where there is no such order, the answer was stray: the create is made again."""
    data = provider.add_order("OTHER", "5")
    stray = {k: v for k, v in data.items() if k != "orderId"} | {
        "checkoutUrl": "https://x.example/"
    }
    provider.script(CREATE, faults.answers(success(stray, 201)))
    checkout = await create(pay)
    assert (checkout.collection_id, checkout.recovered) == ("SCI0002", False)


async def test_the_look_up_and_the_repeat_have_their_own_retries(
    pay: SessionManager, provider: Provider
) -> None:
    """After an answer without an order id, the look-up and the repeat may fail three times each."""
    data = provider.add_order("OTHER", "5")
    stray = {k: v for k, v in data.items() if k != "orderId"} | {
        "checkoutUrl": "https://x.example/"
    }
    fails = [faults.says(503)] * 3
    provider.script(CREATE, faults.answers(success(stray, 201)), *fails)
    provider.script(LIST, *fails)
    assert (await create(pay)).collection_id == "SCI0002"
    assert (provider.count(CREATE), provider.count(LIST)) == (5, 4)


async def test_nothing_but_nameless_answers(pay: SessionManager, provider: Provider) -> None:
    """Where no answer names the order, and no order is found, the outcome is unknown."""
    data = provider.add_order("OTHER", "5")
    stray = {k: v for k, v in data.items() if k != "orderId"} | {
        "checkoutUrl": "https://x.example/"
    }
    provider.always(CREATE, faults.answers(success(stray, 201)))
    with pytest.raises(ResponseLostError) as caught:
        await create(pay)
    assert (caught.value.outcome, caught.value.order_id) == (Outcome.UNKNOWN, "INV-1")
    assert provider.count(CREATE) == 2


def test_an_unnamed_answer_is_pickled_whole() -> None:
    """The error of an answer without a name survives a process boundary."""
    checkout = Checkout(
        collection_id="SCI1", checkout_url="https://x.example/", order_id="A", amount=Decimal(5),
        currency="USD", status=PaymentStatus.PENDING,
    )  # fmt: skip
    error = endpoints.UnnamedOrderError(checkout)
    error.attempts = 3
    twin = pickle.loads(pickle.dumps(error))
    assert (twin.checkout, twin.attempts, str(twin)) == (checkout, 3, str(error))


def test_a_transport_without_a_socket_is_not_readable() -> None:
    """Where the system cannot be asked, only what aiohttp has read counts."""
    assert not transport._make_poll(None)(0)


def test_what_is_kept_for_the_next_request_is_bounded() -> None:
    """Neither headers with replaced tokens nor the URL of every payment is kept."""
    kept = transport.Transport("https://x.example", http=None)
    for number in range(10):
        kept._make_headers(number % 2 == 0, f"tok-{number}")
        kept._url(f"/collections/SCI{number}")
    assert len(kept._headers) <= 4
    assert kept._urls == {}


def test_hanging_up_on_a_response_that_hides_its_connection() -> None:
    """A response of another make is closed as far as it can be."""

    class Other:
        closed = False

        def close(self) -> None:
            self.closed = True

    other: Any = Other()
    transport._hang_up(other)
    assert other.closed
