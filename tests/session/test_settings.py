"""What a manager is made of: checked at once, and never taken from elsewhere."""

from __future__ import annotations

from inspect import signature
from typing import Any

import pytest

from paycollect import SessionManager
from paycollect.session import BASE_URL
from tests.provider import faults
from tests.provider.clocks import FakeClock
from tests.provider.fixtures import MakeManager
from tests.provider.messages import APP_ID, SECRET_KEY
from tests.provider.mistakes import SECONDS, URLS, Bad
from tests.provider.server import Provider

SETTINGS: dict[str, Bad] = {
    "app_id": [("", ValueError), (" ", ValueError), ("a b", ValueError), ("café", ValueError), ("a\n", ValueError), (None, TypeError), (5, TypeError)],
    "secret_key": [("", ValueError), (" \t", ValueError), ("a b", ValueError), ("€", ValueError), (None, TypeError), (b"x", TypeError)],
    "base_url": [
        *URLS,
        ("http://api.example", ValueError),
        ("http://127.0.0.1.evil.example", ValueError),
        ("http://localhost.evil.example", ValueError),
        ("http://10.0.0.1", ValueError),
        ("http://[::2]", ValueError),
        ("https://user:pass@api.example", ValueError),
        ("https://api.example/?a=b", ValueError),
        ("https://api.example/?", ValueError),
        ("https://api.example/#", ValueError),
        ("https://api.example/#x", ValueError),
        ("https://a..b/x", ValueError),
        ("https://" + "a" * 64 + ".example", ValueError),
        (None, TypeError),
    ],
    "http": [("x", TypeError), (5, TypeError)],
    "timeout": SECONDS,
    "deadline": [*SECONDS, (None, TypeError)],
    "retry": [(3, TypeError)],
    "clock": [(5, TypeError)],
    "token_store": [(5, TypeError), ("token.json", TypeError)],
    "checkout_url_form": [
        ("https://x.example/", ValueError),
        ("https://x.example/{}", ValueError),
        ("https://x.example/{collection_id", ValueError),
        ("https://x.example/{collection_id.x}", ValueError),
        ("https://x.example/{collection_id}{other}", ValueError),
        ("http://x.example/{collection_id}", ValueError),
        ("{collection_id}", ValueError),
        (None, TypeError),
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        pytest.param(name, value, kind, id=f"{name}-{number}")
        for name, values in SETTINGS.items()
        for number, (value, kind) in enumerate(values)
    ],
)
def test_a_mistake_in_the_settings_is_named(name: str, value: Any, kind: type[Exception]) -> None:
    """A manager is not made of settings that make no sense; the wrong one is named, not shown."""
    given: dict[str, Any] = {"app_id": APP_ID, "secret_key": SECRET_KEY, name: value}
    with pytest.raises(kind) as caught:
        SessionManager(**given)
    assert type(caught.value) is kind
    assert str(caught.value).startswith(f"{name}: ")
    assert SECRET_KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("base_url", "kept"),
    [
        (BASE_URL, BASE_URL),
        (BASE_URL + "/", BASE_URL),
        ("https://api.example", "https://api.example"),
        ("https://api.example:8443/x//", "https://api.example:8443/x"),
        ("http://127.0.0.1:1", "http://127.0.0.1:1"),
        ("http://127.9.9.9", "http://127.9.9.9"),
        ("http://localhost:8080/api", "http://localhost:8080/api"),
        ("http://sandbox.localhost", "http://sandbox.localhost"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_good_base_urls(base_url: str, kept: str) -> None:
    """A base URL is https, or http on this machine; a slash at its end does not matter."""
    pay = SessionManager(app_id=APP_ID, secret_key=SECRET_KEY, base_url=base_url)
    assert repr(pay) == f"<SessionManager {APP_ID} at {kept}, open>"


def test_settings_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """from_env reads app id, secret key and base URL from the environment."""
    monkeypatch.setenv("PAYCOLLECT_APP_ID", "app-from-env")
    monkeypatch.setenv("PAYCOLLECT_SECRET_KEY", SECRET_KEY)
    monkeypatch.delenv("PAYCOLLECT_BASE_URL", raising=False)
    assert repr(SessionManager.from_env()) == f"<SessionManager app-from-env at {BASE_URL}, open>"
    monkeypatch.setenv("PAYCOLLECT_BASE_URL", "http://localhost:1")
    assert "at http://localhost:1," in repr(SessionManager.from_env())


def test_every_other_setting_can_be_given_beside_the_environment() -> None:
    """from_env takes each option of the class but those that it reads from the environment."""
    ours, read = (
        set(signature(make).parameters) for make in (SessionManager, SessionManager.from_env)
    )
    assert ours - read == {"app_id", "secret_key", "base_url"}


async def test_the_settings_beside_the_environment_are_used(
    monkeypatch: pytest.MonkeyPatch, provider: Provider, clock: FakeClock
) -> None:
    """A manager of the environment lives by the clock that it is given, and revokes at its end."""
    monkeypatch.setenv("PAYCOLLECT_APP_ID", APP_ID)
    monkeypatch.setenv("PAYCOLLECT_SECRET_KEY", SECRET_KEY)
    monkeypatch.setenv("PAYCOLLECT_BASE_URL", provider.base_url)
    provider.script("GET /collections", faults.says(503, Retry_After="7"))
    async with SessionManager.from_env(clock=clock, revoke_on_close=True) as pay:
        await pay.list_collections()
    assert clock.sleeps == [7.0]
    assert provider.count("POST /auth/revoke") == 1


@pytest.mark.parametrize("name", ["PAYCOLLECT_APP_ID", "PAYCOLLECT_SECRET_KEY"])
@pytest.mark.parametrize("value", [None, ""])
def test_a_missing_variable_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str | None
) -> None:
    """from_env names the variable that is not set."""
    monkeypatch.setenv("PAYCOLLECT_APP_ID", APP_ID)
    monkeypatch.setenv("PAYCOLLECT_SECRET_KEY", SECRET_KEY)
    monkeypatch.delenv(name)
    if value is not None:
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=f"^set {name} in the environment"):
        SessionManager.from_env()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PAYCOLLECT_APP_ID", " "),
        ("PAYCOLLECT_SECRET_KEY", "PRIVATE\n"),
        ("PAYCOLLECT_BASE_URL", "http://api.example/v3"),
        ("PAYCOLLECT_BASE_URL", "https://PRIVATE@api.example/v3"),
        ("PAYCOLLECT_BASE_URL", "https://a..example/v3"),
        ("PAYCOLLECT_BASE_URL", "api.example"),
    ],
)
def test_a_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """from_env names the variable, not an argument that its caller has not given."""
    monkeypatch.setenv("PAYCOLLECT_APP_ID", APP_ID)
    monkeypatch.setenv("PAYCOLLECT_SECRET_KEY", SECRET_KEY)
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=f"^{name}: ") as caught:
        SessionManager.from_env()
    assert "PRIVATE" not in str(caught.value)


async def test_only_from_env_reads_the_environment(
    make: MakeManager, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settings that are given are not replaced from the environment."""
    monkeypatch.setenv("PAYCOLLECT_APP_ID", "another")
    monkeypatch.setenv("PAYCOLLECT_BASE_URL", "http://localhost:1")
    await make().list_collections()
    assert provider.requests[0].json()["appId"] == APP_ID
