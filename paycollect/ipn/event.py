"""What a webhook says: one value for every published form of it.

Invariants: what an event says comes from `data`, the only part that is signed. Of the
envelope it repeats the name, the version and the id, and says that they prove nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from typing import Final

from attrs import field, frozen

from paycollect import _json
from paycollect._json import Value
from paycollect._signing import SCHEMES
from paycollect.errors import PayloadError
from paycollect.ipn._fields import Fields, read_fields, read_payer
from paycollect.models import JsonValue, Payer, ReadOnlyDict
from paycollect.status import PaymentStatus

_FORMAT: Final = 1


# Without slots, all the fields of a frozen value can be filled at once: see `read_event`.
@frozen(kw_only=True, slots=False)
class WebhookEvent:
    """One delivery of the provider's notice that something happened.

    Everything but `event`, `event_id` and `version` is read from the signed `data`. Whoever has
    one genuine delivery can put other values into these three: never decide by them alone.

    For a collection each field is what the provider wrote, or None where it wrote nothing. Other
    events (payouts, refunds, cards, kinds yet to come) fill the fields they share with a collection
    and have the rest in `data`; a value of another form is left out instead of refused. An event
    with a `refund_id` is about a refund: `collection_id` and `order_id` say of what.

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
        refund_id: the provider's id of the refund, where the event is about one.
        refunded_amount: what was given back, in `currency`.
        checkout_url: the hosted page, while it is of use.
        occurred_at: when it happened, UTC.
        expires_at: until when the checkout can be paid, UTC.
        app_id: the app it is meant for.
        event_id: the envelope's id, not signed: see `dedup_key`.
        version: the envelope's version, not signed.
        is_collection: whether `data` is about a checkout, told from the signed data.
        is_test: whether this is a test delivery, which moved no money.
        verified: whether the signature was proven; False only from `parse_unverified`.
        scheme: how the signed message was written: "raw", "compact" or "php".
        key_index: which of the secrets the signature matched, counted from 0.
        from_storage: whether it was read by `from_json`: `verified` then repeats what was proven
            when the webhook came in. Two events that differ in this alone are equal.
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
    refund_id: str | None = field(default=None, repr=False)
    refunded_amount: Decimal | None = field(default=None, repr=False)
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
    from_storage: bool = field(default=False, repr=False, eq=False)
    data: Mapping[str, JsonValue] = field(factory=ReadOnlyDict, repr=False, hash=False)
    _message: bytes = field(default=b"", repr=False)

    @property
    def name(self) -> str:
        """The event's name in one spelling: "COLLECTION_RECEIVED" is "collection.received"."""
        return self.event.lower().replace("_", ".")

    @property
    def payer(self) -> Payer | None:
        """Who paid, where a collection's event tells; made on demand, as few handlers ask."""
        return read_payer(self.data) if self.is_collection else None

    @property
    def dedup_key(self) -> str:
        """What to recognise a delivery by that was seen before: SHA-256 of the signed message, hex.

        The provider delivers an event again until it gets a 2xx, and may do so anyway (provider
        docs: webhooks). `event_id` does not serve: it is not signed, so that whoever has one
        genuine delivery can send it again under a new id. The signed message cannot be changed; it
        is the same whichever secret it was signed with.
        """
        return hashlib.sha256(self._message).hexdigest()

    def to_json(self) -> str:
        """Write the event down for a queue or a table, to be read again by `from_json`.

        The text holds the signed message itself, personal data included, and what was proven of it.
        Whoever can change the text can forge an event: keep it where nobody else can write.

        Raises:
            ValueError: the event was made by hand, or changed after it was read (`attrs.evolve`):
                only what was read from a body can be stored.

        """
        text = _json.write(
            {
                "format": _FORMAT,
                "event": self.event,
                "version": self.version,
                "eventId": self.event_id,
                "scheme": self.scheme,
                "keyIndex": self.key_index,
                "message": self._message.decode(),
            }
        )
        with suppress(PayloadError):
            if type(self).from_json(text) == self:
                return text
        raise ValueError("event: only one that was read from a webhook body can be stored")

    @classmethod
    def from_json(cls, text: str | bytes) -> WebhookEvent:
        """Read an event that `to_json` wrote; `from_storage` says so, and all else is as it was.

        The signature is not proven anew: `verified` is what it was.

        Raises:
            PayloadError: not a text that `to_json` wrote, or one of a later release.
            TypeError: neither a text nor bytes.

        """
        if not isinstance(text, (str, bytes)):
            raise TypeError(f"a text is needed, not {type(text).__name__}")
        try:
            stored = _json.read_object(text)
            message = stored.get("message")
            data = _json.read_object(message if type(message) is str else "")
        except _json.JsonError as error:
            raise PayloadError(f"a stored event: {error}") from None
        proof = _read_proof(stored)
        return read_event(stored, data, str(message).encode(), *proof, from_storage=True)


def _read_proof(stored: dict[str, Value]) -> tuple[str, int] | tuple[None, None]:
    """Read what was proven of a stored event: the scheme and the number of the secret."""
    scheme, key_index = stored.get("scheme"), stored.get("keyIndex")
    if stored.get("format") == _FORMAT:
        if scheme is None and key_index is None:
            return None, None
        if type(scheme) is str and scheme in SCHEMES and type(key_index) is int and key_index >= 0:
            return scheme, key_index
    raise PayloadError("a stored event: of a format that this release does not know")


def read_event(
    envelope: dict[str, Value],
    data: dict[str, Value],
    message: bytes,
    scheme: str | None = None,
    key_index: int | None = None,
    *,
    from_storage: bool = False,
) -> WebhookEvent:
    """Read what a webhook says; `data` was parsed from `message`, which is what was signed.

    Without a scheme, the event counts as not verified.

    Raises:
        PayloadError: a field has a value of the wrong kind, or two fields contradict each other.

    """
    fields = _BLANK.copy()
    read_fields(fields, envelope, data)
    fields["verified"] = scheme is not None
    fields["scheme"], fields["key_index"] = scheme, key_index
    fields["from_storage"] = from_storage
    fields["data"], fields["_message"] = ReadOnlyDict(data), message
    # The constructor of a class with so many fields takes as long as parsing the body does.
    event = object.__new__(WebhookEvent)
    object.__setattr__(event, "__dict__", fields)
    return event


# All names are there from the start: a dict that grows is made anew each time.
_BLANK: Final[Fields] = {**vars(WebhookEvent(event=""))}
