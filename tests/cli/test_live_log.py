"""The lines that `paycollect sandbox` writes while it runs."""

from __future__ import annotations

import contextlib
import io
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from paycollect.cli import sandbox as command
from paycollect.cli.live_log import LiveLog
from paycollect.cli.streams import OutputError
from paycollect.cli.terminal import Screen
from paycollect.errors import PayCollectError
from paycollect.retry import RetryPolicy
from paycollect.sandbox import Sandbox, drop_after_commit, wrongly_signed
from paycollect.session import SessionManager
from tests.cli.conftest import Terminal

NO_RETRY = RetryPolicy(max_retries=0)


class Watched:
    """A sandbox that is watched, and a merchant who uses it."""

    def __init__(self, sandbox: Sandbox, pay: SessionManager, url: str) -> None:
        self.sandbox, self.pay, self.url = sandbox, pay, url
        self.stream = io.StringIO()
        self.given_up = 0
        self.log = LiveLog(Screen(self.stream), sandbox, self._give_up)

    @property
    def lines(self) -> list[str]:
        """What was written, without the time of day."""
        return [line.split("  ", 1)[1] for line in self.stream.getvalue().splitlines()]

    async def create(self, order_id: str = "INV-1", **options: Any) -> str:
        """Create a checkout; give its id."""
        made = await self.pay.create_checkout(
            amount="25.00", order_id=order_id, description="Plan", **options
        )
        return made.collection_id

    def _give_up(self) -> None:
        self.given_up += 1


@pytest.fixture
async def watched() -> AsyncIterator[Watched]:
    """All of them, and an endpoint that takes every webhook."""

    async def take(_: web.Request) -> web.Response:
        return web.Response()

    app = web.Application()
    app.router.add_post("/webhook", take)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with (
        Sandbox(time_scale=0) as sandbox,
        SessionManager(
            app_id=sandbox.app_id,
            secret_key=sandbox.secret_key,
            base_url=sandbox.base_url,
            retry=NO_RETRY,
        ) as pay,
    ):
        yield Watched(sandbox, pay, f"http://127.0.0.1:{runner.addresses[0][1]}/webhook")
    await runner.cleanup()


async def test_a_request_is_a_line_with_its_order(watched: Watched) -> None:
    """Who asked what, what was answered, and about which order."""
    collection_id = await watched.create()
    await watched.pay.get_collection(collection_id)
    await watched.pay.find_by_order_id("INV-1")
    await watched.pay.get_pricing()
    caller = watched.lines[0].partition(" ")[0]
    assert caller.startswith("paycollect/")
    assert watched.lines == [
        f"{caller}  POST /auth/token  200",
        f"{caller}  POST /collections  201  order INV-1",
        f"{caller}  GET /collections/{collection_id}  200  order INV-1",
        f"{caller}  GET /collections  200  order INV-1",
        f"{caller}  GET /account/pricing  200",
    ]


async def test_a_webhook_is_a_line_with_its_answer(watched: Watched) -> None:
    """Which went where, what it answered, and when it goes again."""
    taken = await watched.create(webhook_url=watched.url)
    lost = await watched.create("INV-2", webhook_url="http://127.0.0.1:1/webhook")
    del watched.stream
    watched.stream = watched.log._screen._stream = io.StringIO()  # only what follows
    await watched.sandbox.pay(taken)
    await watched.sandbox.drained()
    await watched.sandbox.pay(lost)
    await watched.sandbox.drained()
    first, second = watched.lines
    assert first.startswith(f"webhook collection.received -> {watched.url}  200 in ")
    assert first.endswith(" ms  order INV-1")
    assert second.startswith("webhook collection.received -> http://127.0.0.1:1/webhook  ")
    assert "  again at " in second
    assert second.endswith("  order INV-2")


async def test_faults_are_told(watched: Watched) -> None:
    """What was made to go wrong is not taken for a mistake of one's own."""
    watched.sandbox.faults.next("POST /collections", drop_after_commit())
    with pytest.raises(PayCollectError):
        await watched.pay.request("POST", "/collections", body={"orderId": "INV-9"})
    assert (
        "POST /collections  no answer  (fault: drop_after_commit)  order INV-9"
        in (watched.lines[-1])
    )
    watched.sandbox.faults.next("webhook collection.received", wrongly_signed())
    collection_id = await watched.create(webhook_url=watched.url)
    await watched.sandbox.pay(collection_id)
    await watched.sandbox.drained()
    assert "(fault: wrongly_signed)" in watched.lines[-1]


async def test_what_somebody_asks_cannot_steer_the_terminal(watched: Watched) -> None:
    """Anybody who reaches the port writes in this window."""
    async with aiohttp.ClientSession(skip_auto_headers=["User-Agent"]) as http:
        url = f"{watched.sandbox.base_url}/collections?orderId=%1B%5B2J"
        async with http.get(url):
            pass
    assert watched.lines == ["somebody  GET /collections  401  order \ufffd[2J"]


async def test_where_nobody_reads_the_sandbox_goes_on_until_it_ends(watched: Watched) -> None:
    """The server is not harmed, and whoever runs it is told."""

    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise OutputError("closed", reader_has_gone=True)

    watched.log._screen._stream = Closed()
    await watched.create()
    assert watched.given_up == 2
    assert watched.log.lost is not None


def test_the_command_ends_where_nobody_reads(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`paycollect sandbox | head` ends like any other command with a closed pipe."""

    class Lost(LiveLog):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given)
            self.lost = OutputError("closed", reader_has_gone=True)
            self._give_up()

    monkeypatch.setattr(command, "LiveLog", Lost)
    assert terminal("sandbox", "--port", "0") == 141


def test_quiet_tells_nothing(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --quiet nobody watches."""

    class Never(LiveLog):
        def __init__(self, *_: Any) -> None:
            raise AssertionError

    def stop(stop_now: Any) -> Any:
        stop_now()
        return contextlib.nullcontext()

    monkeypatch.setattr(command, "LiveLog", Never)
    monkeypatch.setattr(command, "_sigterm", stop)
    assert terminal("sandbox", "--port", "0", "--quiet") == 0
