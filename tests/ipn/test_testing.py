"""The helpers for users' tests make what the provider would send."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from paycollect import ipn
from paycollect.models import Payer
from paycollect.testing import make_event, sign_webhook, webhook_data

PAID = {"collectionId": "SCI1", "amount": Decimal("25.00"), "name": "é/", "status": "COMPLETED"}


@pytest.mark.parametrize("scheme", ["raw", "compact", "php"])
@pytest.mark.parametrize("envelope", ["3.0", "2.0"])
def test_signed_bodies_prove_genuine(scheme: Any, envelope: Any) -> None:
    """Every scheme in every signed form is accepted, and matches as that scheme."""
    body = sign_webhook(PAID, "whsec_x", scheme, envelope)
    event = ipn.parse_webhook(body, secret="whsec_x")
    assert (event.scheme, event.version, event.amount) == (scheme, envelope, Decimal(25))
    assert b'"amount":25.00' in body


def test_bare_form() -> None:
    """The unsigned form is there to see one's handler refuse it."""
    body = sign_webhook(PAID, "whsec_x", envelope="bare")
    assert "sign" not in json.loads(body)
    with pytest.raises(ipn.SignatureError, match="not signed"):
        ipn.parse_webhook(body, secret="whsec_x")


def test_names() -> None:
    """Name and id of the event can be chosen."""
    body = sign_webhook({}, "s", event="CARD_FUNDED", event_id="e-1")
    event = ipn.parse_webhook(body, secret="s")
    assert (event.name, event.event_id) == ("card.funded", "e-1")


@pytest.mark.parametrize(
    "arguments",
    [
        {"secret": " "},
        {"scheme": "xml"},
        {"scheme": "php-object"},
        {"envelope": "4.0"},
        {"data": {"a": float("nan")}},
    ],
)
def test_wrong_arguments(arguments: dict[str, Any]) -> None:
    """A mistake in a test is named, too."""
    with pytest.raises(ValueError, match=r".+"):
        sign_webhook(**({"data": {}, "secret": "s"} | arguments))


def test_make_event() -> None:
    """An event comes as from `parse_webhook`."""
    event = make_event(order_id="INV-1", amount="9.99", extra={"payer": {"name": "A"}})
    assert event.verified
    assert event.is_collection
    assert (event.order_id, event.amount) == ("INV-1", Decimal("9.99"))
    assert event.status is ipn.PaymentStatus.COMPLETED
    assert event.payer is not None
    assert event.payer.name == "A"


def test_make_event_of_a_test_delivery() -> None:
    """A simulation can be made to see one's handler ignore it."""
    event = make_event(ipn.PaymentStatus.FAILED, is_test=True)
    assert (event.is_test, event.status) == (True, "FAILED")


def test_make_event_refuses_floats() -> None:
    """As everywhere, an amount is exact."""
    with pytest.raises(TypeError, match="floats"):
        make_event(amount=9.99)  # type: ignore[arg-type]  # that it is refused is the point


@pytest.mark.parametrize("shapes", ["events", "concept"])
@pytest.mark.parametrize("status", ["COMPLETED", "PENDING", "FAILED"])
def test_webhook_data(shapes: Any, status: str) -> None:
    """Sample data has the names of either page, and reads as the same event."""
    data = webhook_data(status, amount="9.99", order_id="O", collection_id="C", shapes=shapes)
    event = ipn.parse_webhook(sign_webhook(data, "s"), secret="s")
    assert (event.collection_id, event.order_id, event.status) == ("C", "O", status)
    assert (event.amount, event.currency, event.is_test) == (Decimal("9.99"), "USD", False)
    assert event.occurred_at == datetime(2026, 1, 8, 11, 35, tzinfo=UTC)
    if status == "PENDING":
        assert (event.fee, event.net_amount, event.payer) == (None, None, None)
    else:
        assert (event.fee, event.net_amount) == (Decimal("0.30"), Decimal("9.69"))
        assert event.payer == Payer(name="Zoë Sample", email="zoe@example.com")
    test = webhook_data(status, shapes=shapes, is_test=True, at="2027-01-01T00:00:00Z")
    event = ipn.parse_webhook(sign_webhook(test, "s"), secret="s", allow_test=True)
    assert event.is_test
    assert event.occurred_at == datetime(2027, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("amount", "error"), [(9.99, TypeError), (True, TypeError), ("x", ValueError)]
)
def test_webhook_data_refuses(amount: Any, error: type[Exception]) -> None:
    """A wrong amount names itself."""
    with pytest.raises(error, match="amount"):
        webhook_data(amount=amount)
