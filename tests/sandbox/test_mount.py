"""The sandbox as a part of a merchant's own application: one process, one origin."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from paycollect.sandbox import Sandbox, drop_before_commit
from tests.sandbox.conftest import ORDER, Caller, until
from tests.sandbox.http.test_checkout import Page

PATH = "/dev/sandbox"


@asynccontextmanager
async def _shop(sandbox: Sandbox) -> AsyncIterator[str]:
    """Run a shop with the sandbox in it, on a free port; give the shop's address."""
    app = web.Application()

    async def home(_: web.Request) -> web.Response:
        return web.Response(text="shop")

    app.router.add_get("/", home)
    # The port has to be known before the sandbox is mounted.
    server = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    sandbox.mount(app, f"http://127.0.0.1:{port}{PATH}/")
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    yield f"http://127.0.0.1:{port}"
    await runner.cleanup()


async def test_it_lives_in_an_aiohttp_application(http: aiohttp.ClientSession) -> None:
    """With its API, its checkout page and its console, which all lead to each other."""
    sandbox = Sandbox(time_scale=0)
    async with _shop(sandbox) as shop:
        call = Caller(sandbox, http)
        assert (await call.send("GET", f"{shop}/")).text == "shop"
        assert sandbox.base_url == f"{shop}{PATH}/api/v3"
        collection_id = await call.create()
        assert (await call("GET", f"/collections/{collection_id}")).status == 200
        assert sandbox.requests[-1].path == f"/collections/{collection_id}"
        page = Page((await call.send("GET", sandbox.checkout_url(collection_id))).text)
        (action,) = {action for item in page.attributes if (action := item.get("action"))}
        assert action == f"{PATH}/sci/checkout?batch={collection_id}"
        reply = await call.send("POST", shop + action, data=page.fields | {"action": "pay"})
        assert reply.headers["Location"] == action
        assert sandbox.collection(collection_id).status == "COMPLETED"
        console = await call.send("GET", f"{shop}{PATH}/")
        links = re.findall(r'(?:href|action)="(/[^"]*)"', console.text)
        assert links
        assert all(link.startswith(f"{PATH}/") for link in links)
        panels = (await call.send("GET", f"{shop}{PATH}/_sandbox/panels")).json
        assert all(panel in console.text for panel in panels.values())
        fields = {"csrf": Page(console.text).fields["csrf"], "advance": "60"}
        clock = await call.send("POST", f"{shop}{PATH}/_sandbox/clock", data=fields)
        assert clock.headers["Location"] == f"{PATH}/"
    with pytest.raises(RuntimeError, match="not running"):
        await sandbox.send_test(url="http://127.0.0.1:1/")


class Rig:
    """Calls an ASGI application, as a server would."""

    def __init__(self, app: Any, root_path: str = "") -> None:
        self.app = app
        self.root_path = root_path
        self.sent: list[Any] = []
        self.left = asyncio.Event()

    async def get(self, target: str, *, method: str = "GET", body: bytes = b"") -> Any:
        """Make a request; give its status and its body."""
        path, _, query = target.partition("?")
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "root_path": self.root_path,
            "query_string": query.encode(),
            "headers": [(b"host", b"localhost:8000"), (b"content-type", b"application/json")],
        }
        parts = iter((body[:5], body[5:]))
        self.sent = []

        async def receive() -> Any:
            part = next(parts, None)
            if part is None:
                await self.left.wait()
                return {"type": "http.disconnect"}
            return {"type": "http.request", "body": part, "more_body": part != body[5:]}

        async def send(message: Any) -> None:
            self.sent.append(message)

        await self.app(scope, receive, send)
        return self.sent[0]["status"], b"".join(item.get("body", b"") for item in self.sent[1:])


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """A sandbox that was not started."""
    resting = Sandbox(time_scale=0)
    yield resting
    await resting.aclose()


async def test_it_is_an_asgi_application(sandbox: Sandbox) -> None:
    """Which starts with the first request, in front of another application or mounted."""
    rig = Rig(sandbox.asgi("http://localhost:8000/sandbox"))
    assert sandbox.base_url == "http://localhost:8000/sandbox/api/v3"
    body = json.dumps(ORDER).encode()
    status, answer = await rig.get("/sandbox/_sandbox/collections", method="POST", body=body)
    assert (status, json.loads(answer)["orderId"]) == (200, "INV-001")
    record = sandbox.collections[0]
    status, page = await rig.get(f"/sandbox/sci/checkout?batch={record.collection_id}")
    assert (status, b'action="/sandbox/sci/checkout' in page) == (200, True)
    rig.root_path = "/sandbox"
    status, page = await rig.get("/")
    assert (status, b'href="/sandbox/openapi.json"' in page) == (200, True)
    assert (await rig.get("/sandbox"))[0] == 200
    rig.root_path = ""
    assert (await rig.get("/elsewhere"))[0] == 404


async def test_a_stream_ends_when_its_reader_has_left(sandbox: Sandbox) -> None:
    """The console's events never end by themselves."""
    rig = Rig(sandbox.asgi("http://localhost:8000/sandbox"))
    reading = asyncio.create_task(rig.get("/sandbox/_sandbox/events"))
    await until(lambda: len(rig.sent) > 1)
    rig.left.set()
    status, body = await reading
    assert (status, body[:6]) == (200, b"data: ")


async def test_a_connection_that_is_cut_is_an_error_of_the_application(sandbox: Sandbox) -> None:
    """It cannot cut the server's own."""
    rig = Rig(sandbox.asgi("http://localhost:8000/sandbox"))
    sandbox.faults.always("* *", drop_before_commit())
    with pytest.raises(aiohttp.ClientError):
        await rig.get("/sandbox/api/v3/refunds")


async def test_everything_else_goes_to_the_other_application(sandbox: Sandbox) -> None:
    """Requests, lifespan and web sockets."""
    seen = []

    async def other(scope: Any, _: Any, __: Any) -> None:
        seen.append(scope["type"])

    app = sandbox.asgi("http://localhost:8000/sandbox", other)
    for kind, path in (("lifespan", ""), ("websocket", "/sandbox"), ("http", "/sandboxes")):
        await app({"type": kind, "path": path}, None, None)  # type: ignore[arg-type]  # not called
    assert seen == ["lifespan", "websocket", "http"]


async def test_alone_it_answers_a_servers_lifespan(sandbox: Sandbox) -> None:
    """And closes web sockets, of which it has none."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {}

    async def send(message: Any) -> None:
        sent.append(message["type"])

    app = sandbox.asgi("http://localhost:8000/sandbox")
    await app({"type": "lifespan"}, receive, send)
    await app({"type": "websocket"}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete", "websocket.close"]


@pytest.mark.parametrize(
    ("at", "problem"),
    [
        ("https://shop.example/sandbox", "allow_public=True"),
        ("http://0.0.0.0/sandbox", "allow_public=True"),
        ("http://localhost:8000", "a path"),
        ("http://localhost:8000/", "a path"),
        ('http://localhost:8000/"x', "a path"),
        ("/sandbox", "an address"),
        ("ftp://localhost/sandbox", "an address"),
        ("http://localhost/sandbox?x=1", "an address"),
    ],
)
def test_where_it_must_not_be(at: str, problem: str) -> None:
    """Whoever reaches it can pay without money."""
    with pytest.raises(ValueError, match=re.escape(problem)):
        Sandbox().mount(web.Application(), at)
    with pytest.raises(ValueError, match=re.escape(problem)):
        Sandbox().asgi(at)


def test_a_public_address_needs_a_word() -> None:
    """And only that word."""
    sandbox = Sandbox()
    sandbox.mount(web.Application(), "https://shop.example/sandbox", allow_public=True)
    assert sandbox.url == "https://shop.example/sandbox"


async def test_it_has_one_place() -> None:
    """Also if it is running by itself."""
    mounted, running = Sandbox(), Sandbox()
    mounted.mount(web.Application(), "http://localhost:8000/sandbox")
    async with running:
        for sandbox in (mounted, running):
            with pytest.raises(RuntimeError, match="its place"):
                sandbox.asgi("http://localhost:8000/sandbox")
