"""The helpers for users' tests make what the provider would send."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from paycollect import ipn
from paycollect.testing import make_event, sign_webhook

PAID = {"collectionId": "SCI1", "amount": Decimal("25.00"), "name": "é/", "status": "COMPLETED"}


@pytest.mark.parametrize("scheme", ["raw", "compact", "php"])
@pytest.mark.parametrize("envelope", ["3.0", "2.0"])
def test_signed_bodies_prove_genuine(scheme: Any, envelope: Any) -> None:
    """Every recipe in every signed form is accepted, and matches as that recipe."""
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
