"""The provider without HTTP: a request in, an answer out."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from paycollect import ipn
from paycollect.sandbox import Provider, SandboxOptions, Webhook

ORDER = {"amount": 25, "orderId": "INV-001", "description": "Plan", "webhookUrl": "http://shop/"}


class World:
    """A provider at a time that is told by hand, and what it wants to tell the merchant."""

    def __init__(self, **options: Any) -> None:
        self.now = datetime(2026, 1, 8, 11, 30, tzinfo=UTC)
        self.webhooks: list[Webhook] = []
        self.provider = Provider(
            SandboxOptions(**options), lambda: self.now, send=self.webhooks.append
        )
        credentials = {
            "appId": self.provider.options.app_id,
            "secretKey": self.provider.options.secret_key,
            "grantType": "client_credentials",
        }
        self.token = ""
        self.token = self("POST", "/auth/token", credentials)["data"]["accessToken"]

    def __call__(self, method: str, target: str, body: object = None) -> Any:
        """Ask, and give the answer's JSON."""
        payload = b"" if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self.token}"}
        reply = self.provider.answer(method, target, headers, payload)
        answer = json.loads(reply.body, parse_float=Decimal)
        assert answer["status"] == reply.status
        assert reply.headers["Content-Type"] == "application/json"
        return answer


def test_a_payment_needs_no_server() -> None:
    """Created, paid, told, and found in the list."""
    world = World()
    created = world("POST", "/collections", ORDER)["data"]
    world.provider.ledger.pay(created["collectionId"])
    (webhook,) = world.webhooks
    body = world.provider.webhook_body(webhook.event)
    event = ipn.parse_webhook(body, secret=world.provider.webhooks.secret)
    assert (webhook.url, event.order_id, event.status) == ("http://shop/", "INV-001", "COMPLETED")
    found = world("GET", "/collections?orderId=INV-001&orderId=X&status=COMPLETED")["data"]
    assert [entry["collectionId"] for entry in found["collections"]] == [created["collectionId"]]


def test_time_is_the_callers() -> None:
    """A session is over when the caller says so."""
    world = World()
    collection_id = world("POST", "/collections", ORDER)["data"]["collectionId"]
    world.now += timedelta(hours=1)
    assert world("GET", f"/collections/{collection_id}")["data"]["status"] == "EXPIRED"


def test_a_test_delivery_counts_as_taken() -> None:
    """It is handed over like any other."""
    world = World()
    world("PUT", "/webhooks", {"webhookUrl": "https://shop.example/hook"})
    answer = world("POST", "/webhooks/test", {"event": "collection.received"})
    assert answer["data"]["delivered"] is True
    assert [webhook.url for webhook in world.webhooks] == ["https://shop.example/hook"]


def test_what_nobody_serves_is_not_found() -> None:
    """Another method, another path, an empty id."""
    world = World()
    for method, target in (("GET", "/nosuch"), ("PATCH", "/collections"), ("GET", "/collections/")):
        assert world(method, target)["message"] == "Endpoint not found"


def test_without_a_listener_nothing_is_told() -> None:
    """A provider whose webhooks nobody wants."""
    world = World()
    quiet = Provider(world.provider.options, lambda: world.now)
    reply = quiet.answer("GET", "/collections", {})
    assert reply.status == 401
    record = quiet.ledger.create(world.provider.ledger[_create(world)].order)
    quiet.ledger.pay(record.collection_id)
    assert quiet.checkout_url(record.collection_id).startswith("http://127.0.0.1/sci/checkout")


def _create(world: World) -> str:
    return str(world("POST", "/collections", ORDER)["data"]["collectionId"])
