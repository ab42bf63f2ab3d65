"""Settings and secrets: from the environment, or asked for on a terminal; never from arguments.

What stands in an argument can be read by every user of the machine, and stays in the shell's
history.
"""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Final, TypeVar

from paycollect.cli.exits import Exit, UsageError
from paycollect.cli.run import run
from paycollect.demo.screen import Screen
from paycollect.session import BASE_URL, SessionManager

APP_ID: Final = "PAYCOLLECT_APP_ID"
SECRET_KEY: Final = "PAYCOLLECT_SECRET_KEY"  # noqa: S105  a name
WEBHOOK_SECRET: Final = "PAYCOLLECT_WEBHOOK_SECRET"  # noqa: S105  a name

T = TypeVar("T")

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


def session() -> SessionManager:
    """Make a session manager of the settings.

    Raises:
        UsageError: one is missing.
        ValueError: one is wrong; the text names it.

    """
    return SessionManager(
        app_id=setting(APP_ID), secret_key=setting(SECRET_KEY), base_url=base_url()
    )


def notices() -> Screen:
    """Give the screen for what is not the result: progress and errors."""
    return Screen.on(sys.stderr, os.environ)


def ask(
    question: Callable[[SessionManager], Awaitable[T]],
    answer: Callable[[T], Exit],
    *,
    as_json: bool,
) -> Exit:
    """Put a question to the provider, and show the answer; give the exit code."""
    return run(lambda: asking(question, answer), as_json=as_json)


def asking(
    question: Callable[[SessionManager], Awaitable[T]], answer: Callable[[T], Exit]
) -> Coroutine[None, None, Exit]:
    """Read the settings now; put the question when awaited, while a spinner turns."""
    pay = session()

    async def command() -> Exit:
        async with pay, notices().waiting("asking the provider"):
            value = await question(pay)
        return answer(value)

    return command()


def agreed(question: str) -> bool:
    """Ask for a yes.

    Raises:
        UsageError: nobody is there to be asked.

    """
    if not sys.stdin.isatty():
        raise UsageError("--yes is needed where nobody can be asked")
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}
