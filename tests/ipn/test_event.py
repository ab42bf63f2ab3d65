"""Every published form becomes the same kind of event."""

from __future__ import annotations

import copy
import json
import pickle
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from attrs import evolve, exceptions, fields

from paycollect import ipn
from paycollect.models import Payer

from .helpers import SECRET, resigned, sample, signed


def parsed(data: str, **members: str) -> ipn.WebhookEvent:
    """Sign and parse a `data` text."""
    return ipn.parse_webhook(signed(data, **members), secret=SECRET)


def test_event_page_received() -> None:
    """The form of the event pages, with its own names."""
    event = ipn.parse_webhook(resigned("webhook_collection_received_v2"), secret=SECRET)
    assert (event.event, event.name) == ("collection.received", "collection.received")
    assert (event.collection_id, event.order_id) == ("COL678A3B4C5D6E7", "ORDER-12345")
    assert (event.amount, event.fee, event.net_amount) == (
        Decimal(100),
        Decimal("1.9"),
        Decimal("98.1"),
    )
    assert (event.currency, event.status) == ("USD", ipn.PaymentStatus.COMPLETED)
    assert event.payer == Payer(name="John Doe", email="customer@example.com", phone="+12025559999")
    assert event.payment_method == "FYATU_BALANCE"
    assert event.provider_reference == "PAY-20260112-ABC123"
    assert event.occurred_at == datetime(2026, 1, 12, 18, 30, tzinfo=UTC)
    assert event.app_id == "D0H6R7Z6R1C2N5O5"
    assert event.reference is None
    assert event.is_collection
    assert not event.is_test


def test_event_page_initiated() -> None:
    """A new checkout: pending, with its page and its end."""
    event = ipn.parse_webhook(resigned("webhook_collection_initiated_v2"), secret=SECRET)
    assert event.status is ipn.PaymentStatus.PENDING
    assert event.checkout_url == "https://checkout.fyatu.com?batch=COL678A3B4C5D6E7"
    assert event.expires_at == datetime(2026, 1, 12, 19, 30, tzinfo=UTC)
    assert event.description == "Order #12345"
    assert event.payer is None


def test_concept_page() -> None:
    """The form of the concept page; its envelope's timestamp is not signed and not used."""
    event = ipn.parse_webhook(resigned("webhook_collection_completed_bare"), secret=SECRET)
    assert (event.collection_id, event.order_id) == ("col_a1b2c3d4e5f6", "ORD-0001")
    assert event.reference == "A2B4C6D8E0F2"
    assert (event.amount, event.fee) == (Decimal(25), Decimal("0.75"))
    assert event.payer == Payer(name="Alice Example", email="alice@example.com")
    assert event.occurred_at == datetime(2026, 1, 8, 11, 35, tzinfo=UTC)
    assert event.is_collection


def test_envelope() -> None:
    """Name, version and id are repeated from the envelope."""
    event = parsed("{}", event='"COLLECTION_RECEIVED"', version='"3.0"', eventId='"e-1"')
    assert (event.event, event.name) == ("COLLECTION_RECEIVED", "collection.received")
    assert (event.version, event.event_id) == ("3.0", "e-1")


def test_a_missing_status_is_none() -> None:
    """What tells no state never reads as paid."""
    for data in ('{"collectionId":"C"}', '{"collectionId":"C","status":null}', "{}"):
        assert parsed(data, event='"collection.completed"').status is None


def test_an_unknown_status_is_kept() -> None:
    """A state that is new tomorrow breaks nothing."""
    event = parsed('{"collectionId":"C","status":"ON_HOLD"}')
    assert event.status == "ON_HOLD"
    assert event.status is not None
    assert not event.status.is_known


PAYOUT = (
    '{"reference":"PAY678A3B4C5D6E7","externalReference":"PAYOUT-12345","amount":50,"charge":0.5,'
    '"netAmount":49.5,"currency":"USD","accountNumber":"CLT123456789","accountName":"Jane Doe",'
    '"status":"COMPLETED","appId":"D0H6R7Z6R1C2N5O5","timestamp":"2026-01-12T18:30:00+00:00"}'
)


def test_payout() -> None:
    """A payout looks like a payment in every field; it is none, also under a payment's name."""
    for name in ('"payout.completed"', '"collection.received"'):
        event = parsed(PAYOUT, event=name)
        assert not event.is_collection
        assert (event.collection_id, event.order_id) == (None, None)
        assert (event.reference, event.amount) == ("PAY678A3B4C5D6E7", Decimal(50))
        assert event.fee == Decimal("0.5")
        assert event.payer is None


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ('{"collectionId":"C"}', True),
        ('{"reference":"COL1"}', True),
        ('{"reference":"R1","externalReference":"O"}', True),
        ('{"reference":"R1"}', False),
        ('{"reference":"PAY1","externalReference":"O"}', False),
        ('{"reference":"TEST_PAY1","externalReference":"O"}', False),
        ('{"reference":"","externalReference":"O"}', False),
        ('{"reference":5,"externalReference":"O"}', False),
        ('{"collectionId":"","orderId":"O"}', False),
        ('{"collectionId":"C","refundId":"R"}', False),
        ('{"cardId":"C","reference":"COL1"}', False),
        ("{}", False),
    ],
)
def test_collections_are_told_from_the_signed_data(data: str, expected: bool) -> None:
    """The name of the event is not signed, and has no say."""
    for name in ('"collection.received"', '"card.funded"', '"brand.new"'):
        assert parsed(data, event=name).is_collection is expected


def test_card_event() -> None:
    """The published card event has the fields it shares, and the rest in `data`."""
    body = sample("webhook_card_funded_v3_published_vector")
    event = ipn.parse_webhook(body, secret=SECRET)
    assert (event.amount, event.fee, event.currency) == (Decimal(5), Decimal(0), "USD")
    assert event.status is None
    assert event.data["cardId"] == "c78041e26160072b02e04e855ae8d6e5b5dedfe5b3c9edc9cd"
    assert event.event_id == "112dff51-8275-4d60-9cd4-ad9aeb930478"


@pytest.mark.parametrize(
    ("data", "refund_id", "refunded", "amount", "reference"),
    [
        # As the API answers a refund: the amount is the refund's.
        (
            '"refundId":"R","collectionId":"C","orderId":"O","amount":5.00',
            "R",
            Decimal(5),
            Decimal(5),
            None,
        ),
        # In the names of the concept page, with the payer's reference.
        (
            '"refundId":"R","collectionId":"C","reference":"P","orderId":"O","refundedAmount":"5"',
            "R",
            Decimal(5),
            None,
            "P",
        ),
        # In the names of the event pages: `reference` is the collection.
        (
            '"reference":"C","externalReference":"O","amount":9,"refundId":"R","refundAmount":5.0',
            "R",
            Decimal(5),
            Decimal(9),
            None,
        ),
    ],
)
def test_refund_event(
    data: str, refund_id: str, refunded: Decimal, amount: Decimal | None, reference: str | None
) -> None:
    """A refund names the collection and the order in every form, but is no payment."""
    for name in ('"refund.completed"', '"collection.received"'):
        event = parsed(f'{{{data},"status":"COMPLETED"}}', event=name)
        assert (event.is_collection, event.collection_id, event.order_id) == (False, "C", "O")
        assert (event.refund_id, event.refunded_amount) == (refund_id, refunded)
        assert (event.amount, event.reference, event.payer) == (amount, reference, None)


@pytest.mark.parametrize(
    ("data", "reference"),
    [
        ('"reference":"RFD1","externalReference":"O"', "RFD1"),
        ('"reference":"RFD1","refundId":"RFD1","externalReference":"O"', "RFD1"),
        ('"reference":"R1","refundId":"R1","orderId":"O"', "R1"),
    ],
)
def test_refund_event_under_its_own_reference(data: str, reference: str) -> None:
    """A reference that is the refund's own is no collection's."""
    event = parsed(f'{{{data},"amount":5,"status":"COMPLETED"}}')
    assert (event.is_collection, event.collection_id, event.order_id) == (False, None, "O")
    assert (event.refund_id, event.reference, event.refunded_amount) == (
        reference,
        reference,
        Decimal(5),
    )


def test_a_refunded_collection() -> None:
    """What was given back of a collection is told without a refund of its own, too."""
    event = parsed('{"collectionId":"C","amount":9,"refundedAmount":4,"status":"REFUNDED"}')
    assert (event.is_collection, event.refund_id, event.refunded_amount) == (True, None, Decimal(4))
    assert parsed('{"collectionId":"C","amount":9}').refunded_amount is None


def test_the_order_of_another_kind() -> None:
    """An order id by its own name is one in any event; an external reference is not."""
    data = '{"cardId":"C","orderId":"O","externalReference":"O"}'
    assert parsed(data).order_id == "O"
    assert parsed('{"cardId":"C","externalReference":"O"}').order_id is None


def test_events_to_come() -> None:
    """Of an unknown kind, fields of another form are left to `data` instead of refused."""
    event = parsed(
        '{"amount":{"value":5},"fee":true,"status":3,"timestamp":1700000000,"orderId":["x"],'
        '"currency":"USD","payer":"someone","completedAt":"yesterday"}',
        event='"brand.new"',
    )
    assert (event.amount, event.fee, event.status, event.order_id) == (None, None, None, None)
    assert (event.occurred_at, event.payer, event.currency) == (None, None, "USD")
    assert event.data["amount"] == {"value": 5}
    event = parsed('{"orderId":"A","externalReference":"B","fee":1,"charge":2,"refundId":"R"}')
    assert (event.order_id, event.fee, event.refund_id) == (None, None, "R")


@pytest.mark.parametrize(
    "field",
    [
        '"amount":"abc"',
        '"amount":true',
        '"amount":[25]',
        '"amount":1E30',
        '"amount":""',
        '"fee":{}',
        '"charge":false',
        '"netAmount":"1e5"',
        '"status":1',
        '"status":{}',
        '"currency":1',
        '"orderId":7',
        '"orderId":"A","externalReference":"B"',
        '"fee":1,"charge":2',
        '"reference":{}',
        '"appId":[]',
        '"description":1',
        '"checkoutUrl":{}',
        '"paymentMethod":0',
        '"providerReference":false',
        '"completedAt":"soon"',
        '"timestamp":1700000000',
        '"expiresAt":"2026-99-99T00:00:00Z"',
        '"payer":"Alice"',
        '"payer":["Alice"]',
        '"payer":{"name":1}',
        '"payer":{"phone":{}}',
        '"customerName":1',
        '"customerPhone":[]',
    ],
)
def test_refuses_a_collection_with_wrong_fields(field: str) -> None:
    """What is about money is exactly of the published form, or refused."""
    with pytest.raises(ipn.PayloadError) as caught:
        parsed(f'{{"collectionId":"C",{field}}}')
    assert caught.value.status_hint == 400


def test_refuses_a_collection_id_that_is_no_text() -> None:
    """An id is a text."""
    with pytest.raises(ipn.PayloadError, match="collectionId"):
        parsed('{"collectionId":5}')


@pytest.mark.parametrize(
    ("data", "payer"),
    [
        ('"payer":null', None),
        ('"payer":{}', None),
        ('"payer":{"name":null}', None),
        ('"payer":{"accountName":"A","clientId":"C"}', Payer(account_name="A", client_id="C")),
        ('"payer":null,"customerEmail":"a@b.c"', Payer(email="a@b.c")),
        ('"payer":{},"customerEmail":"a@b.c"', Payer(email="a@b.c")),
        ('"customerName":null', None),
    ],
)
def test_payer(data: str, payer: Payer | None) -> None:
    """Both forms of the payer are read; nothing told is None."""
    assert parsed(f'{{"collectionId":"C",{data}}}').payer == payer


def test_two_names_with_one_value() -> None:
    """Two names of a field may agree."""
    event = parsed(
        '{"collectionId":"C","orderId":"A","externalReference":"A","fee":1,"charge":1.0}'
    )
    assert (event.order_id, event.fee) == ("A", Decimal(1))


def test_amounts_in_texts() -> None:
    """Older pages show amounts as texts."""
    assert parsed('{"collectionId":"C","amount":"141.51"}').amount == Decimal("141.51")


def test_dedup_key() -> None:
    """It hangs on the signed content alone, and not on what a forger can change."""
    data = '{"collectionId":"C"}'
    first = parsed(data, eventId='"1"')
    again = parsed(data, eventId='"2"', event='"other"')
    elsewhere = ipn.parse_webhook(signed(data, "other"), secret="other")
    respaced = ipn.parse_webhook(signed('{"collectionId": "C"}', message=data), secret=SECRET)
    keys = {first.dedup_key, again.dedup_key, elsewhere.dedup_key, respaced.dedup_key}
    assert len(keys) == 1
    assert len(first.dedup_key) == 64
    assert parsed('{"collectionId":"D"}').dedup_key not in keys


def test_value() -> None:
    """An event is a frozen value: it compares, hashes, copies, pickles and evolves."""
    event = ipn.parse_webhook(resigned("webhook_collection_received_v2"), secret=SECRET)
    again = ipn.parse_webhook(resigned("webhook_collection_received_v2"), secret=SECRET)
    assert event == again
    assert hash(event) == hash(again)
    assert pickle.loads(pickle.dumps(event)) == event == copy.deepcopy(event)
    assert evolve(event, event="x").amount == event.amount
    assert type(event) is ipn.WebhookEvent
    with pytest.raises(exceptions.FrozenInstanceError):
        event.status = None  # type: ignore[misc]  # that it is refused is the point
    with pytest.raises((AttributeError, TypeError)):
        event.data["amount"] = 0  # type: ignore[index]  # that it is refused is the point


@pytest.mark.parametrize(
    "data",
    [
        sample("webhook_collection_received_v2"),
        sample("webhook_collection_initiated_v2"),
        sample("webhook_collection_completed_bare"),
        sample("webhook_card_funded_v3_published_vector"),
        signed('{"refundId":"R","reference":"C","status":"NEW","_test":true}'),
        signed("{}"),
    ],
)
def test_both_ways_to_make_an_event_give_equal_values(data: bytes) -> None:
    """Filled at once, an event is what its constructor makes: same fields, types and hash."""
    event = ipn.parse_unverified(data)
    made = ipn.WebhookEvent(**{name.lstrip("_"): value for name, value in vars(event).items()})
    assert (made, hash(made), repr(made)) == (event, hash(event), repr(event))
    assert vars(made) == vars(event)
    assert {field.name for field in fields(ipn.WebhookEvent)} == set(vars(event))
    assert set(vars(ipn.WebhookEvent(event="x"))) == set(vars(event))


STORABLE = [
    sample("webhook_card_funded_v3_published_vector"),
    resigned("webhook_collection_received_v2"),
    resigned("webhook_collection_completed_bare"),
    signed('{ "collectionId": "C", "amount": 25.00, "n": "é/\\u0000\\ud83d\\ude00" }'),
    signed(
        '{"collectionId":"C","n":"é/","o":{}}',
        message='{"collectionId":"C","n":"\\u00e9\\/","o":[]}',
    ),
    signed('{"_test":true,"status":"NEW"}', version='"3.0"', eventId='"é"'),
]


@pytest.mark.parametrize("body", STORABLE)
def test_storage(body: bytes) -> None:
    """An event comes out of a queue as it went in, and says that it was stored."""
    receiver = ipn.Receiver(secrets=["x", SECRET], allow_test=True)
    for event in (receiver.parse(body), ipn.parse_unverified(body)):
        text = event.to_json()
        for stored in (text, text.encode(), json.dumps(json.loads(text))):
            back = ipn.WebhookEvent.from_json(stored)
            assert back == event
            assert vars(back) == vars(event) | {"from_storage": True}
            assert (back.from_storage, event.from_storage) == (True, False)
            assert back.dedup_key == event.dedup_key
            assert back.to_json() == text
    assert receiver.parse(body).verified


def test_only_what_was_read_can_be_stored() -> None:
    """Fields without a signed message behind them are not written down as if they had one."""
    event = ipn.parse_webhook(STORABLE[0], secret=SECRET)
    for changed in (
        ipn.WebhookEvent(event="collection.received"),
        evolve(event, status=ipn.PaymentStatus.COMPLETED),
        evolve(event, event=""),
    ):
        with pytest.raises(ValueError, match="read from a webhook body") as caught:
            changed.to_json()
        assert not isinstance(caught.value, ipn.IpnError)


@pytest.mark.parametrize(
    "changes",
    [
        {"format": 2},
        {"format": None},
        {"scheme": "xml"},
        {"scheme": None},
        {"scheme": ["raw"]},
        {"keyIndex": None},
        {"keyIndex": "0"},
        {"keyIndex": True},
        {"keyIndex": -1},
        {"message": None},
        {"message": "[]"},
        {"message": "{"},
        {"message": '{"a":1,"a":2}'},
        {"message": '{"collectionId":5}'},
        {"event": None},
    ],
    ids=str,
)
def test_refuses_stored_texts_of_another_form(changes: dict[str, Any]) -> None:
    """A queue can hold anything: what `to_json` did not write is a PayloadError."""
    stored = json.loads(ipn.parse_webhook(STORABLE[0], secret=SECRET).to_json())
    with pytest.raises(ipn.PayloadError):
        ipn.WebhookEvent.from_json(json.dumps(stored | changes))


@pytest.mark.parametrize(
    "text", ["", "{}", "null", "[]", "{", b"\xff", b"\xef\xbb\xbf{}", "\ud800"]
)
def test_refuses_what_is_no_stored_text(text: Any) -> None:
    """The same for what is no JSON; and none of these errors hangs on to the text."""
    with pytest.raises(ipn.PayloadError, match="stored event") as caught:
        ipn.WebhookEvent.from_json(text)
    assert not isinstance(caught.value.__context__, UnicodeError)
    with pytest.raises(TypeError, match="dict"):
        ipn.WebhookEvent.from_json({})  # type: ignore[arg-type]  # that it is refused is the point


def test_made_by_hand() -> None:
    """An event can be made without a body; it is then not verified."""
    event = ipn.WebhookEvent(event="collection.received")
    assert (event.verified, event.status, dict(event.data)) == (False, None, {})
    assert (event.is_test, event.is_collection, event.from_storage) == (False, False, False)
    with pytest.raises(TypeError):
        ipn.WebhookEvent("collection.received")  # type: ignore[call-arg]  # by name only
    with pytest.raises(TypeError):
        ipn.Proof("raw", 0)  # type: ignore[call-arg]  # by name only


def test_repr() -> None:
    """An event can be logged: short, and without personal data."""
    event: Any = ipn.parse_webhook(resigned("webhook_collection_received_v2"), secret=SECRET)
    assert repr(event) == (
        "WebhookEvent(event='collection.received',"
        " status=<PaymentStatus.COMPLETED: 'COMPLETED'>, collection_id='COL678A3B4C5D6E7',"
        " order_id='ORDER-12345', amount=Decimal('100'), currency='USD', is_test=False,"
        " verified=True)"
    )


def test_data_is_all_that_was_signed() -> None:
    """Fields that this release does not know are there."""
    data = '{"collectionId":"C","metadata":{"a":[1,2.50]},"new":null}'
    assert parsed(data).data == json.loads(data)
