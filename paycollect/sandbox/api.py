"""The provider's endpoints, each a function from a request to an answer.

The law of this room: no I/O and no framework; app.py carries requests in and answers out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

from paycollect.sandbox import checks, shapes
from paycollect.sandbox.refusals import RefusedError, invalid
from paycollect.sandbox.state import REFUND_REASONS
from paycollect.sandbox.webhooks import test_notice
from paycollect.sandbox.wire import Answer, failure, instant, maybe_instant, read_object, success
from paycollect.status import PaymentStatus, RefundStatus

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from datetime import datetime

    from paycollect.models import JsonValue
    from paycollect.sandbox.access import Access, TokenRecord
    from paycollect.sandbox.ledger import Ledger
    from paycollect.sandbox.state import CollectionRecord, RefundRecord
    from paycollect.sandbox.webhooks import Notice, Settings

T = TypeVar("T")

_TOKEN_LIFE: Final = 86400


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request, as far as an endpoint needs it."""

    params: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    authorization: str | None = None
    body: bytes = b""
    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """All that the endpoints work on."""

    now: Callable[[], datetime]
    access: Access
    ledger: Ledger
    webhooks: Settings
    shapes: shapes.Shapes
    checkout_url: Callable[[str], str]
    deliver: Callable[[Notice, str], Awaitable[bool]]


Handler: TypeAlias = "Callable[[Provider, Call], Answer | Awaitable[Answer]]"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One operation of the API; without a scope it is open to requests without a token."""

    method: str
    path: str
    scope: str | None
    handle: Handler


def issue_token(provider: Provider, call: Call) -> Answer:
    """POST /auth/token."""
    app_id, secret_key = checks.credentials(read_object(call.body))
    token = provider.access.authenticate(app_id, secret_key, provider.now(), call.scopes)
    return Answer(_token(token), "Token generated successfully")


def refresh_token(provider: Provider, call: Call) -> Answer:
    """POST /auth/refresh."""
    token = provider.access.refresh(call.authorization, provider.now(), call.scopes)
    return Answer(_token(token), "Token refreshed successfully")


def revoke_token(provider: Provider, call: Call) -> Answer:
    """POST /auth/revoke."""
    provider.access.revoke(call.authorization, provider.now())
    return Answer({"revoked": True}, "Token revoked successfully")


def create_collection(provider: Provider, call: Call) -> Answer:
    """POST /collections."""
    record = provider.ledger.create(checks.order(read_object(call.body)))
    return Answer(
        shapes.created(record, provider.checkout_url(record.collection_id)),
        "Checkout session created successfully",
        HTTPStatus.CREATED,
    )


def get_collection(provider: Provider, call: Call) -> Answer:
    """GET /collections/{collectionId}."""
    record = provider.ledger[call.params["collectionId"]]
    url = provider.checkout_url(record.collection_id)
    return Answer(shapes.fetched(record, url, provider.shapes), "Collection retrieved successfully")


def list_collections(provider: Provider, call: Call) -> Answer:
    """GET /collections, newest first; orderId and reference match partially."""
    query = checks.listing(call.query, ("orderId", "reference"), tuple(PaymentStatus))
    found = [record for record in provider.ledger if _matches(record, query)]
    entries = [shapes.listed(record, provider.shapes) for record in _cut(found, query)]
    page = shapes.page("collections", entries, query, len(found), provider.shapes)
    return Answer(page, "Collections retrieved successfully")


def create_refund(provider: Provider, call: Call) -> Answer:
    """POST /collections/{collectionId}/refund."""
    asked = checks.refund(read_object(call.body))
    refund = provider.ledger.refund(call.params["collectionId"], asked.amount, asked.reason)
    return Answer(
        shapes.refund_created(refund), "Refund processed successfully", HTTPStatus.CREATED
    )


def list_refunds(provider: Provider, call: Call) -> Answer:
    """GET /refunds, newest first."""
    query = checks.listing(call.query, ("collectionId",), tuple(RefundStatus))
    found = [refund for refund in provider.ledger.refunds() if _refund_matches(refund, query)]
    entries = [shapes.refund_listed(refund) for refund in _cut(found, query)]
    page = shapes.page("refunds", entries, query, len(found), provider.shapes)
    return Answer(page, "Refunds retrieved successfully")


def list_refund_reasons(_: Provider, __: Call) -> Answer:
    """GET /refunds/reasons."""
    reasons: list[JsonValue] = [
        {"code": code, "description": text} for code, text in REFUND_REASONS.items()
    ]
    return Answer({"reasons": reasons}, "Refund reasons retrieved successfully")


def get_pricing(provider: Provider, _: Call) -> Answer:
    """GET /account/pricing."""
    fees: list[JsonValue] = [shapes.fee(fee) for fee in provider.ledger.fees]
    return Answer({"appType": "collection", "fees": fees}, "Pricing retrieved successfully")


def get_webhooks(provider: Provider, _: Call) -> Answer:
    """GET /webhooks."""
    settings = provider.webhooks
    data: dict[str, JsonValue] = {
        "webhookUrl": settings.url,
        "isConfigured": settings.url is not None,
        "hasWebhookSecret": settings.told,
        "createdAt": maybe_instant(settings.created_at),
        "updatedAt": maybe_instant(settings.updated_at),
    }
    return Answer(data, "Webhook configuration retrieved successfully")


def put_webhooks(provider: Provider, call: Call) -> Answer:
    """PUT /webhooks; the secret is told once, when a URL is first set."""
    settings = provider.webhooks
    settings.point_to(checks.webhook_url(read_object(call.body)), provider.now())
    data: dict[str, JsonValue] = {"webhookUrl": settings.url}
    first = settings.url is not None and not settings.told
    settings.told = settings.told or first
    data |= {"hasWebhookSecret": settings.told, "isConfigured": settings.url is not None}
    if first:
        data["webhookSecret"] = settings.secret
        data["secretNote"] = (
            "This is your webhook secret. Store it securely - it will not be shown again."
        )
    return Answer(data, "Webhook URL updated successfully")


def regenerate_secret(provider: Provider, _: Call) -> Answer:
    """POST /webhooks/secret/regenerate."""
    now = provider.now()
    data: dict[str, JsonValue] = {
        "webhookSecret": provider.webhooks.regenerate(now),
        "regeneratedAt": instant(now),
        "note": (
            "Store this secret securely. It will not be shown again. "
            "Update your webhook handler with this new secret."
        ),
    }
    return Answer(data, "Webhook secret regenerated successfully")


async def test_webhook(provider: Provider, call: Call) -> Answer:
    """POST /webhooks/test; without a configured URL there is nowhere to deliver to."""
    event, _ = checks.test_delivery(read_object(call.body))
    url = provider.webhooks.url
    if url is None:
        raise invalid({"webhookUrl": "is not configured"})
    notice = test_notice(event, provider.access.app_id, provider.now())
    delivered = await provider.deliver(notice, url)
    data: dict[str, JsonValue] = {
        "event": event,
        "webhookUrl": url,
        "delivered": delivered,
        "testData": dict(notice.data),
        "note": "This is TEST DATA for development purposes only. All values are simulated.",
        "signature": {"algorithm": "HMAC-SHA256", "signedWith": "Your webhook secret"},
    }
    outcome = "delivered successfully" if delivered else "could not be delivered"
    return Answer(data, f"Test webhook {outcome}")


async def perform(provider: Provider, endpoint: Endpoint, call: Call) -> tuple[int, bytes]:
    """Let an endpoint work on a request; give the status and the body of the answer."""
    now = provider.now()
    try:
        if endpoint.scope is not None:
            provider.access.admit(call.authorization, endpoint.scope, now)
        answer = endpoint.handle(provider, call)
        if not isinstance(answer, Answer):
            answer = await answer
    except RefusedError as refusal:
        return refusal.status, failure(refusal, now)
    return int(answer.status), success(answer, now)


ENDPOINTS: Final = (
    Endpoint("POST", "/auth/token", None, issue_token),
    Endpoint("POST", "/auth/refresh", None, refresh_token),
    Endpoint("POST", "/auth/revoke", None, revoke_token),
    Endpoint("POST", "/collections", "collect:write", create_collection),
    Endpoint("GET", "/collections", "collect:read", list_collections),
    Endpoint("GET", "/collections/{collectionId}", "collect:read", get_collection),
    Endpoint("POST", "/collections/{collectionId}/refund", "collect:write", create_refund),
    Endpoint("GET", "/refunds", "collect:read", list_refunds),
    Endpoint("GET", "/refunds/reasons", "collect:read", list_refund_reasons),
    Endpoint("GET", "/account/pricing", "collect:read", get_pricing),
    Endpoint("GET", "/webhooks", "collect:read", get_webhooks),
    Endpoint("PUT", "/webhooks", "collect:write", put_webhooks),
    Endpoint("POST", "/webhooks/secret/regenerate", "collect:write", regenerate_secret),
    Endpoint("POST", "/webhooks/test", "collect:write", test_webhook),
)
"""Which scope an endpoint needs is published for collections only; the others go by read, write."""


def _token(token: TokenRecord) -> dict[str, JsonValue]:
    return {
        "accessToken": token.value,
        "tokenType": "Bearer",
        "expiresIn": _TOKEN_LIFE,
        "expiresAt": instant(token.expires_at),
        "appType": "collection",
        "scopes": list(token.scopes),
    }


def _matches(record: CollectionRecord, query: checks.ListQuery) -> bool:
    texts = query.texts
    return (
        texts.get("orderId", "") in record.order.order_id
        and texts.get("reference", "") in record.reference
        and texts.get("status", record.status) == record.status
        and _within(record.created_at, query)
    )


def _refund_matches(refund: RefundRecord, query: checks.ListQuery) -> bool:
    texts = query.texts
    return (
        texts.get("collectionId", refund.collection_id) == refund.collection_id
        and texts.get("status", refund.status) == refund.status
        and _within(refund.created_at, query)
    )


def _within(moment: datetime, query: checks.ListQuery) -> bool:
    return (query.since is None or query.since <= moment) and (
        query.until is None or moment < query.until
    )


def _cut(items: Sequence[T], query: checks.ListQuery) -> Sequence[T]:
    start = (query.page - 1) * query.limit
    return items[start : start + query.limit]
