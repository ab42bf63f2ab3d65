"""webhook verify, explain and send; callback."""

from __future__ import annotations

import io
import sys
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import pytest

from paycollect import ipn
from paycollect.cli import endpoint as endpoints
from paycollect.cli import samples, webhooks
from paycollect.testing import sign_webhook
from tests.cli.conftest import Endpoint, Provider, Terminal

SECRET = "whsec_of_the_test"


@pytest.fixture(autouse=True)
def secret(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """A webhook secret in the environment."""
    monkeypatch.setenv("PAYCOLLECT_WEBHOOK_SECRET", SECRET)


@pytest.fixture
def body(tmp_path: Path) -> Path:
    """A genuine body in a file."""
    path = tmp_path / "body.json"
    path.write_bytes(samples.body(SECRET, is_test=False))
    return path


def test_a_genuine_body_is_shown(body: Path, terminal: Terminal) -> None:
    """What was proven, and what the event says."""
    assert terminal("webhook", "verify", str(body)) == 0
    assert "Genuine" in terminal.out
    assert "ORDER-1" in terminal.out


def test_a_genuine_body_for_machines(body: Path, terminal: Terminal) -> None:
    """The key to recognise repeats by is part of it."""
    assert terminal("webhook", "verify", str(body), "--json") == 0
    assert terminal.json["genuine"] is True
    assert terminal.json["event"]["amount"] == "25.00"
    assert len(terminal.json["event"]["dedup_key"]) == 64


def test_a_test_delivery_is_called_so(tmp_path: Path, terminal: Terminal) -> None:
    """A genuine test delivery is genuine, and nothing to be fulfilled."""
    path = tmp_path / "body.json"
    path.write_bytes(samples.body(SECRET))
    assert terminal("webhook", "verify", str(path)) == 0
    assert "fulfil nothing" in terminal.out


def test_a_body_can_come_through_a_pipe(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dash stands for standard input, read as bytes."""
    stdin = SimpleNamespace(buffer=io.BytesIO(samples.body(SECRET)), isatty=lambda: False)
    monkeypatch.setattr(sys, "stdin", stdin)
    assert terminal("webhook", "verify", "-") == 0


def test_a_forged_body_is_refused_without_the_secret(tmp_path: Path, terminal: Terminal) -> None:
    """The answer is no, with advice, and no output holds the secret."""
    path = tmp_path / "body.json"
    path.write_bytes(samples.body(SECRET, forged=True))
    assert terminal("webhook", "verify", str(path)) == 1
    assert "webhook explain" in terminal.err
    assert SECRET not in terminal.err + terminal.out


def test_a_scheme_can_be_pinned(tmp_path: Path, terminal: Terminal) -> None:
    """What another scheme signed is refused then."""
    path = tmp_path / "body.json"
    path.write_bytes(samples.body(SECRET, scheme="php"))
    assert terminal("webhook", "verify", str(path)) == 0
    assert terminal("webhook", "verify", str(path), "--scheme", "raw") == 1


def test_a_file_that_is_not_there_is_wrong_usage(terminal: Terminal) -> None:
    """The file is named."""
    assert terminal("webhook", "verify", "nowhere.json") == 2
    assert "nowhere.json" in terminal.err


def test_control_characters_do_not_reach_the_terminal(tmp_path: Path, terminal: Terminal) -> None:
    """A customer cannot steer a terminal by their name, nor write markup."""
    path = tmp_path / "body.json"
    data = {"collectionId": "SCI1", "status": "COMPLETED", "orderId": "\x1b[31m[bold]\u202ex"}
    path.write_bytes(sign_webhook(data, SECRET))
    assert terminal("webhook", "verify", str(path)) == 0
    assert "\ufffd[31m[bold]\ufffdx" in terminal.out


def test_explain_says_why(body: Path, terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 0 if it matches, 1 and the reason if not."""
    assert terminal("webhook", "explain", str(body)) == 0
    assert "matches" in terminal.out
    monkeypatch.setenv("PAYCOLLECT_WEBHOOK_SECRET", SECRET + " ")
    assert terminal("webhook", "explain", str(body)) == 1
    assert "white space" in terminal.out
    assert terminal("webhook", "explain", str(body), "--json") == 1
    assert terminal.json["genuine"] is False


@pytest.mark.parametrize("shapes", ["events", "concept"])
@pytest.mark.parametrize("envelope", ["2.0", "3.0"])
def test_samples_are_genuine(shapes: str, envelope: str) -> None:
    """A sample proves, in every form, and says what was asked for."""
    made = samples.body(SECRET, amount="7", shapes=shapes, envelope=envelope)  # type: ignore[arg-type]  # from the table
    event = ipn.parse_webhook(made, secret=SECRET, allow_test=True)
    assert event.amount == Decimal(7)
    assert event.order_id == "TEST_ORDER-1"
    assert event.is_test


def test_send_shows_the_answer(provider: Provider, terminal: Terminal) -> None:
    """Anything but a 2xx is a no, with the status and the beginning of the answer."""
    assert terminal("webhook", "send", f"{provider.sandbox.url}/nowhere") == 1
    assert "HTTP 404" in terminal.out
    assert "1, 5 and 30 minutes" in terminal.out


def test_send_to_a_good_endpoint(
    endpoint: Endpoint, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any 2xx is success, an empty answer too."""
    monkeypatch.setenv("PAYCOLLECT_WEBHOOK_SECRET", endpoint.secret)
    assert terminal("webhook", "send", endpoint.url) == 0
    assert "HTTP 200" in terminal.out
    assert terminal("webhook", "send", endpoint.url, "--forged") == 1
    assert "HTTP 401" in terminal.out


def test_send_for_machines(provider: Provider, terminal: Terminal) -> None:
    """A machine gets the status, the time and the verdict."""
    assert terminal("webhook", "send", f"{provider.sandbox.url}/nowhere", "--json") == 1
    assert terminal.json["taken"] is False
    assert terminal.json["seconds"] > 0


def test_send_without_a_connection_sent_nothing(terminal: Terminal) -> None:
    """Nobody there is neither a no, nor a body that may have been taken."""
    assert terminal("webhook", "send", "http://127.0.0.1:1/") == 6
    assert "no answer: connection refused" in terminal.out


def test_send_without_an_answer_is_unknown() -> None:
    """A body that was sent may have been taken."""
    assert webhooks._code(endpoints.Reply(seconds=10.0, problem="no answer")) == 4


def test_send_needs_a_url(terminal: Terminal) -> None:
    """A URL without a scheme is wrong usage."""
    assert terminal("webhook", "send", "localhost/webhook") == 2
    assert "URL" in terminal.err


async def test_an_answer_that_takes_too_long() -> None:
    """The provider waits 10 seconds; the limit is named."""
    reply = await endpoints.post("http://127.0.0.1:1/", b"", limit=1e-9)
    assert reply.status is None
    assert not reply.taken
    assert str(reply).startswith("no answer within 1e-09 s")


def test_callback_is_read_and_called_unsigned(terminal: Terminal) -> None:
    """The state in the URL is shown as a claim."""
    url = "https://shop.example/return?batch=SCI1&status=COMPLETED"
    assert terminal("callback", url) == 0
    assert "Nobody signed this" in terminal.out
    assert terminal("callback", url, "--json") == 0
    assert terminal.json == {"collection_id": "SCI1", "status": "COMPLETED"}


def test_a_callback_without_batch_is_refused(terminal: Terminal) -> None:
    """The answer is no, and the parameter is named."""
    assert terminal("callback", "https://shop.example/return?status=COMPLETED") == 1
    assert "batch" in terminal.err
