"""What a manager is made of: checked at once, and never taken from elsewhere."""

from __future__ import annotations

from typing import Any

import pytest

from paycollect import SessionManager
from paycollect.session import BASE_URL
from tests.session.conftest import MakeManager
from tests.session.messages import APP_ID, SECRET_KEY
from tests.session.mistakes import SECONDS, URLS, Bad
from tests.session.provider import Provider

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


async def test_only_from_env_reads_the_environment(
    make: MakeManager, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settings that are given are not replaced from the environment."""
    monkeypatch.setenv("PAYCOLLECT_APP_ID", "another")
    monkeypatch.setenv("PAYCOLLECT_BASE_URL", "http://localhost:1")
    await make().list_collections()
    assert provider.requests[0].json()["appId"] == APP_ID
