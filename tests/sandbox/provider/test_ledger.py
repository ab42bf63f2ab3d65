"""The state machine and the books, without any server."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal, localcontext

import pytest

from paycollect.models import Fee
from paycollect.sandbox.provider import requests
from paycollect.sandbox.provider.errors import RefusedError
from paycollect.sandbox.provider.ledger import CUSTOMER, LATE, LIFETIME, Ledger
from paycollect.sandbox.provider.records import CheckoutOrder, CollectionRecord, fee_on
from paycollect.status import PaymentStatus, RefundStatus

NOW = datetime(2026, 1, 8, 11, 30, tzinfo=UTC)
ORDER = CheckoutOrder(amount=Decimal("25.00"), order_id="INV-001", description="Premium plan")
STEPS = ("pay", "decline", "cancel", "expire")


class Time:
    """A time that is told by hand."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        """Tell it."""
        return self.now


@pytest.fixture
def time() -> Time:
    """The time of the books."""
    return Time()


@pytest.fixture
def told() -> list[PaymentStatus]:
    """What the listener was told."""
    return []


@pytest.fixture
def ledger(time: Time, told: list[PaymentStatus]) -> Ledger:
    """Books with the default prices."""
    return Ledger(time, listener=lambda record: told.append(record.status))


def _open(ledger: Ledger, order_id: str = "INV-001") -> str:
    return ledger.create(replace(ORDER, order_id=order_id)).collection_id


@pytest.mark.parametrize(
    ("step", "status"),
    [
        ("pay", PaymentStatus.COMPLETED),
        ("decline", PaymentStatus.FAILED),
        ("cancel", PaymentStatus.CANCELLED),
        ("expire", PaymentStatus.EXPIRED),
    ],
)
def test_each_step_leads_to_its_state(ledger: Ledger, step: str, status: PaymentStatus) -> None:
    """A pending session can be paid, declined, cancelled, or expire."""
    assert getattr(ledger, step)(_open(ledger)).status is status


@pytest.mark.parametrize("second", STEPS)
@pytest.mark.parametrize("first", STEPS)
def test_a_finished_session_takes_no_further_step(ledger: Ledger, first: str, second: str) -> None:
    """Nothing but a refund follows the end of a session."""
    collection_id = _open(ledger)
    getattr(ledger, first)(collection_id)
    with pytest.raises(RefusedError, match="no longer PENDING") as refusal:
        getattr(ledger, second)(collection_id)
    assert (refusal.value.status, refusal.value.code) == (400, "INVALID_STATUS")


def test_a_session_expires_after_sixty_minutes(ledger: Ledger, time: Time) -> None:
    """One second earlier it can still be paid."""
    collection_id = _open(ledger)
    time.now += LIFETIME - timedelta(seconds=1)
    assert ledger[collection_id].status is PaymentStatus.PENDING
    time.now += timedelta(seconds=1)
    record = ledger[collection_id]
    assert (record.status, record.status_reason) == (PaymentStatus.EXPIRED, "Session expired")
    assert record.expires_at == NOW + LIFETIME


def test_an_expired_session_can_be_called_failed(time: Time) -> None:
    """The provider's pages disagree on the name of the state, so it can be chosen."""
    ledger = Ledger(time, expired_as=PaymentStatus.FAILED)
    assert ledger.expire(_open(ledger)).status is PaymentStatus.FAILED


def test_money_is_booked_when_it_is_paid(ledger: Ledger, time: Time) -> None:
    """The balance grows by the net amount; the payer and the moment are kept."""
    record = ledger.pay(_open(ledger))
    assert ledger.balance == record.net_amount == Decimal("24.25")
    assert (record.payer, record.completed_at) == (CUSTOMER, time.now)


def test_the_callers_precision_changes_no_sum(ledger: Ledger) -> None:
    """Three digits are enough for the caller, but not for the books."""
    with localcontext(prec=3):
        order = requests.order({"amount": Decimal("12345.67"), "orderId": "A", "description": "x"})
        record = ledger.pay(ledger.create(order).collection_id)
        ledger.refund(record.collection_id, Decimal("1000.01"))
    assert (str(record.fee), str(record.net_amount)) == ("370.37", "11975.30")
    assert str(ledger.balance) == "10975.29"


def test_an_order_id_is_taken_for_good(ledger: Ledger) -> None:
    """Even a cancelled session keeps its order id."""
    ledger.cancel(_open(ledger))
    with pytest.raises(RefusedError) as refusal:
        _open(ledger)
    assert (refusal.value.status, refusal.value.code) == (409, "DUPLICATE_REFERENCE")


def test_an_unknown_collection_is_not_found(ledger: Ledger) -> None:
    """No other answer hints at what exists."""
    with pytest.raises(RefusedError) as refusal:
        ledger["SCI1"]
    assert (refusal.value.status, refusal.value.code) == (404, "RESOURCE_NOT_FOUND")


def test_a_full_refund_gives_the_net_amount_back(ledger: Ledger) -> None:
    """The fee stays with the provider."""
    collection_id = _open(ledger)
    ledger.pay(collection_id)
    refund = ledger.refund(collection_id)
    assert (refund.amount, refund.status) == (Decimal("24.25"), RefundStatus.COMPLETED)
    assert ledger[collection_id].status is PaymentStatus.REFUNDED
    assert ledger.balance == 0


def test_a_partial_refund_is_the_only_one(ledger: Ledger) -> None:
    """One refund per collection, ever, even if something is left."""
    collection_id = _open(ledger)
    ledger.pay(collection_id)
    ledger.refund(collection_id, Decimal(10))
    assert ledger[collection_id].status is PaymentStatus.PARTIALLY_REFUNDED
    with pytest.raises(RefusedError) as refusal:
        ledger.refund(collection_id, Decimal(1))
    assert refusal.value.code == "ALREADY_REFUNDED"


def test_only_what_was_paid_can_be_refunded(ledger: Ledger) -> None:
    """A pending collection has nothing to give back."""
    with pytest.raises(RefusedError) as refusal:
        ledger.refund(_open(ledger))
    assert (refusal.value.status, refusal.value.code) == (400, "INVALID_STATUS")


def test_no_more_than_the_net_amount_can_be_refunded(ledger: Ledger) -> None:
    """The refusal names the field and leaves the books alone."""
    collection_id = _open(ledger)
    ledger.pay(collection_id)
    with pytest.raises(RefusedError) as refusal:
        ledger.refund(collection_id, Decimal("24.26"))
    assert refusal.value.fields == {"amount": "must not exceed 24.25"}
    assert ledger.balance == Decimal("24.25")


def test_a_refund_needs_the_balance(ledger: Ledger) -> None:
    """A merchant that has paid its balance out cannot refund."""
    collection_id = _open(ledger)
    ledger.pay(collection_id)
    ledger.balance = Decimal(5)
    with pytest.raises(RefusedError) as refusal:
        ledger.refund(collection_id)
    assert (refusal.value.status, refusal.value.code) == (402, "INSUFFICIENT_BALANCE")
    assert ledger[collection_id].status is PaymentStatus.COMPLETED


def test_a_refund_can_take_its_time(time: Time, told: list[PaymentStatus]) -> None:
    """With a delay it is PENDING first, and told when it is through."""
    ledger = Ledger(time, refund_delay=60, listener=lambda record: told.append(record.status))
    collection_id = _open(ledger)
    ledger.pay(collection_id)
    assert ledger.refund(collection_id).status is RefundStatus.PENDING
    assert PaymentStatus.REFUNDED not in told
    time.now += timedelta(seconds=60)
    found = ledger.find_refunds(requests.listing({}, (), ()))
    assert [refund.status for refund in found.entries] == [RefundStatus.COMPLETED]
    assert told[-1] is PaymentStatus.REFUNDED


def test_the_listener_is_told_every_change(
    ledger: Ledger, time: Time, told: list[PaymentStatus]
) -> None:
    """Also those that happen by themselves, once each."""
    _open(ledger)
    ledger.pay(_open(ledger, "INV-002"))
    time.now += LIFETIME
    ledger.settle()
    ledger.settle()
    expected = ["PENDING", "PENDING", "COMPLETED", "EXPIRED"]
    assert told == expected


def test_the_books_say_when_to_look_again(ledger: Ledger, time: Time) -> None:
    """At the end of the first session, and in time for whatever may still begin."""
    assert ledger.look_again() == NOW + LATE
    _open(ledger)
    time.now += LIFETIME - timedelta(seconds=7)
    assert ledger.look_again() == NOW + LIFETIME
    assert Ledger(time, refund_delay=5).look_again() == time.now + timedelta(seconds=5)


def test_a_late_payment_gets_through_by_itself(
    ledger: Ledger, time: Time, told: list[PaymentStatus]
) -> None:
    """Nobody is told before, and it counts from the moment at which it got through."""
    collection_id = _open(ledger)
    told.clear()
    ledger.pay_later(collection_id)
    time.now += LATE - timedelta(seconds=1)
    assert ledger[collection_id].status is PaymentStatus.PENDING
    assert ledger.balance == 0
    assert not told
    time.now += timedelta(minutes=5)
    record = ledger[collection_id]
    assert (record.status, record.completed_at) == (PaymentStatus.COMPLETED, NOW + LATE)
    assert (ledger.balance, told) == (Decimal("24.25"), [PaymentStatus.COMPLETED])


def test_a_late_payment_outlives_its_session(ledger: Ledger, time: Time) -> None:
    """The payer has paid in time."""
    collection_id = _open(ledger)
    time.now += LIFETIME - timedelta(seconds=1)
    ledger.pay_later(collection_id)
    time.now += timedelta(hours=1)
    assert ledger[collection_id].status is PaymentStatus.COMPLETED


def test_the_newest_collection_comes_first(ledger: Ledger) -> None:
    """Iterating goes backwards in time."""
    first, second = _open(ledger, "A"), _open(ledger, "B")
    assert [record.collection_id for record in ledger] == [second, first]


def test_the_end_of_a_refund_needs_a_refund() -> None:
    """The pure step refuses what the books never ask for."""
    record = CollectionRecord(
        collection_id="SCI1",
        event_reference="COL1",
        reference="A2",
        order=ORDER,
        fee=Decimal(0),
        created_at=NOW,
        expires_at=NOW,
    )
    with pytest.raises(RefusedError, match="no refund"):
        record.refund_done()


def _fee(**values: object) -> Fee:
    fee = Fee(code="COLLECTION_FEE", name="Fee", type="PERCENTAGE", rate=Decimal(3))
    for name, value in values.items():
        object.__setattr__(fee, name, value)
    return fee


@pytest.mark.parametrize(
    ("amount", "fee", "due"),
    [
        ("25", _fee(), "0.75"),
        ("100", _fee(rate=Decimal("1.9")), "1.90"),
        ("1.50", _fee(), "0.05"),
        ("10", _fee(type="FIXED", rate=Decimal(2)), "2.00"),
        ("10", _fee(min_fee=Decimal(1)), "1.00"),
        ("1000", _fee(max_fee=Decimal(5)), "5.00"),
        ("1", _fee(min_fee=Decimal(3)), "1.00"),
        ("25", _fee(is_waived=True), "0.00"),
        ("25", _fee(code="PAYOUT_FEE"), "0.00"),
    ],
)
def test_fees_follow_the_price_list(amount: str, fee: Fee, due: str) -> None:
    """Percentage or fixed, within its limits, never more than the amount."""
    assert str(fee_on(Decimal(amount), [fee])) == due
