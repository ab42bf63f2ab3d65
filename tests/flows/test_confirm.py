"""Confirming a payment: by the provider's own record, and by nothing else."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from paycollect import (
    DecodeError,
    Outcome,
    PayCollectError,
    PaymentNotConfirmedError,
    PaymentStatus,
    ResponseLostError,
    RetryPolicy,
    ServerError,
    SessionManager,
    ipn,
)
from paycollect.errors import AuthenticationError, NotConfirmedReason, PermissionDeniedError
from tests.provider import faults
from tests.provider.messages import success
from tests.provider.server import Fault, Provider

GET = "GET /collections/{id}"
ID = "SCI0001"


@pytest.fixture(autouse=True)
def paid(provider: Provider) -> None:
    """Have one paid order."""
    provider.add_order("INV-001", "25.00", status="COMPLETED")


def event(**changes: Any) -> ipn.WebhookEvent:
    """Make a webhook event."""
    given: dict[str, Any] = {
        "event": "collection.received",
        "collection_id": ID,
        "order_id": "INV-001",
        "status": PaymentStatus.COMPLETED,
    }
    return ipn.WebhookEvent(**{**given, **changes})


CALLBACK = ipn.Callback(collection_id=ID, status=PaymentStatus.COMPLETED)


@pytest.mark.parametrize("amount", [25, "25", "25.00", Decimal(25), Decimal("25.00")], ids=repr)
@pytest.mark.parametrize("payment", [ID, CALLBACK, event(), event(order_id=None)], ids=repr)
async def test_a_payment_as_expected(
    pay: SessionManager, provider: Provider, payment: Any, amount: Any
) -> None:
    """A paid collection of this amount is confirmed, from whatever names it."""
    collection = await pay.confirm(payment, expected_amount=amount, order_id="INV-001")
    assert (collection.collection_id, collection.status) == (ID, PaymentStatus.COMPLETED)
    assert provider.count(GET) == 1


async def test_a_payment_for_this_order(pay: SessionManager) -> None:
    """Where the order id is given, and is the same, the payment is confirmed."""
    assert (await pay.confirm(ID, expected_amount=25, order_id="INV-001")).order_id == "INV-001"


REASONS = NotConfirmedReason
REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], NotConfirmedReason]] = {
    **{
        f"{state}": ({"status": state}, {}, reason)
        for state, reason in {
            "PENDING": REASONS.PENDING,
            "ON_HOLD": REASONS.PENDING,
            "completed": REASONS.PENDING,
            "": REASONS.PENDING,
            "FAILED": REASONS.OVER,
            "CANCELLED": REASONS.OVER,
            "EXPIRED": REASONS.OVER,
            "REFUNDED": REASONS.REFUNDED,
            "PARTIALLY_REFUNDED": REASONS.REFUNDED,
        }.items()
    },
    "refunded, and still called completed": (
        {"refunds": {"totalRefunded": 5, "remainingRefundable": 0, "count": 1}},
        {},
        REASONS.REFUNDED,
    ),
    "a cent less": ({"amount": Decimal("24.99")}, {}, REASONS.AMOUNT_MISMATCH),
    "a cent more": ({"amount": Decimal("25.01")}, {}, REASONS.AMOUNT_MISMATCH),
    "less than a cent": ({"amount": "24.9999999999"}, {}, REASONS.AMOUNT_MISMATCH),
    "a millionth": ({"amount": "25.00000000000001"}, {}, REASONS.AMOUNT_MISMATCH),
    "negative": ({"amount": -25}, {}, REASONS.AMOUNT_MISMATCH),
    "euros": ({"currency": "EUR"}, {}, REASONS.CURRENCY_MISMATCH),
    "small letters": ({"currency": "usd"}, {}, REASONS.CURRENCY_MISMATCH),
    "expected in euros": ({}, {"currency": "EUR"}, REASONS.CURRENCY_MISMATCH),
    "another order": ({"orderId": "INV-0010"}, {"order_id": "INV-001"}, REASONS.ORDER_MISMATCH),
    "no order": ({"orderId": None}, {"order_id": "INV-001"}, REASONS.ORDER_MISMATCH),
    "an order id that none can be": ({}, {"payment": event(order_id="")}, REASONS.ORDER_MISMATCH),
    "another order in the event": ({}, {"payment": event(order_id="INV-002")}, REASONS.ORDER_MISMATCH),
    "given and in the event": (
        {},
        {"payment": event(order_id="INV-001"), "order_id": "INV-002"},
        REASONS.ORDER_MISMATCH,
    ),
    "event against given": (
        {},
        {"payment": event(order_id="INV-002"), "order_id": "INV-001"},
        REASONS.ORDER_MISMATCH,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("record", "arguments", "reason"), REFUSED.values(), ids=REFUSED)
async def test_a_payment_that_is_not_the_expected_one(
    pay: SessionManager,
    provider: Provider,
    record: dict[str, Any],
    arguments: dict[str, Any],
    reason: NotConfirmedReason,
) -> None:
    """Whatever differs is a refusal with its reason and the record, and is not tried again."""
    provider.orders["INV-001"].update(record)
    arguments = {"payment": ID, "expected_amount": "25.00", **arguments}
    with pytest.raises(PaymentNotConfirmedError) as caught:
        await pay.confirm(**arguments)
    assert caught.value.reason is reason
    assert caught.value.collection is not None
    assert caught.value.collection.collection_id == ID
    assert (caught.value.outcome, caught.value.is_retryable) == (Outcome.REJECTED, False)
    assert provider.count(GET) == 1
    assert caught.value.attempts == len(provider.requests) - 1  # without that for a token


@pytest.mark.parametrize("reason", REASONS)
def test_whether_waiting_can_help(reason: NotConfirmedReason) -> None:
    """What a later look may show otherwise is not final: not paid yet, and not known yet."""
    error = PaymentNotConfirmedError(reason=reason)
    assert error.is_final is (reason not in {"pending", "not_found"})


async def test_a_partly_refunded_payment_says_how_much(
    pay: SessionManager, provider: Provider
) -> None:
    """The record of a refunded payment comes with the refusal."""
    refunds = {"totalRefunded": "5.00", "remainingRefundable": 0, "count": 1}
    provider.orders["INV-001"].update(status="PARTIALLY_REFUNDED", refunds=refunds)
    with pytest.raises(PaymentNotConfirmedError) as caught:
        await pay.confirm(event(), expected_amount=25)
    assert caught.value.is_final
    assert caught.value.collection is not None
    assert caught.value.collection.refunds is not None
    assert caught.value.collection.refunds.total_refunded == 5


async def test_nothing_refunded_is_no_refund(pay: SessionManager, provider: Provider) -> None:
    """A summary that says that nothing was refunded does not stand in the way."""
    refunds = {"totalRefunded": 0, "remainingRefundable": 25, "count": 0}
    provider.orders["INV-001"]["refunds"] = refunds
    assert (await pay.confirm(event(), expected_amount=25)).refunds is not None


async def test_a_payment_that_nobody_knows(pay: SessionManager, provider: Provider) -> None:
    """A collection that the provider does not know is a refusal of its own."""
    with pytest.raises(PaymentNotConfirmedError) as caught:
        await pay.confirm("SCI9999", expected_amount=25)
    assert (caught.value.reason, caught.value.collection) == (REASONS.NOT_FOUND, None)
    assert caught.value.attempts == 1
    assert caught.value.__context__ is None


async def test_a_test_delivery_is_never_a_payment(pay: SessionManager, provider: Provider) -> None:
    """A test event is refused without asking, whatever it claims."""
    with pytest.raises(PaymentNotConfirmedError) as caught:
        await pay.confirm(event(is_test=True), expected_amount=25)
    assert (caught.value.reason, caught.value.collection) == (REASONS.TEST_EVENT, None)
    assert provider.requests == []


async def test_what_an_event_claims_is_not_believed(
    pay: SessionManager, provider: Provider
) -> None:
    """An event that says COMPLETED confirms nothing where the record says otherwise."""
    provider.orders["INV-001"]["status"] = "PENDING"
    with pytest.raises(PaymentNotConfirmedError):
        await pay.confirm(event(), expected_amount=25)
    with pytest.raises(PaymentNotConfirmedError):
        await pay.confirm(CALLBACK, expected_amount=25, order_id="INV-001")


async def test_a_failed_looking_event_of_a_paid_order(pay: SessionManager) -> None:
    """An event or callback that says FAILED does not hide a payment that was made."""
    one = await pay.confirm(event(status=PaymentStatus.FAILED), expected_amount=25)
    failed = ipn.Callback(collection_id=ID, status=PaymentStatus.FAILED)
    assert one == await pay.confirm(failed, expected_amount=25, order_id="INV-001")


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (faults.says(500), ServerError),
        (faults.says(401), AuthenticationError),
        (faults.says(403), PermissionDeniedError),
        (faults.dropped_before_commit, ResponseLostError),
        (faults.silent, ResponseLostError),
        (faults.text(200, b"<html>"), DecodeError),
        (faults.answers(success({"collectionId": ID})), DecodeError),
    ],
    ids=["500", "401", "403", "dropped", "silent", "HTML", "fields"],
)
async def test_what_could_not_be_learnt_is_not_a_refusal(
    pay: SessionManager, provider: Provider, fault: Fault, kind: type[PayCollectError]
) -> None:
    """A failure to ask keeps its own kind: the payment is unknown, not "not confirmed"."""
    provider.always(GET, fault)
    with pytest.raises(kind):
        await pay.confirm(ID, expected_amount=25, timeout=0.2, retry=RetryPolicy(max_retries=1))


async def test_the_answer_must_be_about_this_payment(
    pay: SessionManager, provider: Provider
) -> None:
    """A record of another collection confirms nothing, however well it fits."""
    provider.always(GET, faults.answers(success({**provider.orders["INV-001"], "collectionId": "SCI0002", "batch": None})))  # fmt: skip
    with pytest.raises(ResponseLostError):
        await pay.confirm(ID, expected_amount=25)


@pytest.mark.parametrize(
    "mistake",
    [
        (None, {}, TypeError, "payment"),
        (5, {}, TypeError, "payment"),
        ({"batch": ID}, {}, TypeError, "payment"),
        ("", {}, ValueError, "collection_id"),
        ("../x", {}, ValueError, "collection_id"),
        (ID, {"expected_amount": 25.0}, TypeError, "expected_amount"),
        (ID, {"expected_amount": "0.99"}, ValueError, "expected_amount"),
        (ID, {"expected_amount": "25.001"}, ValueError, "expected_amount"),
        (ID, {"expected_amount": None}, TypeError, "expected_amount"),
        (ID, {"order_id": ""}, ValueError, "order_id"),
        (ID, {"order_id": 5}, TypeError, "order_id"),
        (ID, {"currency": None}, TypeError, "currency"),
        (ID, {"currency": ""}, ValueError, "currency"),
    ],
)  # fmt: skip
async def test_mistakes_of_the_caller(
    pay: SessionManager,
    provider: Provider,
    mistake: tuple[Any, dict[str, Any], type[Exception], str],
) -> None:
    """A mistake is named, and nothing is sent."""
    payment, arguments, kind, name = mistake
    given: dict[str, Any] = {"expected_amount": 25, **arguments}
    with pytest.raises(kind, match=f"^{name}: "):
        await pay.confirm(payment, **given)
    assert provider.requests == []


async def test_the_text_of_a_refusal_is_clean(pay: SessionManager, provider: Provider) -> None:
    """What the provider wrote into its record does not get into a log by way of the error."""
    provider.orders["INV-001"]["status"] = "alice@example.com\n" * 50
    with pytest.raises(PaymentNotConfirmedError) as caught:
        await pay.confirm(ID, expected_amount=25)
    assert "alice" not in f"{caught.value}{caught.value!r}"
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "message",
    [event(collection_id=None, order_id=None), event(collection_id="a/b", order_id="")],
    ids=["nothing", "nonsense"],
)
async def test_a_message_that_names_no_collection(
    pay: SessionManager, provider: Provider, message: ipn.WebhookEvent
) -> None:
    """What a message says is not the caller's mistake: such a payment is not confirmed."""
    with pytest.raises(PaymentNotConfirmedError) as refusal:
        await pay.confirm(message, expected_amount=25)
    assert refusal.value.reason == "not_found"
    assert provider.requests == []


async def test_a_callback_needs_the_order(pay: SessionManager, provider: Provider) -> None:
    """Without the order id another order of the same price would do: refused before any I/O."""
    with pytest.raises(TypeError, match=r"^order_id: is needed with a callback"):
        await pay.confirm(CALLBACK, expected_amount=25)  # type: ignore[call-overload]  # pyright: ignore  # the mistake under test
    assert provider.requests == []


async def test_a_callback_of_another_paid_order(pay: SessionManager, provider: Provider) -> None:
    """The id of an order that was paid at the same price does not pay for this one."""
    provider.add_order("INV-002", "25.00")
    with pytest.raises(PaymentNotConfirmedError) as caught:
        await pay.confirm(CALLBACK, expected_amount=25, order_id="INV-002")
    assert caught.value.reason is REASONS.ORDER_MISMATCH
