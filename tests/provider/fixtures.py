"""The provider, the clock and the managers of each test, all gone when it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from paycollect._flows.create import CHECKOUT_URL_FORM
from paycollect.session import SessionManager
from tests.provider.clocks import FakeClock
from tests.provider.messages import APP_ID, SECRET_KEY
from tests.provider.server import Provider

MakeManager = Callable[..., SessionManager]


@pytest.fixture
def clock() -> FakeClock:
    """Give a clock on which nobody waits."""
    return FakeClock()


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    """Give a provider; afterwards no connection to it and no task may be left."""
    async with Provider() as provider:
        yield provider
    await asyncio.sleep(0)
    left = asyncio.all_tasks() - {asyncio.current_task()}
    assert not left


@pytest.fixture
async def make(provider: Provider, clock: FakeClock) -> AsyncIterator[MakeManager]:
    """Give a maker of managers, which are closed in the end."""
    made: list[SessionManager] = []

    def make(**options: Any) -> SessionManager:
        given: dict[str, Any] = {
            "app_id": APP_ID,
            "secret_key": SECRET_KEY,
            "base_url": provider.base_url,
            "clock": clock,
            "checkout_url_form": CHECKOUT_URL_FORM,  # its records need not show the URL
        } | options
        manager = SessionManager(**given)
        made.append(manager)
        return manager

    yield make
    for manager in made:
        await manager.aclose()


@pytest.fixture
def pay(make: MakeManager) -> SessionManager:
    """Give a manager on a clock on which nobody waits."""
    return make()
