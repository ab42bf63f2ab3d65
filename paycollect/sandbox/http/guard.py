"""Keeps other web sites out: what a browser sends here must come from the sandbox's own pages.

A site that a developer happens to visit could otherwise reach a server on loopback, by a form or by
a name that it points at 127.0.0.1 (DNS rebinding).
"""

from __future__ import annotations

import contextlib
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

if TYPE_CHECKING:
    from collections.abc import Iterable

LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_MOST_FIELDS: Final = 50
_SAFE_METHODS: Final = frozenset({"GET", "HEAD"})
_HEADERS: Final = {
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def guard(hosts: Iterable[str]) -> Middleware:
    """Make a middleware that refuses foreign hosts and origins.

    Args:
        hosts: names by which the sandbox may be called, besides those of loopback.

    """
    allowed = LOOPBACK | {host.lower() for host in hosts}

    @web.middleware
    async def keep_out(request: web.Request, handler: Handler) -> web.StreamResponse:
        if _hostname(request.host) not in allowed:
            return _forbidden(f"This sandbox is not called {request.host!a}: see allowed_hosts.")
        if request.method not in _SAFE_METHODS and _is_foreign(request):
            return _forbidden("This request comes from another site.")
        return await handler(request)

    return keep_out


async def read_form(request: web.Request) -> dict[str, str]:
    """Read the fields of a form of our own pages; anything else counts as an empty one."""
    if request.content_type != "application/x-www-form-urlencoded":
        return {}
    body = (await request.read()).decode(errors="replace")
    with contextlib.suppress(ValueError):
        return dict(parse_qsl(body, keep_blank_values=True, max_num_fields=_MOST_FIELDS))
    return {}


async def add_headers(_: web.Request, response: web.StreamResponse) -> None:
    """Tell browsers to keep the pages to themselves; a signal handler of the application."""
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)


def _hostname(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _is_foreign(request: web.Request) -> bool:
    # By its host and port alone, as a proxy may speak https to the browser.
    origin = request.headers.get("Origin", f"//{request.host}").partition("//")[2]
    site = request.headers.get("Sec-Fetch-Site", "same-origin")
    return origin != request.host or site not in {"same-origin", "none"}


def _forbidden(sentence: str) -> web.Response:
    return web.Response(status=HTTPStatus.FORBIDDEN, text=f"{sentence}\n")
