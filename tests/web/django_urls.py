"""The URLs of the Django service of these tests, and a middleware that reads bodies."""

# ruff: noqa: PLC0415  each framework is imported by its own service only

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from paycollect.web import Endpoint

urlpatterns: list[Any] = []


def fill(endpoints: Mapping[str, Endpoint]) -> None:
    """Give each endpoint its path."""
    from paycollect.web.django import webhook_urls

    for path, endpoint in endpoints.items():
        urlpatterns.extend(webhook_urls(path[1:], endpoint))


def read_before(get_response: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Read what goes to /late, as a middleware for uploads does."""

    def middleware(request: Any) -> Any:
        if request.path.startswith("/late"):
            request.read()
        return get_response(request)

    return middleware
