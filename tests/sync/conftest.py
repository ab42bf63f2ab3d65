"""The provider of these tests: a sandbox on a loop thread that is not the SDK's."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from paycollect._portal import Portal
from paycollect.sandbox import Sandbox
from paycollect.sync import SessionManager

Run = Callable[..., str]


@pytest.fixture
def elsewhere() -> Iterator[Portal]:
    """Give another loop thread."""
    portal = Portal()
    yield portal
    portal.close()


@pytest.fixture
def sandbox(elsewhere: Portal) -> Iterator[Sandbox]:
    """Give a sandbox whose clock stands still."""
    sandbox = Sandbox(time_scale=0.0)
    elsewhere.call(sandbox.start, "")
    yield sandbox
    elsewhere.call(sandbox.aclose, "")


@pytest.fixture
def pay(sandbox: Sandbox) -> Iterator[SessionManager]:
    """Give a manager for it."""
    with SessionManager(
        app_id=sandbox.app_id, secret_key=sandbox.secret_key, base_url=sandbox.base_url
    ) as pay:
        yield pay


def asked_for(sandbox: Sandbox, name: str) -> int:
    """Tell how often something was asked for, such as "auth/token"."""
    return sum(request.path.endswith(name) for request in sandbox.requests)


@pytest.fixture
def environment(sandbox: Sandbox) -> dict[str, str]:
    """Give the environment in which `from_env` finds the sandbox."""
    return os.environ | {
        "PAYCOLLECT_APP_ID": sandbox.app_id,
        "PAYCOLLECT_SECRET_KEY": sandbox.secret_key,
        "PAYCOLLECT_BASE_URL": sandbox.base_url,
    }


@pytest.fixture
def run(environment: dict[str, str]) -> Run:
    """Give a way to run a program in a process of its own, where every warning is an error."""

    def run(code: str) -> str:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", code],
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
            env=environment,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.strip()

    return run
