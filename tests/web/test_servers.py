"""The same cases for each framework, on the servers that people run it with."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterable, Iterator
from email.message import Message
from pathlib import Path

import pytest
from attrs import frozen

from paycollect.testing import sign_webhook
from tests.web import servers
from tests.web.apps import LIMIT, SECRET


@frozen
class Case:
    """A request, and what must be answered."""

    name: str
    body: bytes | Iterable[bytes]
    status: int
    path: str = "/webhook"
    method: str = "POST"
    content_type: str = "application/json"
    stored: tuple[str, ...] = ()


def webhook(order_id: str, **more: object) -> bytes:
    """Make a genuine webhook."""
    return sign_webhook({"orderId": order_id, "status": "COMPLETED", "amount": 25, **more}, SECRET)


def pieces(body: bytes) -> Iterator[bytes]:
    """Give a body in pieces, which makes the client send it chunked."""
    step = max(1, len(body) // 7)
    for start in range(0, len(body), step):
        yield body[start : start + step]


FORM = "application/x-www-form-urlencoded"


def cases() -> list[Case]:
    """Make the table; bodies in pieces are used up by one run."""
    genuine = webhook("A")
    return [
        Case("genuine", genuine, 200, stored=("A",)),
        Case("genuine, with a slash", webhook("B"), 200, path="/webhook/", stored=("B",)),
        Case("genuine, in chunks", pieces(webhook("C")), 200, stored=("C",)),
        Case("genuine, called a form", webhook("D"), 200, content_type=FORM, stored=("D",)),
        Case("just small enough", webhook("E", x="x" * (LIMIT - 500)), 200, stored=("E",)),
        Case("a test delivery", webhook("F", _test=True), 200),
        Case("forged", genuine.replace(b'"A"', b'"Z"'), 401),
        Case("forged, in chunks", pieces(genuine.replace(b'"A"', b'"Z"')), 401),
        Case("malformed", b"[1]", 400),
        Case("empty", b"", 400),
        Case("too large", b"x" * (LIMIT + 1), 413),
        Case("too large, in chunks", pieces(b"x" * (LIMIT + 1)), 413),
        Case("much too large", b"x" * (30 * LIMIT), 413),
        Case("much too large, in chunks", pieces(b"x" * (30 * LIMIT)), 413),
        *(Case(method, b"", 405, method=method) for method in ("GET", "HEAD", "PUT", "OPTIONS")),
        Case("DELETE, with a slash", b"", 405, path="/webhook/", method="DELETE"),
        Case("a function that fails", genuine, 503, path="/failing"),
        Case("a store that is down", genuine, 503, path="/down"),
        Case("a body that was read before", genuine, 500, path="/late"),
        Case("genuine again", genuine, 200, stored=("A",)),
    ]


# Where the coverage counts they run in a thread. Django can be configured once in a process.
EVERY = [
    ("thread", "aiohttp", "aiohttp"),
    ("thread", "uvicorn", "starlette"),
    ("thread", "uvicorn", "fastapi"),
    ("thread", "hypercorn", "starlette"),
    ("thread", "uvicorn", "litestar"),
    ("thread", "hypercorn", "quart"),
    ("thread", "waitress", "flask"),
    ("thread", "waitress", "flask_async"),
    ("thread", "waitress", "wsgi"),
    ("thread", "wsgiref", "wsgi"),
    ("process", "gunicorn", "flask"),
    ("process", "gunicorn", "wsgi"),
    ("process", "gunicorn", "django_wsgi"),
    ("process", "gunicorn", "django_wsgi_async"),
    ("process", "uvicorn", "django_asgi"),
    ("process", "hypercorn", "django_asgi_sync"),
]


@pytest.mark.parametrize(("where", "server", "framework"), EVERY)
def test_every_case(where: str, server: str, framework: str, tmp_path: Path) -> None:
    """Each framework gives the same answers, and stores what is genuine."""
    file = tmp_path / "orders"
    file.touch()
    start = servers.in_thread if where == "thread" else servers.in_process
    found, expected = {}, {}
    with start(server, framework, file) as port:
        for case in cases():
            # It knows no chunks (see test_adapters), and a second reader waits for ever.
            if server == "wsgiref" and (type(case.body) is not bytes or case.path == "/late"):
                continue
            before = _lines(file)
            status, headers, text = _ask(port, case)
            stored = tuple(_lines(file)[len(before) :])
            found[case.name] = (status, stored)
            expected[case.name] = (case.status, case.stored)
            if status == 405:
                assert headers["Allow"] == "POST"
            if status == 503:
                assert headers["Retry-After"] == "30"
            if status == 500:
                assert "was already read, by a middleware" in text
        _hang_up(port)
        before = _lines(file)
        assert _ask(port, Case("after those who hung up", webhook("G"), 200))[0] == 200
        assert set(_lines(file)[len(before) :]) <= {"G", "H"}
    assert found == expected


def _lines(file: Path) -> list[str]:
    return file.read_text().splitlines()


def _ask(port: int, case: Case) -> tuple[int, Message, str]:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    headers = {"Content-Type": case.content_type}
    try:
        client.request(
            case.method,
            case.path,
            case.body,
            headers,
            encode_chunked=not isinstance(case.body, bytes),
        )
        response = client.getresponse()
        return response.status, response.headers, response.read().decode()
    finally:
        client.close()


def _hang_up(port: int) -> None:
    """Go away before the body, in its midst, and before the answer."""
    body = webhook("H")
    head = (
        f"POST /webhook HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    for sent in (b"", body[:50], body):
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(head.encode() + sent)


def test_the_cases_differ() -> None:
    """Each case has a name of its own, as results are kept by it."""
    names = [case.name for case in cases()]
    assert len(set(names)) == len(names)
    assert json.loads(webhook("A"))["data"]["orderId"] == "A"
