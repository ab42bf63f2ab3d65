"""The endpoints that read, refund and configure: flat methods, each of one request.

The law of this room: a method checks its arguments, builds one request and hands it on; how it is
made to succeed is the engine's matter.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, TypedDict, TypeVar, Unpack

from paycollect import _recovery, _wire
from paycollect import _validate as check
from paycollect._answers import Request
from paycollect._engine import Engine
from paycollect._paging import entries
from paycollect.models import (
    Collection,
    JsonValue,
    Page,
    Pricing,
    Refund,
    RefundReason,
    WebhookConfig,
    WebhookSecret,
    WebhookTest,
)
from paycollect.retry import RetryPolicy, Timeout
from paycollect.status import PaymentStatus, RefundStatus

if TYPE_CHECKING:
    import aiohttp

T = TypeVar("T")


class CallOptions(TypedDict, total=False):
    """What each method takes beside its own arguments, for this one call.

    timeout: limits of one attempt: seconds in total, or a `Timeout`.
    deadline: seconds for the whole call, with its token, attempts and waits.
    retry: a `RetryPolicy`.
    """

    timeout: Timeout | aiohttp.ClientTimeout | float
    deadline: float
    retry: RetryPolicy


class CollectionFilters(CallOptions, total=False):
    """Which collections a list shows (provider docs: collections/list).

    status: only those in this state.
    order_id, reference: only those that contain this; a partial match.
    date_from, date_to: from and up to this day; the provider does not say in which zone.
    """

    status: PaymentStatus | str
    order_id: str
    reference: str
    date_from: date | str
    date_to: date | str


class RefundFilters(CallOptions, total=False):
    """Which refunds a list shows (provider docs: refunds/list).

    status: only those in this state.
    collection_id: only that of this collection.
    date_from, date_to: from and up to this day; the provider does not say in which zone.
    """

    status: RefundStatus | str
    collection_id: str
    date_from: date | str
    date_to: date | str


class Endpoints:
    """What `SessionManager` inherits; not for use by itself."""

    _engine: Engine

    async def get_collection(
        self, collection_id: str, **options: Unpack[CallOptions]
    ) -> Collection:
        """Get one collection: the provider's own record (provider docs: collections/get).

        Raises:
            NotFoundError: no such collection, or another app's.

        """
        return await self._run(_wire.get_collection(collection_id), options)

    async def list_collections(
        self, *, page: int = 1, limit: int = 20, **filters: Unpack[CollectionFilters]
    ) -> Page[Collection]:
        """Get one page of collections (provider docs: collections/list).

        Args:
            page: from 1.
            limit: entries per page, 1 to 100.
            filters: as in `CollectionFilters`, with `timeout`, `deadline`, `retry` for this call.

        """
        options, chosen = _split(filters)
        return await self._run(_wire.list_collections(page, limit, chosen), options)

    async def iter_collections(
        self, **filters: Unpack[CollectionFilters]
    ) -> AsyncIterator[Collection]:
        """Go through all collections, page by page; arguments as in `list_collections`.

        An entry that moves to the next page while new ones arrive is given once.
        """
        options, chosen = _split(filters)

        async def get(number: int) -> Page[Collection]:
            request = _wire.list_collections(number, _wire.LARGEST_PAGE, chosen)
            return await self._run(request, options)

        async for collection in entries(get, lambda collection: collection.collection_id):
            yield collection

    async def find_by_order_id(
        self, order_id: str, **options: Unpack[CallOptions]
    ) -> Collection | None:
        """Find the collection of exactly this order id; None where there is none."""
        check.text(order_id, "order_id")
        return await _recovery.find_by_order_id(
            self._engine, self._engine.begin(**options), order_id
        )

    async def create_refund(
        self,
        collection_id: str,
        *,
        amount: Decimal | int | str | None = None,
        reason: str | None = None,
        **options: Unpack[CallOptions],
    ) -> Refund:
        """Refund a completed collection (provider docs: refunds/create).

        A collection can be refunded once, ever, in part or in full; the fee is not returned. As
        with a create, a lost answer is recovered by looking the refund up.

        Args:
            collection_id: what to refund.
            amount: how much, in USD; None for all that can be refunded.
            reason: a code of `list_refund_reasons`; None for CUSTOMER_REQUEST.
            options: `timeout`, `deadline`, `retry` for this call.

        Raises:
            AlreadyRefundedError: it has its one refund; `existing`, where it was looked up.
            InsufficientBalanceError: the balance does not cover it.
            InvalidRequestError: the collection is not COMPLETED, or a field is wrong.
            NotFoundError: no such collection.

        """
        value = None if amount is None else check.amount(amount, least=Decimal("0.01"))
        request = _wire.create_refund(collection_id, amount=value, reason=reason)
        return await _recovery.create_refund(
            self._engine, self._engine.begin(**options), request, collection_id, value
        )

    async def list_refunds(
        self, *, page: int = 1, limit: int = 20, **filters: Unpack[RefundFilters]
    ) -> Page[Refund]:
        """Get one page of refunds; arguments as in `list_collections` (docs: refunds/list)."""
        options, chosen = _split(filters)
        return await self._run(_wire.list_refunds(page, limit, chosen), options)

    async def iter_refunds(self, **filters: Unpack[RefundFilters]) -> AsyncIterator[Refund]:
        """Go through all refunds, page by page; arguments as in `list_refunds`."""
        options, chosen = _split(filters)

        async def get(number: int) -> Page[Refund]:
            request = _wire.list_refunds(number, _wire.LARGEST_PAGE, chosen)
            return await self._run(request, options)

        async for refund in entries(get, lambda refund: refund.refund_id):
            yield refund

    async def list_refund_reasons(self, **options: Unpack[CallOptions]) -> tuple[RefundReason, ...]:
        """Get the reasons that a refund can be given (provider docs: refunds/reasons)."""
        return await self._run(_wire.list_refund_reasons(), options)

    async def get_pricing(self, **options: Unpack[CallOptions]) -> Pricing:
        """Get the price list (provider docs: account/pricing)."""
        return await self._run(_wire.get_pricing(), options)

    async def get_webhook_config(self, **options: Unpack[CallOptions]) -> WebhookConfig:
        """Get where webhooks go (provider docs: webhooks/configuration)."""
        return await self._run(_wire.get_webhook_config(), options)

    async def update_webhook_config(
        self, webhook_url: str | None, **options: Unpack[CallOptions]
    ) -> WebhookConfig:
        """Set where webhooks go, by an https URL; None switches them off.

        The answer to the first URL ever set holds the webhook secret, once. Where that answer is
        lost, `regenerate_webhook_secret` gives a new one (provider docs: webhooks/configuration).
        """
        return await self._run(_wire.update_webhook_config(webhook_url), options)

    async def regenerate_webhook_secret(self, **options: Unpack[CallOptions]) -> WebhookSecret:
        """Get a new webhook secret; the old one is dead at once (docs: webhooks/secret)."""
        return await self._run(_wire.regenerate_webhook_secret(), options)

    async def send_test_webhook(self, event: str, **options: Unpack[CallOptions]) -> WebhookTest:
        """Have a validly signed test event delivered (provider docs: webhooks/test)."""
        return await self._run(_wire.send_test_webhook(event), options)

    async def revoke_token(self, **options: Unpack[CallOptions]) -> None:
        """Make the present token invalid; the next call gets a new one (docs: auth/revoke)."""
        await self._engine.revoke(self._engine.begin(**options))

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int] | None = None,
        body: Mapping[str, JsonValue] | None = None,
        repeatable: bool | None = None,
        **options: Unpack[CallOptions],
    ) -> JsonValue:
        """Call a path that this release has no method for, with token, retries and errors.

        Args:
            method: GET, POST, PUT, PATCH or DELETE.
            path: below the base URL, such as "/refunds/reasons".
            query: query parameters.
            body: a JSON object.
            repeatable: whether an attempt may be repeated when its outcome is unknown; by default
                only GET, PUT and DELETE are.
            options: `timeout`, `deadline`, `retry` for this call.

        Returns:
            The answer's `data`, with Decimals for numbers that have a point or an exponent.

        """
        if repeatable is None:
            repeatable = method in ("GET", "PUT", "DELETE")
        request = _wire.undocumented(method, path, query=query, body=body, repeatable=repeatable)
        return await self._run(request, options)

    async def _run(self, request: Request[T], options: CallOptions) -> T:
        return await self._engine.run(self._engine.begin(**options), request)


def _split(filters: CollectionFilters | RefundFilters) -> tuple[CallOptions, dict[str, object]]:
    """Part the options of the call from the filters of the list."""
    options: CallOptions = {}
    if "timeout" in filters:
        options["timeout"] = filters["timeout"]
    if "deadline" in filters:
        options["deadline"] = filters["deadline"]
    if "retry" in filters:
        options["retry"] = filters["retry"]
    return options, {name: value for name, value in filters.items() if name not in options}
