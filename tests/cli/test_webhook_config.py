"""webhook config get, set and rotate."""

from __future__ import annotations

import sys

import pytest

from paycollect.sandbox import respond
from tests.cli.conftest import Endpoint, Provider, Terminal
from tests.cli.test_payments import Keyboard

URL = "https://shop.example/webhook"
RETRY_LATER = {"Retry-After": "9999"}


def test_no_url_is_said(provider: Provider, terminal: Terminal) -> None:
    """What to do next is a command."""
    assert terminal("webhook", "config", "get") == 0
    assert "paycollect webhook config set URL" in terminal.out


def test_a_url_is_set_shown_and_taken_away(provider: Provider, terminal: Terminal) -> None:
    """The first URL ever is answered with the secret."""
    assert terminal("webhook", "config", "set", URL, "--json") == 0
    assert terminal.json["webhook_url"] == URL
    assert terminal("webhook", "config", "get") == 0
    assert URL in terminal.out
    assert terminal("webhook", "config", "set", "--none") == 0
    assert terminal("webhook", "config", "get", "--json") == 0
    assert "webhook_url" not in terminal.json


@pytest.mark.parametrize("arguments", [(), (URL, "--none")])
def test_a_url_or_none_is_needed(
    arguments: tuple[str, ...], provider: Provider, terminal: Terminal
) -> None:
    """Nothing must not mean "none"."""
    assert terminal("webhook", "config", "set", *arguments) == 2
    assert "--none" in terminal.err
    assert provider.sandbox.requests == []


def test_a_rotation_can_be_declined(
    provider: Provider, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old secret dies at once, so that it is asked for."""
    monkeypatch.setattr(sys, "stdin", Keyboard("\n"))
    before = provider.sandbox.webhook_secret
    assert terminal("webhook", "config", "rotate") == 1
    assert "Nothing was changed." in terminal.out
    assert provider.sandbox.webhook_secret == before


def test_a_rotation_prints_both_settings(provider: Provider, terminal: Terminal) -> None:
    """The new one, and the one that is in the environment."""
    before = provider.sandbox.webhook_secret
    assert terminal("webhook", "config", "rotate", "--yes") == 0
    after = provider.sandbox.webhook_secret
    assert after != before
    assert terminal.out.splitlines() == [
        f"export PAYCOLLECT_WEBHOOK_SECRET={after}",
        f"export PAYCOLLECT_WEBHOOK_SECRET_OLD={before}",
    ]
    assert after not in terminal.err


def test_a_rotation_for_machines(
    provider: Provider, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The names are those of the variables; an old one that is not known is left out."""
    monkeypatch.delenv("PAYCOLLECT_WEBHOOK_SECRET")
    assert terminal("webhook", "config", "rotate", "--yes", "--json") == 0
    assert terminal.json == {"PAYCOLLECT_WEBHOOK_SECRET": provider.sandbox.webhook_secret}


def test_a_rotation_checks_that_the_service_knows_both(
    endpoint: Endpoint,
    provider: Provider,
    terminal: Terminal,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a terminal a person is led to the end; an endpoint that knows one of two is found out."""
    assert terminal("webhook", "config", "set", endpoint.url) == 0
    monkeypatch.setattr(sys, "stdin", Keyboard("y\n\n"))
    assert terminal("webhook", "config", "rotate") == 1
    assert "signed with the old secret: HTTP 200" in terminal.out
    assert "signed with the new secret: HTTP 401" in terminal.out
    assert "Press Enter" in terminal.err


def test_a_rotation_without_a_url_ends_there(
    provider: Provider, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is nowhere to send a test event to."""
    monkeypatch.setattr(sys, "stdin", Keyboard("y\n\n"))
    assert terminal("webhook", "config", "rotate") == 0
    assert "no webhook URL" in terminal.out


def test_a_rotation_whose_answer_is_lost_is_repeated(
    provider: Provider, terminal: Terminal
) -> None:
    """No command shows a secret again: a further one takes its place."""
    provider.sandbox.faults.always("POST /webhooks/secret/regenerate", respond(503, RETRY_LATER))
    assert terminal("webhook", "config", "rotate", "--yes") == 4
    assert "a further new secret" in terminal.said
