"""What all tests have: a provider and a manager, and the settings of the property tests.

`make fuzz` searches twenty times as long as `make test`.
"""

from __future__ import annotations

import gc
import os
import signal
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from paycollect._portal import portal
from tests.greenlets import Greenlets
from tests.provider.fixtures import clock, make, pay, provider

__all__ = ["clock", "make", "pay", "provider"]  # pytest finds fixtures by name, in a conftest

# No deadline, as a busy machine is no finding. Where CI is set the examples are the same each time,
# so that a change is judged by what it changes; elsewhere they are new with every run.
STEADY = bool(os.environ.get("CI"))
settings.register_profile("calm", max_examples=40, deadline=None, derandomize=STEADY)
settings.register_profile(
    "thorough",
    max_examples=1_000,
    deadline=None,
    derandomize=STEADY,
    suppress_health_check=[HealthCheck.too_slow],
)
if settings.get_current_profile_name() != "thorough":  # Hypothesis has one for CI by itself
    settings.load_profile("calm")

# A shell's background job ignores Ctrl-C, and so would every program that these tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(trylast=True)  # in a worker, coverage begins with the session
def pytest_sessionstart(session: pytest.Session) -> None:
    """Have coverage follow greenlets only where there are some."""
    counting: Any = session.config.pluginmanager.getplugin("_cov")
    if getattr(counting, "cov_controller", None) is not None:
        session.config.pluginmanager.register(Greenlets(counting.cov_controller))


def pytest_runtest_teardown(item: pytest.Item) -> None:
    """End the thread of synchronous calls after a test that is not counted.

    Coverage starts anew after it, and never again follows a thread that ran before.
    """
    if item.get_closest_marker("no_cover"):
        portal.close()


def pytest_collection() -> None:
    """Look for no garbage while thousands of tests are made, which all stay."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Nor look through them again each time that garbage is looked for."""
    gc.enable()
    gc.collect()
    gc.freeze()
