"""Settings of the property tests: `pytest --hypothesis-profile=ci` searches for longer."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

slow = [HealthCheck.too_slow]
settings.register_profile("ci", max_examples=5_000, deadline=None, suppress_health_check=slow)
# No deadline, as a busy machine is no finding; fewer examples, as coverage makes each cost double.
settings.register_profile("calm", max_examples=50, deadline=None)
if settings.get_current_profile_name() == "default":
    settings.load_profile("calm")
