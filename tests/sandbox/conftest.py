"""What the tests of the sandbox share: a sandbox, a caller of its API, and a merchant's service."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from paycollect.sandbox import Sandbox

ORDER = {"amount": 25, "orderId": "INV-001", "description": "Premium plan"}


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that happens in the background, at once or in a moment."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - what is waited for knows nothing of the test
            await asyncio.sleep(0.001)


@dataclass(frozen=True)
class Reply:
    """An answer: its status, its headers, and its text."""

    status: int
    headers: Any
    text: str

    @property
    def json(self) -> Any:
        """The body, numbers with a point as Decimals."""
        return json.loads(self.text, parse_float=Decimal)

    @property
    def data(self) -> Any:
        """The member of that name."""
        return self.json["data"]

    @property
    def code(self) -> Any:
        """The code of an error."""
        return self.json["error"]["code"]

    @property
    def fields(self) -> dict[str, str]:
        """What is wrong with which field."""
        return {entry["field"]: entry["message"] for entry in self.json["error"].get("fields", [])}


@dataclass
class Caller:
    """Talks to a sandbox over HTTP, with a token for the API."""

    sandbox: Sandbox
    http: aiohttp.ClientSession
    token: str | None = None

    async def __call__(
        self, method: str, path: str, body: object = None, *, token: str | None = None
    ) -> Reply:
        """Call the API."""
        if self.token is None and token is None:
            self.token = (await self.authenticate()).data["accessToken"]
        headers = {"Authorization": f"Bearer {token or self.token}"}
        return await self.send(method, self.sandbox.base_url + path, json=body, headers=headers)

    async def send(self, method: str, url: str, **options: Any) -> Reply:
        """Send any request, without following redirects."""
        if url.startswith("/"):
            url = self.sandbox.url + url
        if options.get("json") is None:
            options.pop("json", None)
        async with self.http.request(method, url, allow_redirects=False, **options) as response:
            return Reply(response.status, response.headers, await response.text())

    async def authenticate(self, **other: object) -> Reply:
        """Ask for a token."""
        body = {
            "appId": self.sandbox.app_id,
            "secretKey": self.sandbox.secret_key,
            "grantType": "client_credentials",
        } | other
        return await self.send("POST", f"{self.sandbox.base_url}/auth/token", json=body)

    async def create(self, **other: object) -> str:
        """Create a collection and give its id."""
        return str((await self("POST", "/collections", ORDER | other)).data["collectionId"])


@dataclass
class Merchant:
    """A service that receives webhooks, answering with what is put into `answers`, else 200."""

    url: str = ""
    bodies: list[bytes] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    gate: asyncio.Event | None = None

    @property
    def events(self) -> list[Any]:
        """What arrived, parsed."""
        return [json.loads(body, parse_float=Decimal) for body in self.bodies]

    async def arrived(self, count: int = 1) -> None:
        """Wait until so many webhooks have come."""
        await until(lambda: len(self.bodies) >= count)

    async def receive(self, request: web.Request) -> web.Response:
        """Take a webhook."""
        self.bodies.append(await request.read())
        if self.gate is not None:
            await self.gate.wait()
        return web.Response(status=self.answers.pop(0) if self.answers else 200, text="noted")


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """A sandbox whose clock moves only by hand."""
    async with Sandbox(time_scale=0) as running:
        yield running


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """A client that keeps no connection open."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
        yield session


@pytest.fixture
def call(sandbox: Sandbox, http: aiohttp.ClientSession) -> Caller:
    """A caller of that sandbox."""
    return Caller(sandbox, http)


@pytest.fixture
async def merchant() -> AsyncIterator[Merchant]:
    """A running merchant's service."""
    service = Merchant()
    app = web.Application()
    app.router.add_post("/hook", service.receive)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    service.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    yield service
    await runner.cleanup()
