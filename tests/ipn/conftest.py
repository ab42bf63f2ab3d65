"""Settings of the property tests of this folder."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("ipn", max_examples=150, deadline=None, derandomize=True)
settings.register_profile(
    "ipn-ci",
    max_examples=5_000,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
