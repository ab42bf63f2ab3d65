"""What a webhook says: one value for every published form of it.

The provider's pages show two forms of `data` with different names for the same things
(provider docs: collections, webhooks; and webhooks/webhook-events/collection-received):

    meaning                   concept page         event pages
    provider's id             collectionId         reference ("COL...")
    reference for the payer   reference            -
    merchant's order id       orderId              externalReference
    fee                       fee                  charge
    payer                     payer {name, email}  customerName, customerEmail, customerPhone
    time                      completedAt          timestamp

The law of this room: what an event says comes from `data`, the only part that is signed. Of the
envelope it repeats the name, the version and the id, and says that they prove nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from decimal import Clamped, Context, Decimal, Inexact, InvalidOperation, Overflow, Subnormal
from typing import Any, Final, cast

from attrs import field, frozen

from paycollect._rawjson import Value
from paycollect._scalars import instant, money
from paycollect.errors import PayloadError
from paycollect.models import JsonValue, Payer, ReadOnlyDict
from paycollect.status import PaymentStatus


# No slot for weak references: Python 3.11 lets a draft become an event only without.
@frozen(kw_only=True, weakref_slot=False)
class WebhookEvent:
    """One delivery of the provider's notice that something happened.

    Everything but `event`, `event_id` and `version` is read from the signed `data`. Whoever has
    one genuine delivery can put other values into these three: never decide by them alone.

    For a collection each field is what the provider wrote, or None where it wrote nothing. Other
    events (payouts, refunds, cards, kinds yet to come) fill the fields they share with a collection
    and have the rest in `data`.

    Attributes:
        event: the name as it was sent; see `name` to compare it.
        status: state of the payment; None where the event tells none, which never means paid.
        collection_id: the provider's id of the collection.
        order_id: the merchant's order id.
        reference: the reference that the payer sees, or that of the payout or card movement.
        amount: what the customer paid, in `currency`.
        fee: what the provider keeps, taken out of `amount`.
        net_amount: amount - fee.
        currency: "USD" today.
        payment_method: e.g. "FYATU_BALANCE".
        provider_reference: the provider's id of the movement of money.
        description: as given when the checkout was created.
        checkout_url: the hosted page, while it is of use.
        occurred_at: when it happened, UTC.
        expires_at: until when the checkout can be paid, UTC.
        app_id: the app it is meant for.
        event_id: the envelope's id, not signed: see `dedup_key`.
        version: the envelope's version, not signed.
        is_collection: whether `data` is about a checkout, told from the signed data.
        is_test: whether this is a test delivery, which moved no money.
        verified: whether the signature was proven; False only from `parse_unverified`.
        scheme: the recipe that the signature matched: "raw", "compact" or "php".
        key_index: which of the secrets it matched, counted from 0.
        data: the whole signed value; numbers with a point are Decimals.

    """

    event: str
    status: PaymentStatus | None = None
    collection_id: str | None = None
    order_id: str | None = None
    reference: str | None = field(default=None, repr=False)
    amount: Decimal | None = None
    fee: Decimal | None = field(default=None, repr=False)
    net_amount: Decimal | None = field(default=None, repr=False)
    currency: str | None = None
    payment_method: str | None = field(default=None, repr=False)
    provider_reference: str | None = field(default=None, repr=False)
    description: str | None = field(default=None, repr=False)
    checkout_url: str | None = field(default=None, repr=False)
    occurred_at: datetime | None = field(default=None, repr=False)
    expires_at: datetime | None = field(default=None, repr=False)
    app_id: str | None = field(default=None, repr=False)
    event_id: str | None = field(default=None, repr=False)
    version: str | None = field(default=None, repr=False)
    is_collection: bool = field(default=False, repr=False)
    is_test: bool = False
    verified: bool = False
    scheme: str | None = field(default=None, repr=False)
    key_index: int | None = field(default=None, repr=False)
    data: Mapping[str, JsonValue] = field(factory=ReadOnlyDict, repr=False, hash=False)
    _message: bytes = field(default=b"", repr=False)

    @property
    def name(self) -> str:
        """The event's name in one spelling: "COLLECTION_RECEIVED" is "collection.received"."""
        return self.event.lower().replace("_", ".")

    @property
    def payer(self) -> Payer | None:
        """Who paid, where a collection's event tells; made on demand, as few handlers ask."""
        return _payer(self.data) if self.is_collection else None

    @property
    def dedup_key(self) -> str:
        """What to recognise a delivery by that was seen before: SHA-256 of the signed message, hex.

        The provider delivers an event again until it gets a 2xx, and may do so anyway (provider
        docs: webhooks). `event_id` does not serve: it is not signed, so that whoever has one
        genuine delivery can send it again under a new id. The signed message cannot be changed; it
        is the same whichever secret it was signed with.
        """
        return hashlib.sha256(self._message).hexdigest()


class _Draft:
    """An event in the making.

    A frozen class sets each field through a function, which for this many costs as much as parsing
    the body. A draft has the same slots, takes plain assignments, and then becomes the event.
    """

    __slots__ = tuple(WebhookEvent.__slots__)  # type: ignore[attr-defined]  # attrs adds it


def read_event(
    envelope: dict[str, Value],
    data: dict[str, Value],
    message: bytes,
    scheme: str | None = None,
    key_index: int | None = None,
) -> WebhookEvent:
    """Read what a webhook says; `data` was parsed from `message`, which is what was signed.

    Without a scheme, the event counts as not verified.

    Raises:
        PayloadError: a field has a value of the wrong kind, or two fields contradict each other.

    """
    try:
        draft = _read(envelope, data)
    except ValueError as error:
        raise PayloadError(str(error)) from None
    draft.verified, draft.scheme, draft.key_index = scheme is not None, scheme, key_index
    draft.data, draft._message = ReadOnlyDict(data), message  # noqa: SLF001  # a slot of our own
    draft.__class__ = WebhookEvent
    return cast("WebhookEvent", draft)


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
        and not reference.startswith(_PAYOUT_PREFIXES)
    )


def _read(envelope: dict[str, Value], data: dict[str, Value]) -> Any:
    draft: Any = _Draft()
    draft.is_collection = is_collection(data)
    fields = data if draft.is_collection else _well_formed(data)
    _put_envelope(draft, envelope)
    _put_texts(draft, fields)
    _put_values(draft, fields)
    # The provider marks its simulations twice; either mark is enough to fulfil nothing.
    draft.is_test = bool(data.get("_test")) or (draft.collection_id or "").startswith("TEST_")
    return draft


def _put_envelope(draft: Any, envelope: dict[str, Value]) -> None:
    get = envelope.get
    draft.event, draft.version, draft.event_id = event, version, event_id = (
        get("event"),
        get("version"),
        get("eventId"),
    )
    if type(event) is not str or not event:
        raise ValueError("event: expected a text")
    if not {type(version), type(event_id)} <= _TEXT_OR_NONE:
        _refuse_other_than_texts(envelope, ("version", "eventId"))


def _put_texts(draft: Any, data: dict[str, Value]) -> None:
    get = data.get
    collection_id, reference = get("collectionId"), get("reference")
    if draft.is_collection and not collection_id:
        collection_id, reference = reference, None
    draft.collection_id, draft.reference = collection_id, reference
    draft.order_id = order_id = _either(data, "orderId", "externalReference")
    draft.currency, draft.app_id = currency, app_id = get("currency"), get("appId")
    draft.payment_method = method = get("paymentMethod")
    draft.provider_reference = provider_reference = get("providerReference")
    draft.description, draft.checkout_url = description, url = (
        get("description"),
        get("checkoutUrl"),
    )
    # One look at all the types at once; only if it fails, one after the other to name the culprit.
    kinds = {
        type(collection_id),
        type(reference),
        type(order_id),
        type(currency),
        type(app_id),
        type(method),
        type(provider_reference),
        type(description),
        type(url),
    }
    if not kinds <= _TEXT_OR_NONE:
        _refuse_other_than_texts(data, _TEXTS)


def _put_values(draft: Any, data: dict[str, Value]) -> None:
    get = data.get
    draft.status = _status(get("status"))
    draft.amount = _money("amount", get("amount"))
    draft.fee = _money("fee", _either(data, "fee", "charge"))
    draft.net_amount = _money("netAmount", get("netAmount"))
    completed_at = get("completedAt")
    stamp = get("timestamp") if completed_at is None else completed_at
    draft.occurred_at = _instant("timestamp", stamp)
    draft.expires_at = _instant("expiresAt", get("expiresAt"))
    _check_payer(data)


def _either(data: dict[str, Value], one: str, other: str) -> Value:
    """Read a field that has two names; two different answers are none."""
    first, second = data.get(one), data.get(other)
    if second is None or first == second:
        return first
    if first is None:
        return second
    raise ValueError(f"{one} and {other} contradict each other")


def _status(value: Value) -> PaymentStatus | None:
    if value is None:
        return None
    if type(value) is not str:
        raise ValueError("status: expected a text")
    return _STATUSES.get(value) or PaymentStatus(value)


def _money(name: str, value: Value) -> Decimal | None:
    if value is None:
        return None
    try:
        # Does what `money` does to a number in a third of its time, which matters in this place.
        if type(value) is Decimal or type(value) is int:
            return _to_money(value)
        return money(value)
    except (ValueError, ArithmeticError):
        problem = f"{name}: expected an amount of money"
    raise ValueError(problem)


def _instant(name: str, value: Value) -> datetime | None:
    if value is None:
        return None
    try:
        return instant(value)
    except ValueError:
        problem = f"{name}: expected an ISO 8601 instant"
    raise ValueError(problem)


def _payer(data: Mapping[str, JsonValue]) -> Payer | None:
    payer = data.get("payer")
    source, names = (payer, _PAYER) if isinstance(payer, dict) and payer else (data, _CUSTOMER)
    fields = {field: _text(name, source.get(name)) for name, field in names.items()}
    return Payer(**fields) if any(fields.values()) else None


def _check_payer(data: dict[str, Value]) -> None:
    get = data.get
    payer = get("payer")
    if not payer:  # null, absent or {}: the event pages' form has the payer's fields in data itself
        kinds = {type(get("customerName")), type(get("customerEmail")), type(get("customerPhone"))}
        if not kinds <= _TEXT_OR_NONE:
            _refuse_other_than_texts(data, _CUSTOMER)
    elif type(payer) is dict:
        _refuse_other_than_texts(payer, _PAYER)
    else:
        raise ValueError("payer: expected an object")


def _text(name: str, value: Value) -> str | None:
    if value is None or type(value) is str:
        return value
    raise ValueError(f"{name}: expected a text")


def _refuse_other_than_texts(data: dict[str, Value], names: Iterable[str]) -> None:
    for name in names:
        if type(data.get(name)) not in _TEXT_OR_NONE:
            raise ValueError(f"{name}: expected a text")


def _well_formed(data: dict[str, Value]) -> dict[str, Value]:
    """Of an event of another kind, keep the fields that are what a collection would have there."""
    return {name: data[name] for name in _SHARED.keys() & data.keys() if _fits(name, data[name])}


def _fits(name: str, value: Value) -> bool:
    try:
        _SHARED[name](name, value)
    except ValueError:
        return False
    return True


_TEXT_OR_NONE: Final = frozenset({str, type(None)})
_MONEY: Final = Context(
    prec=40, Emin=-24, Emax=24, traps=[Clamped, Inexact, InvalidOperation, Overflow, Subnormal]
)
_to_money: Final = _MONEY.create_decimal
_STATUSES: Final = {status.value: status for status in PaymentStatus}
# Fields that only things other than a checkout have.
_OTHER_KINDS: Final = frozenset(
    {"refundId", "payoutId", "cardId", "cardholderId", "accountNumber", "transferId"}
)
_PAYOUT_PREFIXES: Final = ("PAY", "TEST_PAY")
_TEXTS: Final = (
    "collectionId",
    "reference",
    "orderId",
    "externalReference",
    "currency",
    "appId",
    "paymentMethod",
    "providerReference",
    "description",
    "checkoutUrl",
)
_PAYER: Final = {
    "name": "name",
    "email": "email",
    "phone": "phone",
    "accountName": "account_name",
    "clientId": "client_id",
}
_CUSTOMER: Final = {"customerName": "name", "customerEmail": "email", "customerPhone": "phone"}
_SHARED: Final[dict[str, Callable[[str, Value], object]]] = {
    "collectionId": _text,
    "orderId": _text,
    "reference": _text,
    "currency": _text,
    "appId": _text,
    "providerReference": _text,
    "description": _text,
    "status": _text,
    "amount": _money,
    "fee": _money,
    "charge": _money,
    "netAmount": _money,
    "completedAt": _instant,
    "timestamp": _instant,
}
