"""Coverage follows greenlets in the tests that have some: those marked `greenlets`.

SQLAlchemy runs its own code in greenlets, and without following them a line is counted for a wrong
file. To follow them is to ask at each step of a program in which it runs, which makes the whole
suite a quarter slower. So it is switched off elsewhere, and there a test that has greenlets fails.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import Any

import greenlet  # type: ignore[import-untyped]  # it ships none
import pytest


class Greenlets:
    """The plugin; it is for a run that counts."""

    def __init__(self, controller: Any) -> None:
        self._cov = controller.cov
        self._follow(None)

    def _follow(self, how: Callable[[], object] | None) -> None:
        # Not public. Where a release of coverage has it no more, greenlets are followed in all tests.
        collector: Any = getattr(self._cov, "_collector", None)
        if getattr(collector, "concur_id_func", how) is not how:
            collector.concur_id_func = how
            for tracer in collector.tracers:
                if hasattr(tracer, "concur_id_func"):
                    tracer.concur_id_func = how

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Follow greenlets, or not, while a test is set up, runs and is torn down."""
        self._follow(greenlet.getcurrent if item.get_closest_marker("greenlets") else None)
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        """Have a test fail that has greenlets and is not marked."""
        seen: list[object] = []
        before = greenlet.settrace(lambda event, _: seen.append(event))
        try:
            yield
        finally:
            greenlet.settrace(before)
        if seen and not item.get_closest_marker("greenlets"):
            pytest.fail("This test has greenlets: mark it with pytest.mark.greenlets.")
