"""The views of Django, without a server: see test_servers for those."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings
from django.core.handlers.asgi import ASGIRequest
from django.core.handlers.wsgi import WSGIRequest
from django.db import connections
from django.http import HttpResponse
from django.utils.functional import empty

from paycollect.ipn import Receiver, WebhookEvent
from paycollect.testing import sign_webhook
from paycollect.web import Webhook
from paycollect.web.django import webhook_urls, webhook_view

SECRET = "whsec_of_these_tests"
GENUINE = sign_webhook({"orderId": "A", "status": "COMPLETED"}, SECRET)
RECEIVER = Receiver(secrets=SECRET, max_size=10_000)


@pytest.fixture(autouse=True)
def configured() -> Iterator[None]:
    """Configure Django for one test; other tests have settings of their own."""
    kept = settings._wrapped, connections._settings
    nothing: Any = empty
    settings._wrapped, connections._settings = nothing, None
    vars(connections).pop("settings", None)
    databases = {name: {"ENGINE": "django.db.backends.sqlite3"} for name in ("default", "archive")}
    settings.configure(DATABASES=databases, DATA_UPLOAD_MAX_MEMORY_SIZE=10)
    yield
    settings._wrapped, connections._settings = kept
    vars(connections).pop("settings", None)


class Input:
    """The body of a request, as gunicorn gives it."""

    def __init__(self, body: bytes) -> None:
        self.left = body

    def read(self, size: int = -1) -> bytes:
        """Give some of it."""
        piece = self.left if size < 0 else self.left[:size]
        self.left = self.left[len(piece) :]
        return piece

    readline = read

    def seekable(self) -> bool:
        """It is a stream from the network."""
        return False

    def close(self) -> None:
        """Do nothing."""


def wsgi_request(
    body: bytes = GENUINE, method: str = "POST", environ: dict[str, Any] | None = None
) -> WSGIRequest:
    """Make a request under WSGI."""
    given = {"REQUEST_METHOD": method, "PATH_INFO": "/webhook", "wsgi.input": Input(body)}
    return WSGIRequest({**given, "CONTENT_LENGTH": str(len(body)), **(environ or {})})


def asgi_request(body: bytes = GENUINE, method: str = "POST", **headers: str) -> ASGIRequest:
    """Make a request under ASGI."""
    named = headers or {"content-length": str(len(body))}
    scope = {
        "method": method,
        "path": "/webhook",
        "headers": [
            (name.replace("_", "-").encode(), text.encode()) for name, text in named.items()
        ],
    }
    return ASGIRequest(scope, Input(body))


@pytest.fixture
def orders() -> list[str | None]:
    """Give what reached the endpoint."""
    return []


@pytest.fixture(params=["sync", "async"])
def ask(request: pytest.FixtureRequest, orders: list[str | None]) -> Callable[[Any], HttpResponse]:
    """Give a way to ask a view, which is sync or async."""

    def record(event: WebhookEvent) -> None:
        orders.append(event.order_id)

    async def record_async(event: WebhookEvent) -> None:
        record(event)

    if request.param == "sync":
        return webhook_view(Webhook(RECEIVER, record))
    view_async = webhook_view(Webhook(RECEIVER, record_async))
    return lambda request: asyncio.run(view_async(request))


Ask = Callable[[Any], Any]


@pytest.mark.parametrize("make", [wsgi_request, asgi_request])
def test_statuses(ask: Ask, make: Callable[..., Any], orders: list[str | None]) -> None:
    """A view answers as all adapters do, under both interfaces, whatever Django's own limit is."""
    assert ask(make()).status_code == 200
    assert ask(make(GENUINE.replace(b'"A"', b'"B"'))).status_code == 401
    assert ask(make(b"x" * 10_001)).status_code == 413
    refused = ask(make(method="GET"))
    assert (refused.status_code, refused.headers["Allow"]) == (405, "POST")
    assert orders == ["A"]


@pytest.mark.parametrize("size", [None, 10_001, 5_000_000])
def test_chunks(ask: Ask, size: int | None, orders: list[str | None]) -> None:
    """Django takes a chunked body for empty under WSGI: it is read all the same, to the limit."""
    body = GENUINE if size is None else b"x" * size
    chunked: dict[str, Any] = {"CONTENT_LENGTH": "", "HTTP_TRANSFER_ENCODING": "chunked"}
    status = 200 if size is None else 413
    request = wsgi_request(body, environ={**chunked, "wsgi.input_terminated": True})
    assert ask(request).status_code == status
    assert ask(asgi_request(body, transfer_encoding="chunked")).status_code == status
    assert ask(wsgi_request(body, environ=chunked)).status_code == 411
    assert len(orders) == (2 if size is None else 0)


def test_a_body_that_a_middleware_kept(ask: Ask, orders: list[str | None]) -> None:
    """What was read with `request.body` is there, also where it was then read as a stream."""
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = None
    for request in (wsgi_request(), asgi_request()):
        assert request.body
        request.read()
        assert ask(request).status_code == 200
    assert orders == ["A", "A"]


def test_a_body_that_a_middleware_took(ask: Ask, orders: list[str | None]) -> None:
    """What was read as a stream is gone, which the answer says."""
    for request in (wsgi_request(), asgi_request()):
        request.read()
        given = ask(request)
        assert given.status_code == 500
        assert "was already read, by a middleware" in given.content.decode()
    assert orders == []


def test_a_client_that_hangs_up(ask: Ask) -> None:
    """A stream that breaks is nobody's failure."""

    class Broken(Input):
        def read(self, size: int = -1) -> bytes:
            raise ConnectionResetError

    given = ask(wsgi_request(environ={"wsgi.input": Broken(b"")}))
    assert (given.status_code, given.content) == (400, b"The body ended early.\n")


def test_what_the_view_is_free_of(ask: Ask) -> None:
    """No CSRF token, no login, and no transaction around the answer, of any database."""
    for endpoint in (Webhook(RECEIVER, print), Webhook(RECEIVER, asyncio.sleep)):  # type: ignore[arg-type]  # any coroutine function
        view: Any = webhook_view(endpoint)
        assert view.csrf_exempt
        assert not view.login_required
        assert view._non_atomic_requests == {"default", "archive"}


def test_urls() -> None:
    """Both forms of a route lead to the view, at the root of a prefix as well."""
    assert [str(one.pattern) for one in webhook_urls("pay/hook", Webhook(RECEIVER, print))] == [
        "pay/hook",
        "pay/hook/",
    ]
    assert [str(one.pattern) for one in webhook_urls("", Webhook(RECEIVER, print))] == [""]
