"""Settings and secrets: from the environment, or asked for on a terminal; never from arguments.

What stands in an argument can be read by every user of the machine, and stays in the shell's
history.
"""

from __future__ import annotations

import getpass
import os
import sys
from typing import Final

from paycollect.cli.exits import UsageError
from paycollect.cli.terminal import notices
from paycollect.session import BASE_URL, SessionManager
from paycollect.tokens.store import TokenStore

APP_ID: Final = "PAYCOLLECT_APP_ID"
SECRET_KEY: Final = "PAYCOLLECT_SECRET_KEY"  # noqa: S105  a name
WEBHOOK_SECRET: Final = "PAYCOLLECT_WEBHOOK_SECRET"  # noqa: S105  a name

_WHAT: Final = {APP_ID: "app id", SECRET_KEY: "secret key", WEBHOOK_SECRET: "webhook secret"}


def setting(name: str) -> str:
    """Read a setting; ask for it where a person can answer.

    Raises:
        UsageError: it is not set, and nobody is there to be asked.

    """
    value = os.environ.get(name)
    if not value and sys.stdin.isatty():
        value = getpass.getpass(f"{_WHAT[name].capitalize()} ({name} is not set): ")
    if not value:
        raise UsageError(f"{name} is not set: put your {_WHAT[name]} into the environment")
    return value


def base_url() -> str:
    """Tell which API is meant."""
    return os.environ.get("PAYCOLLECT_BASE_URL") or BASE_URL


def session(token_store: TokenStore | None = None) -> SessionManager:
    """Make a session manager of the settings.

    Raises:
        UsageError: one is missing.
        ValueError: one is wrong; the text names it.

    """
    return SessionManager(
        app_id=setting(APP_ID),
        secret_key=setting(SECRET_KEY),
        base_url=base_url(),
        token_store=token_store,
    )


def agreed(question: str) -> bool:
    """Ask for a yes.

    Raises:
        UsageError: nobody is there to be asked.

    """
    if not sys.stdin.isatty():
        raise UsageError("--yes is needed where nobody can be asked")
    notices().ask(f"{question} [y/N]")
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def pause(words: str) -> None:
    """Wait for Enter."""
    notices().ask(words)
    sys.stdin.readline()
