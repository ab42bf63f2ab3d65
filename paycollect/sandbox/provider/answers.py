"""Records to the JSON that the provider publishes, in whichever of its two shapes is asked for.

"events" is the shape of the schemas and of the event pages, "concept" that of the tables and of the
concept page; they differ in pagination, in the payer and in the webhook's `data`. Invariants:
pure functions; every difference between the provider's pages that is not a choice of the
merchant lives here.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Final, TypeAlias

from paycollect.models import Payer
from paycollect.sandbox.provider.envelope import instant, maybe_instant
from paycollect.sandbox.provider.records import REFUND_REASONS
from paycollect.status import PaymentStatus

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from paycollect.models import Fee, JsonValue
    from paycollect.sandbox.options import SandboxOptions, Shapes
    from paycollect.sandbox.provider.records import CollectionRecord, RefundRecord
    from paycollect.sandbox.provider.requests import ListQuery

Json: TypeAlias = "dict[str, JsonValue]"

CURRENCY: Final = "USD"

EVENTS: Final = {
    PaymentStatus.PENDING: "collection.initiated",
    PaymentStatus.COMPLETED: "collection.received",
    PaymentStatus.FAILED: "collection.failed",
    PaymentStatus.CANCELLED: "collection.cancelled",
    PaymentStatus.EXPIRED: "collection.expired",
    PaymentStatus.REFUNDED: "refund.completed",
    PaymentStatus.PARTIALLY_REFUNDED: "refund.completed",
}
"""Event names by the state they announce; failed, cancelled and expired are guesses by analogy."""


def created(record: CollectionRecord, checkout_url: str) -> Json:
    """Answer a create (provider docs: collections/create)."""
    return {
        "collectionId": record.collection_id,
        "reference": record.reference,
        "orderId": record.order.order_id,
        **_money(record),
        "status": record.status.value,
        "checkoutUrl": checkout_url,
        "expiresAt": instant(record.expires_at),
    }


def fetched(record: CollectionRecord, checkout_url: str, shapes: Shapes) -> Json:
    """Answer a get (provider docs: collections/get); `checkoutUrl` while it can be used."""
    answer: Json = {
        **_listed_head(record),
        "description": record.order.description,
        "payer": _payer(record.payer, shapes),
        "refunds": {
            "totalRefunded": record.refunded,
            "remainingRefundable": _refundable(record),
            "count": 0 if record.refund is None else 1,
        },
        "metadata": record.order.metadata,
        "callbackUrl": record.order.callback_url,
        "webhookUrl": record.order.webhook_url,
        **_moments(record),
        "expiresAt": instant(record.expires_at),
    }
    if shapes == "concept":
        answer["statusReason"] = record.status_reason
    if record.status is PaymentStatus.PENDING:
        answer["checkoutUrl"] = checkout_url
    return answer


def listed(record: CollectionRecord, shapes: Shapes) -> Json:
    """Write an entry of the list of collections (provider docs: collections/list)."""
    payer = record.payer or Payer()
    who: Json = (
        {"payerClientId": payer.client_id} if shapes == "events" else {"payerEmail": payer.email}
    )
    return {**_listed_head(record), **who, "payerName": payer.name, **_moments(record)}


def refund_created(refund: RefundRecord) -> Json:
    """Answer a refund (provider docs: refunds/create)."""
    recipient: Json = {"clientId": refund.recipient.client_id, "name": refund.recipient.name}
    return {
        **_refund_head(refund),
        "recipient": recipient,
        "createdAt": instant(refund.created_at),
    }


def refund_listed(refund: RefundRecord) -> Json:
    """Write an entry of the list of refunds (provider docs: refunds/list)."""
    done = refund.status.is_final
    return {
        **_refund_head(refund),
        "completedAt": instant(refund.completed_at) if done else None,
        "createdAt": instant(refund.created_at),
    }


def page(name: str, items: Sequence[Json], query: ListQuery, total: int, shapes: Shapes) -> Json:
    """Write one page of a list with its pagination, whose names differ between the shapes."""
    at, size = ("page", "perPage") if shapes == "events" else ("currentPage", "itemsPerPage")
    return {
        name: list(items),
        "pagination": {
            at: query.page,
            size: query.limit,
            "totalItems": total,
            "totalPages": ceil(total / query.limit),
        },
    }


def fee(entry: Fee) -> Json:
    """Write an entry of the price list (provider docs: account/pricing)."""
    return {
        "code": entry.code,
        "name": entry.name,
        "type": entry.type,
        "rate": entry.rate,
        "minFee": entry.min_fee,
        "maxFee": entry.max_fee,
        "isWaived": entry.is_waived,
    }


def event_name(record: CollectionRecord, shapes: Shapes) -> str:
    """Name the event that announces the present state of a collection."""
    if record.status is PaymentStatus.COMPLETED and shapes == "concept":
        return "collection.completed"
    return EVENTS[record.status]


def event_data(
    record: CollectionRecord, options: SandboxOptions, *, checkout_url: str, now: datetime
) -> Json:
    """Write the signed `data` of a webhook (provider docs: webhook events, collections concept)."""
    named = record.collection_id if options.event_ids == "own" else record.event_reference
    data = (
        _event_page_data(record, named, options.app_id, checkout_url, now)
        if options.shapes == "events"
        else _concept_page_data(record, named)
    )
    refund = record.refund
    if refund is None:
        return data
    if options.refund_events == "full":
        data |= {"collectionId": named, "orderId": record.order.order_id, "reason": refund.reason}
    return data | {"refundId": refund.refund_id, "refundedAmount": refund.amount}


def _event_page_data(
    record: CollectionRecord, named: str, app_id: str, checkout_url: str, now: datetime
) -> Json:
    data: Json = {"reference": named, "externalReference": record.order.order_id}
    payer = record.payer
    if payer is None:
        data |= {
            "amount": record.amount,
            "currency": CURRENCY,
            "description": record.order.description,
            "checkoutUrl": checkout_url,
            "expiresAt": instant(record.expires_at),
        }
    else:
        data |= {
            "providerReference": f"PAY-{record.created_at:%Y%m%d}-{record.reference[:6]}",
            "amount": record.amount,
            "charge": record.fee,
            "netAmount": record.net_amount,
            "currency": CURRENCY,
            "paymentMethod": "FYATU_BALANCE",
            "customerEmail": payer.email,
            "customerPhone": payer.phone,
            "customerName": payer.name,
        }
    return data | {"status": record.status.value, "appId": app_id, "timestamp": instant(now)}


def _concept_page_data(record: CollectionRecord, named: str) -> Json:
    data: Json = {
        "collectionId": named,
        "reference": record.reference,
        "orderId": record.order.order_id,
        **_money(record),
        "status": record.status.value,
    }
    if record.payer is not None:
        data["payer"] = {"name": record.payer.name, "email": record.payer.email}
    if record.completed_at is not None:
        data["completedAt"] = instant(record.completed_at)
    return data


def _money(record: CollectionRecord) -> Json:
    return {
        "amount": record.amount,
        "fee": record.fee,
        "netAmount": record.net_amount,
        "currency": CURRENCY,
    }


def _listed_head(record: CollectionRecord) -> Json:
    return {
        "collectionId": record.collection_id,
        "batch": record.collection_id,
        "reference": record.reference,
        "orderId": record.order.order_id,
        **_money(record),
        "status": record.status.value,
    }


def _moments(record: CollectionRecord) -> Json:
    return {
        "completedAt": maybe_instant(record.completed_at),
        "createdAt": instant(record.created_at),
    }


def _payer(payer: Payer | None, shapes: Shapes) -> JsonValue:
    if payer is None:
        return None if shapes == "events" else {}
    if shapes == "events":
        return {"clientId": payer.client_id, "name": payer.name}
    return {"email": payer.email, "name": payer.name, "accountName": payer.account_name}


def _refundable(record: CollectionRecord) -> JsonValue:
    # One refund per collection, ever: after it nothing more can be given back.
    return record.net_amount if record.status is PaymentStatus.COMPLETED else record.amount * 0


def _refund_head(refund: RefundRecord) -> Json:
    return {
        "refundId": refund.refund_id,
        "collectionId": refund.collection_id,
        "amount": refund.amount,
        "currency": CURRENCY,
        "reason": refund.reason,
        "reasonDescription": REFUND_REASONS[refund.reason],
        "status": refund.status.value,
    }
