"""Two processes of a Django shop, each with several threads, at the same instant."""

from __future__ import annotations

from typing import Any

import pytest
from asgiref.sync import sync_to_async

from paycollect.sandbox import Sandbox
from tests.cashier.django.world import rows
from tests.cashier.test_races import racing


@pytest.mark.timeout(120)
async def test_one_checkout_and_one_delivery(place: str, django: None) -> None:
    """Created many times, it is one checkout; told by all ways at once, it is delivered once."""
    async with Sandbox() as sandbox:
        sandbox.provider.webhooks.url = "https://shop.example/webhook"
        sent: list[Any] = []
        sandbox.provider.send = sent.append
        env = {
            "PROJECT_DATABASE": place,
            "PAYCOLLECT_APP_ID": sandbox.app_id,
            "PAYCOLLECT_SECRET_KEY": sandbox.secret_key,
            "PAYCOLLECT_WEBHOOK_SECRET": sandbox.webhook_secret,
            "PAYCOLLECT_BASE_URL": sandbox.base_url,
        }
        async with racing("tests.cashier.django.project.race", env=env) as go:
            told = await go("create\n")
            (record,) = sandbox.collections
            assert set().union(*told) == {record.collection_id}, told
            await sandbox.pay(record.collection_id)
            body = sandbox.provider.webhook_body(sent[0].event)
            told = await go(f"{body.hex()} {record.collection_id}\n")
            assert set().union(*told) == {"Answer", "Returned", "Done"}, told
    ask = sync_to_async(rows)
    assert await ask("SELECT order_id FROM parcel") == [("A",)]
    assert await ask("SELECT state, held_reason FROM paycollect_order") == [("fulfilled", "")]
