"""Settings of the property tests: `make fuzz` searches twenty times as long as `make test`."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

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
