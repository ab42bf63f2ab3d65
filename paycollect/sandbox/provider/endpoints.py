"""The provider's endpoints, each a function from a request to a result, and the provider itself.

    provider = Provider(SandboxOptions(), clock.now)
    reply = provider.answer("POST", "/collections", {"Authorization": "Bearer ..."}, body)

Invariants: no I/O and no framework, so that it serves in process as well as behind HTTP. Webhooks
are handed to `send`, the time is asked of `now`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.parse import parse_qsl, unquote

from paycollect.sandbox.provider import answers, requests
from paycollect.sandbox.provider.envelope import (
    Reply,
    Result,
    failure,
    instant,
    maybe_instant,
    read_object,
    success,
)
from paycollect.sandbox.provider.errors import RefusedError, invalid, not_found
from paycollect.sandbox.provider.events import Event, Webhook, WebhookSettings, test_event
from paycollect.sandbox.provider.ledger import Ledger, Past
from paycollect.sandbox.provider.records import REFUND_REASONS
from paycollect.sandbox.provider.tokens import SCOPES, Tokens
from paycollect.status import PaymentStatus, RefundStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from paycollect.models import JsonValue
    from paycollect.sandbox.options import SandboxOptions
    from paycollect.sandbox.provider.records import CollectionRecord
    from paycollect.sandbox.provider.tokens import TokenRecord

CHECKOUT_PATH: Final = "/sci/checkout"
_TOKEN_LIFE: Final = 86400


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiRequest:
    """A request, as far as an endpoint needs it."""

    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    authorization: str | None = None
    body: bytes = b""
    scopes: tuple[str, ...] = SCOPES
    lag: float = 0.0
    params: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TestDelivery:
    """A test delivery that has to be made before the request for it can be answered."""

    webhook: Webhook
    answer: Callable[[bool], Reply]


class Provider:
    """The provider with its one app: tokens, collections, webhooks.

    Attributes:
        options: what was chosen about it.
        now: tells its time.
        origin: tells where its checkout page is, e.g. "http://127.0.0.1:8900".
        send: is given every webhook; replace it to carry them.
        listeners: are told every change of a collection.
        tokens: who may do what.
        ledger: the collections, refunds and the balance.
        webhooks: where webhooks go, and the secret that signs them.

    """

    def __init__(
        self,
        options: SandboxOptions,
        now: Callable[[], datetime],
        *,
        origin: Callable[[], str] = lambda: "http://127.0.0.1",
        send: Callable[[Webhook], object] = lambda _: None,
    ) -> None:
        self.options = options
        self.now = now
        self.origin = origin
        self.send = send
        self.listeners: list[Callable[[CollectionRecord], object]] = []
        self.webhooks: WebhookSettings = WebhookSettings(secret=options.webhook_secret)
        self.tokens: Tokens = Tokens(
            options.app_id, options.secret_key, refresh_revokes=options.refresh_revokes
        )
        self.ledger: Ledger = Ledger(
            now,
            fees=tuple(options.fees),
            expired_as=options.expired_as,
            refund_delay=options.refund_delay,
            event_ids_known=options.event_ids == "both",
            listener=self._booked,
        )

    def answer(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes = b""
    ) -> Reply:
        """Answer a request without any HTTP; a test delivery counts as taken.

        Args:
            method: e.g. "GET".
            target: path and query below the base URL, e.g. "/collections?page=2".
            headers: only "Authorization" is looked at.
            body: of the request.

        """
        authorization = headers.get("Authorization")
        outcome = self.handle(method, target, authorization=authorization, body=body)
        if isinstance(outcome, TestDelivery):
            self.send(outcome.webhook)
            outcome = outcome.answer(True)
        return outcome

    def handle(
        self,
        method: str,
        target: str,
        *,
        authorization: str | None,
        body: bytes,
        scopes: tuple[str, ...] = SCOPES,
        lag: float | None = None,
    ) -> Reply | TestDelivery:
        """Work on a request; a test delivery has to be made first, and then answered.

        Args:
            method: e.g. "GET".
            target: path and query below the base URL.
            authorization: the header of that name.
            body: of the request.
            scopes: those of a token that is issued.
            lag: how many seconds old the state is that a GET tells; as the options say if absent.

        """
        path, _, query = target.partition("?")
        now = self.now()
        try:
            endpoint, params = _find(method, path)
            if endpoint.scope is not None:
                self.tokens.admit(authorization, endpoint.scope, now)
            request = ApiRequest(
                path=path,
                # The first of two values counts.
                query=dict(reversed(parse_qsl(query, keep_blank_values=True))),
                authorization=authorization,
                body=body,
                scopes=scopes,
                lag=self.options.stale_reads if lag is None else lag,
                params=params,
            )
            outcome = endpoint.handle(self, request)
        except RefusedError as refusal:
            return failure(refusal, now)
        return success(outcome, now) if isinstance(outcome, Result) else outcome

    def books(self, request: ApiRequest) -> Ledger | Past:
        """Give the collections as a read sees them, which may lag behind."""
        if not request.lag:
            return self.ledger
        return self.ledger.past(self.now() - timedelta(seconds=request.lag))

    def checkout_url(self, collection_id: str) -> str:
        """Tell where the payer of a collection goes."""
        return f"{self.origin()}{CHECKOUT_PATH}?batch={collection_id}"

    def webhook_body(self, event: Event, secret: str | None = None) -> bytes:
        """Sign an event and write it down in the form that was chosen."""
        options = self.options
        return event.body(secret or self.webhooks.secret, options.scheme, options.envelope)

    def test_webhook(self, event: str, url: str | None = None) -> Webhook:
        """Make up a test delivery, to the configured URL or to another one.

        Raises:
            RefusedError: no URL is configured, and none is given.

        """
        to = url or self.webhooks.url
        if to is None:
            raise invalid({"url": "is required, as no webhook URL is configured"})
        return Webhook(event=test_event(event, self.options.app_id, self.now()), url=to)

    def _booked(self, record: CollectionRecord) -> None:
        self.tell(record)
        for listener in self.listeners:
            listener(record)

    def tell(self, record: CollectionRecord) -> None:
        """Send a webhook of the present state, if such states are told and there is a URL."""
        options = self.options
        url = record.order.webhook_url or self.webhooks.url
        if url is None or record.status not in options.announce:
            return
        data = answers.event_data(
            record,
            options,
            checkout_url=self.checkout_url(record.collection_id),
            now=self.now(),
        )
        event = Event(name=answers.event_name(record, options.shapes), data=data)
        self.send(Webhook(event=event, url=url, collection_id=record.collection_id))


Handler: TypeAlias = "Callable[[Provider, ApiRequest], Result | TestDelivery]"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One operation of the API; without a scope it is open to requests without a token."""

    method: str
    path: str
    scope: str | None
    handle: Handler


def issue_token(provider: Provider, request: ApiRequest) -> Result:
    """POST /auth/token."""
    app_id, secret_key = requests.credentials(read_object(request.body))
    token = provider.tokens.authenticate(app_id, secret_key, provider.now(), request.scopes)
    return Result(_token(token), "Token generated successfully")


def refresh_token(provider: Provider, request: ApiRequest) -> Result:
    """POST /auth/refresh."""
    token = provider.tokens.refresh(request.authorization, provider.now(), request.scopes)
    return Result(_token(token), "Token refreshed successfully")


def revoke_token(provider: Provider, request: ApiRequest) -> Result:
    """POST /auth/revoke."""
    provider.tokens.revoke(request.authorization, provider.now())
    return Result({"revoked": True}, "Token revoked successfully")


def create_collection(provider: Provider, request: ApiRequest) -> Result:
    """POST /collections."""
    record = provider.ledger.create(requests.order(read_object(request.body)))
    return Result(
        answers.created(record, provider.checkout_url(record.collection_id)),
        "Checkout session created successfully",
        HTTPStatus.CREATED,
    )


def get_collection(provider: Provider, request: ApiRequest) -> Result:
    """GET /collections/{collectionId}."""
    record = provider.books(request)[request.params["collectionId"]]
    url = provider.checkout_url(record.collection_id)
    return Result(
        answers.fetched(record, url, provider.options.shapes), "Collection retrieved successfully"
    )


def list_collections(provider: Provider, request: ApiRequest) -> Result:
    """GET /collections, newest first; orderId and reference match partially."""
    query = requests.listing(request.query, ("orderId", "reference"), tuple(PaymentStatus))
    found, total = provider.books(request).find(query)
    entries = [answers.listed(record, provider.options.shapes) for record in found]
    page = answers.page("collections", entries, query, total, provider.options.shapes)
    return Result(page, "Collections retrieved successfully")


def create_refund(provider: Provider, request: ApiRequest) -> Result:
    """POST /collections/{collectionId}/refund."""
    asked = requests.refund(read_object(request.body))
    refund = provider.ledger.refund(request.params["collectionId"], asked.amount, asked.reason)
    return Result(
        answers.refund_created(refund), "Refund processed successfully", HTTPStatus.CREATED
    )


def list_refunds(provider: Provider, request: ApiRequest) -> Result:
    """GET /refunds, newest first."""
    query = requests.listing(request.query, ("collectionId",), tuple(RefundStatus))
    found, total = provider.books(request).find_refunds(query)
    entries = [answers.refund_listed(refund) for refund in found]
    page = answers.page("refunds", entries, query, total, provider.options.shapes)
    return Result(page, "Refunds retrieved successfully")


def list_refund_reasons(_: Provider, __: ApiRequest) -> Result:
    """GET /refunds/reasons."""
    reasons: list[JsonValue] = [
        {"code": code, "description": text} for code, text in REFUND_REASONS.items()
    ]
    return Result({"reasons": reasons}, "Refund reasons retrieved successfully")


def get_pricing(provider: Provider, _: ApiRequest) -> Result:
    """GET /account/pricing."""
    fees: list[JsonValue] = [answers.fee(fee) for fee in provider.ledger.fees]
    return Result({"appType": "collection", "fees": fees}, "Pricing retrieved successfully")


def get_webhooks(provider: Provider, _: ApiRequest) -> Result:
    """GET /webhooks."""
    settings = provider.webhooks
    data: dict[str, JsonValue] = {
        "webhookUrl": settings.url,
        "isConfigured": settings.url is not None,
        "hasWebhookSecret": settings.told,
        "createdAt": maybe_instant(settings.created_at),
        "updatedAt": maybe_instant(settings.updated_at),
    }
    return Result(data, "Webhook configuration retrieved successfully")


def put_webhooks(provider: Provider, request: ApiRequest) -> Result:
    """PUT /webhooks; the secret is told once, when a URL is first set."""
    settings = provider.webhooks
    settings.point_to(requests.webhook_url(read_object(request.body)), provider.now())
    data: dict[str, JsonValue] = {"webhookUrl": settings.url}
    first = settings.url is not None and not settings.told
    settings.told = settings.told or first
    data |= {"hasWebhookSecret": settings.told, "isConfigured": settings.url is not None}
    if first:
        data["webhookSecret"] = settings.secret
        data["secretNote"] = (
            "This is your webhook secret. Store it securely - it will not be shown again."
        )
    return Result(data, "Webhook URL updated successfully")


def regenerate_secret(provider: Provider, _: ApiRequest) -> Result:
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
    return Result(data, "Webhook secret regenerated successfully")


def test_webhook(provider: Provider, request: ApiRequest) -> TestDelivery:
    """POST /webhooks/test; without a configured URL there is nowhere to deliver to."""
    event, _ = requests.test_delivery(read_object(request.body))
    if provider.webhooks.url is None:
        raise invalid({"webhookUrl": "is not configured"})
    webhook = provider.test_webhook(event)
    data: dict[str, JsonValue] = {
        "event": event,
        "webhookUrl": webhook.url,
        "delivered": True,
        "testData": dict(webhook.event.data),
        "note": "This is TEST DATA for development purposes only. All values are simulated.",
        "signature": {"algorithm": "HMAC-SHA256", "signedWith": "Your webhook secret"},
    }

    def answer(delivered: bool) -> Reply:
        outcome = "delivered successfully" if delivered else "could not be delivered"
        result = Result(data | {"delivered": delivered}, f"Test webhook {outcome}")
        return success(result, provider.now())

    return TestDelivery(webhook, answer)


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

_ROUTES: Final[dict[tuple[str, int], list[tuple[Endpoint, list[str]]]]] = {}
for _endpoint in ENDPOINTS:
    _names = _endpoint.path.split("/")
    _ROUTES.setdefault((_endpoint.method, len(_names)), []).append((_endpoint, _names))


def _find(method: str, path: str) -> tuple[Endpoint, Mapping[str, str]]:
    segments = [unquote(segment) for segment in path.split("/")]
    for endpoint, names in _ROUTES.get((method, len(segments)), ()):
        pairs = list(zip(names, segments, strict=True))
        if all(name == segment or (segment and name[:1] == "{") for name, segment in pairs):
            params = {name[1:-1]: text for name, text in pairs if name[:1] == "{"}
            return endpoint, params
    raise not_found("Endpoint")


def _token(token: TokenRecord) -> dict[str, JsonValue]:
    return {
        "accessToken": token.value,
        "tokenType": "Bearer",
        "expiresIn": _TOKEN_LIFE,
        "expiresAt": instant(token.expires_at),
        "appType": "collection",
        "scopes": list(token.scopes),
    }
