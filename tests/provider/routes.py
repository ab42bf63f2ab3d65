"""What the provider on loopback does when it behaves."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from tests.provider.messages import APP_ID, SECRET_KEY, Json, Received, Reply, failure, success

if TYPE_CHECKING:
    from tests.provider.server import Provider


def handle(provider: Provider, request: Received) -> Reply:
    """Do what is asked."""
    if request.key == "POST /auth/token":
        asked = request.json()
        if (asked["appId"], asked["secretKey"]) != (APP_ID, SECRET_KEY):
            return failure(401, "AUTH_INVALID_CREDENTIALS")
        return provider.issue()
    if request.bearer not in provider.tokens:
        return failure(401, "AUTH_TOKEN_INVALID", "Token is invalid or expired")
    route = ROUTES.get(request.key)
    return failure(404, "RESOURCE_NOT_FOUND") if route is None else route(provider, request)


def _refresh(provider: Provider, _: Received) -> Reply:
    return provider.issue()


def _revoke(provider: Provider, request: Received) -> Reply:
    assert request.bearer is not None
    provider.tokens.discard(request.bearer)
    return success({"revoked": True})


def _create(provider: Provider, request: Received) -> Reply:
    asked = request.json()
    if asked["orderId"] in provider.orders:
        return failure(409, "DUPLICATE_REFERENCE", "This order id is taken")
    record = provider.add_order(asked["orderId"], str(asked["amount"]))
    batch = record["collectionId"]
    shown = {
        name: value for name, value in record.items() if name not in ("batch", "createdAt")
    } | {"checkoutUrl": f"https://checkout.fyatu.com/sci/checkout?batch={batch}"}
    return success(shown, 201)


def _entry(provider: Provider, record: Json) -> Json:
    if not provider.shows_checkout_url:
        return record
    batch = record["collectionId"]
    return {**record, "checkoutUrl": f"https://checkout.fyatu.com?batch={batch}"}


def _get(provider: Provider, request: Received) -> Reply:
    asked = request.path.split("/")[2]
    asked = provider.aliases.get(asked, asked)
    for record in provider.orders.values():
        if record["collectionId"] == asked:
            return success(_entry(provider, record))
    return failure(404, "RESOURCE_NOT_FOUND")


def _page(provider: Provider, request: Received, key: str, found: list[Json]) -> Reply:
    page = int(request.query.get("page", "1"))
    size = provider.page_size or int(request.query.get("limit", "20"))
    shape = ("currentPage", "itemsPerPage") if provider.table_pagination else ("page", "perPage")
    counts = {
        shape[0]: page,
        shape[1]: size,
        "totalItems": len(found),
        "totalPages": -(-len(found) // size),
    }
    return success({key: found[(page - 1) * size : page * size], "pagination": counts})


def _list(provider: Provider, request: Received) -> Reply:
    found = [
        _entry(provider, record)
        for record in provider.orders.values()
        if request.query.get("orderId", "") in (record["orderId"] or "")
        and request.query.get("status", record["status"]) == record["status"]
    ]
    return _page(provider, request, "collections", found)


def _refund(provider: Provider, request: Received) -> Reply:
    batch = request.path.split("/")[2]
    asked = request.json()
    record = next((r for r in provider.orders.values() if r["collectionId"] == batch), None)
    if record is None:
        return failure(404, "RESOURCE_NOT_FOUND")
    if any(refund["collectionId"] == batch for refund in provider.refunds):
        return failure(400, "ALREADY_REFUNDED", "This collection has its refund")
    amount = Decimal(asked["amount"]) if asked["mode"] == "PARTIAL" else record["netAmount"]
    refund: Json = {
        "refundId": f"RFD{len(provider.refunds) + 1:04}",
        "collectionId": batch,
        "amount": amount,
        "currency": "USD",
        "reason": asked.get("reason", "CUSTOMER_REQUEST"),
        "status": "PENDING",
        "createdAt": record["createdAt"],
    }
    provider.refunds.append(refund)
    return success(refund, 201)


def _refunds(provider: Provider, request: Received) -> Reply:
    wanted = request.query.get("collectionId")
    found = [r for r in provider.refunds if wanted in (None, r["collectionId"])]
    return _page(provider, request, "refunds", found)


ROUTES = {
    "POST /auth/refresh": _refresh,
    "POST /auth/revoke": _revoke,
    "POST /collections": _create,
    "GET /collections": _list,
    "GET /collections/{id}": _get,
    "POST /collections/{id}/refund": _refund,
    "GET /refunds": _refunds,
}
