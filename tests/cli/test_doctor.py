"""doctor: what it finds, and what it advises."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest

from paycollect.cli import checkup
from paycollect.sandbox import respond
from tests.cli.conftest import Endpoint, Provider, Terminal

CERTIFICATE = Path(__file__).with_name("localhost.pem")
NOON = datetime(2026, 1, 8, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's own proxy settings are none of the tests' business."""
    monkeypatch.setattr(checkup, "getproxies", dict)


def test_all_is_well(endpoint: Endpoint, terminal: Terminal) -> None:
    """A careful endpoint refuses the forgery and takes the test delivery."""
    assert terminal("doctor", "--webhook-url", endpoint.url) == 0
    assert "refused by your endpoint: HTTP 401" in terminal.out
    assert "taken by your endpoint: HTTP 200" in terminal.out
    assert "All is well." in terminal.out


def test_an_endpoint_that_takes_forgeries_is_wrong(endpoint: Endpoint, terminal: Terminal) -> None:
    """The most dangerous finding says what to do."""
    endpoint.careless = True
    assert terminal("doctor", "--webhook-url", endpoint.url) == 1
    assert "ACCEPTED" in terminal.out
    assert "ipn.parse_webhook" in terminal.out


def test_an_endpoint_that_is_not_there_is_wrong(provider: Provider, terminal: Terminal) -> None:
    """Both events get no answer."""
    assert terminal("doctor", "--webhook-url", "http://127.0.0.1:1/", "--json") == 1
    wrong = [f["subject"] for f in terminal.json["findings"] if f["state"] == "wrong"]
    assert wrong == ["forgery", "test event"]


def test_without_a_secret_the_test_event_is_not_sent(
    endpoint: Endpoint, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is a warning, not an error."""
    monkeypatch.delenv("PAYCOLLECT_WEBHOOK_SECRET")
    assert terminal("doctor", "--webhook-url", endpoint.url) == 0
    assert "PAYCOLLECT_WEBHOOK_SECRET is not set" in terminal.out


def test_without_a_webhook_url_there_is_a_hint(provider: Provider, terminal: Terminal) -> None:
    """Nobody has told the provider where to send webhooks."""
    assert terminal("doctor") == 0
    assert "no webhook URL" in terminal.out


def test_the_url_that_the_provider_has_is_examined(provider: Provider, terminal: Terminal) -> None:
    """A URL of the dashboard is used where none is given."""
    body = '{"success": true, "status": 200, "data": {"webhookUrl": "http://127.0.0.1:1/"}}'
    provider.sandbox.faults.next("GET /webhooks", respond(200, body=body))
    assert terminal("doctor") == 1
    assert "sent to http://127.0.0.1:1/" in terminal.out


def test_wrong_credentials_are_found(
    provider: Provider, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other looks are taken all the same."""
    monkeypatch.setenv("PAYCOLLECT_SECRET_KEY", "this-is-the-wrong-secret")
    assert terminal("doctor", "--json") == 1
    states = {f["subject"]: f["state"] for f in terminal.json["findings"]}
    assert states["credentials"] == states["webhooks"] == "wrong"
    assert states["clock"] == "ok"


def test_proxies_are_named_but_not_shown() -> None:
    """The address of a proxy can hold a password."""
    finding = checkup.proxies({"https": "http://user:password@proxy", "no": "localhost"})
    assert finding.state == "warning"
    assert "https" in finding.text
    assert "password" not in str(finding)
    assert checkup.proxies({"no": "localhost"}).state == "ok"


@pytest.mark.parametrize(
    ("date", "state", "words"),
    [
        ("Thu, 08 Jan 2026 12:00:03 GMT", "ok", "agrees"),
        ("Thu, 08 Jan 2026 12:00:30 GMT", "warning", "30 s behind"),
        ("Thu, 08 Jan 2026 11:50:00 GMT", "wrong", "600 s ahead of"),
        ("today", "warning", "did not tell"),
        ("", "warning", "did not tell"),
    ],
)
def test_clocks_are_compared(date: str, state: str, words: str) -> None:
    """A few seconds are nothing, and more than a minute is wrong."""
    finding = checkup.compare_clocks(date, NOON)
    assert finding.state == state
    assert words in finding.text


async def test_no_connection_no_time() -> None:
    """Whoever cannot be reached tells no time, and is found wrong where that is looked at."""
    assert (await checkup.clock("http://127.0.0.1:1")).state == "warning"
    finding = await checkup.tls("https://127.0.0.1:1")
    assert finding.state == "wrong"
    assert "ConnectionRefusedError" in finding.text


@contextlib.asynccontextmanager
async def tls_server() -> AsyncIterator[int]:
    """A server that nobody knows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_a_certificate_of_nobody_is_refused() -> None:
    """The reason is told, and a proxy that breaks TLS up is thought of."""
    async with tls_server() as port:
        finding = await checkup.tls(f"https://127.0.0.1:{port}")
    assert finding.state == "wrong"
    assert "CERTIFICATE_VERIFY_FAILED" in finding.text


async def test_a_good_certificate_is_dated(monkeypatch: pytest.MonkeyPatch) -> None:
    """The version of TLS and the days that are left are told; few days are a warning."""
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    async with tls_server() as port:
        finding = await checkup.tls(f"https://localhost:{port}")
    assert finding.state == "ok"
    assert "TLSv1.3" in finding.text
    monkeypatch.setattr(checkup, "_CERTIFICATE_DAYS", 10**6)
    assert checkup._certificate("x", "TLSv1.3", 0.0).state == "warning"


def test_aiohttp_timeouts_are_os_errors() -> None:
    """What the look at the clock relies on."""
    assert issubclass(aiohttp.ServerTimeoutError, OSError)
