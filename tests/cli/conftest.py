"""A sandbox in a thread of its own, as a command runs its own event loop."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

import pytest
from aiohttp import web

from paycollect import ipn
from paycollect.__main__ import main
from paycollect.sandbox import Sandbox

T = TypeVar("T")


class Provider:
    """The sandbox, and a way to do something with it from outside its loop."""

    def __init__(self, sandbox: Sandbox, loop: asyncio.AbstractEventLoop) -> None:
        self.sandbox = sandbox
        self._loop = loop

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something on the sandbox's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(5)


class Terminal:
    """The command line, and what it wrote."""

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self._capture = capture
        self.out = self.err = ""

    def __call__(self, *arguments: str) -> int:
        """Run a command; give its exit code."""
        self._capture.readouterr()
        code = main(arguments)
        self.out, self.err = self._capture.readouterr()
        return code

    @property
    def said(self) -> str:
        """What was told on standard error, in one line."""
        return " ".join(self.err.split())

    @property
    def json(self) -> Any:
        """What was written, as JSON."""
        return json.loads(self.out)


@pytest.fixture
def terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A terminal wide enough not to wrap, and no settings in the environment."""
    for name in ("APP_ID", "SECRET_KEY", "BASE_URL", "WEBHOOK_SECRET"):
        monkeypatch.delenv(f"PAYCOLLECT_{name}", raising=False)
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    return Terminal(capsys)


@pytest.fixture
def provider(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> Iterator[Provider]:
    """A running sandbox, with its settings in the environment."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    found = Provider(_on(loop, _make), loop)
    found.do(found.sandbox.start())
    monkeypatch.setenv("PAYCOLLECT_APP_ID", found.sandbox.app_id)
    monkeypatch.setenv("PAYCOLLECT_SECRET_KEY", found.sandbox.secret_key)
    monkeypatch.setenv("PAYCOLLECT_BASE_URL", found.sandbox.base_url)
    monkeypatch.setenv("PAYCOLLECT_WEBHOOK_SECRET", found.sandbox.webhook_secret)
    yield found
    found.do(found.sandbox.aclose())
    loop.call_soon_threadsafe(loop.stop)
    thread.join(5)
    loop.close()


def _on(loop: asyncio.AbstractEventLoop, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
    return asyncio.run_coroutine_threadsafe(make(), loop).result(5)


async def _make() -> Sandbox:
    return Sandbox()


@pytest.fixture
def collection_id(provider: Provider, terminal: Terminal) -> str:
    """A checkout that waits to be paid."""
    assert terminal(*CREATE, "--json") == 0
    found: str = terminal.json["collection_id"]
    return found


class Endpoint:
    """A webhook endpoint on the provider's loop: a careful one, or a careless one."""

    def __init__(self, secret: str) -> None:
        self.secret = secret
        self.careless = False
        self.url = ""

    async def start(self) -> web.AppRunner:
        """Open a port."""
        app = web.Application()
        app.router.add_post("/webhook", self._answer)
        runner = web.AppRunner(app, shutdown_timeout=1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/webhook"
        return runner

    async def _answer(self, request: web.Request) -> web.Response:
        try:
            ipn.parse_webhook(await request.read(), secret=self.secret)
        except ipn.IpnError as error:
            return web.Response(status=200 if self.careless else error.status_hint)
        raise AssertionError("the doctor sends nothing but forgeries and test deliveries")


@pytest.fixture
def endpoint(provider: Provider) -> Iterator[Endpoint]:
    """A running endpoint that knows the webhook secret."""
    found = Endpoint(provider.sandbox.webhook_secret)
    runner = provider.do(found.start())
    yield found
    provider.do(runner.cleanup())


CREATE = ("checkout", "create", "--amount", "25.00", "--order-id", "INV-1", "--description", "Plan")
