"""Mistakes of the caller: named by field, in a TypeError or ValueError, and nothing is sent."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from paycollect import SessionManager
from tests.provider.mistakes import (
    AMOUNTS,
    DAYS,
    DOCUMENTS,
    IDS,
    LONG,
    NUMBERS,
    SECONDS,
    TEXTS,
    URLS,
    Bad,
)
from tests.provider.server import Provider

CREATE = {"amount": 25, "order_id": "INV-001", "description": "Plan"}
OPTIONS: dict[str, Bad] = {
    "timeout": SECONDS,
    "deadline": SECONDS,
    "retry": [(3, TypeError), ("x", TypeError)],
}
MISTAKES: dict[str, tuple[dict[str, Any], dict[str, Bad]]] = {
    "create_checkout": (
        CREATE,
        {
            "amount": [*AMOUNTS, ("0.99", ValueError), (Decimal("0.99"), ValueError), (None, TypeError)],
            "order_id": TEXTS,
            "description": TEXTS,
            "currency": [("EUR", ValueError), ("usd", ValueError), ("", ValueError), (None, TypeError)],
            "callback_url": URLS,
            "webhook_url": URLS,
            "metadata": DOCUMENTS,
            "if_exists": [("ignore", ValueError), (True, ValueError), (None, ValueError)],
            **OPTIONS,
        },
    ),
    "get_collection": ({"collection_id": "SCI1"}, {"collection_id": IDS, **OPTIONS}),
    "list_collections": (
        {},
        {
            "page": NUMBERS,
            "limit": [*NUMBERS, (101, ValueError)],
            "status": [("", ValueError), (5, TypeError), (LONG, ValueError)],
            "order_id": [value for value in TEXTS if value[0] is not None],
            "reference": [value for value in TEXTS if value[0] is not None],
            "date_from": DAYS,
            "date_to": DAYS,
            **OPTIONS,
        },
    ),
    "find_by_order_id": ({"order_id": "INV-001"}, {"order_id": TEXTS, **OPTIONS}),
    "create_refund": (
        {"collection_id": "SCI1"},
        {
            "collection_id": IDS,
            "amount": [*AMOUNTS, ("0.00", ValueError)],
            "reason": [value for value in TEXTS if value[0] is not None],
            **OPTIONS,
        },
    ),
    "list_refunds": (
        {},
        {
            "page": NUMBERS,
            "limit": NUMBERS,
            "status": [("", ValueError), (5, TypeError)],
            "collection_id": [("", ValueError), (5, TypeError)],
            "date_from": DAYS,
            "date_to": DAYS,
        },
    ),
    "update_webhook_config": (
        {"webhook_url": "https://x.example"},
        {"webhook_url": [*URLS, ("http://shop.example", ValueError)]},
    ),
    "send_test_webhook": ({"event": "x"}, {"event": TEXTS}),
    "request": (
        {"method": "GET", "path": "/x"},
        {
            "method": [("get", ValueError), ("", ValueError), ("TRACE", ValueError), ("GET /", ValueError)],
            "path": [(None, TypeError), (5, TypeError), (b"/x", TypeError)],
            "query": [([1], TypeError), ("a=b", TypeError), ({"a": 1.5}, TypeError), ({5: "a"}, TypeError), ({"a": True}, TypeError), ({"a": "\ud800"}, ValueError)],
            "body": [*DOCUMENTS, ({"a": Decimal("NaN")}, ValueError), ({"a": Decimal("1E+99")}, ValueError)],
        },
    ),
}  # fmt: skip
CASES = [
    pytest.param((method, good, name, value, kind), id=f"{method}-{name}-{number}")
    for method, (good, names) in MISTAKES.items()
    for name, values in names.items()
    for number, (value, kind) in enumerate(values)
]


@pytest.mark.parametrize("mistake", CASES)
async def test_a_mistake_is_named(
    pay: SessionManager,
    provider: Provider,
    mistake: tuple[str, dict[str, Any], str, Any, type[Exception]],
) -> None:
    """A mistake in an argument begins with its name, does not show it, and sends nothing."""
    method, good, name, value, kind = mistake
    with pytest.raises(kind) as caught:
        await getattr(pay, method)(**{**good, name: value})
    assert type(caught.value) is kind
    assert str(caught.value).startswith(f"{name}: ")
    assert len(str(caught.value)) < 200
    assert provider.requests == []


@pytest.mark.parametrize("method", MISTAKES)
async def test_an_unknown_argument(pay: SessionManager, provider: Provider, method: str) -> None:
    """An argument that does not exist is refused by Python's own error."""
    with pytest.raises(TypeError, match="retries"):
        await getattr(pay, method)(**MISTAKES[method][0], retries=5)
    assert provider.requests == []
