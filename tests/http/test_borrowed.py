"""A borrowed aiohttp session: used as it is, never closed, never changed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from paycollect import (
    ClosedError,
    ConnectError,
    MemoryTokenStore,
    NotFoundError,
    Outcome,
    PayCollectError,
    ResponseLostError,
    RetryPolicy,
    ServerError,
)
from tests.provider import faults
from tests.provider.fixtures import MakeManager
from tests.provider.server import Provider

LIST = "GET /collections"


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """Give a session of the caller's."""
    async with aiohttp.ClientSession() as session:
        yield session


async def test_it_is_never_closed(
    make: MakeManager, provider: Provider, http: aiohttp.ClientSession
) -> None:
    """A borrowed session goes on working when the manager is closed."""
    async with make(http=http) as pay:
        await pay.list_collections()
    assert not http.closed
    async with http.get(provider.base_url + "/x") as response:
        assert response.status == 401


async def test_it_is_never_changed(
    make: MakeManager, provider: Provider, http: aiohttp.ClientSession
) -> None:
    """A borrowed session has afterwards what it had before, cookies included."""

    def look() -> dict[str, Any]:
        kept = {name: getattr(http, name) for name in ("headers", "timeout", "auth", "connector")}
        return {**kept, "headers": dict(http.headers), "cookies": list(http.cookie_jar)}

    before = look()
    async with make(http=http, timeout=1) as pay:
        await pay.list_collections()
    assert look() == before


async def test_its_headers_are_kept(make: MakeManager, provider: Provider) -> None:
    """The caller's own default headers go out, but never instead of ours."""
    headers = {"User-Agent": "shop/1", "X-Shop": "1", "Authorization": "Bearer other"}
    async with aiohttp.ClientSession(headers=headers) as http:
        await make(http=http).list_collections()
    request = provider.requests[-1]
    assert (request.headers["user-agent"], request.headers["x-shop"]) == ("shop/1", "1")
    assert request.bearer == f"tok-{provider.port}-0001"


async def test_its_raise_for_status_does_not_matter(make: MakeManager, provider: Provider) -> None:
    """A session that raises for a status by itself still gives our errors."""
    async with aiohttp.ClientSession(raise_for_status=True) as http:
        with pytest.raises(NotFoundError):
            await make(http=http).get_collection("SCI9")


async def test_its_timeouts_do_not_matter(make: MakeManager, provider: Provider) -> None:
    """The limits of time are the manager's, not the session's."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=1e-9)) as http:
        await make(http=http).list_collections()


async def test_its_pool_is_respected(make: MakeManager, provider: Provider) -> None:
    """No more calls are on their way than the borrowed pool has places; none is lost."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=3)) as http:
        pay = make(http=http)
        await asyncio.gather(*(pay.list_collections() for _ in range(50)))
    assert provider.connections == 3


async def test_a_pool_without_a_limit(make: MakeManager, provider: Provider) -> None:
    """A pool without a limit needs no waiting line."""
    connector = aiohttp.TCPConnector(limit=0, limit_per_host=0)
    async with aiohttp.ClientSession(connector=connector) as http:
        pay = make(http=http)
        await asyncio.gather(*(pay.list_collections() for _ in range(150)))
    assert provider.count(LIST) == 150


async def test_it_is_closed_by_its_owner(
    make: MakeManager, provider: Provider, http: aiohttp.ClientSession
) -> None:
    """A session that its owner closed ends calls with a clear error."""
    pay = make(http=http)
    await pay.list_collections()
    await http.close()
    with pytest.raises(ClosedError, match="session"):
        await pay.list_collections()


async def test_it_is_closed_by_its_owner_during_a_call(
    make: MakeManager, provider: Provider, http: aiohttp.ClientSession
) -> None:
    """A session that its owner closes during a call ends that call with one of our errors."""
    pay = make(http=http)
    provider.always(LIST, faults.silent)
    call = asyncio.create_task(pay.list_collections())
    await provider.received(LIST, 1)
    await http.close()
    with pytest.raises(PayCollectError):
        await asyncio.wait_for(call, 2)


async def test_a_manager_outside_a_loop(provider: Provider, make: MakeManager) -> None:
    """A manager can be made before there is a loop, and is used inside one."""
    pay = await asyncio.to_thread(make)
    await pay.list_collections()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_a_session_with_an_auth_of_its_own(make: MakeManager) -> None:
    """A session whose own auth contradicts the token is refused at once, without showing it."""
    async with aiohttp.ClientSession(auth=aiohttp.BasicAuth("user", "hidden")) as http:
        with pytest.raises(ValueError, match=r"^http: ") as caught:
            make(http=http)
    assert "hidden" not in str(caught.value)


async def test_a_failing_hook_is_not_taken_for_not_sent(
    make: MakeManager, provider: Provider
) -> None:
    """A hook of the caller's that fails after the order was made never means "not sent"."""
    trace = aiohttp.TraceConfig()
    store = MemoryTokenStore()
    await make(token_store=store).list_collections()

    async def fail(*_: object) -> None:
        raise RuntimeError("the caller's own")

    trace.on_request_end.append(fail)
    async with aiohttp.ClientSession(trace_configs=[trace]) as http:
        pay = make(http=http, token_store=store, retry=RetryPolicy(max_retries=0))
        with pytest.raises((RuntimeError, PayCollectError)) as caught:
            await pay.create_checkout(amount=5, order_id="INV-1", description="d")
    assert list(provider.orders) == ["INV-1"]
    assert getattr(caught.value, "outcome", Outcome.UNKNOWN) is Outcome.UNKNOWN


async def test_a_failing_call_gives_its_connection_back(
    make: MakeManager, provider: Provider
) -> None:
    """A refused call leaves its connection to the next one."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as http:
        pay = make(http=http)
        provider.always(LIST, faults.says(500))
        with pytest.raises(ServerError):
            await pay.list_collections()
        provider.always(LIST, None)
        await asyncio.wait_for(pay.list_collections(), 2)
    assert provider.connections == 1


@pytest.mark.parametrize("kind", [KeyError, TypeError, ZeroDivisionError, ValueError])
async def test_a_failing_middleware(
    make: MakeManager, provider: Provider, kind: type[Exception]
) -> None:
    """Whatever a middleware of the lent session raises leaves as one of our errors."""
    await make(token_store=(store := MemoryTokenStore())).list_collections()

    async def middleware(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        await handler(request)
        raise kind("Bearer hidden")

    async with aiohttp.ClientSession(middlewares=[middleware]) as http:
        pay = make(http=http, token_store=store, retry=RetryPolicy(max_retries=0))
        with pytest.raises(ResponseLostError, match=kind.__name__) as caught:
            await pay.create_checkout(amount=5, order_id="INV-1", description="d")
    assert caught.value.outcome is Outcome.UNKNOWN
    assert caught.value.__context__ is None
    assert "hidden" not in str(caught.value)


async def test_a_netrc_file(
    make: MakeManager, provider: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where aiohttp refuses to send a token beside what .netrc has, the error says what to do."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login user password hidden\n", "utf-8")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    store = MemoryTokenStore()
    await make(token_store=store).list_collections()
    async with aiohttp.ClientSession(trust_env=True) as http:
        pay = make(http=http, token_store=store)
        with pytest.raises(ConnectError, match=r"\.netrc") as caught:
            await pay.create_checkout(amount=5, order_id="INV-1", description="d")
    assert (caught.value.outcome, caught.value.is_retryable) == (Outcome.NOT_SENT, False)
    assert (caught.value.attempts, provider.count("POST /collections")) == (1, 0)
