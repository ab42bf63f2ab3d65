"""Webhooks in Flask."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request
from flask.blueprints import BlueprintSetupState

from paycollect.web._endpoint import Body, Endpoint, answer, both_forms, check_endpoint


def webhook_blueprint(
    path: str, endpoint: Endpoint, *, name: str = "paycollect_webhook"
) -> Blueprint:
    """Make the blueprint for webhooks: POST to a path, with and without its last slash.

    ::

        app.register_blueprint(webhook_blueprint("/webhook", endpoint))

    The CSRF protection of Flask-WTF passes it by if that was set up before.

    Args:
        path: where the provider posts to.
        endpoint: a `Webhook`, a `paycollect.sync.Cashier`, or anything with
            `receive(body) -> Answer`. One that is async runs on the loop thread of
            `paycollect.sync`.
        name: of the blueprint; a second one in an application needs another.

    Raises:
        TypeError, ValueError: not an endpoint; not a path.

    """
    check_endpoint(endpoint)

    def webhook() -> Response:
        given = answer(endpoint, lambda: _read(endpoint))
        return Response(given.body, given.status, dict(given.headers))

    blueprint = Blueprint(name, __name__)
    blueprint.record(_exempt_from_csrf)
    for number, form in enumerate(both_forms(path)):
        blueprint.add_url_rule(
            form,
            f"webhook{number or ''}",
            webhook,
            methods=["POST"],
            provide_automatic_options=False,
        )
    return blueprint


def _read(endpoint: Endpoint) -> bytes:
    chunked = "Transfer-Encoding" in request.headers
    body = Body(endpoint, request.headers.get("Content-Length"), chunked=chunked)
    body.read(request.stream.read)
    if body.is_empty:
        body.add(request.get_data())  # which a hook that asked for it has left here
    return body.whole()


def _exempt_from_csrf(state: BlueprintSetupState) -> None:
    protection: Any = state.app.extensions.get("csrf")
    if protection is not None:
        protection.exempt(state.blueprint)
