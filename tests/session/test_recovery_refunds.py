"""A refund whose answer was lost: one refund exists, and the caller learns of it."""

from __future__ import annotations

from decimal import Decimal

import pytest

from paycollect import Outcome, PayCollectError, SessionManager
from paycollect.errors import AlreadyRefundedError, InsufficientBalanceError, NotFoundError
from tests.session import faults
from tests.session.conftest import MakeManager
from tests.session.provider import Fault, Provider

REFUND = "POST /collections/{id}/refund"
LIST = "GET /refunds"


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
