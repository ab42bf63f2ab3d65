"""Where tokens are kept: any store, good or bad, costs a token request at most, never a call."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest

from paycollect import MemoryTokenStore, PayCollectError
from paycollect.models import Token
from tests.provider import faults
from tests.provider.clocks import WALL
from tests.provider.fixtures import MakeManager
from tests.provider.messages import APP_ID
from tests.provider.server import Exchange, Provider

TOKEN = "POST /auth/token"


def stored(provider: Provider, **changes: Any) -> Token:
    """Make a token that the provider knows, as a store would give it."""
    provider.tokens.add("tok-stored")
    token = Token(
        access_token="tok-stored",
        expires_at=datetime.fromtimestamp(WALL, UTC) + timedelta(hours=1),
        scopes=frozenset(provider.scopes),
        app_id=APP_ID,
        base_url=provider.base_url,
    )
    return attrs.evolve(token, **changes)


class Store(MemoryTokenStore):
    """A store that holds whatever it is given."""

    def __init__(self, content: Any = None) -> None:
        super().__init__()
        self._token = content


class AsyncStore:
    """A store whose methods are asynchronous."""

    def __init__(self, token: Token | None = None) -> None:
        self.token = token

    async def load(self) -> Token | None:
        """Give the token."""
        await asyncio.sleep(0)
        return self.token

    async def save(self, token: Token) -> None:
        """Keep the token."""
        await asyncio.sleep(0)
        self.token = token

    async def clear(self) -> None:
        """Forget the token."""
        await asyncio.sleep(0)
        self.token = None


class BrokenStore:
    """A store that fails in everything."""

    def load(self) -> Token | None:
        """Fail."""
        raise RuntimeError("secret detail")

    def save(self, token: Token) -> None:
        """Fail."""
        raise OSError("secret detail")

    async def clear(self) -> None:
        """Fail."""
        raise KeyError("secret detail")


class LockingStore(MemoryTokenStore):
    """A store whose lock does as it was told."""

    def __init__(self, trouble: str = "") -> None:
        super().__init__()
        self.trouble = trouble
        self.held = 0

    def lock(self) -> Any:
        """Give the lock."""
        if self.trouble == "lock":
            raise RuntimeError("no lock")
        return self._lock() if self.trouble != "type" else "lock"

    @asynccontextmanager
    async def _lock(self) -> AsyncIterator[None]:
        if self.trouble == "enter":
            raise RuntimeError("no lock")
        self.held += 1
        yield
        self.held -= 1
        if self.trouble == "exit":
            raise RuntimeError("no lock")


async def test_a_stored_token_is_used(make: MakeManager, provider: Provider) -> None:
    """A token in the store spares the request for one."""
    await make(token_store=Store(stored(provider))).list_collections()
    assert provider.token_requests == 0


async def test_a_new_token_is_stored(make: MakeManager, provider: Provider) -> None:
    """A token that was asked for is saved, with its end by the wall clock."""
    store = MemoryTokenStore()
    await make(token_store=store).list_collections()
    token = store.load()
    assert token is not None
    assert (token.app_id, token.base_url) == (APP_ID, provider.base_url)
    assert token.expires_at == datetime.fromtimestamp(WALL + 86400, UTC)
    assert token.scopes == frozenset(provider.scopes)


async def test_managers_can_share_a_store(make: MakeManager, provider: Provider) -> None:
    """Managers with one store use one token, also after it was refused."""
    store = MemoryTokenStore()
    first, second = make(token_store=store), make(token_store=store)
    await first.list_collections()
    await second.list_collections()
    assert provider.token_requests == 1
    provider.tokens.clear()
    await first.list_collections()
    await second.list_collections()
    assert provider.token_requests == 2


async def test_a_stored_token_that_was_refused(make: MakeManager, provider: Provider) -> None:
    """A stored token that the provider refuses is replaced, not loaded again."""
    token = stored(provider)
    provider.tokens.clear()
    store = Store(token)
    await make(token_store=store).list_collections()
    assert provider.token_requests == 1
    assert store.load() != token


@pytest.mark.parametrize(
    "changes",
    [
        {"app_id": "B" * 16},
        {"app_id": ""},
        {"base_url": "https://other.example"},
        {"expires_at": datetime.fromtimestamp(WALL, UTC)},
        {"expires_at": datetime.fromtimestamp(WALL - 9999, UTC)},
    ],
    ids=["another app", "no app", "another API", "just over", "long over"],
)
async def test_a_stored_token_of_no_use(
    make: MakeManager, provider: Provider, changes: dict[str, Any]
) -> None:
    """A token of another app or API, or one that is over, is never used."""
    await make(token_store=Store(stored(provider, **changes))).list_collections()
    assert [request.bearer for request in provider.requests] == [
        None,
        f"tok-{provider.port}-0001",
    ]


async def test_a_store_that_says_nothing_is_called_in_the_loops_thread(
    make: MakeManager, provider: Provider
) -> None:
    """Only a store that says that it blocks has a thread: others need not bear one."""
    threads: list[int] = []

    class Plain:
        def load(self) -> Token | None:
            threads.append(threading.get_ident())
            return None

        def save(self, token: Token) -> None:
            threads.append(threading.get_ident())

        def clear(self) -> None:
            raise NotImplementedError

    await make(token_store=Plain()).list_collections()
    assert threads == [threading.get_ident()] * 2


async def test_a_stored_token_serves_to_its_end(make: MakeManager, provider: Provider) -> None:
    """Also one with half a second left is used."""
    token = stored(provider, expires_at=datetime.fromtimestamp(WALL + 0.5, UTC))
    await make(token_store=Store(token)).list_collections()
    assert [request.bearer for request in provider.requests] == [token.access_token]


@pytest.mark.parametrize(
    "make_content",
    [
        lambda _: "tok",
        lambda _: {"access_token": "tok"},
        lambda _: 5,
        lambda provider: stored(provider, access_token=""),
        lambda provider: stored(provider, access_token="two\r\nlines: x"),
        lambda provider: stored(provider, access_token="caf\u00e9"),
        lambda provider: stored(provider, access_token=None),
        lambda provider: stored(provider, expires_at=datetime(2040, 1, 1)),  # noqa: DTZ001  # without a zone is the point
        lambda provider: stored(provider, expires_at="2040-01-01"),
    ],
    ids=["str", "dict", "int", "empty", "two lines", "accent", "None", "no zone", "text as time"],
)
async def test_a_store_with_odd_content(
    make: MakeManager,
    provider: Provider,
    make_content: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A store that gives something other than a good token is passed over, with a warning."""
    await make(token_store=Store(make_content(provider))).list_collections()
    assert provider.token_requests == 1
    assert "token store Store failed" in caplog.text


async def test_a_store_may_be_asynchronous(make: MakeManager, provider: Provider) -> None:
    """All methods of a store may be coroutines."""
    store = AsyncStore(stored(provider))
    pay = make(token_store=store)
    await pay.list_collections()
    assert provider.token_requests == 0
    await pay.revoke_token()
    assert store.token is None
    await pay.list_collections()
    assert store.token is not None


async def test_a_broken_store_harms_no_call(
    make: MakeManager, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    """A store that fails in everything is a warning that shows no detail of it."""
    pay = make(token_store=BrokenStore())
    await pay.list_collections()
    await pay.revoke_token()
    await pay.list_collections()
    assert provider.token_requests == 2
    assert "token store BrokenStore failed: RuntimeError" in caplog.text
    assert "secret detail" not in caplog.text


@pytest.mark.parametrize("trouble", ["lock", "type", "enter", "exit"])
async def test_a_broken_lock_harms_no_call(
    make: MakeManager, provider: Provider, trouble: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A store whose lock fails, at whatever moment, is a warning."""
    await make(token_store=LockingStore(trouble)).list_collections()
    assert provider.token_requests == 1
    assert "token store LockingStore failed" in caplog.text


async def test_a_lock_is_held_while_a_token_is_asked_for(
    make: MakeManager, provider: Provider
) -> None:
    """The lock of a store is held during the request for a token, and given up after it."""
    store = LockingStore()
    held: list[int] = []

    async def look(exchange: Exchange) -> None:
        held.append(store.held)
        await exchange.send(exchange.commit())

    provider.script(TOKEN, look)
    await make(token_store=store).list_collections()
    assert (held, store.held) == ([1], 0)


async def test_a_lock_is_given_up_after_a_failure(make: MakeManager, provider: Provider) -> None:
    """The lock of a store is given up when no token could be had."""
    store = LockingStore()
    provider.script(TOKEN, faults.says(503))
    with pytest.raises(PayCollectError):
        await make(token_store=store).list_collections()
    assert store.held == 0


async def test_a_slow_store_cannot_outlast_the_deadline(make: MakeManager) -> None:
    """A store that never answers holds a call up for no longer than its deadline."""

    class Stuck(AsyncStore):
        async def load(self) -> Token | None:
            await asyncio.get_running_loop().create_future()
            return None

    with pytest.raises(PayCollectError, match="deadline"):
        await asyncio.wait_for(
            make(clock=None, token_store=Stuck()).list_collections(deadline=0.05), 2
        )


def test_stores_show_no_token(provider: Provider) -> None:
    """The repr of a store says whether it has a token, not which."""
    store = MemoryTokenStore()
    assert repr(store) == "MemoryTokenStore(empty)"
    store.save(stored(provider))
    assert repr(store) == "MemoryTokenStore(full)"
    assert "tok-stored" not in repr(store.load())
