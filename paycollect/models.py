"""What the provider's answers become: frozen values.

Invariants: money is `Decimal`, instants are aware datetimes in UTC, and the repr of a
value shows neither personal data nor secrets, so that any value may be logged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sized
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Final, Generic, TypeAlias, TypeVar

from attrs import field, frozen

from paycollect import _arguments as check
from paycollect.status import PaymentStatus, RefundStatus

T = TypeVar("T")


def _count(items: Sized) -> str:
    return f"<{len(items)}>"


JsonValue: TypeAlias = "bool | int | Decimal | str | list[JsonValue] | dict[str, JsonValue] | None"
"""A JSON document as the SDK reads it: numbers with a point or exponent are Decimals."""


class ReadOnlyDict(Mapping[str, JsonValue]):
    """A JSON object that cannot be changed by accident; pickles, copies, and hides its content.

    Objects and arrays inside it are ordinary dicts and lists.
    """

    __slots__ = ("_items",)

    def __init__(self, items: Mapping[str, JsonValue] | None = None) -> None:
        self._items: dict[str, JsonValue] = {} if items is None else dict(items)

    def __getitem__(self, key: str) -> JsonValue:
        return self._items[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, key: object) -> bool:
        return key in self._items

    def __repr__(self) -> str:
        return f"<{len(self._items)} members>"


_EMPTY: Final = ReadOnlyDict()

LIFETIME: Final = timedelta(minutes=60)
"""How long a customer can pay on a checkout page (provider docs: collections/create)."""


@frozen(kw_only=True)
class Payer:
    """Who paid, as far as the provider tells; every field is personal data and hidden from repr."""

    name: str | None = field(default=None, repr=False)
    email: str | None = field(default=None, repr=False)
    phone: str | None = field(default=None, repr=False)
    account_name: str | None = field(default=None, repr=False)
    client_id: str | None = field(default=None, repr=False)


@frozen(kw_only=True)
class Checkout:
    """A checkout session: send the customer to `checkout_url` before `expires_at`.

    Attributes:
        collection_id: the provider's id ("batch" in the return URL).
        checkout_url: the hosted page, https; "" only for a recovered one that is over and whose
            page nobody tells.
        order_id: the merchant's order id.
        amount: what the customer pays, in `currency`.
        fee: what the provider keeps, taken out of `amount`; None where it was not told.
        net_amount: amount - fee; None where it was not told.
        currency: always "USD" today.
        status: PENDING for a new checkout.
        reference: the reference that the payer sees; None where it was not told.
        expires_at: UTC; 60 minutes after creation (provider docs: collections/create).
        recovered: True when the answer to the create was lost, or the order was there before, and
            the checkout was found by its order id.

    """

    collection_id: str
    checkout_url: str = field(repr=False)
    order_id: str
    amount: Decimal
    currency: str
    status: PaymentStatus
    fee: Decimal | None = field(default=None, repr=False)
    net_amount: Decimal | None = field(default=None, repr=False)
    reference: str | None = field(default=None, repr=False)
    expires_at: datetime | None = field(default=None, repr=False)
    recovered: bool = False


@frozen(kw_only=True)
class RefundSummary:
    """What was refunded of a collection, and what still could be."""

    total_refunded: Decimal | None = None
    remaining_refundable: Decimal | None = None
    count: int | None = None


@frozen(kw_only=True)
class Collection:
    """The provider's record of a checkout: the proof of payment (provider docs: collections/get).

    Only `collection_id`, `amount`, `currency` and `status` are always there: the provider's pages
    disagree on the others, and an entry of a list has fewer of them.
    """

    collection_id: str
    amount: Decimal
    currency: str
    status: PaymentStatus
    order_id: str | None = None
    reference: str | None = field(default=None, repr=False)
    batch: str | None = field(default=None, repr=False)
    fee: Decimal | None = field(default=None, repr=False)
    net_amount: Decimal | None = field(default=None, repr=False)
    status_reason: str | None = field(default=None, repr=False)
    description: str | None = field(default=None, repr=False)
    payer: Payer | None = field(default=None, repr=False)
    refunds: RefundSummary | None = field(default=None, repr=False)
    metadata: Mapping[str, JsonValue] = field(default=_EMPTY, repr=False, hash=False)
    callback_url: str | None = field(default=None, repr=False)
    webhook_url: str | None = field(default=None, repr=False)
    checkout_url: str | None = field(default=None, repr=False)
    created_at: datetime | None = field(default=None, repr=False)
    completed_at: datetime | None = field(default=None, repr=False)
    expires_at: datetime | None = field(default=None, repr=False)

    @property
    def ends_at(self) -> datetime | None:
        """When the customer can no longer pay, in UTC: told, or reckoned from the creation."""
        if self.expires_at is not None or self.created_at is None:
            return self.expires_at
        try:
            return self.created_at + LIFETIME
        except OverflowError:
            return None


@frozen(kw_only=True)
class Page(Generic[T]):
    """One page of a list; pages are counted from 1."""

    items: tuple[T, ...] = field(repr=_count)
    page: int
    per_page: int
    total_items: int
    total_pages: int

    @property
    def has_next(self) -> bool:
        """Whether a further page follows."""
        return self.page < self.total_pages


@frozen(kw_only=True)
class Refund:
    """A refund; each collection can have one, ever (provider docs: refunds/create)."""

    refund_id: str
    collection_id: str
    amount: Decimal
    currency: str
    status: RefundStatus
    reason: str | None = None
    reason_description: str | None = field(default=None, repr=False)
    recipient: Payer | None = field(default=None, repr=False)
    created_at: datetime | None = field(default=None, repr=False)
    completed_at: datetime | None = field(default=None, repr=False)
    recovered: bool = False


@frozen(kw_only=True)
class RefundReason:
    """A reason that a refund can be given, with the provider's words for it."""

    code: str
    description: str


@frozen(kw_only=True)
class Fee:
    """One entry of the price list: `rate` is in percent for PERCENTAGE, in USD for FIXED."""

    code: str
    name: str
    type: str
    rate: Decimal
    min_fee: Decimal | None = None
    max_fee: Decimal | None = None
    is_waived: bool = False


_CENT: Final = Decimal("0.01")
_EXACT: Final = Context(prec=100)  # whatever precision the caller computes with


@frozen(kw_only=True)
class Pricing:
    """The merchant's price list (provider docs: account/pricing)."""

    app_type: str | None
    fees: tuple[Fee, ...]

    def fee_for(self, amount: Decimal | int | str, code: str = "COLLECTION_FEE") -> Decimal:
        """Compute the fee on an amount of USD, rounded half up to the cent.

        The provider does not publish how it rounds: take the fee on the checkout as the last word.

        Raises:
            KeyError: the price list has no fee with that code.
            ValueError: not an amount, or the fee is of a type that this release does not know.
            TypeError: the amount is a float or a bool.

        """
        value = check.amount(amount, least=0)
        try:
            fee = next(fee for fee in self.fees if fee.code == code)
        except StopIteration:
            raise KeyError(code) from None
        if fee.is_waived:
            return Decimal("0.00")
        if fee.type == "PERCENTAGE":
            due = _EXACT.multiply(value, fee.rate).scaleb(-2, _EXACT)
        elif fee.type == "FIXED":
            due = fee.rate
        else:
            raise ValueError(f"fee {fee.code}: unknown type {fee.type}")
        if fee.min_fee is not None:
            due = max(due, fee.min_fee)
        if fee.max_fee is not None:
            due = min(due, fee.max_fee)
        return due.quantize(_CENT, ROUND_HALF_UP, _EXACT)


@frozen(kw_only=True)
class WebhookConfig:
    """Where webhooks go. `webhook_secret` is told once only: when the first URL is set.

    Provider docs: webhooks/configuration.
    """

    webhook_url: str | None = None
    is_configured: bool | None = None
    has_webhook_secret: bool | None = None
    webhook_secret: str | None = field(default=None, repr=False)
    created_at: datetime | None = field(default=None, repr=False)
    updated_at: datetime | None = field(default=None, repr=False)


@frozen(kw_only=True)
class WebhookSecret:
    """A new webhook secret: the old one is dead, and this one will not be shown again."""

    webhook_secret: str = field(repr=False)
    regenerated_at: datetime | None = None


@frozen(kw_only=True)
class WebhookTest:
    """How the provider fared with a test delivery that it was asked to make."""

    event: str
    delivered: bool
    webhook_url: str | None = field(default=None, repr=False)
    data: Mapping[str, JsonValue] = field(default=_EMPTY, repr=False, hash=False)


@frozen(kw_only=True)
class Token:
    """An access token, and whose it is.

    Attributes:
        access_token: the bearer token; hidden from repr.
        expires_at: UTC, computed from `expiresIn` on this machine's clock (the published samples'
            own claims disagree by a year; provider docs: auth/token).
        scopes: what it allows.
        app_id: the app that it was issued to.
        base_url: the API that issued it.

    """

    access_token: str = field(repr=False)
    expires_at: datetime
    scopes: frozenset[str] = frozenset()
    app_id: str = ""
    base_url: str = ""
