"""A refund whose answer was lost: one refund exists, and the caller learns of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime

import pytest

from paycollect import Outcome, PayCollectError, RetryPolicy, SessionManager
from paycollect.errors import AlreadyRefundedError, InsufficientBalanceError, NotFoundError
from tests.provider import faults
from tests.provider.clocks import FakeClock
from tests.provider.fixtures import MakeManager
from tests.provider.server import Exchange, Fault, Provider

REFUND = "POST /collections/{id}/refund"
LIST = "GET /refunds"
GET = "GET /collections/{id}"


@pytest.fixture(autouse=True)
def paid(provider: Provider) -> None:
    """Have one paid order."""
    provider.add_order("INV-001", "25.00", status="COMPLETED")


LOST: dict[str, Fault] = {
    "answer lost": faults.lost_after_commit,
    "500": faults.failing_after_commit(500),
    "truncated": faults.truncated_after_commit,
    "garbled": faults.garbled_after_commit,
}


@pytest.mark.parametrize("amount", [None, "10.00"], ids=["full", "partial"])
@pytest.mark.parametrize("fault", LOST.values(), ids=LOST)
async def test_a_landed_refund_is_recovered(
    pay: SessionManager, provider: Provider, fault: Fault, amount: str | None
) -> None:
    """A refund that took effect but whose answer was lost is repeated once, and found."""
    provider.script(REFUND, fault)
    refund = await pay.create_refund("SCI0001", amount=amount)
    assert refund.recovered
    assert refund.amount == Decimal(amount or "24.25")
    assert (provider.count(REFUND), len(provider.refunds)) == (2, 1)


async def test_a_timeout_after_commit_is_recovered(make: MakeManager, provider: Provider) -> None:
    """A refund whose answer never comes is given up, repeated and found."""
    provider.script(REFUND, faults.silent_after_commit)
    assert (await make(timeout=0.2).create_refund("SCI0001")).recovered
    assert (provider.count(REFUND), len(provider.refunds)) == (2, 1)


async def test_a_refund_that_did_not_land_is_repeated(
    pay: SessionManager, provider: Provider
) -> None:
    """A refund that took no effect is repeated, and the second one counts."""
    provider.script(REFUND, faults.dropped_before_commit)
    assert not (await pay.create_refund("SCI0001")).recovered
    assert len(provider.refunds) == 1


@pytest.mark.parametrize("status", [400, 409, 422])
async def test_a_second_refund_is_refused(
    pay: SessionManager, provider: Provider, status: int
) -> None:
    """ALREADY_REFUNDED on a first attempt is the caller's own, under whatever HTTP status."""
    provider.script(REFUND, faults.says(status, "ALREADY_REFUNDED"))
    with pytest.raises(AlreadyRefundedError) as caught:
        await pay.create_refund("SCI0001")
    assert (caught.value.outcome, caught.value.attempts) == (Outcome.REJECTED, 1)
    assert (provider.count(REFUND), provider.count(LIST)) == (1, 0)


async def test_a_refund_of_another_amount_is_not_ours(
    pay: SessionManager, provider: Provider
) -> None:
    """After a lost answer, a refund of another amount was made by somebody else."""
    await pay.create_refund("SCI0001", amount="3.00")
    provider.script(REFUND, faults.dropped_before_commit)
    with pytest.raises(AlreadyRefundedError) as caught:
        await pay.create_refund("SCI0001", amount="10.00")
    assert caught.value.existing is not None
    assert caught.value.existing.amount == Decimal("3.00")
    assert caught.value.outcome is Outcome.REJECTED


async def test_a_partial_refund_is_not_taken_for_a_full_one(
    pay: SessionManager, provider: Provider
) -> None:
    """After a lost answer to a full refund, a partial one that is there was not ours."""
    await pay.create_refund("SCI0001", amount="3.00")
    provider.script(REFUND, faults.dropped_before_commit)
    with pytest.raises(AlreadyRefundedError) as caught:
        await pay.create_refund("SCI0001")
    assert caught.value.existing is not None
    assert len(provider.refunds) == 1


async def test_a_refund_that_no_list_shows_stays_unknown(
    pay: SessionManager, provider: Provider
) -> None:
    """Where the provider says "refunded" but lists no refund, the outcome is unknown."""
    provider.script(REFUND, faults.dropped_before_commit, faults.says(400, "ALREADY_REFUNDED"))
    with pytest.raises(AlreadyRefundedError) as caught:
        await pay.create_refund("SCI0001")
    assert (caught.value.existing, caught.value.outcome) == (None, Outcome.UNKNOWN)


async def test_a_failing_lookup_leaves_the_outcome_unknown(
    pay: SessionManager, provider: Provider
) -> None:
    """Where the look-up after a lost answer fails, the error says "unknown"."""
    provider.script(REFUND, faults.lost_after_commit)
    provider.always(LIST, faults.says(403))
    with pytest.raises(PayCollectError) as caught:
        await pay.create_refund("SCI0001")
    assert caught.value.outcome is Outcome.UNKNOWN
    assert (provider.count(REFUND), len(provider.refunds)) == (2, 1)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (402, "INSUFFICIENT_BALANCE", InsufficientBalanceError),
        (404, "RESOURCE_NOT_FOUND", NotFoundError),
    ],
)
async def test_other_refusals_keep_their_kind(
    pay: SessionManager, provider: Provider, status: int, code: str, kind: type[PayCollectError]
) -> None:
    """A refund that is refused for another reason is made once only."""
    provider.script(REFUND, faults.says(status, code))
    with pytest.raises(kind) as caught:
        await pay.create_refund("SCI0001")
    assert caught.value.outcome is Outcome.REJECTED
    assert provider.count(REFUND) == 1


OLD = "2026-08-01T08:00:00Z"


@pytest.mark.parametrize("amount", [None, "10.00"], ids=["full", "partial"])
async def test_a_refund_of_months_ago_is_not_recovered(
    pay: SessionManager, provider: Provider, amount: str | None
) -> None:
    """After a lost answer, a refund of the same amount that is older than the call is not ours."""
    await pay.create_refund("SCI0001", amount=amount)
    provider.refunds[0]["createdAt"] = OLD
    provider.script(REFUND, faults.says(503))
    with pytest.raises(AlreadyRefundedError) as caught:
        await pay.create_refund("SCI0001", amount=amount)
    assert caught.value.existing is not None
    assert caught.value.existing.created_at == datetime.fromisoformat(OLD)
    assert caught.value.outcome is Outcome.REJECTED


@pytest.mark.parametrize(("minutes", "ours"), [(-4.5, True), (-5.5, False), (1, True)])
async def test_the_servers_clock_tells_what_is_new(
    pay: SessionManager, provider: Provider, clock: FakeClock, minutes: float, ours: bool
) -> None:
    """The call began by the server's clock, and clocks may differ by five minutes."""
    server = datetime(2027, 1, 15, 8, 40, tzinfo=UTC)  # ours says 8:00

    async def dated(exchange: Exchange) -> None:
        reply = exchange.commit()
        passed = timedelta(seconds=clock.now - began)
        reply.headers["Date"] = format_datetime(server + passed, usegmt=True)
        await exchange.send(reply)

    began = clock.now
    provider.script(REFUND, faults.lost_after_commit, faults.says(503), dated)
    provider.always(LIST, dated)
    clock.meanwhile = lambda: move(provider, server + timedelta(minutes=minutes))
    work = pay.create_refund(
        "SCI0001", amount=10, retry=RetryPolicy(backoff_base=30, rng=lambda: 1)
    )
    if ours:
        assert (await work).recovered
    else:
        with pytest.raises(AlreadyRefundedError):
            await work
    assert clock.now - began == 60  # so that the beginning of the call is not its end


async def move(provider: Provider, moment: datetime) -> None:
    """Have the refund made at another moment."""
    provider.refunds[0]["createdAt"] = moment.isoformat()


async def test_a_refund_of_unknown_age_is_unknown(pay: SessionManager, provider: Provider) -> None:
    """Where the list does not tell when a refund was made, it may be ours, or not."""
    provider.script(REFUND, faults.lost_after_commit)

    async def undated(exchange: Exchange) -> None:
        provider.refunds[0]["createdAt"] = None
        await exchange.send(exchange.commit())

    provider.script(LIST, undated)
    with pytest.raises(AlreadyRefundedError) as caught:
        await pay.create_refund("SCI0001")
    assert caught.value.existing is not None
    assert caught.value.outcome is Outcome.UNKNOWN


async def test_the_look_up_of_a_refund_goes_through_pages(
    pay: SessionManager, provider: Provider
) -> None:
    """A provider that ignores the filter shows other refunds first."""
    provider.page_size = 2
    for number in range(3):
        record = provider.add_order(f"INV-9{number}", status="COMPLETED")
        await pay.create_refund(record["collectionId"], amount=5)

    async def unfiltered(exchange: Exchange) -> None:
        del exchange.request.query["collectionId"]
        await exchange.send(exchange.commit())

    provider.always(LIST, unfiltered)
    provider.script(REFUND, faults.lost_after_commit)
    refund = await pay.create_refund("SCI0001", amount=5)
    assert (refund.collection_id, refund.recovered) == ("SCI0001", True)
    assert provider.count(LIST) == 2


async def test_the_look_up_of_a_refund_has_its_own_retries(
    pay: SessionManager, provider: Provider
) -> None:
    """A refund that used up its retries leaves the look-ups all of their own."""
    fault = faults.says(503)
    provider.script(REFUND, faults.lost_after_commit, fault, fault)
    provider.script(LIST, fault, fault, fault)
    provider.script(GET, fault, fault, fault)
    assert (await pay.create_refund("SCI0001")).recovered
    assert (provider.count(REFUND), provider.count(LIST), provider.count(GET)) == (4, 4, 4)
