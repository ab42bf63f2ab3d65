"""A create whose answer was lost: one order exists, and the caller learns what became of it."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from paycollect import (
    Checkout,
    ConnectError,
    DeadlineExceededError,
    DecodeError,
    DuplicateOrderError,
    Outcome,
    PayCollectError,
    PermissionDeniedError,
    RateLimitError,
    ResponseLostError,
    ServerError,
    SessionManager,
)
from paycollect.observe import CallStarted
from tests.provider import faults
from tests.provider.clocks import FakeClock
from tests.provider.fixtures import MakeManager
from tests.provider.messages import CREATED_AT, Reply, success
from tests.provider.server import Exchange, Fault, Provider

CREATE = "POST /collections"
LIST = "GET /collections"
GET = "GET /collections/{id}"


async def create(pay: SessionManager, amount: str = "25.00", **options: Any) -> Checkout:
    """Create the checkout that all tests here are about."""
    return await pay.create_checkout(
        amount=amount, order_id="INV-001", description="Premium plan", **options
    )


LOST: dict[str, Fault] = {
    "answer lost": faults.lost_after_commit,
    "500": faults.failing_after_commit(500),
    "503": faults.failing_after_commit(503),
    "408": faults.failing_after_commit(408),
    "truncated": faults.truncated_after_commit,
    "garbled": faults.garbled_after_commit,
}


@pytest.mark.parametrize("fault", LOST.values(), ids=LOST)
async def test_a_landed_create_is_recovered(
    pay: SessionManager, provider: Provider, fault: Fault
) -> None:
    """A create that took effect but whose answer was lost is repeated once, and found."""
    provider.script(CREATE, fault)
    checkout = await create(pay)
    assert checkout.recovered
    assert (checkout.order_id, checkout.amount) == ("INV-001", Decimal("25.00"))
    assert (provider.count(CREATE), list(provider.orders)) == (2, ["INV-001"])


async def test_a_timeout_after_commit_is_recovered(make: MakeManager, provider: Provider) -> None:
    """A create whose answer never comes is given up, repeated and found."""
    provider.script(CREATE, faults.silent_after_commit)
    checkout = await create(make(timeout=0.2))
    assert checkout.recovered
    assert (provider.count(CREATE), len(provider.orders)) == (2, 1)


@pytest.mark.parametrize(
    "fault",
    [
        faults.dropped_before_commit,
        faults.says(500),
        faults.says(429, Retry_After="2"),
        faults.says(429),
        faults.text(200, b"<html>maintenance</html>"),
    ],
    ids=["dropped", "500", "429 with Retry-After", "429", "HTML"],
)
async def test_a_create_that_did_not_land_is_repeated(
    pay: SessionManager, provider: Provider, fault: Fault
) -> None:
    """A create that took no effect is repeated, and the second one counts."""
    provider.script(CREATE, fault)
    checkout = await create(pay)
    assert not checkout.recovered
    assert (provider.count(CREATE), len(provider.orders)) == (2, 1)


async def test_connect_refused_twice_then_fine(
    make: MakeManager, provider: Provider, clock: FakeClock
) -> None:
    """A create during an outage of the host waits, and lands once when the host is back."""
    pay = make()
    await pay.list_collections()  # so that a token is at hand
    await provider.stop()

    async def come_back() -> None:
        if len(clock.sleeps) == 2:
            await provider.start()

    clock.meanwhile = come_back
    checkout = await create(pay)
    assert not checkout.recovered
    assert len(clock.sleeps) == 2
    assert (provider.count(CREATE), len(provider.orders)) == (1, 1)


async def test_two_lost_answers_are_one_order(pay: SessionManager, provider: Provider) -> None:
    """A create whose first answer is lost and whose repeat fails before it lands is found."""
    provider.script(CREATE, faults.lost_after_commit, faults.says(500))
    assert (await create(pay)).recovered
    assert (provider.count(CREATE), len(provider.orders)) == (3, 1)


async def test_a_duplicate_on_the_first_attempt_is_the_callers(
    pay: SessionManager, provider: Provider
) -> None:
    """A 409 on a first attempt raises, without a look-up, even where the content is the same."""
    provider.add_order("INV-001", "25.00")
    with pytest.raises(DuplicateOrderError) as caught:
        await create(pay)
    assert (caught.value.order_id, caught.value.attempts) == ("INV-001", 1)
    assert caught.value.outcome is Outcome.REJECTED
    assert caught.value.existing is None
    assert (provider.count(CREATE), provider.count(LIST), len(provider.orders)) == (1, 0, 1)


async def test_all_that_a_recovery_asks_is_told_with_the_order(
    make: MakeManager, provider: Provider
) -> None:
    """Observers see for which order the look-up and the GET of what was found are."""
    told: list[Any] = []
    provider.script(CREATE, faults.lost_after_commit)
    assert (await create(make(observers=[told.append]))).recovered
    calls = [record for record in told if isinstance(record, CallStarted)]
    assert [(call.template, call.order_id) for call in calls if call.order_id] == [
        ("/collections", "INV-001"),
        ("/collections", "INV-001"),
        ("/collections/{id}", "INV-001"),
    ]


@pytest.mark.parametrize("told", [None, 200, 409])
async def test_a_duplicate_told_under_200_is_one_too(
    pay: SessionManager, provider: Provider, told: int | None
) -> None:
    """A refusal by its code is a refusal, whatever the HTTP status: no doubt, and no repeat."""
    provider.add_order("INV-001", "25.00")
    document = {"success": False, "status": told, "code": "DUPLICATE_REFERENCE"}
    provider.always(CREATE, faults.answers(Reply(200, document)))
    with pytest.raises(DuplicateOrderError) as caught:
        await create(pay)
    assert (caught.value.outcome, provider.count(CREATE)) == (Outcome.REJECTED, 1)


async def test_if_exists_return_gives_the_same_order(
    pay: SessionManager, provider: Provider
) -> None:
    """With if_exists="return" a 409 for the same amount gives the checkout that is there."""
    record = provider.add_order("INV-001", "25.00")
    checkout = await create(pay, if_exists="return")
    assert (checkout.collection_id, checkout.recovered) == (record["collectionId"], True)
    assert (provider.count(CREATE), len(provider.orders)) == (1, 1)


@pytest.mark.parametrize("status", ["COMPLETED", "EXPIRED", "REFUNDED"])
async def test_an_order_that_is_over_is_not_just_returned(
    pay: SessionManager, provider: Provider, status: str
) -> None:
    """A checkout that is over may be another customer's of last year: told, and not returned."""
    provider.add_order("INV-001", "25.00", status=status)
    with pytest.raises(DuplicateOrderError) as caught:
        await create(pay, if_exists="return")
    assert caught.value.existing is not None
    assert caught.value.existing.status == status
    assert caught.value.outcome is Outcome.REJECTED
    assert "if_exists_since" in caught.value.__notes__[0]


CREATED = datetime.fromisoformat(CREATED_AT)


@pytest.mark.parametrize("status", ["PENDING", "COMPLETED"])
@pytest.mark.parametrize(
    "since",
    [
        CREATED,
        CREATED - timedelta(days=1),
        CREATED + timedelta(microseconds=999_999),
        CREATED.astimezone(timezone(timedelta(hours=9))),
    ],
    ids=["same", "before", "same second", "zone"],
)
async def test_an_order_made_since_is_returned(
    pay: SessionManager, provider: Provider, since: datetime, status: str
) -> None:
    """With if_exists_since, what was made since then is returned, whatever became of it."""
    provider.add_order("INV-001", "25.00", status=status)
    checkout = await create(pay, if_exists="return", if_exists_since=since)
    assert (checkout.status, checkout.recovered) == (status, True)


@pytest.mark.parametrize("status", ["PENDING", "COMPLETED"])
async def test_an_order_made_before_is_not_returned(
    pay: SessionManager, provider: Provider, status: str
) -> None:
    """With if_exists_since, what was made before then belongs to somebody else."""
    provider.add_order("INV-001", "25.00", status=status)
    with pytest.raises(DuplicateOrderError) as caught:
        await create(pay, if_exists="return", if_exists_since=CREATED + timedelta(seconds=1))
    assert caught.value.existing is not None
    assert caught.value.outcome is Outcome.REJECTED


@pytest.mark.parametrize("status", ["PENDING", "COMPLETED"])
async def test_when_it_was_made_is_asked_for(
    pay: SessionManager, provider: Provider, status: str
) -> None:
    """Where the list does not tell when an order was made, the record itself is asked."""
    record = provider.add_order("INV-001", "25.00", status=status, createdAt=None)
    full = faults.answers(success({**record, "createdAt": CREATED_AT}))
    provider.script(GET, full, full)
    assert (await create(pay, if_exists="return", if_exists_since=CREATED)).recovered
    with pytest.raises(DuplicateOrderError) as caught:
        await create(pay, if_exists="return", if_exists_since=CREATED + timedelta(seconds=1))
    assert caught.value.outcome is Outcome.REJECTED


async def test_an_order_of_unknown_age_is_unknown(pay: SessionManager, provider: Provider) -> None:
    """Where nobody tells when an order was made, or the record cannot be read, nothing is known."""
    provider.add_order("INV-001", "25.00", createdAt=None)
    provider.shows_checkout_url = True
    with pytest.raises(DuplicateOrderError) as caught:
        await create(pay, if_exists="return", if_exists_since=CREATED)
    assert caught.value.outcome is Outcome.UNKNOWN
    assert caught.value.existing is not None
    provider.always(GET, faults.says(403, "AUTH_SCOPE_DENIED"))
    with pytest.raises(PermissionDeniedError) as refused:
        await create(pay, if_exists="return", if_exists_since=CREATED)
    assert (refused.value.outcome, refused.value.order_id) == (Outcome.UNKNOWN, "INV-001")


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        ({"if_exists_since": "2027-01-15"}, TypeError),
        ({"if_exists_since": CREATED.date()}, TypeError),
        ({"if_exists_since": CREATED.replace(tzinfo=None)}, ValueError),
        ({"if_exists_since": CREATED, "if_exists": "raise"}, ValueError),
    ],
)
async def test_a_senseless_moment(
    pay: SessionManager, provider: Provider, arguments: dict[str, Any], kind: type[Exception]
) -> None:
    """A moment without a zone, or where none is needed, is refused by name."""
    with pytest.raises(kind, match=r"^if_exists_since: "):
        await create(pay, **{"if_exists": "return", **arguments})
    assert provider.requests == []


@pytest.mark.parametrize(
    "fault",
    [faults.says(403), faults.says(429), faults.says(400), faults.says(404), faults.says(500)],
    ids=["403", "429", "400", "404", "500"],
)
async def test_a_duplicate_is_unknown_until_it_was_seen(
    pay: SessionManager, provider: Provider, fault: Fault
) -> None:
    """Once "duplicate" was answered, a look-up that fails says nothing about the order."""
    provider.add_order("INV-001", "25.00")
    provider.always(LIST, fault)
    with pytest.raises(PayCollectError) as caught:
        await create(pay, if_exists="return")
    assert (caught.value.outcome, caught.value.order_id) == (Outcome.UNKNOWN, "INV-001")


async def test_a_look_up_that_cannot_be_sent(
    make: MakeManager, provider: Provider, clock: FakeClock
) -> None:
    """A look-up that finds no provider, or no time, leaves the outcome unknown as well."""
    provider.add_order("INV-001", "25.00")

    provider.script(LIST, faults.says(503))
    clock.meanwhile = provider.stop
    with pytest.raises(ConnectError) as caught:
        await create(make(), if_exists="return")
    assert caught.value.outcome is Outcome.UNKNOWN
    clock.meanwhile = None
    await provider.start()

    async def slow(exchange: Exchange) -> None:
        clock.advance(1000)
        await exchange.send(exchange.commit())

    provider.script(CREATE, slow)
    with pytest.raises(DeadlineExceededError) as late:
        await create(make(), if_exists="return")
    assert late.value.outcome is Outcome.UNKNOWN


async def test_an_order_that_is_not_listed_yet(pay: SessionManager, provider: Provider) -> None:
    """An order that is taken, but that no list shows yet, is one whose outcome is unknown."""
    provider.script(CREATE, faults.says(409, "DUPLICATE_REFERENCE"))
    with pytest.raises(DuplicateOrderError) as caught:
        await create(pay, if_exists="return")
    assert (caught.value.outcome, caught.value.existing) == (Outcome.UNKNOWN, None)


async def test_the_look_up_has_its_own_retries(pay: SessionManager, provider: Provider) -> None:
    """A create that used up its retries leaves the look-up all of its own."""
    fault = faults.says(503)
    provider.script(CREATE, faults.lost_after_commit, fault, fault)
    provider.script(LIST, fault, fault, fault)
    provider.script(GET, fault, fault, fault)
    assert (await create(pay)).recovered
    assert (provider.count(CREATE), provider.count(LIST), provider.count(GET)) == (4, 4, 4)


async def test_if_exists_return_still_creates(pay: SessionManager, provider: Provider) -> None:
    """With if_exists="return" an order id that is free is simply used."""
    assert not (await create(pay, if_exists="return")).recovered
    assert provider.count(LIST) == 0


@pytest.mark.parametrize(
    "more", [{"amount": Decimal("99.00")}, {"currency": "EUR"}], ids=["amount", "currency"]
)
@pytest.mark.parametrize("lost", [True, False], ids=["after a lost answer", "if_exists=return"])
async def test_different_content_is_a_duplicate(
    pay: SessionManager, provider: Provider, more: dict[str, Any], lost: bool
) -> None:
    """An order id that belongs to another amount or currency raises, with what has it."""
    provider.add_order("INV-001", **more)
    if lost:
        provider.script(CREATE, faults.dropped_before_commit)
    with pytest.raises(DuplicateOrderError) as caught:
        await create(pay, if_exists="raise" if lost else "return")
    assert caught.value.existing is not None
    assert caught.value.existing.collection_id == "SCI0001"
    assert (caught.value.outcome, caught.value.order_id) == (Outcome.REJECTED, "INV-001")
    assert len(provider.orders) == 1


async def test_partial_matches_and_pages_are_walked(
    pay: SessionManager, provider: Provider
) -> None:
    """The list filter matches parts: only the exact order id counts, on whatever page it is."""
    provider.page_size = 2
    for order_id in ("INV-0010", "INV-0011", "XINV-001"):
        provider.add_order(order_id, "25.00")
    provider.script(CREATE, faults.lost_after_commit)
    checkout = await create(pay)
    assert (checkout.order_id, checkout.collection_id) == ("INV-001", "SCI0004")
    assert provider.count(LIST) == 2
    assert [order_id for order_id in provider.orders if order_id == "INV-001"] == ["INV-001"]


async def test_only_partial_matches_are_no_order(pay: SessionManager, provider: Provider) -> None:
    """Where the list shows only partial matches, the outcome of the create stays unknown."""
    provider.page_size = 2
    for order_id in ("INV-0010", "INV-0011", "XINV-001"):
        provider.add_order(order_id, "25.00")
    provider.script(CREATE, faults.dropped_before_commit, faults.says(409, "DUPLICATE_REFERENCE"))
    with pytest.raises(DuplicateOrderError) as caught:
        await create(pay)
    assert caught.value.existing is None
    assert caught.value.outcome is Outcome.UNKNOWN
    assert provider.count(LIST) == 2


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (faults.says(503), ServerError),
        (faults.dropped_before_commit, ResponseLostError),
        (faults.says(429), RateLimitError),
        (faults.text(200, b"<html>"), DecodeError),
    ],
    ids=["503", "dropped", "429", "HTML"],
)
async def test_a_failing_lookup_leaves_the_outcome_unknown(
    pay: SessionManager, provider: Provider, fault: Fault, kind: type[PayCollectError]
) -> None:
    """Where the look-up after a lost answer fails, the error says "unknown" and the order id."""
    provider.script(CREATE, faults.lost_after_commit)
    provider.always(LIST, fault)
    with pytest.raises(kind) as caught:
        await create(pay)
    assert (caught.value.outcome, caught.value.order_id) == (Outcome.UNKNOWN, "INV-001")
    assert (provider.count(CREATE), len(provider.orders)) == (2, 1)


async def test_a_create_that_never_gets_an_answer_is_unknown(
    pay: SessionManager, provider: Provider
) -> None:
    """Where every answer is lost and none says "duplicate", the outcome is unknown."""
    provider.always(CREATE, faults.dropped_before_commit)
    with pytest.raises(ResponseLostError) as caught:
        await create(pay)
    assert (caught.value.outcome, caught.value.attempts) == (Outcome.UNKNOWN, 4)
    assert caught.value.order_id == "INV-001"
    assert "outcome unknown" in str(caught.value)


async def test_an_unknown_outcome_is_not_forgotten(pay: SessionManager, provider: Provider) -> None:
    """A clear refusal after a lost answer does not make the outcome any clearer."""
    provider.script(CREATE, faults.lost_after_commit, faults.says(403, "AUTH_SCOPE_DENIED"))
    with pytest.raises(PayCollectError) as caught:
        await create(pay)
    assert caught.value.outcome is Outcome.UNKNOWN
