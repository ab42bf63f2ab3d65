"""Webhooks in Starlette and FastAPI."""

from __future__ import annotations

from starlette.routing import BaseRoute, Route

from paycollect.web._endpoint import Endpoint, both_forms
from paycollect.web.asgi import WebhookApp


def webhook_routes(path: str, endpoint: Endpoint) -> list[BaseRoute]:
    """Make the routes for webhooks: POST to a path, with and without its last slash.

    They read the body themselves, so that no parameter of FastAPI parses it before, and they are
    not in its OpenAPI document::

        app = FastAPI(routes=webhook_routes("/webhook", endpoint))  # or:
        app.router.routes.extend(webhook_routes("/webhook", endpoint))

    Args:
        path: where the provider posts to.
        endpoint: a `Webhook`, a `Cashier`, or anything with `receive(body) -> Answer`.

    Raises:
        TypeError, ValueError: not an endpoint; not a path.

    """
    app = WebhookApp(endpoint)
    return [
        Route(form, app, name="paycollect_webhook", include_in_schema=False)
        for form in both_forms(path)
    ]
