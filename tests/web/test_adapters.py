"""What is special to one framework, and what no client of ours can be made to send."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp.web
import flask
import flask_wtf.csrf
import httpx
import pytest
import starlette.middleware.base
from aiohttp.test_utils import TestClient, TestServer
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from paycollect.ipn import Receiver, WebhookEvent
from paycollect.testing import sign_webhook
from paycollect.web import Answer, Webhook, asgi, wsgi
from paycollect.web import aiohttp as for_aiohttp
from paycollect.web import flask as for_flask
from paycollect.web import starlette as for_starlette

SECRET = "whsec_of_these_tests"
LIMIT = 10_000
GENUINE = sign_webhook({"orderId": "A", "status": "COMPLETED"}, SECRET)


class Shop:
    """An endpoint, and what reached it."""

    def __init__(self) -> None:
        self.orders: list[str | None] = []
        self.endpoint = Webhook(Receiver(secrets=SECRET, max_size=LIMIT), self.record)

    def record(self, event: WebhookEvent) -> None:
        """Keep the order id."""
        self.orders.append(event.order_id)


@pytest.fixture
def shop() -> Shop:
    """Give a shop."""
    return Shop()


# --- ASGI ---------------------------------------------------------------------------------------


async def talk(app: Any, scope: dict[str, Any], *messages: dict[str, Any]) -> list[dict[str, Any]]:
    """Say these messages to an ASGI application, and give what it answers."""
    queue, sent = list(messages), []

    async def receive() -> dict[str, Any]:
        return queue.pop(0)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent


def post(*headers: tuple[bytes, bytes], path: str = "/") -> dict[str, Any]:
    """Make the scope of a POST."""
    return {"type": "http", "method": "POST", "path": path, "headers": list(headers)}


async def test_lifespan_and_web_sockets(shop: Shop) -> None:
    """An application that stands alone starts and stops with its server, and is no web socket."""
    app = asgi.WebhookApp(shop.endpoint)
    begin, end = {"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}
    assert [one["type"] for one in await talk(app, {"type": "lifespan"}, begin, end)] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]
    assert await talk(app, {"type": "websocket"}) == [{"type": "websocket.close"}]


async def test_asgi_passes_everything_else_on(shop: Shop) -> None:
    """Other paths, lifespan and web sockets are those of the application behind."""

    async def behind(scope: Any, receive: Any, send: Any) -> None:
        await send({"behind": scope["type"]})

    app = asgi.WebhookApp(shop.endpoint, path="/webhook", otherwise=behind)
    for scope in (post(path="/webhooks"), {"type": "lifespan"}, {"type": "websocket"}):
        assert await talk(app, scope) == [{"behind": scope["type"]}]
    body = {"type": "http.request", "body": GENUINE}
    assert (await talk(app, post(path="/webhook/"), body))[0]["status"] == 200


@pytest.mark.parametrize("kind", [asgi.WebhookApp, wsgi.WebhookApp])
def test_path_and_otherwise_belong_together(kind: Any, shop: Shop) -> None:
    """One without the other is a mistake that would answer where it should not."""
    for options in ({"path": "/webhook"}, {"otherwise": print}):
        with pytest.raises(ValueError, match="path and otherwise belong together"):
            kind(shop.endpoint, **options)


async def test_asgi_client_that_hangs_up(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    """Half a body is no webhook; none at all may be the work of a middleware, which is logged."""
    app = asgi.WebhookApp(shop.endpoint)
    length = (b"content-length", b"%d" % len(GENUINE))
    half = {"type": "http.request", "body": GENUINE[:50], "more_body": True}
    gone = {"type": "http.disconnect"}
    assert (await talk(app, post(length), half, gone))[0]["status"] == 400
    assert caplog.text == ""
    assert (await talk(app, post(length), gone))[0]["status"] == 500
    assert "or the client hung up" in caplog.text
    assert (await talk(app, post(), gone))[0]["status"] == 400
    assert shop.orders == []


async def test_what_is_announced_as_far_too_large_is_not_read(shop: Shop) -> None:
    """A body of gigabytes is refused by its header."""
    app = asgi.WebhookApp(shop.endpoint)
    assert (await talk(app, post((b"content-length", b"9" * 12))))[0]["status"] == 413


async def test_a_body_without_end_is_given_up(shop: Shop) -> None:
    """Chunks are read up to some megabytes beyond the limit, to no more memory than the limit."""
    app = asgi.WebhookApp(shop.endpoint)
    piece = {"type": "http.request", "body": b"x" * 500_000, "more_body": True}
    assert (await talk(app, post(), *[piece] * 9))[0]["status"] == 413


async def test_an_endpoint_without_a_limit_of_its_own() -> None:
    """It gets bodies of up to 1 MiB."""
    sizes = []

    class Own:
        def receive(self, body: bytes) -> Answer:
            sizes.append(len(body))
            return Answer(200, {"content-type": "text/x", "Content-Length": "2"}, b"ok")

    app = asgi.WebhookApp(Own())
    for size, status in [(2**20, 200), (2**20 + 1, 413)]:
        body = {"type": "http.request", "body": b"x" * size}
        assert (await talk(app, post(), body))[0]["status"] == status
    assert sizes == [2**20]


# --- Starlette and FastAPI ----------------------------------------------------------------------


async def post_to(app: Any, path: str = "/webhook", body: bytes = GENUINE) -> httpx.Response:
    """Post to an ASGI application."""
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
        return await client.post(path, content=body)


async def test_starlette_middleware_that_keeps_the_body(shop: Shop) -> None:
    """What a middleware read with `body()` is there for those who come after it."""

    async def log_body(request: Request, call_next: Callable[..., Awaitable[Response]]) -> Response:
        await request.body()
        return await call_next(request)

    app = Starlette(routes=for_starlette.webhook_routes("/webhook", shop.endpoint))
    app.add_middleware(starlette.middleware.base.BaseHTTPMiddleware, dispatch=log_body)
    assert (await post_to(app)).status_code == 200
    assert shop.orders == ["A"]


async def test_ways_into_fastapi(shop: Shop) -> None:
    """Routes can be given at once, or with a router; the OpenAPI document does not have them."""
    app = FastAPI(routes=for_starlette.webhook_routes("/webhook", shop.endpoint))
    router: Any = APIRouter(routes=for_starlette.webhook_routes("/hook", shop.endpoint))
    app.include_router(router, prefix="/pay")
    for path in ("/webhook", "/webhook/", "/pay/hook", "/pay/hook/"):
        assert (await post_to(app, path)).status_code == 200
    assert len(shop.orders) == 4
    assert app.openapi()["paths"] == {}


# --- aiohttp ------------------------------------------------------------------------------------


async def test_aiohttp_middleware_that_keeps_the_body(shop: Shop) -> None:
    """What a middleware read with `read()` is there for those who come after it."""

    @aiohttp.web.middleware
    async def log_body(request: aiohttp.web.Request, handler: Any) -> Any:
        await request.read()
        return await handler(request)

    app = aiohttp.web.Application(middlewares=[log_body], client_max_size=2 * LIMIT)
    app.add_routes(for_aiohttp.webhook_routes("/webhook", shop.endpoint))
    async with TestClient(TestServer(app)) as client:
        assert (await client.post("/webhook", data=GENUINE)).status == 200
    assert shop.orders == ["A"]


async def test_aiohttp_asks_the_endpoint_for_the_limit(shop: Shop) -> None:
    """The application's own limit, for forms and files, is another."""
    app = aiohttp.web.Application(client_max_size=10)
    app.add_routes(for_aiohttp.webhook_routes("/webhook", shop.endpoint))
    async with TestClient(TestServer(app)) as client:
        assert (await client.post("/webhook", data=GENUINE)).status == 200


async def test_aiohttp_client_that_hangs_up(shop: Shop) -> None:
    """Half a body reaches nobody, and the server goes on."""
    app = aiohttp.web.Application()
    app.add_routes(for_aiohttp.webhook_routes("/webhook", shop.endpoint))
    async with TestServer(app) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        head = f"POST /webhook HTTP/1.1\r\nHost: x\r\nContent-Length: {len(GENUINE)}\r\n\r\n"
        writer.write(head.encode() + GENUINE[:50])
        await writer.drain()
        await asyncio.sleep(0.01)
        writer.transport.abort()
        client: TestClient[Any, Any]
        async with TestClient(server) as client:
            assert (await client.post("/webhook", data=GENUINE)).status == 200
    assert shop.orders == ["A"]


# --- WSGI ---------------------------------------------------------------------------------------


def call(app: Any, stream: Any = None, **environ: Any) -> tuple[str, dict[str, str], bytes]:
    """Call a WSGI application."""
    said: list[Any] = []
    given = {"REQUEST_METHOD": "POST", "PATH_INFO": "/", "wsgi.input": stream or io.BytesIO()}
    pieces = app(given | environ, lambda *answer: said.append(answer))
    ((status, headers),) = said
    return status, dict(headers), b"".join(pieces)


def test_wsgi_server_that_knows_no_chunks(shop: Shop) -> None:
    """To read on would wait for ever: the sender is told to say the length."""
    app = wsgi.WebhookApp(shop.endpoint)
    status, _, text = call(app, HTTP_TRANSFER_ENCODING="chunked")
    assert (status, text) == ("411 Length Required", b"This server needs a Content-Length.\n")


def test_wsgi_reads_no_further_than_the_length(shop: Shop) -> None:
    """A server may give the next request of the connection after the body."""
    app = wsgi.WebhookApp(shop.endpoint)
    stream = io.BytesIO(GENUINE + b"POST /next")
    assert call(app, stream, CONTENT_LENGTH=str(len(GENUINE)))[0] == "200 OK"
    assert stream.read() == b"POST /next"
    assert call(app, stream)[0] == "400 Bad Request"


def test_wsgi_stream_that_breaks(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    """A client that hangs up makes some servers raise: nothing of it is logged as our failure."""

    class Broken(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            raise ConnectionResetError

    app = wsgi.WebhookApp(shop.endpoint)
    assert call(app, Broken(), CONTENT_LENGTH="10")[2] == b"The body ended early.\n"
    assert caplog.text == ""


def test_wsgi_head_has_no_body(shop: Shop) -> None:
    """As HTTP wants it."""
    status, headers, text = call(wsgi.WebhookApp(shop.endpoint), REQUEST_METHOD="HEAD")
    assert (status, headers["Allow"], text) == ("405 Method Not Allowed", "POST", b"")


# --- Flask --------------------------------------------------------------------------------------


def flask_app(shop: Shop, *, csrf: bool = False) -> flask.Flask:
    """Make a service with Flask."""
    app = flask.Flask(__name__)
    app.secret_key = "for tests"
    if csrf:
        flask_wtf.csrf.CSRFProtect(app)
    app.register_blueprint(for_flask.webhook_blueprint("/webhook", shop.endpoint))
    return app


def test_flask_hook_that_keeps_the_body(shop: Shop) -> None:
    """What a hook read with `get_data` or `get_json` is there for those who come after it."""
    app = flask_app(shop)
    app.before_request(lambda: flask.request.get_json(silent=True) and None)
    sent = app.test_client().post("/webhook", data=GENUINE, content_type="application/json")
    assert (sent.status_code, shop.orders) == (200, ["A"])


def test_flask_hook_that_parses_a_form(shop: Shop) -> None:
    """What the form parser took is gone, which the answer says."""
    app = flask_app(shop)

    def touch() -> None:
        assert not flask.request.form.get("x")

    app.before_request(touch)
    form = "application/x-www-form-urlencoded"
    sent = app.test_client().post("/webhook", data=GENUINE, content_type=form)
    assert (sent.status_code, shop.orders) == (500, [])
    assert "was already read, by a middleware or a hook" in sent.text


def test_flask_csrf_protection_passes_it_by(shop: Shop) -> None:
    """The provider has no token; other paths stay protected."""
    app = flask_app(shop, csrf=True)
    app.add_url_rule("/form", "form", lambda: "", methods=["POST"])
    client = app.test_client()
    assert client.post("/form").status_code == 400
    assert client.post("/webhook", data=GENUINE).status_code == 200
