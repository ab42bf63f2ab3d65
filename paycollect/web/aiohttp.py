"""Webhooks in aiohttp.web."""

from __future__ import annotations

from aiohttp import ClientError, web

from paycollect.web._endpoint import (
    CUT_SHORT,
    NOT_ALLOWED,
    Answer,
    Body,
    Endpoint,
    Refusal,
    answer_async,
    both_forms,
    check_endpoint,
)


def webhook_routes(path: str, endpoint: Endpoint) -> list[web.RouteDef]:
    """Make the routes for webhooks: POST to a path, with and without its last slash.

    ::

        app.add_routes(webhook_routes("/webhook", endpoint))

    The limit for the body is that of the endpoint; the application's `client_max_size` is not
    asked.

    Args:
        path: where the provider posts to.
        endpoint: a `Webhook`, a `Cashier`, or anything with `receive(body) -> Answer`.

    Raises:
        TypeError, ValueError: not an endpoint; not a path.

    """
    check_endpoint(endpoint)

    async def handle(request: web.Request) -> web.Response:
        if request.method != "POST":
            return _respond(NOT_ALLOWED)
        return _respond(await answer_async(endpoint, lambda: _read(endpoint, request)))

    return [web.route("*", form, handle) for form in both_forms(path)]


async def _read(endpoint: Endpoint, request: web.Request) -> bytes:
    body = Body(
        endpoint,
        request.headers.get("Content-Length"),
        chunked="Transfer-Encoding" in request.headers,
    )
    try:
        while piece := await request.content.readany():
            body.add(piece)
        if body.is_empty:
            body.add(await request.read())  # which a middleware that asked for it has left here
    except (OSError, ClientError):
        raise Refusal(CUT_SHORT) from None
    return body.whole()


def _respond(answer: Answer) -> web.Response:
    return web.Response(status=answer.status, headers=answer.headers, body=answer.body)
