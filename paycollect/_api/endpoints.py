"""The provider's API as pure functions: one per endpoint, which gives the `Request` to send.

Invariants: arguments are checked, and answers compared with what was asked. Nothing here
does I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from json.encoder import encode_basestring as _quote
from typing import Final
from urllib.parse import urlencode

from attrs import define

from paycollect import _arguments as check
from paycollect import errors, models
from paycollect._api.answers import Request
from paycollect._api.decode import (
    JsonObject,
    structure,
    structure_items,
    structure_object,
    structure_page,
)
from paycollect._json import write
from paycollect.models import JsonValue

LARGEST_PAGE: Final = 100
"""Entries per page at most (provider docs: collections/list)."""


def authenticate(app_id: str, secret_key: str) -> Request[JsonObject]:
    """Ask for a token by client credentials (provider docs: auth/token)."""
    document = {"appId": app_id, "secretKey": secret_key, "grantType": "client_credentials"}
    return Request(
        method="POST",
        path="/auth/token",
        body=write(document).encode(),
        decode=structure_object,
        for_token=True,
    )


def refresh() -> Request[JsonObject]:
    """Ask for a new token by the present one (provider docs: auth/refresh)."""
    return Request(method="POST", path="/auth/refresh", decode=structure_object, for_token=True)


def revoke() -> Request[JsonObject]:
    """Make the present token invalid (provider docs: auth/revoke)."""
    return Request(method="POST", path="/auth/revoke", decode=structure_object)


@define(kw_only=True, eq=False, repr=False)
class Order:
    """What a checkout is for: the part of a create by which an existing one is recognised."""

    order_id: str
    amount: Decimal
    currency: str

    def matches(self, other: models.Checkout | models.Collection) -> bool:
        """Tell whether a checkout is for this order: same id, amount and currency."""
        return (
            other.order_id == self.order_id
            and other.amount == self.amount
            and other.currency == self.currency
        )


class UnnamedOrderError(errors.ResponseLostError):
    """An answer to a create that does not say which order it is about.

    The order id is echoed "if provided" (provider docs: collections/create), so this may be ours,
    or a stray answer about another order of the same amount: only a look-up can tell.
    """

    def __init__(self, checkout: models.Checkout) -> None:
        super().__init__(
            "the provider's answer does not name its order, and the order was not found: taken for"
            " a stray answer, and not used"
        )
        self.checkout = checkout

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.checkout,), self.__dict__


def create_collection(
    order: Order,
    *,
    description: str,
    callback_url: str | None,
    webhook_url: str | None,
    metadata: Mapping[str, object] | None,
) -> Request[models.Checkout]:
    """Ask for a checkout session (provider docs: collections/create)."""
    # Written by hand: json knows no Decimal, and this is the call that must be fast.
    text = (
        f'{{"amount":{order.amount:f},"currency":{_quote(order.currency)}'
        f',"orderId":{_quote(order.order_id)}'
        f',"description":{_quote(check.text(description, "description"))}'
    )
    if callback_url is not None:
        text += f',"callbackUrl":{_quote(check.url(callback_url, "callback_url"))}'
    if webhook_url is not None:
        text += f',"webhookUrl":{_quote(check.url(webhook_url, "webhook_url"))}'
    if metadata is not None:
        text += f',"metadata":{check.document(metadata, "metadata")}'

    def decode(data: JsonValue) -> models.Checkout:
        is_named = True
        if type(data) is dict and data.get("orderId") is None:
            is_named, data["orderId"] = False, order.order_id
        checkout = structure(data, models.Checkout)
        if not order.matches(checkout):
            raise _stray("an order other than the one it was asked for")
        url = checkout.checkout_url
        is_plain = check.is_plain_url_with(url, checkout.collection_id)
        if not (is_plain and url.startswith("https://")):
            refuse_insecure(url)
        if not is_named:
            raise UnnamedOrderError(checkout)
        return checkout

    return Request(
        method="POST",
        path="/collections",
        body=(text + "}").encode(),
        decode=decode,
        recoverable=True,
        order_id=order.order_id,
        conflict=errors.DuplicateOrderError,
    )


def get_collection(collection_id: str) -> Request[models.Collection]:
    """Ask for one collection (provider docs: collections/get)."""

    def decode(data: JsonValue) -> models.Collection:
        collection = structure(data, models.Collection)
        if collection_id not in (collection.collection_id, collection.batch):
            raise _stray("a collection other than the one it was asked for")
        return collection

    return Request(
        method="GET",
        path="/collections/" + check.path_id(collection_id, "collection_id"),
        template="/collections/{id}",
        collection_id=collection_id,
        decode=decode,
    )


Filters = Mapping[str, tuple[str, Callable[[object, str], str]]]
"""Our name of a filter -> the provider's, and how to check a value."""

_DAYS: Final[Filters] = {"date_from": ("dateFrom", check.day), "date_to": ("dateTo", check.day)}
_COLLECTION_FILTERS: Final[Filters] = {
    "status": ("status", check.text),
    "order_id": ("orderId", check.text),
    "reference": ("reference", check.text),
    **_DAYS,
}
_REFUND_FILTERS: Final[Filters] = {
    "status": ("status", check.text),
    "collection_id": ("collectionId", check.text),
    **_DAYS,
}


def list_collections(
    page: int, limit: int, filters: Mapping[str, object]
) -> Request[models.Page[models.Collection]]:
    """Ask for a page of collections (provider docs: collections/list)."""
    return Request(
        method="GET",
        path="/collections" + _page_query(page, limit, filters, _COLLECTION_FILTERS),
        template="/collections",
        decode=lambda data: structure_page(data, "collections", models.Collection),
    )


def create_refund(
    collection_id: str, *, amount: Decimal | None, reason: str | None
) -> Request[models.Refund]:
    """Ask for a refund: full, or of an amount (provider docs: refunds/create)."""
    text = '{"mode":"FULL"' if amount is None else f'{{"mode":"PARTIAL","amount":{amount:f}'
    if reason is not None:
        text += f',"reason":{_quote(check.text(reason, "reason"))}'

    def decode(data: JsonValue) -> models.Refund:
        refund = structure(data, models.Refund)
        if refund.collection_id != collection_id or amount not in (None, refund.amount):
            raise _stray("a refund other than the one it was asked for")
        return refund

    return Request(
        method="POST",
        path=f"/collections/{check.path_id(collection_id, 'collection_id')}/refund",
        template="/collections/{id}/refund",
        collection_id=collection_id,
        body=(text + "}").encode(),
        decode=decode,
        recoverable=True,
        conflict=errors.AlreadyRefundedError,
    )


def list_refunds(
    page: int, limit: int, filters: Mapping[str, object]
) -> Request[models.Page[models.Refund]]:
    """Ask for a page of refunds (provider docs: refunds/list)."""
    return Request(
        method="GET",
        path="/refunds" + _page_query(page, limit, filters, _REFUND_FILTERS),
        template="/refunds",
        decode=lambda data: structure_page(data, "refunds", models.Refund),
    )


def list_refund_reasons() -> Request[tuple[models.RefundReason, ...]]:
    """Ask for the reasons that a refund can be given (provider docs: refunds/reasons)."""
    return Request(
        method="GET",
        path="/refunds/reasons",
        decode=lambda data: structure_items(structure_object(data), "reasons", models.RefundReason),
    )


def get_pricing() -> Request[models.Pricing]:
    """Ask for the price list (provider docs: account/pricing)."""
    return Request(
        method="GET", path="/account/pricing", decode=lambda data: structure(data, models.Pricing)
    )


def ping() -> Request[None]:
    """Ask for the least that needs a token: a list that never changes (docs: refunds/reasons)."""
    return Request(method="GET", path="/refunds/reasons", decode=lambda _: None)


def get_webhook_config() -> Request[models.WebhookConfig]:
    """Ask where webhooks go (provider docs: webhooks/configuration)."""
    return Request(
        method="GET", path="/webhooks", decode=lambda data: structure(data, models.WebhookConfig)
    )


def update_webhook_config(webhook_url: str | None) -> Request[models.WebhookConfig]:
    """Set where webhooks go; None switches them off (provider docs: webhooks/configuration)."""
    if webhook_url is not None:
        check.secure_url(webhook_url, "webhook_url")
    return Request(
        method="PUT",
        path="/webhooks",
        body=write({"webhookUrl": webhook_url}).encode(),
        decode=lambda data: structure(data, models.WebhookConfig),
    )


def regenerate_webhook_secret() -> Request[models.WebhookSecret]:
    """Ask for a new webhook secret (provider docs: webhooks/secret/regenerate).

    Repeatable: a lost answer leaves the merchant without any working secret, and only a further
    one mends that.
    """
    return Request(
        method="POST",
        path="/webhooks/secret/regenerate",
        decode=lambda data: structure(data, models.WebhookSecret),
    )


def send_test_webhook(event: str) -> Request[models.WebhookTest]:
    """Ask for a test delivery (provider docs: webhooks/test)."""
    return Request(
        method="POST",
        path="/webhooks/test",
        body=write({"event": check.text(event, "event")}).encode(),
        decode=lambda data: structure(data, models.WebhookTest),
    )


def undocumented(
    method: str,
    path: str,
    *,
    query: Mapping[str, str | int] | None,
    body: Mapping[str, JsonValue] | None,
    repeatable: bool,
) -> Request[JsonValue]:
    """Build a call of a path that has no function here; its `data` is given as it is."""
    check.path(path)
    if method not in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        raise ValueError("method: GET, POST, PUT, PATCH or DELETE is needed")
    return Request(
        method=method,
        path=path + _query({} if query is None else check.query(query)),
        template=path,
        body=None if body is None else check.document(body, "body").encode(),
        repeatable=repeatable,
        decode=lambda data: data,
    )


def _page_query(page: object, limit: object, given: Mapping[str, object], known: Filters) -> str:
    query: dict[str, str | int] = {
        "page": check.whole(page, "page", least=1, most=10**9),
        "limit": check.whole(limit, "limit", least=1, most=LARGEST_PAGE),
    }
    for name, value in given.items():
        if name not in known:
            raise TypeError(f"{name}: not a filter of this list")
        wire_name, read = known[name]
        query |= {} if value is None else {wire_name: read(value, name)}
    return _query(query)


def _query(parameters: Mapping[str, str | int]) -> str:
    return "?" + urlencode(parameters) if parameters else ""


def _stray(what: str) -> errors.ResponseLostError:
    return errors.ResponseLostError(
        f"the provider's answer is about {what}: taken for a stray answer, and not used"
    )


def refuse_insecure(url: str) -> None:
    """Refuse a checkout URL that a customer must not be sent to.

    Raises:
        DecodeError: the URL is neither https nor on loopback.

    """
    try:
        check.secure_url(url, "checkoutUrl")
    except ValueError:
        pass
    else:
        return
    raise errors.DecodeError(
        "the provider's answer is not as documented: data.checkoutUrl: expected an https URL",
        path="data.checkoutUrl",
    )
