"""The rest of the API: lists, look-ups, refunds, prices, webhook settings, undocumented paths."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from paycollect import DecodeError, PaymentStatus, RefundStatus, SessionManager
from paycollect.models import Payer
from tests.provider import faults
from tests.provider.messages import Json, success
from tests.provider.server import Exchange, Provider

SAMPLES = Path(__file__).parent.parent / "data" / "samples"
LIST = "GET /collections"
FEE: Json = {"code": "F", "name": "F", "type": "FIXED", "rate": 1, "isWaived": False}


def says(provider: Provider, key: str, name: str) -> None:
    """Answer the next request of a kind with a published sample."""
    document = json.loads((SAMPLES / f"{name}.json").read_text("utf-8"))
    provider.script(key, faults.answers(success(document["data"])))


async def test_all_collections_across_pages(pay: SessionManager, provider: Provider) -> None:
    """Going through the collections gives each of them, page by page."""
    provider.page_size = 2
    for number in range(5):
        provider.add_order(f"INV-{number}")
    found = [collection.order_id async for collection in pay.iter_collections()]
    assert found == [f"INV-{number}" for number in range(5)]
    assert [request.query["page"] for request in provider.requests[1:]] == ["1", "2", "3"]
    assert {request.query["limit"] for request in provider.requests[1:]} == {"100"}


async def test_no_collections_at_all(pay: SessionManager, provider: Provider) -> None:
    """Where there is nothing, going through it ends after one request."""
    assert [collection async for collection in pay.iter_collections()] == []
    assert provider.count(LIST) == 1


async def test_filters_stay_on_every_page(pay: SessionManager, provider: Provider) -> None:
    """All pages are asked for with the same filters, and with the options of the call."""
    provider.page_size = 1
    for number in range(3):
        provider.add_order(f"INV-{number}", status="COMPLETED" if number else "PENDING")
    iterator = pay.iter_collections(status=PaymentStatus.COMPLETED, timeout=5, deadline=9)
    assert [collection.order_id async for collection in iterator] == ["INV-1", "INV-2"]
    assert [request.query["status"] for request in provider.requests[1:]] == ["COMPLETED"] * 2


async def test_an_entry_that_moves_is_given_once(pay: SessionManager, provider: Provider) -> None:
    """An entry that a newer one pushes to the next page is not given twice."""
    provider.page_size = 2
    for number in range(4):
        provider.add_order(f"INV-{number}")

    async def shifted(exchange: Exchange) -> None:
        provider.orders = {
            "NEW": {**provider.orders["INV-0"], "collectionId": "SCI9"}
        } | provider.orders
        await exchange.send(exchange.commit())

    async def plain(exchange: Exchange) -> None:
        await exchange.send(exchange.commit())

    provider.script(LIST, plain, shifted)
    found = [collection.collection_id async for collection in pay.iter_collections()]
    assert found == ["SCI0001", "SCI0002", "SCI0003", "SCI0004"]


async def test_a_list_that_never_ends_ends(pay: SessionManager, provider: Provider) -> None:
    """A provider that gives the same page for ever does not keep us busy for ever."""
    provider.add_order("INV-1")

    async def same(exchange: Exchange) -> None:
        exchange.request.query["page"] = "1"
        reply = exchange.commit()
        assert isinstance(reply.document, dict)
        reply.document["data"]["pagination"]["totalPages"] = 2
        await exchange.send(reply)

    provider.always(LIST, same)
    async with asyncio.timeout(2):
        assert [one.order_id async for one in pay.iter_collections()] == ["INV-1"]


async def test_leaving_an_iteration_early(pay: SessionManager, provider: Provider) -> None:
    """Who stops going through the collections asks for no further page."""
    provider.page_size = 1
    for number in range(3):
        provider.add_order(f"INV-{number}")
    iterator = pay.iter_collections()
    async for _ in iterator:
        break
    await iterator.aclose()  # type: ignore[attr-defined]  # pyright: ignore
    assert provider.count(LIST) == 1


async def test_find_by_order_id(pay: SessionManager, provider: Provider) -> None:
    """An order is found by its exact id among partial matches, on whatever page."""
    provider.page_size = 1
    for order_id in ("INV-10", "AINV-1", "INV-1"):
        provider.add_order(order_id)
    found = await pay.find_by_order_id("INV-1")
    assert found is not None
    assert (found.order_id, provider.count(LIST)) == ("INV-1", 3)


@pytest.mark.parametrize("others", [[], ["INV-10", "inv-1"]])
async def test_nothing_is_found(pay: SessionManager, provider: Provider, others: list[str]) -> None:
    """An order that is not there is None, whatever else matches in part."""
    for order_id in others:
        provider.add_order(order_id)
    assert await pay.find_by_order_id("INV-1") is None


async def test_a_refund(pay: SessionManager, provider: Provider) -> None:
    """Each field of the refund page arrives under its name."""
    document = json.loads((SAMPLES / "refund_create.json").read_text("utf-8"))
    data = {**document["data"], "collectionId": "SCI1"}
    provider.script("POST /collections/{id}/refund", faults.answers(success(data, 201)))
    refund = await pay.create_refund("SCI1")
    assert (refund.refund_id, refund.collection_id) == ("<string>", "SCI1")
    assert (refund.amount, refund.currency) == (Decimal(123), "<string>")
    assert (refund.reason, refund.reason_description) == ("<string>", "<string>")
    assert refund.status is RefundStatus.PENDING
    assert refund.recipient == Payer(client_id="<string>", name="<string>")
    assert refund.created_at == datetime(2023, 11, 7, 5, 31, 56, tzinfo=UTC)
    assert (refund.completed_at, refund.recovered) == (None, False)


async def test_the_published_list_of_refunds(pay: SessionManager, provider: Provider) -> None:
    """A page of refunds arrives, with a status that nobody knows."""
    says(provider, "GET /refunds", "refund_list")
    page = await pay.list_refunds()
    assert page.items[0].completed_at == datetime(2023, 11, 7, 5, 31, 56, tzinfo=UTC)
    assert (page.items[0].status, page.items[0].status.is_known) == ("<string>", False)
    assert (page.page, page.total_pages) == (123, 123)


@pytest.mark.parametrize("table", [False, True], ids=["schema", "table"])
async def test_all_refunds_across_pages(
    pay: SessionManager, provider: Provider, table: bool
) -> None:
    """Going through the refunds gives each of them, page by page."""
    provider.page_size, provider.table_pagination = 2, table
    for number in range(3):
        provider.add_order(f"INV-{number}", status="COMPLETED")
        await pay.create_refund(f"SCI000{number + 1}")
    found = [refund.collection_id async for refund in pay.iter_refunds()]
    assert found == ["SCI0001", "SCI0002", "SCI0003"]
    one = [refund async for refund in pay.iter_refunds(collection_id="SCI0002", deadline=5)]
    assert [refund.refund_id for refund in one] == ["RFD0002"]


async def test_refund_reasons(pay: SessionManager, provider: Provider) -> None:
    """All reasons of the provider's page arrive, in its order."""
    says(provider, "GET /refunds/reasons", "refund_reasons")
    reasons = await pay.list_refund_reasons()
    assert len(reasons) == 8
    assert (reasons[0].code, reasons[0].description) == ("DUPLICATE_PAYMENT", "Duplicate payment")
    assert reasons[-1].code == "OTHER"


async def test_pricing(pay: SessionManager, provider: Provider) -> None:
    """The price list arrives, and computes."""
    says(provider, "GET /account/pricing", "account_pricing")
    pricing = await pay.get_pricing()
    assert pricing.app_type == "collection"
    fee = pricing.fees[0]
    assert (fee.code, fee.name, fee.type) == ("COLLECTION_FEE", "Collection Fee", "PERCENTAGE")
    assert (fee.rate, fee.min_fee, fee.max_fee, fee.is_waived) == (Decimal(3), None, None, False)
    assert pricing.fee_for("25.00") == Decimal("0.75")


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ({"fees": None}, "data.fees: expected an array"),
        ({"fees": [{}]}, "data.fees[0].code: missing"),
        ({"fees": [FEE, {**FEE, "rate": "free"}]}, "data.fees[1].rate: expected a number"),
        ({"fees": [{**FEE, "isWaived": 1}]}, "data.fees[0].isWaived: expected true or false"),
        ({"fees": [FEE], "appType": 5}, "data.appType: expected a text"),
    ],
)
async def test_an_undocumented_price_list(
    pay: SessionManager, provider: Provider, data: Json, problem: str
) -> None:
    """A price list that is not as documented is named with its place."""
    provider.always("GET /account/pricing", faults.answers(success({"appType": "x", **data})))
    with pytest.raises(DecodeError) as caught:
        await pay.get_pricing()
    assert caught.value.args[0].endswith(problem)


@pytest.mark.parametrize("fees", [{}, "", "x", 5, {"a": FEE}])
async def test_fees_must_be_an_array(pay: SessionManager, provider: Provider, fees: Any) -> None:
    """Fees that are no array are refused, also where they are empty."""
    data = {"appType": "x", "fees": fees}
    provider.always("GET /account/pricing", faults.answers(success(data)))
    with pytest.raises(DecodeError):
        await pay.get_pricing()


async def test_webhook_settings(pay: SessionManager, provider: Provider) -> None:
    """The settings of webhooks arrive, with the secret where it is told."""
    says(provider, "PUT /webhooks", "webhook_config_update")
    config = await pay.update_webhook_config("https://example.com/webhooks/fyatu")
    assert (config.webhook_url, config.is_configured) == (
        "https://example.com/webhooks/fyatu",
        True,
    )
    assert (config.has_webhook_secret, config.created_at) == (True, None)
    assert config.webhook_secret == "whsec_a1b2c3d4e5f6g7h8i9j0k1l2m3n4o5p6"
    assert "whsec" not in repr(config)


async def test_webhook_settings_of_a_new_app(pay: SessionManager, provider: Provider) -> None:
    """An app without a webhook has settings that say so."""
    data: Json = {"webhookUrl": None, "isConfigured": False, "hasWebhookSecret": False}
    times = {"createdAt": "2026-01-15T10:30:00+00:00", "updatedAt": None}
    provider.script("GET /webhooks", faults.answers(success({**data, **times})))
    config = await pay.get_webhook_config()
    assert (config.webhook_url, config.is_configured, config.has_webhook_secret) == (
        None,
        False,
        False,
    )
    assert config.created_at == datetime(2026, 1, 15, 10, 30, tzinfo=UTC)


async def test_a_new_webhook_secret(pay: SessionManager, provider: Provider) -> None:
    """A new secret arrives, and hides from repr."""
    says(provider, "POST /webhooks/secret/regenerate", "webhook_config_regenerate")
    secret = await pay.regenerate_webhook_secret()
    assert secret.webhook_secret == "whsec_x1y2z3a4b5c6d7e8f9g0h1i2j3k4l5m6"
    assert secret.regenerated_at == datetime(2026, 1, 15, 10, 30, tzinfo=UTC)
    assert "whsec" not in repr(secret)


async def test_a_test_delivery(pay: SessionManager, provider: Provider) -> None:
    """The report on a test delivery arrives, with the data that was sent."""
    says(provider, "POST /webhooks/test", "webhook_config_test")
    report = await pay.send_test_webhook("card.created")
    assert (report.event, report.delivered) == ("card.created", True)
    assert report.webhook_url == "https://example.com/webhooks/fyatu"
    assert report.data["_test"] is True
