"""Webhooks as a WSGI application, for any server and any framework."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any, TypeAlias

from paycollect.web._endpoint import (
    NO_LENGTH,
    NOT_ALLOWED,
    Body,
    Endpoint,
    Refusal,
    answer,
    both_forms,
    check_endpoint,
)

Environ: TypeAlias = dict[str, Any]
App: TypeAlias = Callable[[Any, Any], Iterable[bytes]]


class WebhookApp:
    """A WSGI application that hands webhooks to an endpoint.

    Put it in front of an application, or let it stand alone::

        app = WebhookApp(endpoint, path="/webhook", otherwise=bottle_app)

    Args:
        endpoint: a `Webhook`, a `paycollect.sync.Cashier`, or anything with
            `receive(body) -> Answer`. One that is async runs on the loop thread of
            `paycollect.sync`.
        path: with `otherwise`: answer here only, with and without a last slash.
        otherwise: the application that gets all other paths.

    Raises:
        TypeError, ValueError: not an endpoint; one of `path` and `otherwise` without the other.

    """

    def __init__(
        self, endpoint: Endpoint, *, path: str | None = None, otherwise: App | None = None
    ) -> None:
        self._endpoint = check_endpoint(endpoint)
        if (path is None) != (otherwise is None):
            raise ValueError("path and otherwise belong together: give both or neither")
        self._paths = () if path is None else tuple(both_forms(path))
        self._otherwise = otherwise

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""
        if self._otherwise is not None and environ.get("PATH_INFO", "") not in self._paths:
            return self._otherwise(environ, start_response)
        given = NOT_ALLOWED
        if environ["REQUEST_METHOD"] == "POST":
            given = answer(self._endpoint, lambda: read_body(self._endpoint, environ))
        headers = {"Content-Length": str(len(given.body)), **given.headers}
        reason = HTTPStatus(given.status).phrase
        start_response(f"{given.status} {reason}", list(headers.items()))
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [given.body]


def read_body(endpoint: Endpoint, environ: Environ) -> bytes:
    """Read the body of a WSGI request.

    Raises:
        Refusal: too large, read before, cut short; or chunked, and the server cannot read that.

    """
    length = environ.get("CONTENT_LENGTH") or None
    chunked = length is None and "HTTP_TRANSFER_ENCODING" in environ
    if chunked and not environ.get("wsgi.input_terminated"):
        raise Refusal(NO_LENGTH)
    body = Body(endpoint, length, chunked=chunked)
    stream = environ["wsgi.input"]
    if environ.get("wsgi.input_terminated"):
        body.read(stream.read)
    else:  # to read beyond the length would wait for ever
        left = int(length or 0)

        def read(size: int) -> bytes:
            nonlocal left
            piece: bytes = stream.read(min(size, left))
            left -= len(piece)
            return piece

        body.read(read)
    return body.whole()
