"""Settings of the property tests: `pytest --hypothesis-profile=ci` searches for longer."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

slow = [HealthCheck.too_slow]
settings.register_profile("ci", max_examples=5_000, deadline=None, suppress_health_check=slow)
settings.register_profile("calm", deadline=None)  # a busy machine is no finding
if settings.get_current_profile_name() == "default":
    settings.load_profile("calm")
