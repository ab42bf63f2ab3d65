"""What a checkout that was recovered looks like, and when it is not ours."""

from __future__ import annotations

import asyncio
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from paycollect import (
    Checkout,
    DecodeError,
    DuplicateOrderError,
    Outcome,
    ResponseLostError,
    RetryPolicy,
    ServerError,
    SessionManager,
)
from paycollect._flows.create import CHECKOUT_URL_FORM
from paycollect.session import BASE_URL
from tests.provider import faults
from tests.provider.fixtures import MakeManager
from tests.provider.messages import APP_ID, SECRET_KEY, success
from tests.provider.server import Fault, Provider

CREATE = "POST /collections"
GET = "GET /collections/{id}"


async def create(pay: SessionManager, amount: str = "25.00", **options: Any) -> Checkout:
    """Create the checkout that all tests here are about."""
    return await pay.create_checkout(
        amount=amount, order_id="INV-001", description="Premium plan", **options
    )


async def test_a_checkout_that_is_over_already_is_not_ours(
    pay: SessionManager, provider: Provider
) -> None:
    """After a lost answer an order that is already paid was made by an earlier call: a duplicate."""
    provider.add_order("INV-001", "25.00", status="COMPLETED")
    provider.script(CREATE, faults.dropped_before_commit)
    with pytest.raises(DuplicateOrderError) as caught:
        await create(pay)
    assert caught.value.existing is not None
    assert caught.value.existing.status == "COMPLETED"


async def test_a_recovered_checkout_shows_the_providers_url(
    pay: SessionManager, provider: Provider
) -> None:
    """Where the record shows a checkout URL, that one is given."""
    provider.shows_checkout_url = True
    provider.script(CREATE, faults.lost_after_commit)
    assert (await create(pay)).checkout_url == "https://checkout.fyatu.com?batch=SCI0001"
    assert provider.count(GET) == 0


async def test_a_missing_url_is_looked_for_in_the_full_record(
    pay: SessionManager, provider: Provider
) -> None:
    """Where the list shows no checkout URL, the collection itself is asked for it."""
    provider.script(CREATE, faults.lost_after_commit)

    async def full(exchange: Any) -> None:
        provider.shows_checkout_url = True
        await exchange.send(exchange.commit())

    provider.script(GET, full)
    assert (await create(pay)).checkout_url == "https://checkout.fyatu.com?batch=SCI0001"


@pytest.mark.parametrize("fault", [None, faults.says(500)], ids=["absent", "unavailable"])
async def test_a_missing_url_is_rebuilt(
    pay: SessionManager, provider: Provider, fault: Fault | None
) -> None:
    """Where no record shows the checkout URL, it is rebuilt from the documented form."""
    provider.always(GET, fault)
    provider.script(CREATE, faults.lost_after_commit)
    checkout = await create(pay)
    assert checkout.checkout_url == "https://checkout.fyatu.com/sci/checkout?batch=SCI0001"
    assert provider.count(GET) == (4 if fault else 1)
    assert (checkout.fee, checkout.net_amount) == (Decimal("0.75"), Decimal("24.25"))


async def test_the_form_of_a_rebuilt_url_can_be_set(make: MakeManager, provider: Provider) -> None:
    """The form by which checkout URLs are rebuilt is the caller's choice."""
    provider.script(CREATE, faults.lost_after_commit)
    pay = make(checkout_url_form="https://pay.example/{collection_id}/now")
    assert (await create(pay)).checkout_url == "https://pay.example/SCI0001/now"


async def test_another_host_has_no_form_of_its_own(make: MakeManager, provider: Provider) -> None:
    """No customer of a sandbox is sent to the provider's own host: without a URL it is an error."""
    provider.script(CREATE, faults.lost_after_commit)
    with pytest.raises(DecodeError, match="pass `checkout_url_form`") as caught:
        await create(make(checkout_url_form=""))
    assert (caught.value.outcome, caught.value.order_id) == (Outcome.UNKNOWN, "INV-001")
    assert caught.value.path == "data.checkoutUrl"


async def test_a_url_that_could_not_be_learnt(make: MakeManager, provider: Provider) -> None:
    """The GET for the URL is tried again; where it fails for good, that is the error."""
    pay = make(checkout_url_form="")
    provider.script(CREATE, faults.lost_after_commit)
    provider.always(GET, faults.says(503))
    with pytest.raises(ServerError) as caught:
        await create(pay)
    assert (caught.value.outcome, caught.value.order_id) == (Outcome.UNKNOWN, "INV-001")
    assert provider.count(GET) == 4
    provider.always(GET, None)
    provider.script(GET, faults.says(503), faults.says(503))
    provider.orders["INV-001"]["checkoutUrl"] = "https://checkout.example/SCI0001"
    url = (await create(pay, if_exists="return")).checkout_url
    assert url == "https://checkout.example/SCI0001"


async def test_a_paid_checkout_needs_no_url(make: MakeManager, provider: Provider) -> None:
    """A recovered checkout that is paid is told also where nobody tells its page."""
    record = provider.add_order("INV-001", status="COMPLETED")
    since = datetime.fromisoformat(record["createdAt"])
    pay = make(checkout_url_form="")
    checkout = await create(pay, if_exists="return", if_exists_since=since)
    assert (checkout.status, checkout.checkout_url) == ("COMPLETED", "")


def test_the_built_in_form_goes_with_the_built_in_host() -> None:
    """By default only a manager of the provider's own API rebuilds URLs, on the provider's host."""
    made: dict[str, Any] = {"app_id": APP_ID, "secret_key": SECRET_KEY}
    assert SessionManager(**made)._checkout_url_form == CHECKOUT_URL_FORM
    assert SessionManager(**made, base_url=f"{BASE_URL}/")._checkout_url_form == CHECKOUT_URL_FORM
    staging = "https://staging.example/api/v3"
    assert SessionManager(**made, base_url=staging)._checkout_url_form == ""


async def test_a_recovered_checkout_never_shows_an_insecure_url(
    pay: SessionManager, provider: Provider
) -> None:
    """A recovered record with an http URL is refused: no customer is sent there."""
    provider.add_order("INV-001", checkoutUrl="http://checkout.example/x")
    with pytest.raises(DecodeError) as caught:
        await create(pay, if_exists="return")
    assert caught.value.path == "data.checkoutUrl"


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ({}, "2027-01-15T09:00:00+00:00"),
        ({"expiresAt": None}, "2027-01-15T09:00:00+00:00"),
        ({"expiresAt": None, "createdAt": None}, "None"),
    ],
    ids=["told", "computed", "unknown"],
)
async def test_when_a_recovered_checkout_expires(
    pay: SessionManager, provider: Provider, times: dict[str, Any], expected: str
) -> None:
    """The end of a recovered checkout is the record's, or 60 minutes after its creation."""
    provider.add_order("INV-001", **times)
    moment = (await create(pay, if_exists="return")).expires_at
    assert str(moment and moment.isoformat()) == expected


async def test_the_end_is_taken_from_the_full_record(
    pay: SessionManager, provider: Provider
) -> None:
    """Where the list does not tell when a checkout ends, the record itself does; else the list."""
    record = provider.add_order("INV-001", expiresAt=None, createdAt=None)
    full = {**record, "expiresAt": "2027-01-15T09:30:00Z"}
    provider.script(GET, faults.answers(success(full)))
    moment = (await create(pay, if_exists="return")).expires_at
    assert moment == datetime.fromisoformat("2027-01-15T09:30:00Z")
    record["expiresAt"] = "2027-01-15T09:00:00Z"
    provider.script(GET, faults.answers(success(full)))
    moment = (await create(pay, if_exists="return")).expires_at
    assert moment == datetime.fromisoformat("2027-01-15T09:00:00Z")


async def test_a_replay_after_401_is_not_an_unknown_outcome(
    pay: SessionManager, provider: Provider
) -> None:
    """A create that is refused with 401 is made again with a new token, and counts once."""
    await pay.list_collections()
    provider.tokens.clear()
    assert not (await create(pay)).recovered
    assert (provider.count(CREATE), len(provider.orders)) == (2, 1)


async def test_without_retries_a_lost_answer_is_raised_at_once(
    pay: SessionManager, provider: Provider
) -> None:
    """With retrying switched off there is one POST, and the error says "unknown"."""
    provider.script(CREATE, faults.lost_after_commit)
    with pytest.raises(ResponseLostError) as caught:
        await create(pay, retry=RetryPolicy(max_retries=0))
    assert (caught.value.outcome, caught.value.attempts) == (Outcome.UNKNOWN, 1)
    assert (provider.count(CREATE), len(provider.orders)) == (1, 1)


async def test_many_creates_through_a_storm(pay: SessionManager, provider: Provider) -> None:
    """Fifty creates at once, each with its answer lost, make exactly fifty orders."""
    provider.script(CREATE, *[faults.lost_after_commit] * 50)
    made = await asyncio.gather(
        *(
            pay.create_checkout(amount=5, order_id=f"ORD-{n:03}-", description="d")
            for n in range(50)
        )
    )
    assert sorted(checkout.order_id for checkout in made) == sorted(provider.orders)
    assert len(provider.orders) == 50


async def test_the_full_record_adds_what_the_list_lacks_and_nothing_else(
    pay: SessionManager, provider: Provider
) -> None:
    """What was compared is what is given: the full record, with fewer fields, changes none of it."""
    bare = {"collectionId": "SCI0001", "amount": 99, "currency": "USD", "status": "EXPIRED"}
    url = "https://checkout.fyatu.com?batch=SCI0001"
    provider.script(CREATE, faults.lost_after_commit)
    provider.script(GET, faults.answers(success({**bare, "checkoutUrl": url})))
    checkout = await create(pay)
    assert checkout.checkout_url == url
    assert checkout.order_id == "INV-001"
    assert checkout.amount == Decimal("25.00")
    assert checkout.status == "PENDING"
    assert checkout.net_amount == Decimal("24.25")
    assert checkout.expires_at is not None
