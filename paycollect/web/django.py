"""Webhooks in Django, under WSGI and ASGI."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from django.core.handlers.wsgi import WSGIRequest
from django.db import connections, transaction
from django.http import HttpRequest, HttpResponse
from django.http.request import RawPostDataException
from django.urls import path

from paycollect.web import _endpoint as web
from paycollect.web.wsgi import read_body


def webhook_view(endpoint: web.Endpoint) -> Callable[..., Any]:
    """Make the view for webhooks; `webhook_urls` gives it both forms of a path.

    An async endpoint makes an async view. Under WSGI, where Django would give each request an event
    loop of its own, that runs on the one loop of `paycollect.sync`.

    No CSRF token and no login are asked for. The view is outside `ATOMIC_REQUESTS`: open
    `transaction.atomic()` where you need it, so that it has committed when 200 is said. The limit
    for the body is that of the endpoint, and not DATA_UPLOAD_MAX_MEMORY_SIZE, which Django would
    answer with 400.

    Args:
        endpoint: a `Webhook`, a `Cashier`, or anything with `receive(body) -> Answer`.

    Raises:
        TypeError: not an endpoint.

    """
    web.check_endpoint(endpoint)
    if not web.is_async(endpoint):

        def view(request: HttpRequest) -> HttpResponse:
            return _handle(endpoint, request)

        return _open_to_all(view)

    async def view_async(request: HttpRequest) -> HttpResponse:
        if isinstance(request, WSGIRequest) or request.method != "POST":
            return await asyncio.to_thread(_handle, endpoint, request)

        async def read() -> bytes:
            return _read(endpoint, request)

        return _respond(await web.answer_async(endpoint, read))

    return _open_to_all(view_async)


def webhook_urls(route: str, endpoint: web.Endpoint) -> list[Any]:
    """Make the URL patterns for webhooks: a route with and without its last slash.

    ::

        urlpatterns = [*webhook_urls("webhook", endpoint), ...]

    Args:
        route: as in `django.urls.path`.
        endpoint: as in `webhook_view`.

    Raises:
        TypeError: not an endpoint.

    """
    view = webhook_view(endpoint)
    return [path(form[1:], view) for form in web.both_forms(f"/{route}")]


def _handle(endpoint: web.Endpoint, request: HttpRequest) -> HttpResponse:
    if request.method != "POST":
        return _respond(web.NOT_ALLOWED)
    return _respond(web.answer(endpoint, lambda: _read(endpoint, request)))


def _read(endpoint: web.Endpoint, request: HttpRequest) -> bytes:
    length = request.META.get("CONTENT_LENGTH") or None
    chunked = length is None and "HTTP_TRANSFER_ENCODING" in request.META
    if chunked and isinstance(request, WSGIRequest):
        return read_body(endpoint, request.environ)  # Django takes it for empty
    body = web.Body(endpoint, length, chunked=chunked)
    body.read(request.read)
    if body.is_empty:
        with suppress(RawPostDataException):
            body.add(request.body)  # which a middleware that asked for it has left here
    return body.whole()


def _respond(answer: web.Answer) -> HttpResponse:
    return HttpResponse(answer.body, status=answer.status, headers=dict(answer.headers))


def _open_to_all(view: Any) -> Callable[..., Any]:
    """Threat of each: CSRF and login refuse the provider, and a rollback would follow the 200."""
    view.csrf_exempt = True
    view.login_required = False
    opened: Callable[..., Any] = view
    for alias in connections:
        mark: Any = transaction.non_atomic_requests(using=alias)
        opened = mark(opened)
    return opened
