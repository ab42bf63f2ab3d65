"""One small service a framework, all with the same paths.

    /webhook    appends the order id of each event to a file
    /failing    has a function that raises
    /down       is an endpoint of one's own that raises, as a store that is down does
    /late       as /webhook, but a middleware has read the body before

`FRAMEWORKS[name](file)` makes the application; gunicorn calls `application(name, file)`.
"""

# ruff: noqa: PLC0415  each framework is imported by its own service only

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from paycollect.ipn import Receiver, WebhookEvent
from paycollect.web import Answer, Endpoint, Webhook

SECRET = "whsec_of_these_tests"
LIMIT = 100_000


class Down:
    """An endpoint whose store is down."""

    async def receive(self, body: bytes) -> Answer:
        """Fail."""
        await asyncio.sleep(0)
        raise ConnectionError("the store is down")


def endpoints(file: Path, *, is_async: bool) -> dict[str, Endpoint]:
    """Make the endpoints by their paths."""

    def record(event: WebhookEvent) -> None:
        with file.open("a") as lines:
            lines.write(f"{event.order_id}\n")

    async def record_async(event: WebhookEvent) -> None:
        await asyncio.sleep(0)
        record(event)

    def fail(event: WebhookEvent) -> None:
        raise RuntimeError("the function failed")

    receiver = Receiver(secrets=SECRET, max_size=LIMIT)
    webhook = Webhook(receiver, record_async if is_async else record)
    return {
        "/webhook": webhook,
        "/failing": Webhook(receiver, fail),
        "/down": Down(),
        "/late": webhook,
    }


def aiohttp_app(file: Path) -> Any:
    """aiohttp.web."""
    from aiohttp import web

    from paycollect.web.aiohttp import webhook_routes

    @web.middleware
    async def read_before(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if request.path.startswith("/late"):
            while await request.content.readany():
                pass
        return await handler(request)

    app = web.Application(middlewares=[read_before])
    for path, endpoint in endpoints(file, is_async=True).items():
        app.add_routes(webhook_routes(path, endpoint))
    return app


class Drain:
    """An ASGI middleware that reads a body and forgets it, but for a promise to say it is over."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Drain what goes to /late."""
        if scope["type"] != "http" or not scope["path"].startswith("/late"):
            await self.app(scope, receive, send)
            return
        while (await receive()).get("more_body"):
            pass

        async def nothing() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        await self.app(scope, nothing, send)


def starlette_app(file: Path) -> Any:
    """Starlette."""
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
    from starlette.requests import Request
    from starlette.responses import Response

    from paycollect.web.starlette import webhook_routes

    async def read_before(request: Request, call_next: RequestResponseEndpoint) -> Response:
        if request.url.path.startswith("/late"):
            async for _ in request.stream():
                pass
        return await call_next(request)

    app = Starlette(middleware=[Middleware(BaseHTTPMiddleware, dispatch=read_before)])
    for path, endpoint in endpoints(file, is_async=True).items():
        app.routes.extend(webhook_routes(path, endpoint))
    return app


def fastapi_app(file: Path) -> Any:
    """FastAPI, with an endpoint that blocks."""
    from fastapi import FastAPI

    from paycollect.web.starlette import webhook_routes

    app = FastAPI()
    for path, endpoint in endpoints(file, is_async=False).items():
        app.router.routes.extend(webhook_routes(path, endpoint))
    app.add_middleware(Drain)
    return app


def litestar_app(file: Path) -> Any:
    """Litestar, which mounts ASGI applications."""
    from litestar import Litestar, asgi

    from paycollect.web.asgi import WebhookApp

    return Drain(
        Litestar(
            [
                asgi(path, is_mount=True, copy_scope=True)(WebhookApp(endpoint))
                for path, endpoint in endpoints(file, is_async=True).items()
            ]
        )
    )


def quart_app(file: Path) -> Any:
    """Quart, behind the ASGI application."""
    import quart

    from paycollect.web.asgi import WebhookApp

    app: Any = quart.Quart(__name__)
    for path, endpoint in endpoints(file, is_async=True).items():
        app = WebhookApp(endpoint, path=path, otherwise=app)
    return Drain(app)


class DrainWsgi:
    """The same for WSGI."""

    def __init__(self, app: Any) -> None:
        self.app = app

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Drain what goes to /late."""
        if environ["PATH_INFO"].startswith("/late"):
            left = environ.get("CONTENT_LENGTH")
            environ["wsgi.input"].read(*([int(left)] if left else []))
        return self.app(environ, start_response)


def flask_app(file: Path, *, is_async: bool = False) -> Any:
    """Flask."""
    from flask import Flask

    from paycollect.web.flask import webhook_blueprint

    app = Flask(__name__)
    for path, endpoint in endpoints(file, is_async=is_async).items():
        app.register_blueprint(webhook_blueprint(path, endpoint, name=path[1:]))
    app.wsgi_app = DrainWsgi(app.wsgi_app)  # type: ignore[method-assign]  # as Flask documents it
    return app


def flask_async_app(file: Path) -> Any:
    """Flask, with an endpoint that is async."""
    return flask_app(file, is_async=True)


def wsgi_app(file: Path) -> Any:
    """Any WSGI application behind ours."""
    from paycollect.web.wsgi import WebhookApp

    def app(environ: Any, start_response: Any) -> Any:
        start_response("404 Not Found", [("Content-Length", "0")])
        return []

    for path, endpoint in endpoints(file, is_async=False).items():
        app = WebhookApp(endpoint, path=path, otherwise=app)
    return DrainWsgi(app)


def _django(file: Path, *, is_async: bool) -> None:
    import django
    from django.conf import settings

    from tests.web import django_urls

    settings.configure(
        ROOT_URLCONF="tests.web.django_urls",
        SECRET_KEY="for tests",
        ALLOWED_HOSTS=["127.0.0.1"],
        MIDDLEWARE=[
            "tests.web.django_urls.read_before",
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.common.CommonMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django.contrib.auth.middleware.LoginRequiredMiddleware",
        ],
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth"],
        SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
        LOGIN_URL="/login",
        DATA_UPLOAD_MAX_MEMORY_SIZE=2 * LIMIT,
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": ":memory:",
                "ATOMIC_REQUESTS": True,
            }
        },
    )
    django.setup()
    django_urls.fill(endpoints(file, is_async=is_async))


def django_wsgi_app(file: Path) -> Any:
    """Django under WSGI."""
    from django.core.wsgi import get_wsgi_application

    _django(file, is_async=False)
    return get_wsgi_application()


def django_wsgi_async_app(file: Path) -> Any:
    """Django under WSGI, with an endpoint that is async."""
    from django.core.wsgi import get_wsgi_application

    _django(file, is_async=True)
    return get_wsgi_application()


def django_asgi_app(file: Path) -> Any:
    """Django under ASGI."""
    from django.core.asgi import get_asgi_application

    _django(file, is_async=True)
    return get_asgi_application()


def django_asgi_sync_app(file: Path) -> Any:
    """Django under ASGI, with an endpoint that blocks."""
    from django.core.asgi import get_asgi_application

    _django(file, is_async=False)
    return get_asgi_application()


FRAMEWORKS: dict[str, Callable[[Path], Any]] = {
    name.removesuffix("_app"): value
    for name, value in list(globals().items())
    if name.endswith("_app") and callable(value)
}


def application(name: str, file: str) -> Any:
    """Make an application in a process of its own."""
    return FRAMEWORKS[name](Path(file))
