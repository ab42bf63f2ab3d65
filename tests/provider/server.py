"""The provider's API on loopback: real tokens, orders and refunds, and misbehaviour on demand.

A hand-written HTTP/1.1 server, so that a fault (see `faults`) can write any bytes, or none, at any
moment. What it was asked is in `requests`, what exists at the end in `orders` and `refunds`.
"""

from __future__ import annotations

import asyncio
import socket
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any, Self

from attrs import define

from tests.provider import routes
from tests.provider.messages import (
    BASE,
    CREATED_AT,
    EXPIRES_AT,
    SCOPES,
    Json,
    Received,
    Reply,
    success,
)


@define
class Exchange:
    """One request, and the connection on which it can be answered, or not."""

    provider: Provider
    request: Received
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def commit(self) -> Reply:
        """Do what is asked, and give the honest answer without sending it."""
        return self.provider.handle(self.request)

    async def send(self, data: Reply | bytes) -> None:
        """Write an answer, or a piece of one."""
        self.writer.write(data.encode() if isinstance(data, Reply) else data)
        await self.writer.drain()

    def drop(self) -> None:
        """Reset the connection."""
        self.writer.transport.abort()

    async def gone(self) -> None:
        """Wait until the client has hung up."""
        while await self.reader.read(65536):
            pass


Fault = Callable[[Exchange], Awaitable[None]]


async def honest(exchange: Exchange) -> None:
    """Behave."""
    await exchange.send(exchange.commit())


class Provider:
    """The provider; `async with` starts and stops it."""

    def __init__(self) -> None:
        self.requests: list[Received] = []
        self.tokens: set[str] = set()
        self.issued = 0
        self.lifetime = 86400
        self.scopes = list(SCOPES)
        self.orders: dict[str, Json] = {}
        self.aliases: dict[str, str] = {}  # another id that a GET knows -> the collection's own
        self.refunds: list[Json] = []
        self.page_size: int | None = None
        self.table_pagination = False
        self.shows_checkout_url = False
        self.open_connections = 0
        self.connections = 0
        self.port = 0
        self._script: dict[str, deque[Fault]] = defaultdict(deque)
        self._always: dict[str, Fault] = {}
        self._arrival = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[object]] = set()

    # --- what tests say and ask -------------------------------------------------------------------

    @property
    def base_url(self) -> str:
        """The address to give to a manager."""
        return f"http://127.0.0.1:{self.port}{BASE}"

    def script(self, key: str, *faults: Fault) -> None:
        """Meet the next requests of a kind with faults, in this order; then behave again."""
        self._script[key].extend(faults)

    def always(self, key: str, fault: Fault | None) -> None:
        """Meet all requests of a kind with a fault; None ends that."""
        if fault is None:
            self._always.pop(key, None)
        else:
            self._always[key] = fault

    def count(self, key: str) -> int:
        """Tell how many requests of a kind arrived."""
        return sum(request.key == key for request in self.requests)

    async def received(self, key: str, number: int) -> None:
        """Wait until so many requests of a kind have arrived."""
        while self.count(key) < number:
            self._arrival.clear()
            await self._arrival.wait()

    async def hung_up(self, left: int = 0) -> None:
        """Wait until no more than so many connections are open."""
        async with asyncio.timeout(2):
            while self.open_connections > left:
                self._arrival.clear()
                await self._arrival.wait()

    @property
    def token_requests(self) -> int:
        """How often a token was asked for, in either way."""
        return self.count("POST /auth/token") + self.count("POST /auth/refresh")

    def add_order(self, order_id: str, amount: str = "25.00", **more: object) -> Json:
        """Make an order behind the client's back."""
        number = len(self.orders) + 1
        money = Decimal(amount)
        record: Json = {
            "collectionId": f"SCI{number:04}",
            "batch": f"SCI{number:04}",
            "reference": f"REF{number:04}",
            "orderId": order_id,
            "amount": money,
            "fee": Decimal("0.75"),
            "netAmount": money - Decimal("0.75"),
            "currency": "USD",
            "status": "PENDING",
            "createdAt": CREATED_AT,
            "expiresAt": EXPIRES_AT,
            **more,
        }
        self.orders[order_id] = record
        return record

    # --- life -------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> Self:
        """Listen, on the port of an earlier start if there was one."""
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", self.port, family=socket.AF_INET, backlog=1024
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        """Hang up."""
        if self._server is not None:
            self._server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # for the transports to note that they were closed

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task: asyncio.Task[Any] | None = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        self.open_connections += 1
        try:
            while not writer.is_closing() and (request := await _read(reader)):
                self.requests.append(request)
                self._arrival.set()
                queue = self._script[request.key]
                fault = queue.popleft() if queue else self._always.get(request.key, honest)
                await fault(Exchange(self, request, reader, writer))
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client hung up, or the test is over
        finally:
            self._tasks.discard(task)
            self.open_connections -= 1
            self._arrival.set()
            writer.close()

    # --- what it does -----------------------------------------------------------------------------

    def handle(self, request: Received) -> Reply:
        """Do what is asked."""
        return routes.handle(self, request)

    def issue(self) -> Reply:
        """Give a token."""
        self.issued += 1
        token = f"tok-{self.port}-{self.issued:04}"
        self.tokens.add(token)
        return success(
            {
                "accessToken": token,
                "tokenType": "Bearer",
                "expiresIn": self.lifetime,
                "expiresAt": "2026-01-06T10:30:00+00:00",
                "appType": "collection",
                "scopes": self.scopes,
            }
        )


async def _read(reader: asyncio.StreamReader) -> Received | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.split("\r\n")[:-2]
    method, target, _ = first.split(" ")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Received(method, target, headers, body)
