"""One payment, two ids: confirmed and waited for under either, and by its order."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from paycollect import (
    ApiError,
    DeadlineExceededError,
    NotFoundError,
    Outcome,
    PayCollectError,
    PaymentNotConfirmedError,
    PaymentStatus,
    PermissionDeniedError,
    ResponseLostError,
    ServerError,
    SessionManager,
    ipn,
)
from tests.provider import faults
from tests.provider.clocks import FakeClock
from tests.provider.messages import Json
from tests.provider.server import Exchange, Fault, Provider

GET = "GET /collections/{id}"
LIST = "GET /collections"
OWN, OTHER = "SCI0001", "COL678A3B4C5D6E7"
EVENT = ipn.WebhookEvent(
    event="collection.received",
    collection_id=OTHER,
    order_id="INV-001",
    status=PaymentStatus.COMPLETED,
)


@pytest.fixture(autouse=True)
def order(provider: Provider) -> Json:
    """Have one paid order."""
    return provider.add_order("INV-001", "25.00", status="COMPLETED")


@pytest.fixture(params=["unknown", "another id"])
def second_id(request: pytest.FixtureRequest, provider: Provider) -> str:
    """What a GET does with the id of the event pages: 404, or the record under its own id."""
    reading: str = request.param
    if reading == "another id":
        provider.aliases[OTHER] = OWN
    return reading


@pytest.mark.usefixtures("second_id")
@pytest.mark.parametrize(
    ("payment", "order_id"),
    [
        (EVENT, None),
        (EVENT, "INV-001"),
        (OTHER, "INV-001"),
        (ipn.Callback(collection_id=OTHER, status=PaymentStatus.COMPLETED), "INV-001"),
    ],
    ids=["event", "event and order", "id", "callback"],
)
async def test_it_is_found_by_its_order(
    pay: SessionManager, provider: Provider, clock: FakeClock, payment: Any, order_id: str | None
) -> None:
    """A payment under an id that GET does not know is found by its order, and in full."""
    provider.add_order("INV-0010", "25.00")
    paid = await pay.confirm(payment, expected_amount=25, order_id=order_id)
    assert (paid.collection_id, paid.order_id) == (OWN, "INV-001")
    assert [request.path for request in provider.requests][-3:] == [
        f"/collections/{OTHER}",
        "/collections",
        f"/collections/{OWN}",
    ]
    assert clock.sleeps == []


@pytest.mark.usefixtures("second_id")
@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"status": "PENDING"}, "pending"),
        ({"status": "EXPIRED"}, "over"),
        ({"status": "PARTIALLY_REFUNDED"}, "refunded"),
        ({"amount": Decimal("24.99")}, "amount_mismatch"),
        ({"currency": "EUR"}, "currency_mismatch"),
    ],
)
async def test_the_record_that_was_found_is_judged(
    pay: SessionManager, order: Json, record: Json, reason: str
) -> None:
    """Whatever is wrong with the order's own record is the reason, and the record comes along."""
    order.update(record)
    with pytest.raises(PaymentNotConfirmedError) as caught:
        await pay.confirm(EVENT, expected_amount=25)
    assert caught.value.reason == reason
    assert caught.value.collection is not None
    assert caught.value.collection.collection_id == OWN
    assert (caught.value.attempts, caught.value.order_id) == (3, "INV-001")
    assert caught.value.outcome is Outcome.REJECTED


async def test_the_merchants_order_is_looked_up(pay: SessionManager, provider: Provider) -> None:
    """Where event and merchant name different orders, the merchant's is judged: a mismatch."""
    provider.add_order("INV-002", "25.00", status="COMPLETED")
    with pytest.raises(PaymentNotConfirmedError) as caught:
        await pay.confirm(EVENT, expected_amount=25, order_id="INV-002")
    assert caught.value.reason == "order_mismatch"
    assert caught.value.collection is not None
    assert caught.value.collection.order_id == "INV-002"


@pytest.mark.usefixtures("second_id")
async def test_each_request_has_its_own_retries(pay: SessionManager, provider: Provider) -> None:
    """The GET by the id, the look-up and the GET of what was found may each fail three times."""

    async def honest(exchange: Exchange) -> None:
        await exchange.send(exchange.commit())

    fails = [faults.says(503)] * 3
    provider.script(GET, *fails, honest, *fails)
    provider.script(LIST, *fails)
    assert (await pay.confirm(EVENT, expected_amount=25)).collection_id == OWN
    assert (provider.count(GET), provider.count(LIST)) == (8, 4)


async def test_a_lost_answer_leads_to_no_look_up(pay: SessionManager, provider: Provider) -> None:
    """An answer that did not arrive tells nothing of the id: the GET is to be made again."""
    provider.always(GET, faults.dropped_before_commit)
    with pytest.raises(ResponseLostError) as caught:
        await pay.confirm(EVENT, expected_amount=25)
    assert (caught.value.is_retryable, provider.count(LIST)) == (True, 0)
    assert (caught.value.order_id, caught.value.outcome) == ("INV-001", Outcome.REJECTED)


async def test_neither_is_known(pay: SessionManager, provider: Provider, clock: FakeClock) -> None:
    """Where GET does not know the id, and no list the order, the payment is not found, so far."""
    provider.orders.clear()
    with pytest.raises(PaymentNotConfirmedError) as caught:
        await pay.confirm(EVENT, expected_amount=25)
    assert (caught.value.reason, caught.value.is_final) == ("not_found", False)
    assert (caught.value.attempts, caught.value.order_id) == (2, "INV-001")
    assert (caught.value.elapsed, caught.value.__context__) == (0, None)
    assert clock.sleeps == []


async def test_without_an_order_not_found_stands(pay: SessionManager, provider: Provider) -> None:
    """Where no order is known there is nothing to look up."""
    with pytest.raises(PaymentNotConfirmedError) as caught:
        await pay.confirm(OTHER, expected_amount=25)
    assert (caught.value.reason, provider.count(LIST)) == ("not_found", 0)


async def test_without_an_order_a_record_under_another_id_is_a_stray_answer(
    pay: SessionManager, provider: Provider
) -> None:
    """Where no order is known, a record under another id proves nothing."""
    provider.aliases[OTHER] = OWN
    with pytest.raises(ResponseLostError):
        await pay.confirm(OTHER, expected_amount=25)


async def test_a_record_under_another_id_of_an_unknown_order(
    pay: SessionManager, provider: Provider, order: Json
) -> None:
    """A record under another id, and no order: a stray answer, so nothing was learnt."""
    provider.aliases[OTHER] = OWN
    order["orderId"] = "INV-777"
    with pytest.raises(ResponseLostError) as caught:
        await pay.confirm(EVENT, expected_amount=25)
    assert caught.value.is_retryable
    assert provider.count(GET) == 1


@pytest.mark.parametrize(
    "message",
    [
        ipn.WebhookEvent(event="collection.received", order_id="INV-001"),
        ipn.WebhookEvent(event="collection.received", order_id="INV-001", collection_id="a/b"),
    ],
    ids=["none", "nonsense"],
)
async def test_a_message_without_an_id_but_with_an_order(
    pay: SessionManager, provider: Provider, message: ipn.WebhookEvent
) -> None:
    """A message that names no collection, but an order, is about that order."""
    assert (await pay.confirm(message, expected_amount=25)).collection_id == OWN
    assert [request.path for request in provider.requests][1:] == ["/collections", f"/collections/{OWN}"]  # fmt: skip
    provider.orders.clear()
    with pytest.raises(PaymentNotConfirmedError) as caught:
        await pay.confirm(message, expected_amount=25)
    assert caught.value.reason == "not_found"


async def test_a_record_that_tells_no_order(pay: SessionManager, provider: Provider) -> None:
    """Where GET shows no order id, which no page promises, the list tells whose it is."""

    async def without(exchange: Exchange) -> None:
        reply = exchange.commit()
        assert isinstance(reply.document, dict)
        reply.document["data"] = {**reply.document["data"], "orderId": None}
        await exchange.send(reply)

    provider.always(GET, without)
    paid = await pay.confirm(OWN, expected_amount=25, order_id="INV-001")
    assert (paid.collection_id, paid.order_id) == (OWN, "INV-001")
    with pytest.raises(PaymentNotConfirmedError) as caught:
        await pay.confirm(OWN, expected_amount=25, order_id="INV-002")
    assert caught.value.reason == "order_mismatch"


async def test_the_entry_of_the_list_will_do(pay: SessionManager, provider: Provider) -> None:
    """Where no id can be read at all, the list is the provider's record."""
    provider.always(GET, faults.says(404, "RESOURCE_NOT_FOUND"))
    assert (await pay.confirm(EVENT, expected_amount=25)).collection_id == OWN


@pytest.mark.parametrize("key", [LIST, "POST /auth/token"])
@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (faults.says(403, "AUTH_SCOPE_DENIED"), PermissionDeniedError),
        (faults.says(404, "RESOURCE_NOT_FOUND"), ApiError),
        (faults.says(500, "INTERNAL_ERROR"), ServerError),
    ],
    ids=["403", "404", "500"],
)
async def test_a_failing_look_up_is_not_a_refusal(
    pay: SessionManager,
    provider: Provider,
    key: str,
    fault: Fault,
    kind: type[PayCollectError],
) -> None:
    """Where the look-up or the token fails, even with a 404, nothing was learnt of the payment."""
    provider.always(key, fault)
    for payment in (EVENT, OTHER):
        if payment is EVENT or key != LIST:
            with pytest.raises(kind):
                await pay.confirm(payment, expected_amount=25)


async def test_a_lost_answer_is_no_reason_to_look_the_order_up(
    pay: SessionManager, provider: Provider
) -> None:
    """A GET whose answers are lost, after all retries, is that error: the id may well be known."""
    provider.always(GET, faults.dropped_before_commit)
    with pytest.raises(ResponseLostError) as caught:
        await pay.confirm(EVENT, expected_amount=25)
    assert (caught.value.attempts, provider.count(LIST)) == (4, 0)
    assert caught.value.order_id == "INV-001"


PAGE = b"<html>No such page</html>"


@pytest.mark.parametrize("key", [GET, LIST, "POST /auth/token"])
@pytest.mark.parametrize(
    "fault",
    [
        faults.text(404, PAGE),
        faults.text(404, b""),
        faults.text(403, PAGE),
        faults.text(200, PAGE),
        faults.text(404, b'{"code": "RESOURCE_NOT_FOUND"}', "application/json"),
    ],
    ids=["404", "empty 404", "403", "200", "404 with a code only"],
)
async def test_a_page_of_a_gateway_tells_nothing(
    pay: SessionManager, provider: Provider, key: str, fault: Fault
) -> None:
    """What is not the provider's own answer is no "not found": it could not be learnt."""
    provider.always(key, fault)
    with pytest.raises(PayCollectError) as caught:
        await pay.confirm(EVENT, expected_amount=25)
    assert not isinstance(caught.value, PaymentNotConfirmedError | NotFoundError)
    assert "taken effect" not in str(caught.value)


async def test_a_wait_survives_the_page_of_a_gateway(
    pay: SessionManager, provider: Provider
) -> None:
    """A gateway's page, under whatever status, ends no wait."""
    pages = [faults.text(status, PAGE) for status in (404, 403, 200, 502)]
    provider.script(GET, *pages)
    assert (await pay.wait_for_payment(OWN)).status == "COMPLETED"
    assert provider.count(GET) == 5


@pytest.mark.usefixtures("second_id")
async def test_a_look_up_has_its_own_retries(pay: SessionManager, provider: Provider) -> None:
    """The GET, the look-up and the GET in full may each fail as often as the policy allows."""
    fault = faults.says(503)
    provider.script(GET, fault, fault, fault)
    provider.script(LIST, fault, fault, fault)

    async def then_fail(exchange: Exchange) -> None:
        provider.script(GET, fault, fault, fault)
        await exchange.send(exchange.commit())

    provider.script(LIST, then_fail)
    assert (await pay.confirm(EVENT, expected_amount=25)).collection_id == OWN
    assert (provider.count(GET), provider.count(LIST)) == (8, 4)


# --- waiting --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("second_id")
async def test_a_wait_finds_it_by_its_order(
    pay: SessionManager, provider: Provider, clock: FakeClock, order: Json
) -> None:
    """A wait under the other id looks the order up once, and then asks by the id that is known."""
    order.update(status="PENDING", expiresAt="2999-01-01T00:00:00Z")

    async def later() -> None:
        if provider.count(GET) == 4:
            order["status"] = "COMPLETED"

    clock.meanwhile = later
    paid = await pay.wait_for_payment(OTHER, order_id="INV-001")
    assert (paid.collection_id, paid.status) == (OWN, "COMPLETED")
    assert provider.count(LIST) == 1
    assert [r.path for r in provider.requests if r.key == GET].count(f"/collections/{OTHER}") == 1


async def test_a_wait_counts_all_its_attempts(
    pay: SessionManager, provider: Provider, order: Json
) -> None:
    """The error of a wait tells every request that was made."""
    order.update(status="PENDING", expiresAt="2999-01-01T00:00:00Z")
    with pytest.raises(DeadlineExceededError) as caught:
        await pay.wait_for_payment(OTHER, order_id="INV-001", timeout=20)
    assert caught.value.attempts == provider.count(GET) + provider.count(LIST)
    assert caught.value.order_id == "INV-001"


async def test_a_wait_for_nothing(pay: SessionManager, provider: Provider) -> None:
    """A wait for what is known under neither id nor order ends."""
    provider.orders.clear()
    with pytest.raises(NotFoundError) as caught:
        await pay.wait_for_payment(OTHER, order_id="INV-001")
    assert OTHER in str(caught.value)
    assert (provider.count(GET), provider.count(LIST)) == (1, 1)


async def test_a_wait_goes_on_after_a_stray_answer(
    pay: SessionManager, provider: Provider, order: Json
) -> None:
    """A record under another id, of an order that is not there, is asked for again."""
    provider.aliases[OTHER] = OWN
    order["orderId"] = "INV-777"
    with pytest.raises(DeadlineExceededError):
        await pay.wait_for_payment(OTHER, order_id="INV-001", timeout=20)
    assert provider.count(GET) > 2


@pytest.mark.parametrize(
    ("arguments", "kind", "name"),
    [
        (("a/b",), ValueError, "collection_id"),
        ((5,), TypeError, "collection_id"),
        (("SCI1", ""), ValueError, "order_id"),
        (("SCI1", 5), TypeError, "order_id"),
    ],
)
async def test_mistakes_of_who_waits(
    pay: SessionManager,
    provider: Provider,
    arguments: tuple[Any, ...],
    kind: type[Exception],
    name: str,
) -> None:
    """A mistake is named, and nothing is sent."""
    collection_id, *rest = arguments
    with pytest.raises(kind, match=f"^{name}: "):
        await pay.wait_for_payment(collection_id, order_id=rest[0] if rest else None)
    assert provider.requests == []
