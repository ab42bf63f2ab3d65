"""Tests of webhook verification and of return URLs."""
