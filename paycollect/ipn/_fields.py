"""The fields of a webhook: under which names they come, and in which form.

The provider's pages show two forms of `data` with different names for the same things
(provider docs: collections, webhooks; and webhooks/webhook-events/collection-received):

    meaning                   concept page         event pages
    provider's id             collectionId         reference ("COL...")
    reference for the payer   reference            -
    merchant's order id       orderId              externalReference
    fee                       fee                  charge
    payer                     payer {name, email}  customerName, customerEmail, customerPhone
    time                      completedAt          timestamp

Invariants: strict for collections, as money hangs on them: a field of another form, or two names
with different values, refuse the event. Lenient for all others, whose forms are not all published:
such a field is None. A new field is one line in `_FIELDS`, and one in `WebhookEvent`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from paycollect._json import Value, instant, money, text
from paycollect.errors import PayloadError
from paycollect.models import JsonValue, Payer
from paycollect.status import PaymentStatus

Fields: TypeAlias = dict[str, Any]


def read_fields(fields: Fields, envelope: dict[str, Value], data: dict[str, Value]) -> None:
    """Read the fields of an event, by the names that they have in `WebhookEvent`.

    They go into `fields`, where those that are not there stay None.

    Raises:
        PayloadError: a field has a value of the wrong kind, or two fields contradict each other.

    """
    fields["event"] = event = envelope.get("event")
    fields["version"] = version = envelope.get("version")
    fields["event_id"] = event_id = envelope.get("eventId")
    if type(event) is not str or not event:
        raise PayloadError("event: expected a text")
    if type(version) not in _TEXT_OR_NONE:
        raise PayloadError("version: expected a text")
    if type(event_id) not in _TEXT_OR_NONE:
        raise PayloadError("eventId: expected a text")
    problem = _fill(fields, data)
    fields["is_collection"] = is_collection(data)
    if not fields["is_collection"]:
        _name_refund(fields, data)
    elif problem := problem or _payer_problem(data):
        raise PayloadError(problem)
    elif not fields["collection_id"]:
        fields["collection_id"], fields["reference"] = fields["reference"], None
    # The provider marks its simulations twice; either mark is enough to fulfil nothing.
    own_id = fields["collection_id"] or fields["refund_id"] or ""
    fields["is_test"] = bool(data.get("_test")) or own_id.startswith("TEST_")


def _fill(fields: Fields, data: dict[str, Value]) -> str:
    """Read the fields that are there, and say what is wrong with the first that is wrong."""
    problem = ""
    get = _FIELDS.get
    for name, value in data.items():
        known = get(name)
        if known is None or value is None:
            continue
        attribute, read = known
        if read is None and type(value) is str:
            found: object = value
        else:
            try:
                found = (read or text)(value)
            except ValueError as error:
                problem = problem or f"{name}: {error}"
                continue
        if fields[attribute] is None:
            fields[attribute] = found
        elif fields[attribute] != found:
            problem = problem or f"{name}: contradicts another name of the same field"
            fields[attribute] = None
    # Which of two times counts is no contradiction: a payment is made before the message is sent.
    if fields["occurred_at"] is None and (sent_at := data.get("timestamp")) is not None:
        try:
            fields["occurred_at"] = instant(sent_at)
        except ValueError as error:
            problem = problem or f"timestamp: {error}"
    return problem


def _name_refund(fields: Fields, data: dict[str, Value]) -> None:
    """Complete the fields of an event that is about a refund; no page shows one.

    As in the answers of the API the amount may be the refund's own (provider docs: refunds/create).
    In the names of the event pages `reference` is the collection, or else the refund itself. The
    `externalReference` of any other event is not an order: that of a payout is the payout's.
    """
    reference = fields["reference"]
    own = reference is not None and reference.startswith(_REFUND_PREFIXES)
    if fields["refund_id"] is None and own:
        fields["refund_id"] = reference
    if fields["refund_id"] is None:
        if "orderId" not in data:
            fields["order_id"] = None
        return
    if fields["refunded_amount"] is None:
        fields["refunded_amount"] = fields["amount"]
    if not own and not fields["collection_id"] and reference != fields["refund_id"]:
        fields["collection_id"], fields["reference"] = reference, None


def is_collection(data: dict[str, Value]) -> bool:
    """Tell from the signed data alone whether it is about a checkout.

    A payout has the very same field names, and a state COMPLETED, but is money that left (provider
    docs: webhooks/webhook-events/payout-completed). Where a new kind is mistaken for a collection,
    asking for the collection will find none, so that nothing is lost but a call.
    """
    if not data.keys().isdisjoint(_OTHER_KINDS):
        return False
    if data.get("collectionId"):
        return True
    reference = data.get("reference")
    return (
        isinstance(reference, str)
        and reference != ""
        and ("externalReference" in data or reference.startswith("COL"))
        and not reference.startswith(_OTHER_PREFIXES)
    )


def read_payer(data: Mapping[str, JsonValue]) -> Payer | None:
    """Read who paid, from data of a collection that was read before."""
    payer = data.get("payer")
    source, names = (payer, _PAYER) if isinstance(payer, dict) and payer else (data, _CUSTOMER)
    fields = {attribute: source.get(name) for name, attribute in names.items()}
    return Payer(**fields) if any(fields.values()) else None  # type: ignore[arg-type]  # texts: `_payer_problem`


def _payer_problem(data: dict[str, Value]) -> str:
    payer = data.get("payer")
    if not payer:  # null, absent or {}: in the form of the event pages, data itself says who paid
        source, names = data, _CUSTOMER
    elif type(payer) is dict:
        source, names = payer, _PAYER
    else:
        return "payer: expected an object"
    for name in names:
        if type(source.get(name)) not in _TEXT_OR_NONE:
            return f"{name}: expected a text"
    return ""


def _status(value: object) -> PaymentStatus | None:
    name = text(value)
    return _STATUSES.get(name) or _new_status(name)


_TEXT_OR_NONE: Final = frozenset({str, type(None)})
_STATUSES: Final = {status.value: status for status in PaymentStatus}
# Where PaymentStatus(name) ends for an unknown name, in a fraction of its time.
_new_status: Final = PaymentStatus._missing_
# The attribute, and what reads it; nothing for a plain text, as most are.
_FIELDS: Final[dict[str, tuple[str, Callable[[object], object] | None]]] = {
    "collectionId": ("collection_id", None),
    "reference": ("reference", None),
    "orderId": ("order_id", None),
    "externalReference": ("order_id", None),
    "status": ("status", _status),
    "amount": ("amount", money),
    "fee": ("fee", money),
    "charge": ("fee", money),
    "netAmount": ("net_amount", money),
    "currency": ("currency", None),
    "paymentMethod": ("payment_method", None),
    "providerReference": ("provider_reference", None),
    "description": ("description", None),
    "refundId": ("refund_id", None),
    "refundedAmount": ("refunded_amount", money),
    "refundAmount": ("refunded_amount", money),
    "checkoutUrl": ("checkout_url", None),
    "completedAt": ("occurred_at", instant),
    "expiresAt": ("expires_at", instant),
    "appId": ("app_id", None),
}
# Fields that only things other than a checkout have.
_OTHER_KINDS: Final = frozenset(
    {"refundId", "payoutId", "cardId", "cardholderId", "accountNumber", "transferId"}
)
_REFUND_PREFIXES: Final = ("RFD", "TEST_RFD")
_OTHER_PREFIXES: Final = ("PAY", "TEST_PAY", *_REFUND_PREFIXES)
_PAYER: Final = {
    "name": "name",
    "email": "email",
    "phone": "phone",
    "accountName": "account_name",
    "clientId": "client_id",
}
_CUSTOMER: Final = {"customerName": "name", "customerEmail": "email", "customerPhone": "phone"}
