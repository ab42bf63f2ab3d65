"""The sandbox for code without an event loop."""

from __future__ import annotations

import asyncio
import inspect
import json
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from paycollect.sandbox import RefusedError, Sandbox, SyncSandbox, respond
from tests.sandbox.conftest import ORDER


class Shop(BaseHTTPRequestHandler):
    """A merchant's service of the plainest kind, in a thread."""

    answers: list[int]
    bodies: list[bytes]

    def do_POST(self) -> None:
        """Take a webhook."""
        self.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(self.answers.pop(0) if self.answers else 200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as inherited
        """Say nothing."""


@pytest.fixture
def shop() -> Iterator[tuple[str, type[Shop]]]:
    """The service's URL and what it got."""
    handler = type("OneShop", (Shop,), {"answers": [], "bodies": []})
    server = HTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/", handler
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_blocking_client_is_served(shop: tuple[str, type[Shop]]) -> None:
    """The calls of the test block, and the sandbox works meanwhile."""
    url, service = shop
    service.answers.append(500)
    with Sandbox(time_scale=0) as sandbox:
        record = sandbox.create(ORDER | {"webhookUrl": url})
        assert sandbox.collection(record.collection_id) == record
        page = sandbox.checkout_url(record.collection_id)
        with urllib.request.urlopen(page, timeout=5) as answer:
            assert b"Premium plan" in answer.read()
        assert sandbox.pay(record.collection_id).status == "COMPLETED"
        sandbox.drained()
        sandbox.advance(60)
        assert [attempt.status for attempt in sandbox.deliveries[0].attempts] == [500, 200]
    assert len(service.bodies) == 2


def test_everything_can_be_asked_and_done() -> None:
    """As with the sandbox for event loops."""
    with Sandbox(time_scale=0) as sandbox:
        for order_id, step in (("A", "decline"), ("B", "cancel"), ("C", "expire")):
            record = sandbox.create(ORDER | {"orderId": order_id})
            getattr(sandbox, step)(record.collection_id)
        paid = sandbox.pay(sandbox.create(ORDER).collection_id)
        assert str(sandbox.balance) == "24.25"
        sandbox.balance = Decimal(0)
        with pytest.raises(RefusedError, match="balance"):
            sandbox.refund(paid.collection_id)
        states = [record.status.value for record in sandbox.collections]
        assert states == ["COMPLETED", "EXPIRED", "CANCELLED", "FAILED"]
        sandbox.faults.next("POST /auth/token", respond(503))
        body = {"appId": sandbox.app_id, "secretKey": sandbox.secret_key}
        request = urllib.request.Request(
            f"{sandbox.base_url}/auth/token", json.dumps(body).encode(), method="POST"
        )
        with pytest.raises(urllib.error.HTTPError) as refusal:
            urllib.request.urlopen(request, timeout=5)
        refusal.value.close()
        assert [entry.status for entry in sandbox.requests] == [503]
        assert sandbox.token_activity == []
        assert sandbox.webhook_secret.startswith("whsec_")


def test_it_has_all_that_the_other_has() -> None:
    """But how it is opened, closed and mounted, and what would be called in its thread."""
    only_async = {"start", "aclose", "mount", "asgi", "provider", "on_request", "on_attempt"}
    with Sandbox(time_scale=0) as sync:
        names = {name for name in dir(Sandbox(time_scale=0)) if not name.startswith("_")}
        assert names - only_async == {n for n in dir(sync) if not n.startswith("_")} - {"advance"}
    for name in ("pay", "create", "refund", "send_test"):
        method, other = getattr(SyncSandbox, name), getattr(Sandbox, name)
        assert inspect.signature(method) == inspect.signature(other)


def test_after_the_end_nobody_listens() -> None:
    """And no thread is left; it can be opened again, at the same port."""
    sandbox = Sandbox(time_scale=0)
    before = threading.active_count()
    with sandbox as running:
        port = int(running.url.rpartition(":")[2])
        assert threading.active_count() == before + 1
    assert threading.active_count() == before
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=1)
    with sandbox as again:
        assert again.url.endswith(f":{port}")
    sandbox.__exit__(None, None, None)


def test_a_port_that_is_taken_leaves_no_thread() -> None:
    """The error is that of `start`."""
    before = threading.active_count()
    with Sandbox() as running, pytest.raises(OSError, match="address already in use"):
        Sandbox(port=int(running.url.rpartition(":")[2])).__enter__()
    assert threading.active_count() == before


async def test_inside_a_loop_it_says_what_to_do() -> None:
    """Blocking there would stop everything."""
    with pytest.raises(RuntimeError, match="async with"):
        Sandbox().__enter__()
    await asyncio.sleep(0)
