"""A storm of crashes over a merchant's own handlers: what is paid must be delivered once.

    run          from a number of schedules to a report
    schedules    what happens in which order: every point, pairs of them, random storms; shrinking
    player       plays one schedule, and looks at what came of it
    world        the provider, the clock and the outside, in one process; faults
    life         one life of the merchant's process: it can die at each point, and is fenced then
    hooks        the points within a handler
    processes    the same schedules with real processes that end by SIGKILL
    promises     what must hold at the end

It is loaded by `paycollect.testing` when it is asked for.
"""

from __future__ import annotations

from paycollect.crash.report import CrashReport, Finding
from paycollect.crash.run import crash_test
from paycollect.crash.world import Effects, Shop, World

__all__ = ["CrashReport", "Effects", "Finding", "Shop", "World", "crash_test"]
