"""Time: the machine's by default, and anything that has the three methods."""

from __future__ import annotations

import asyncio

import pytest

from paycollect import SessionManager
from paycollect.clock import Clock, MachineClock
from tests.provider import faults
from tests.provider.fixtures import MakeManager
from tests.provider.server import Provider


class Stepping:
    """A clock that is related to none of ours; sleeping takes no time."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        """Give the seconds slept so far."""
        return self.now

    def time(self) -> float:
        """Give the same, from another start."""
        return 1_800_000_000.0 + self.now

    async def sleep(self, seconds: float) -> None:
        """Move ahead at once."""
        self.now += seconds
        await asyncio.sleep(0)


@pytest.mark.parametrize("kind", [MachineClock, Clock])
async def test_the_machines_clock(kind: type[Clock]) -> None:
    """The clock by default is that of the machine; a plain Clock() is one, too."""
    clock = kind()
    before = clock.monotonic()
    await clock.sleep(0.001)
    assert clock.monotonic() - before >= 0.001
    assert clock.time() > 1_700_000_000


async def test_any_clock_drives_a_manager(make: MakeManager, provider: Provider) -> None:
    """What has monotonic, time and sleep is a clock, whatever its class."""
    clock = Stepping()
    provider.script("GET /collections", faults.says(503, Retry_After="7"))
    await make(clock=clock).list_collections()
    assert clock.now >= 7


def test_what_lacks_a_method_is_no_clock() -> None:
    """A thing that cannot sleep is refused, and the missing method is named."""

    class Watch:
        def monotonic(self) -> float:
            return 0.0

        def time(self) -> float:
            return 0.0

    with pytest.raises(TypeError, match=r"^clock: Watch has no sleep$"):
        SessionManager(app_id="a", secret_key="b", clock=Watch())  # type: ignore[arg-type]  # the point of the test
