"""doctor: what it finds, and what it advises."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest
import trustme

from paycollect.cli import checkup
from paycollect.cli.endpoint import Reply, why
from paycollect.sandbox import respond
from tests.cli.conftest import Endpoint, Provider, Terminal

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
    """It is told once, and nobody is asked whether the secret is wrong."""
    assert terminal("doctor", "--webhook-url", "http://127.0.0.1:1/") == 1
    assert terminal.out.count("wrong ") == 1
    assert "connection refused" in terminal.out
    assert "start your service" in terminal.out
    assert "SECRET" not in terminal.out


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


def test_a_configuration_that_cannot_be_read_is_told(
    provider: Provider, terminal: Terminal
) -> None:
    """The app may lack the scope for it."""
    provider.sandbox.faults.always("GET /webhooks", respond(403))
    assert terminal("doctor", "--json") == 1
    assert states(terminal)["webhooks"] == "wrong"


def test_wrong_credentials_are_found(
    provider: Provider, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are told once: what needs them is skipped."""
    monkeypatch.setenv("PAYCOLLECT_SECRET_KEY", "this-is-the-wrong-secret")
    assert terminal("doctor", "--json") == 1
    states = {f["subject"]: f["state"] for f in terminal.json["findings"]}
    assert states["credentials"] == "wrong"
    assert states["webhooks"] == "skipped"
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
    finding = await checkup.connection("https://127.0.0.1:1")
    assert finding.state == "wrong"
    assert "connection refused" in finding.text


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Somebody who certifies, and whom nobody trusts by themselves."""
    return trustme.CA()


@contextlib.asynccontextmanager
async def tls_server(authority: trustme.CA) -> AsyncIterator[int]:
    """A server that nobody knows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_a_certificate_of_nobody_is_refused(authority: trustme.CA) -> None:
    """The reason is told, and a proxy that breaks TLS up is thought of."""
    async with tls_server(authority) as port:
        finding = await checkup.connection(f"https://127.0.0.1:{port}")
    assert finding.state == "wrong"
    assert "CERTIFICATE_VERIFY_FAILED" in finding.text


async def test_a_good_certificate_is_dated(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The version of TLS and the days that are left are told; few days are a warning."""
    trusted = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(trusted))
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    async with tls_server(authority) as port:
        finding = await checkup.connection(f"https://localhost:{port}")
    assert finding.state == "ok"
    assert "TLSv1.3" in finding.text
    monkeypatch.setattr(checkup, "_CERTIFICATE_DAYS", 10**6)
    assert checkup._certificate("x", "TLSv1.3", 0.0).state == "warning"


def test_aiohttp_timeouts_are_os_errors() -> None:
    """What the look at the clock relies on."""
    assert issubclass(aiohttp.ServerTimeoutError, OSError)


def states(terminal: Terminal) -> dict[str, str]:
    """What was found, by subject."""
    return {found["subject"]: found["state"] for found in terminal.json["findings"]}


def test_no_connection_is_told_once(
    endpoint: Endpoint, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not called ok, and what needs it is skipped; the endpoint is looked at all the same."""
    monkeypatch.setenv("PAYCOLLECT_BASE_URL", "http://127.0.0.1:1/api/v3")
    assert terminal("doctor", "--webhook-url", endpoint.url, "--json") == 1
    found = states(terminal)
    assert found["connection"] == "wrong"
    assert found["clock"] == found["credentials"] == "skipped"
    assert found["forgery"] == found["test event"] == "ok"


def test_a_base_url_without_its_path_is_recognised(
    provider: Provider, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A web server answers there, but not the API: the advice is the URL that is meant."""
    monkeypatch.setenv("PAYCOLLECT_BASE_URL", f"{provider.sandbox.url}/")
    assert terminal("doctor", "--json") == 1
    found = {f["subject"]: f for f in terminal.json["findings"]}
    assert found["connection"]["state"] == "ok"
    assert found["base URL"]["state"] == "warning"
    assert found["credentials"]["state"] == "wrong"
    meant = f"set PAYCOLLECT_BASE_URL={provider.sandbox.base_url}"
    assert found["base URL"]["advice"] == found["credentials"]["advice"] == meant


def test_a_url_where_nothing_is_is_not_a_wrong_secret(
    provider: Provider, terminal: Terminal
) -> None:
    """404 says that the path is wrong; a second event would say it again."""
    assert terminal("doctor", "--webhook-url", f"{provider.sandbox.url}/nowhere", "--json") == 1
    found = {f["subject"]: f for f in terminal.json["findings"]}
    assert "path of the URL" in found["endpoint"]["advice"]
    assert "test event" not in found


def test_a_token_file_is_looked_at(provider: Provider, terminal: Terminal, tmp_path: Path) -> None:
    """It must be possible to keep it, and nobody else may read it."""
    path = tmp_path / "token.json"
    assert terminal("doctor", "--token-file", str(path), "--json") == 0
    assert states(terminal)["token file"] == "ok"
    assert path.exists()
    path.chmod(0o644)
    assert terminal("doctor", "--token-file", str(path)) == 1
    assert f"chmod 600 {path}" in terminal.out
    assert terminal("doctor", "--token-file", str(tmp_path / "no" / "token.json"), "--json") == 1
    assert states(terminal)["token file"] == "wrong"


@pytest.mark.parametrize(
    ("status", "subject", "words"),
    [
        (500, "forgery", "log of your service"),
        (302, "forgery", "log of your service"),
    ],
)
def test_another_answer_than_401_is_wrong(status: int, subject: str, words: str) -> None:
    """Where something is, but it does not refuse as it should."""
    finding = checkup.forged(Reply(status=status, seconds=0.1))
    assert finding.subject == subject
    assert words in finding.advice


@pytest.mark.parametrize(("secret", "words"), [("whsec_other", "same PAYCOLLECT_WEBHOOK_SECRET")])
def test_a_refused_test_event_speaks_of_the_secret(
    secret: str, words: str, endpoint: Endpoint, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The endpoint takes forged events for forged, and the genuine one as well."""
    monkeypatch.setenv("PAYCOLLECT_WEBHOOK_SECRET", secret)
    assert terminal("doctor", "--webhook-url", endpoint.url) == 1
    assert words in terminal.out


async def test_an_endpoint_that_fails_has_a_log(provider: Provider) -> None:
    """5xx says nothing about the secret."""
    provider.sandbox.faults.always("POST /auth/token", respond(500))
    finding = await checkup.genuine(f"{provider.sandbox.base_url}/auth/token", "whsec_x")
    assert "log of your service" in finding.advice


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (TimeoutError(), "it took too long"),
        (ConnectionRefusedError(), "connection refused"),
        (socket.gaierror(), "the host name could not be resolved"),
        (aiohttp.ServerDisconnectedError(), "the connection was cut"),
        (OSError(101, "Network is unreachable"), "network is unreachable"),
        (ValueError("x"), "what came is not HTTP"),
    ],
)
def test_causes_have_words(error: BaseException, words: str) -> None:
    """No class names."""
    assert why(error) == words
