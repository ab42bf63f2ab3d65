"""OpenTelemetry, against the SDK of its own makers."""
