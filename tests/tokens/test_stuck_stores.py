"""A token store that does not answer: it costs its patience, not the service."""

from __future__ import annotations

import asyncio

import pytest

from paycollect.models import Token
from paycollect.tokens import keeper
from tests.provider.fixtures import MakeManager
from tests.provider.server import Provider


class StuckStore:
    """A store whose every method hangs."""

    async def load(self) -> Token | None:
        """Never answer."""
        return await asyncio.Future[Token]()

    async def save(self, token: Token) -> None:
        """Never answer."""
        await asyncio.Future[None]()

    async def clear(self) -> None:
        """Never answer."""
        await asyncio.Future[None]()


async def test_a_stuck_store_is_passed_over(
    make: MakeManager,
    provider: Provider,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """After its patience a call goes on without the store, and says so in the log."""
    ask = keeper.TokenKeeper._ask_store.__defaults__
    assert ask == (keeper.LONGEST_STORE_CALL,)
    monkeypatch.setattr(keeper.TokenKeeper._ask_store, "__defaults__", (0.01,))
    await make(token_store=StuckStore()).list_collections()
    assert provider.requests[-1].method == "GET"
    assert caplog.text.count("token store StuckStore failed: TimeoutError") == 2
