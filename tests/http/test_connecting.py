"""Connections that cannot be made, and time limits that interrupt."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from paycollect import (
    ConnectError,
    Outcome,
    ResponseLostError,
    RetryPolicy,
    SessionManager,
    Timeout,
)
from paycollect._http import transport
from paycollect.errors import EventLoopError
from tests.provider import faults
from tests.provider.fixtures import MakeManager
from tests.provider.server import Exchange, Fault, Provider

LIST = "GET /collections"
ONCE = RetryPolicy(max_retries=0)


class NoNames(AbstractResolver):
    """A resolver that knows no name."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Fail."""
        raise OSError(None, "no such name")

    async def close(self) -> None:
        """Do nothing."""


async def test_a_name_that_nobody_knows(make: MakeManager) -> None:
    """A host name that cannot be resolved means that nothing was sent."""
    connector = aiohttp.TCPConnector(resolver=NoNames())
    async with aiohttp.ClientSession(connector=connector) as http:
        pay = make(base_url="https://api.example", http=http, retry=ONCE)
        with pytest.raises(ConnectError, match="could not be resolved") as caught:
            await pay.list_collections()
    assert caught.value.outcome is Outcome.NOT_SENT


async def test_a_host_that_speaks_no_tls(make: MakeManager) -> None:
    """A TLS handshake that fails means that nothing was sent."""

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        pay = make(base_url=f"https://127.0.0.1:{port}", retry=ONCE)
        with pytest.raises(ConnectError, match="TLS") as caught:
            await pay.list_collections()
    finally:
        server.close()
    assert caught.value.outcome is Outcome.NOT_SENT


@pytest.fixture
async def deaf() -> AsyncIterator[int]:
    """Give the port of a socket that takes no connection: its queue is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port: int = listener.getsockname()[1]
        full = [socket.socket() for _ in range(8)]
        for one in full:
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        await asyncio.sleep(0.01)
        yield port
        for one in full:
            one.close()


async def test_a_host_that_takes_no_connection(make: MakeManager, deaf: int) -> None:
    """A connection that does not come about in time means that nothing was sent."""
    pay = make(
        base_url=f"http://127.0.0.1:{deaf}", retry=ONCE, timeout=Timeout(connect=0.05), clock=None
    )
    with pytest.raises(ConnectError, match="too long") as caught:
        await asyncio.wait_for(pay.list_collections(), 3)
    assert caught.value.outcome is Outcome.NOT_SENT


@pytest.mark.parametrize(
    "timeout",
    [
        aiohttp.ClientTimeout(total=0.05),
        aiohttp.ClientTimeout(total=None, sock_read=0.05),
        aiohttp.ClientTimeout(total=0, sock_read=0.05),
        Timeout(read=0.05, connect=0.02),
        Timeout(read=0.02, connect=0.03),
        0.05,
    ],
    ids=repr,
)
@pytest.mark.parametrize(
    "fault",
    [
        faults.silent,
        faults.answers_and_stays(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n"),
        faults.answers_and_stays(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"),
    ],
    ids=["no head", "no body", "half a body"],
)
async def test_every_kind_of_limit(
    make: MakeManager,
    provider: Provider,
    timeout: aiohttp.ClientTimeout | Timeout | float,  # noqa: ASYNC109  the SDK's own
    fault: Fault,
) -> None:
    """Whichever way a limit is given, it ends an attempt in any of its phases."""
    pay = make(clock=None, retry=ONCE)
    await pay.list_collections()
    provider.always(LIST, fault)
    with pytest.raises(ResponseLostError, match="too long"):
        await asyncio.wait_for(pay.list_collections(timeout=timeout), 2)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_steady_answer_is_not_cut_off(make: MakeManager, provider: Provider) -> None:
    """An answer whose pieces keep coming may take longer than the limit between two of them."""
    body = b'{"success":true,"data":5}'

    async def steady(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
        for start in range(0, len(body), 2):
            await asyncio.sleep(0.03)
            await exchange.send(body[start : start + 2])

    provider.script("GET /x", steady)
    pay = make(clock=None, timeout=Timeout(read=0.25, connect=0.05))
    assert await pay.request("GET", "/x") == 5
    assert provider.count("GET /x") == 1


async def test_the_callers_own_timeout_stays_the_callers(
    make: MakeManager, provider: Provider
) -> None:
    """A timeout around a call is raised as such, also where it coincides with one of ours."""
    pay = make(clock=None, retry=ONCE)
    await pay.list_collections()
    provider.always(LIST, faults.silent)
    for own in (5, 0.02):
        with pytest.raises((TimeoutError, ResponseLostError)) as caught:
            async with asyncio.timeout(0.02):
                await pay.list_collections(timeout=own)
        assert own == 0.02 or type(caught.value) is TimeoutError
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_session_of_another_loop(make: MakeManager, provider: Provider) -> None:
    """A borrowed session that belongs to another event loop is named as the cause."""

    async def borrow() -> aiohttp.ClientSession:
        return aiohttp.ClientSession()

    loop = asyncio.new_event_loop()
    http = await asyncio.to_thread(loop.run_until_complete, borrow())
    try:
        with pytest.raises(EventLoopError, match="loop"):
            await asyncio.wait_for(make(http=http, timeout=0.5).list_collections(), 5)
    finally:
        await asyncio.to_thread(loop.run_until_complete, http.close())
        loop.close()


async def test_a_forked_child_opens_anew(
    make: MakeManager, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a process of another number a manager leaves all connections alone and makes new ones."""
    pay = make()
    await pay.list_collections()
    monkeypatch.setattr(os, "getpid", lambda: 0)

    async def child() -> None:
        await pay.list_collections()
        await pay.aclose()

    await asyncio.to_thread(asyncio.run, child())
    await provider.hung_up(left=1)
    assert (provider.connections, provider.open_connections) == (2, 1)
    assert provider.token_requests == 1
    connector = transport._ABANDONED.pop()
    assert isinstance(connector, aiohttp.TCPConnector)
    await connector.close()


async def test_a_forked_child_with_a_borrowed_session(
    make: MakeManager, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A borrowed session is not let go after a fork: it is its owner's to replace."""
    async with aiohttp.ClientSession() as http:
        pay = make(http=http)
        await pay.list_collections()
        monkeypatch.setattr(os, "getpid", lambda: 0)
        await asyncio.to_thread(asyncio.run, pay.aclose())
        assert not http.closed


def test_a_manager_of_the_parent_does_not_warn(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that never uses its copy of a manager is not told to close it."""
    pay = SessionManager(app_id="a", secret_key="b")
    monkeypatch.setattr(os, "getpid", lambda: 0)
    assert not pay._engine.is_open


async def test_only_what_has_a_body_says_of_what_kind(
    make: MakeManager, provider: Provider
) -> None:
    """A create is JSON, and a GET has nothing to describe."""
    pay = make()
    await pay.create_checkout(amount=5, order_id="INV-1", description="d")
    await pay.list_collections()
    kinds = [request.headers.get("content-type") for request in provider.requests[-2:]]
    assert kinds == ["application/json", None]
