"""The provider's API as an OpenAPI 3.1 document, as the sandbox speaks it.

Both published shapes are in it, as alternatives: a client that is generated from the document
understands either. Invariants: pure; a test holds it to the endpoints and to what they answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from paycollect.sandbox.options import SHORTEST_APP_ID, SHORTEST_SECRET
from paycollect.sandbox.provider.endpoints import ENDPOINTS
from paycollect.sandbox.provider.events import TESTABLE_EVENTS
from paycollect.sandbox.provider.records import REFUND_REASONS
from paycollect.status import PaymentStatus, RefundStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Schema = dict[str, Any]

_TEXT: Final[Schema] = {"type": "string"}
_MAYBE_TEXT: Final[Schema] = {"type": ["string", "null"]}
_MONEY: Final[Schema] = {"type": "number", "description": "USD"}
_WHOLE: Final[Schema] = {"type": "integer"}
_FLAG: Final[Schema] = {"type": "boolean"}
_INSTANT: Final[Schema] = {"type": "string", "format": "date-time"}
_MAYBE_INSTANT: Final[Schema] = {"type": ["string", "null"], "format": "date-time"}
_OBJECT: Final[Schema] = {"type": "object"}
_SHORT_TEXT: Final[Schema] = {"type": "string", "maxLength": 100, "pattern": r"\S"}
_URL: Final[Schema] = {"type": "string", "format": "uri", "maxLength": 2048}
_MAYBE_URL: Final[Schema] = {**_URL, "type": ["string", "null"]}
_STATUS: Final[Schema] = {"type": "string", "examples": list(PaymentStatus)}
_REFUND_STATUS: Final[Schema] = {"type": "string", "examples": list(RefundStatus)}


def _object(members: Mapping[str, Schema], **optional: Schema) -> Schema:
    return {"type": "object", "required": list(members), "properties": {**members, **optional}}


def _list(entry: Schema) -> Schema:
    return {"type": "array", "items": entry}


def _one_of(values: Iterable[str]) -> Schema:
    return {"enum": list(values)}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


_AMOUNTS: Final = {"amount": _MONEY, "fee": _MONEY, "netAmount": _MONEY, "currency": _TEXT}
_NAMES: Final = {"collectionId": _TEXT, "reference": _TEXT, "orderId": _TEXT}
_ENTRY: Final = {
    **_NAMES,
    "batch": _TEXT,
    **_AMOUNTS,
    "status": _STATUS,
    "completedAt": _MAYBE_INSTANT,
    "createdAt": _INSTANT,
}
_REFUND: Final = {
    "refundId": _TEXT,
    "collectionId": _TEXT,
    "amount": _MONEY,
    "currency": _TEXT,
    "reason": _TEXT,
    "reasonDescription": _TEXT,
    "status": _REFUND_STATUS,
    "createdAt": _INSTANT,
}
_CONFIG: Final = {"webhookUrl": _MAYBE_TEXT, "isConfigured": _FLAG, "hasWebhookSecret": _FLAG}
_PAGING: Final[Schema] = {
    "anyOf": [
        _object(dict.fromkeys((at, size, "totalItems", "totalPages"), _WHOLE))
        for at, size in (("page", "perPage"), ("currentPage", "itemsPerPage"))
    ]
}
_SCHEMAS: Final[dict[str, Schema]] = {
    "Credentials": _object(
        {
            "appId": {"type": "string", "minLength": SHORTEST_APP_ID},
            "secretKey": {"type": "string", "minLength": SHORTEST_SECRET},
            "grantType": {"const": "client_credentials"},
        }
    ),
    "Token": _object(
        {
            "accessToken": _TEXT,
            "tokenType": {"const": "Bearer"},
            "expiresIn": _WHOLE,
            "expiresAt": _INSTANT,
            "appType": _TEXT,
            "scopes": _list(_TEXT),
        }
    ),
    "Revoked": _object({"revoked": _FLAG}),
    "NewCollection": _object(
        {
            "amount": {"type": "number", "minimum": 1, "maximum": 10_000_000},
            "orderId": {**_SHORT_TEXT, "description": "Unique; a repeat answers 409."},
            "description": _SHORT_TEXT,
        },
        currency={"description": "Whatever it is, USD is charged."},
        callbackUrl={**_MAYBE_URL, "description": "Where the browser returns to; not signed."},
        webhookUrl=_MAYBE_URL,
        metadata={"type": ["object", "null"]},
    ),
    "CreatedCollection": _object(
        {**_NAMES, **_AMOUNTS, "status": _STATUS, "checkoutUrl": _TEXT, "expiresAt": _INSTANT}
    ),
    "Collection": _object(
        {
            **_ENTRY,
            "description": _TEXT,
            "payer": {"type": ["object", "null"]},
            "refunds": _object(
                {"totalRefunded": _MONEY, "remainingRefundable": _MONEY, "count": _WHOLE}
            ),
            "metadata": _OBJECT,
            "callbackUrl": _MAYBE_TEXT,
            "webhookUrl": _MAYBE_TEXT,
            "expiresAt": _INSTANT,
        },
        statusReason=_MAYBE_TEXT,
        checkoutUrl=_TEXT,
    ),
    "CollectionEntry": _object(
        {**_ENTRY, "payerName": _MAYBE_TEXT}, payerClientId=_MAYBE_TEXT, payerEmail=_MAYBE_TEXT
    ),
    "Collections": _object({"collections": _list(_ref("CollectionEntry")), "pagination": _PAGING}),
    "NewRefund": _object(
        {},
        mode={"enum": ["FULL", "PARTIAL", None], "default": "FULL"},
        amount={"description": "A number; looked at with PARTIAL only. At most the net amount."},
        reason={"enum": [*REFUND_REASONS, None], "default": "CUSTOMER_REQUEST"},
    ),
    "Refund": _object(
        {**_REFUND, "recipient": _object({"clientId": _MAYBE_TEXT, "name": _MAYBE_TEXT})}
    ),
    "RefundEntry": _object({**_REFUND, "completedAt": _MAYBE_INSTANT}),
    "Refunds": _object({"refunds": _list(_ref("RefundEntry")), "pagination": _PAGING}),
    "RefundReasons": _object({"reasons": _list(_object({"code": _TEXT, "description": _TEXT}))}),
    "Pricing": _object(
        {
            "appType": _TEXT,
            "fees": _list(
                _object(
                    {
                        "code": _TEXT,
                        "name": _TEXT,
                        "type": _one_of(["FIXED", "PERCENTAGE"]),
                        "rate": {"type": "number"},
                        "minFee": {"type": ["number", "null"]},
                        "maxFee": {"type": ["number", "null"]},
                        "isWaived": _FLAG,
                    }
                )
            ),
        }
    ),
    "WebhookConfig": _object({**_CONFIG, "createdAt": _MAYBE_INSTANT, "updatedAt": _MAYBE_INSTANT}),
    "NewWebhookConfig": _object(
        {
            "webhookUrl": {
                "anyOf": [_MAYBE_URL, {"const": ""}],
                "description": 'https; null or "" disables.',
            }
        }
    ),
    "ChangedWebhookConfig": _object(
        _CONFIG,
        webhookSecret={**_TEXT, "description": "Only when a URL is first set."},
        secretNote=_TEXT,
    ),
    "WebhookSecret": _object({"webhookSecret": _TEXT, "regeneratedAt": _INSTANT, "note": _TEXT}),
    "NewTestDelivery": _object({"event": {"enum": list(TESTABLE_EVENTS)}}),
    "TestDelivery": _object(
        {
            "event": _TEXT,
            "webhookUrl": _TEXT,
            "delivered": _FLAG,
            "testData": _OBJECT,
            "note": _TEXT,
            "signature": _OBJECT,
        }
    ),
    "Meta": _object({"requestId": _TEXT, "timestamp": _INSTANT}),
    "Error": _object(
        {
            "success": {"const": False},
            "status": _WHOLE,
            "message": _TEXT,
            "error": _object(
                {"code": _TEXT, "detail": _TEXT},
                fields=_list(_object({"field": _TEXT, "message": _TEXT})),
            ),
            "meta": _ref("Meta"),
        }
    ),
    "EventData": {
        "description": "The part that is signed, in one of the two published forms.",
        "anyOf": [
            _object(
                {"reference": _TEXT, "externalReference": _TEXT, "status": _STATUS},
                charge=_MONEY,
                **dict.fromkeys(("amount", "netAmount"), _MONEY),
            ),
            _object({**_NAMES, **_AMOUNTS, "status": _STATUS}, payer=_OBJECT),
        ],
    },
    "WebhookEvent": _object(
        {"event": _TEXT, "version": _TEXT, "sign": _TEXT, "data": _ref("EventData")},
        eventId={"type": "string", "format": "uuid"},
    ),
}

_PAGES: Final[dict[str, Schema]] = {
    "page": {"type": "integer", "minimum": 1, "maximum": 1_000_000, "default": 1},
    "limit": {"type": "integer", "minimum": 1, "maximum": 100, "default": 20},
    "dateFrom": {"type": "string", "format": "date"},
    "dateTo": {"type": "string", "format": "date"},
}


class _Operation(NamedTuple):
    """Its id, the body that it takes, what its `data` is, its own query and errors."""

    operation_id: str
    body: str | None
    data: str
    query: dict[str, Schema]
    errors: tuple[int, ...]


_OPERATIONS: Final = {
    "POST /auth/token": _Operation("issueToken", "Credentials", "Token", {}, (400, 401)),
    "POST /auth/refresh": _Operation("refreshToken", None, "Token", {}, (401,)),
    "POST /auth/revoke": _Operation("revokeToken", None, "Revoked", {}, (401,)),
    "POST /collections": _Operation(
        "createCollection", "NewCollection", "CreatedCollection", {}, (400, 409)
    ),
    "GET /collections": _Operation(
        "listCollections",
        None,
        "Collections",
        {
            **_PAGES,
            "status": _one_of(PaymentStatus),
            "orderId": {**_TEXT, "description": "Part of it will do."},
            "reference": {**_TEXT, "description": "Part of it will do."},
        },
        (400,),
    ),
    "GET /collections/{collectionId}": _Operation("getCollection", None, "Collection", {}, (404,)),
    "POST /collections/{collectionId}/refund": _Operation(
        "createRefund",
        "NewRefund",
        "Refund",
        {},
        (400, 402, 404, 409),
    ),
    "GET /refunds": _Operation(
        "listRefunds",
        None,
        "Refunds",
        {**_PAGES, "status": _one_of(RefundStatus), "collectionId": _TEXT},
        (400,),
    ),
    "GET /refunds/reasons": _Operation("listRefundReasons", None, "RefundReasons", {}, ()),
    "GET /account/pricing": _Operation("getPricing", None, "Pricing", {}, ()),
    "GET /webhooks": _Operation("getWebhookConfig", None, "WebhookConfig", {}, ()),
    "PUT /webhooks": _Operation(
        "setWebhookConfig", "NewWebhookConfig", "ChangedWebhookConfig", {}, (400,)
    ),
    "POST /webhooks/secret/regenerate": _Operation(
        "regenerateSecret", None, "WebhookSecret", {}, ()
    ),
    "POST /webhooks/test": _Operation(
        "sendTestWebhook", "NewTestDelivery", "TestDelivery", {}, (400,)
    ),
}


def document(base_url: str) -> Schema:
    """Describe the API that is served at a base URL."""
    paths: dict[str, Schema] = {}
    for endpoint in ENDPOINTS:
        operation = _operation(f"{endpoint.method} {endpoint.path}", endpoint.scope)
        operation["summary"] = (endpoint.handle.__doc__ or "").partition("\n")[0]
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Hosted checkout, as the paycollect sandbox speaks it",
            "version": "3",
            "description": (
                "Unofficial: made from the provider's public documentation. Where its pages"
                " contradict each other, both readings are in here."
            ),
        },
        "servers": [{"url": base_url}],
        "paths": paths,
        "webhooks": {
            "collection": {
                "post": {
                    "summary": "What happened to a collection; answer 2xx within 10 seconds.",
                    "requestBody": _body("WebhookEvent"),
                    "responses": {"200": {"description": "Taken; it is not sent again."}},
                }
            }
        },
        "components": {
            "schemas": _SCHEMAS,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(name: str, scope: str | None) -> Schema:
    operation_id, body, data, query, errors = _OPERATIONS[name]
    parameters: list[Schema] = [
        {"name": key, "in": "query", "schema": schema} for key, schema in query.items()
    ]
    if "{collectionId}" in name:
        place = {"name": "collectionId", "in": "path", "required": True, "schema": _TEXT}
        parameters.append(place)
    refusals = sorted({*errors, *((401, 403) if scope else ()), 413})
    success = "201" if data in {"CreatedCollection", "Refund"} else "200"
    responses = {success: _response("Done.", _envelope(data))}
    responses |= {str(status): _response("Refused.", _ref("Error")) for status in refusals}
    return {
        "operationId": operation_id,
        "parameters": parameters,
        **({"requestBody": _body(body)} if body else {}),
        "responses": responses,
        "security": [] if name == "POST /auth/token" else [{"token": []}],
    }


def _envelope(data: str) -> Schema:
    return _object(
        {
            "success": {"const": True},
            "status": _WHOLE,
            "message": _TEXT,
            "data": _ref(data),
            "meta": _ref("Meta"),
        }
    )


def _body(schema: str) -> Schema:
    return {"required": True, "content": {"application/json": {"schema": _ref(schema)}}}


def _response(description: str, schema: Schema) -> Schema:
    return {"description": description, "content": {"application/json": {"schema": schema}}}
