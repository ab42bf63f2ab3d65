"""Webhooks on their way: shapes, signatures, the schedule, and faults."""

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from paycollect.sandbox import (
    Delivery,
    RefusedError,
    Sandbox,
    duplicated,
    old_secret,
    reordered,
    wrongly_signed,
)
from paycollect.status import PaymentStatus
from tests.sandbox.conftest import Caller, Merchant

SAMPLES = Path(__file__).parents[2] / "data" / "samples"


def _sample(name: str) -> Any:
    return json.loads((SAMPLES / name).read_text())


def _order(merchant: Merchant, order_id: str = "INV-001", **other: Any) -> dict[str, Any]:
    order = {"amount": 25, "orderId": order_id, "description": "Plan", "webhookUrl": merchant.url}
    return order | other


async def _pay(sandbox: Sandbox, merchant: Merchant, order_id: str = "INV-001") -> str:
    record = await sandbox.create(_order(merchant, order_id))
    await sandbox.pay(record.collection_id)
    await sandbox.drained()
    return record.collection_id


def _is_signed(body: bytes, secret: str) -> bool:
    """Prove the raw scheme without any code of the project."""
    message = body.partition(b'"data":')[2][:-1]
    sign = hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()
    return bool(json.loads(body)["sign"] == sign)


async def test_a_payment_is_told_to_the_merchant(sandbox: Sandbox, merchant: Merchant) -> None:
    """One event, with the members of the provider's event page."""
    collection_id = await _pay(sandbox, merchant)
    (event,) = merchant.events
    assert list(event) == ["event", "version", "eventId", "sign", "data"]
    assert (event["event"], event["version"]) == ("collection.received", "3.0")
    sample = _sample("webhook_collection_received_v2.json")["data"]
    assert list(event["data"]) == list(sample)
    assert event["data"]["reference"] == collection_id
    assert event["data"]["charge"] == Decimal("0.75")


async def test_the_concept_shape_is_the_other_one(merchant: Merchant) -> None:
    """Another event name, and the members of the concept page."""
    async with Sandbox(shapes="concept") as sandbox:
        await _pay(sandbox, merchant)
    (event,) = merchant.events
    assert event["event"] == "collection.completed"
    sample = _sample("webhook_collection_completed_bare.json")["data"]
    assert list(event["data"]) == list(sample)


async def test_the_older_envelope_has_no_event_id(merchant: Merchant) -> None:
    """As on the provider's event pages."""
    async with Sandbox(envelope="2.0") as sandbox:
        await _pay(sandbox, merchant)
    assert list(merchant.events[0]) == ["event", "version", "sign", "data"]
    assert merchant.events[0]["version"] == "2.0"


async def test_the_raw_scheme_signs_the_bytes_of_data(sandbox: Sandbox, merchant: Merchant) -> None:
    """With money as it stands there: 25.00."""
    await _pay(sandbox, merchant)
    assert b'"amount":25.00,' in merchant.bodies[0]
    assert _is_signed(merchant.bodies[0], sandbox.webhook_secret)


@pytest.mark.parametrize(
    ("scheme", "options"),
    [
        ("compact", {"ensure_ascii": False}),
        ("php", {"ensure_ascii": True}),
    ],
)
async def test_the_other_schemes_sign_another_text(
    merchant: Merchant, scheme: Any, options: dict[str, bool]
) -> None:
    """Numbers without needless zeros, and for php slashes and letters escaped."""
    async with Sandbox(scheme=scheme) as sandbox:
        await _pay(sandbox, merchant, "ÄÖ/1")
    event = json.loads(merchant.bodies[0])
    data = event["data"] | {"amount": 25}
    message = json.dumps(data, separators=(",", ":"), **options)  # type: ignore[arg-type]  # bools
    if scheme == "php":
        message = message.replace("/", "\\/")
    key = sandbox.webhook_secret.encode()
    assert event["sign"] == hmac.new(key, message.encode(), hashlib.sha256).hexdigest()
    assert not _is_signed(merchant.bodies[0], sandbox.webhook_secret)


async def test_other_states_are_told_if_asked_for(merchant: Merchant) -> None:
    """By default only what the provider documents as told after payment."""
    async with Sandbox(announce=PaymentStatus, time_scale=0) as sandbox:
        for order_id, step in (
            ("A", sandbox.pay),
            ("B", sandbox.decline),
            ("C", sandbox.cancel),
            ("D", sandbox.expire),
        ):
            await step((await sandbox.create(_order(merchant, order_id))).collection_id)
            await sandbox.drained()
    told = [(event["event"], event["data"]["status"]) for event in merchant.events]
    assert sorted(set(told)) == [
        ("collection.cancelled", "CANCELLED"),
        ("collection.expired", "EXPIRED"),
        ("collection.failed", "FAILED"),
        ("collection.initiated", "PENDING"),
        ("collection.received", "COMPLETED"),
    ]


async def test_a_session_that_expires_by_itself_is_told(merchant: Merchant) -> None:
    """Nobody has to ask: the sandbox keeps its own time."""
    async with Sandbox(announce=[PaymentStatus.EXPIRED], time_scale=0) as sandbox:
        await sandbox.create(_order(merchant))
        sandbox.clock.advance(3600)
        await merchant.arrived()
    assert merchant.events[0]["event"] == "collection.expired"


async def test_the_initiated_event_is_as_the_sample(merchant: Merchant) -> None:
    """With the checkout URL and the end of the session."""
    async with Sandbox(announce=[PaymentStatus.PENDING]) as sandbox:
        await sandbox.create(_order(merchant))
        await sandbox.drained()
    sample = _sample("webhook_collection_initiated_v2.json")["data"]
    assert list(merchant.events[0]["data"]) == list(sample)


async def test_a_pending_concept_event_has_no_payer(merchant: Merchant) -> None:
    """There is none yet."""
    async with Sandbox(announce=[PaymentStatus.PENDING], shapes="concept") as sandbox:
        await sandbox.create(_order(merchant))
        await sandbox.drained()
    assert "payer" not in merchant.events[0]["data"]


async def test_a_refund_is_told(sandbox: Sandbox, merchant: Merchant) -> None:
    """The provider names the event without a sample; the refund's id and amount are in `data`."""
    refund = await sandbox.refund(await _pay(sandbox, merchant), Decimal(10))
    await sandbox.drained()
    event = merchant.events[1]
    assert (event["event"], event["data"]["status"]) == ("refund.completed", "PARTIALLY_REFUNDED")
    assert event["data"]["refundId"] == refund.refund_id
    assert event["data"]["refundedAmount"] == 10


async def test_the_url_of_the_collection_comes_first(call: Caller, merchant: Merchant) -> None:
    """The configured one serves collections without their own."""
    await call("PUT", "/webhooks", {"webhookUrl": merchant.url})
    await call.sandbox.pay(await call.create(orderId="A"))
    await call.sandbox.pay(await call.create(orderId="B", webhookUrl="http://localhost:9/other"))
    assert [delivery.url for delivery in call.sandbox.deliveries] == [
        merchant.url, "http://localhost:9/other",
    ]  # fmt: skip


async def test_without_a_url_nothing_is_delivered(sandbox: Sandbox) -> None:
    """There is nowhere to go."""
    record = await sandbox.create({"amount": 25, "orderId": "A", "description": "Plan"})
    await sandbox.pay(record.collection_id)
    assert sandbox.deliveries == []


async def test_a_failed_delivery_is_retried_after_1_5_and_30_minutes(
    sandbox: Sandbox, merchant: Merchant
) -> None:
    """Four attempts with the same event, then it is given up."""
    merchant.answers = [500, 404, 302, 401]
    await _pay(sandbox, merchant)
    (delivery,) = sandbox.deliveries
    for wait in (60, 300, 1800):
        count = len(merchant.bodies)
        assert delivery.next_attempt_at is not None
        sandbox.clock.advance(wait - 1)
        await sandbox.drained()
        assert (len(merchant.bodies), delivery.state) == (count, "waiting")
        sandbox.clock.advance(1)
        await sandbox.drained()
        assert len(merchant.bodies) == count + 1
    assert (delivery.state, delivery.next_attempt_at) == ("failed", None)
    assert [attempt.status for attempt in delivery.attempts] == [500, 404, 302, 401]
    assert len({event["eventId"] for event in merchant.events}) == 1


async def test_a_retry_that_is_taken_is_the_last(sandbox: Sandbox, merchant: Merchant) -> None:
    """Any 2xx will do."""
    merchant.answers = [503, 204]
    await _pay(sandbox, merchant)
    sandbox.clock.advance(60)
    await sandbox.drained()
    assert sandbox.deliveries[0].state == "delivered"
    sandbox.clock.advance(3600)
    await sandbox.drained()
    assert len(merchant.bodies) == 2


async def test_time_can_be_compressed(merchant: Merchant) -> None:
    """At scale 100,000 the minute before the retry takes under a millisecond."""
    merchant.answers = [500]
    async with Sandbox(time_scale=100_000) as sandbox:
        await _pay(sandbox, merchant)
        await merchant.arrived(2)


async def test_an_attempt_is_on_record(sandbox: Sandbox, merchant: Merchant) -> None:
    """What was sent, and what came back."""
    await _pay(sandbox, merchant)
    (attempt,) = sandbox.deliveries[0].attempts
    assert (attempt.status, attempt.answer, attempt.error) == (200, "noted", "")
    assert attempt.body.encode() == merchant.bodies[0]
    assert attempt.succeeded


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/", "http://a..b/"])
async def test_a_service_that_cannot_be_reached_is_a_failed_attempt(
    sandbox: Sandbox, url: str
) -> None:
    """The reason is on record, and the schedule goes on."""
    order = {"amount": 25, "orderId": "A", "description": "Plan", "webhookUrl": url}
    await sandbox.pay((await sandbox.create(order)).collection_id)
    await sandbox.drained()
    (delivery,) = sandbox.deliveries
    assert delivery.state == "waiting"
    assert delivery.attempts[0].status is None
    assert delivery.attempts[0].error


async def test_a_service_that_is_too_slow_has_failed(merchant: Merchant) -> None:
    """The limit is 10 real seconds, shortened here."""
    merchant.gate = asyncio.Event()
    async with Sandbox(answer_limit=0.01, time_scale=0) as sandbox:
        await _pay(sandbox, merchant)
        assert sandbox.deliveries[0].attempts[0].error == "no answer within 0.01 s"
        merchant.gate.set()


async def test_closing_drops_what_is_under_way(merchant: Merchant) -> None:
    """A slow merchant does not hold the sandbox up."""
    merchant.gate = asyncio.Event()
    async with Sandbox() as sandbox:
        await sandbox.pay((await sandbox.create(_order(merchant))).collection_id)
        await merchant.arrived()
    merchant.gate.set()


async def _delivery(sandbox: Sandbox, merchant: Merchant) -> Delivery:
    await _pay(sandbox, merchant)
    return sandbox.deliveries[0]


async def test_a_delivery_can_be_made_again(sandbox: Sandbox, merchant: Merchant) -> None:
    """The same event, at once, even if it was taken before."""
    delivery = await _delivery(sandbox, merchant)
    await sandbox.redeliver(delivery.delivery_id)
    await sandbox.drained()
    first, second = merchant.bodies
    assert first == second
    assert len(delivery.attempts) == 2


async def test_a_redelivery_starts_the_schedule_anew(sandbox: Sandbox, merchant: Merchant) -> None:
    """And takes the place of the retry that was waiting."""
    merchant.answers = [500, 500]
    delivery = await _delivery(sandbox, merchant)
    sandbox.clock.advance(30)
    await sandbox.redeliver(delivery.delivery_id)
    await sandbox.drained()
    sandbox.clock.advance(59)
    await sandbox.drained()
    assert len(merchant.bodies) == 2
    sandbox.clock.advance(1)
    await sandbox.drained()
    assert (len(merchant.bodies), delivery.state) == (3, "delivered")


async def test_an_unknown_delivery_cannot_be_made_again(sandbox: Sandbox) -> None:
    """It is not found."""
    with pytest.raises(RefusedError, match="not found"):
        await sandbox.redeliver(1)


async def test_a_delivery_under_way_cannot_be_made_again(
    sandbox: Sandbox, merchant: Merchant
) -> None:
    """One attempt at a time."""
    merchant.gate = asyncio.Event()
    await sandbox.pay((await sandbox.create(_order(merchant))).collection_id)
    await merchant.arrived()
    with pytest.raises(RefusedError, match="being sent"):
        await sandbox.redeliver(1)
    merchant.gate.set()
    await sandbox.drained()


async def test_a_webhook_can_come_twice(sandbox: Sandbox, merchant: Merchant) -> None:
    """Byte for byte the same."""
    sandbox.faults.next("webhook", duplicated())
    delivery = await _delivery(sandbox, merchant)
    assert merchant.bodies[0] == merchant.bodies[1]
    assert [attempt.fault for attempt in delivery.attempts] == ["duplicated", "duplicated"]


async def test_webhooks_can_come_in_the_wrong_order(sandbox: Sandbox, merchant: Merchant) -> None:
    """The first is held back until the second is through."""
    sandbox.faults.next("webhook collection.received", reordered())
    first, second = await _pay(sandbox, merchant, "A"), await _pay(sandbox, merchant, "B")
    assert [event["data"]["reference"] for event in merchant.events] == [second, first]


async def test_a_webhook_is_held_back_for_a_minute_at_most(
    sandbox: Sandbox, merchant: Merchant
) -> None:
    """If no other follows, it goes alone."""
    sandbox.faults.next("webhook", reordered())
    await _pay(sandbox, merchant)
    assert merchant.bodies == []
    sandbox.clock.advance(60)
    await sandbox.drained()
    assert len(merchant.bodies) == 1


async def test_a_webhook_can_be_forged(sandbox: Sandbox, merchant: Merchant) -> None:
    """Its retry is genuine again."""
    merchant.answers = [401]
    sandbox.faults.next("webhook", wrongly_signed())
    await _pay(sandbox, merchant)
    assert not _is_signed(merchant.bodies[0], sandbox.webhook_secret)
    sandbox.clock.advance(60)
    await sandbox.drained()
    assert _is_signed(merchant.bodies[1], sandbox.webhook_secret)


async def test_a_webhook_can_be_signed_with_the_old_secret(
    call: Caller, merchant: Merchant
) -> None:
    """As one that was under way while the secret was replaced."""
    old = call.sandbox.webhook_secret
    await call("POST", "/webhooks/secret/regenerate")
    call.sandbox.faults.next("webhook", old_secret())
    await _pay(call.sandbox, merchant)
    assert _is_signed(merchant.bodies[0], old)
    await _pay(call.sandbox, merchant, "B")
    assert _is_signed(merchant.bodies[1], call.sandbox.webhook_secret)


async def test_a_test_delivery_can_be_sent_anywhere(sandbox: Sandbox, merchant: Merchant) -> None:
    """To a URL of one's own, without configuring it."""
    assert await sandbox.send_test(url=merchant.url)
    assert merchant.events[0]["data"]["_test"] is True


async def test_a_test_delivery_without_a_url_is_refused(sandbox: Sandbox) -> None:
    """There is nowhere to send it to."""
    with pytest.raises(RefusedError) as refusal:
        await sandbox.send_test("collection.initiated")
    assert list(refusal.value.fields) == ["url"]


@pytest.fixture
async def closed() -> AsyncIterator[Sandbox]:
    """A sandbox that was never opened."""
    sandbox = Sandbox()
    yield sandbox
    await sandbox.aclose()


async def test_a_closed_sandbox_sends_nothing(closed: Sandbox) -> None:
    """A clear error instead of a delivery that never ends."""
    with pytest.raises(RuntimeError, match="not running"):
        await closed.send_test(url="http://localhost:9/")


async def test_closing_ends_the_wait_for_deliveries(merchant: Merchant) -> None:
    """Whoever waits for them is not left waiting."""
    merchant.gate = asyncio.Event()
    async with Sandbox(time_scale=0) as sandbox:
        await sandbox.pay((await sandbox.create(_order(merchant))).collection_id)
        await merchant.arrived()
        waiting = asyncio.create_task(sandbox.drained())
        await asyncio.sleep(0)
    await waiting
    merchant.gate.set()


async def test_no_redirect_is_followed(
    sandbox: Sandbox, merchant: Merchant, http: aiohttp.ClientSession
) -> None:
    """A redirect is not a 2xx, and must not carry the event elsewhere."""
    merchant.answers = [307]
    await _pay(sandbox, merchant)
    assert len(merchant.bodies) == 1
    assert sandbox.deliveries[0].state == "waiting"
