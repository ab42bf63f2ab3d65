"""What importing these rooms costs, and what they show."""

from __future__ import annotations

import subprocess
import sys

import pytest

from paycollect import errors, ipn, status


@pytest.mark.parametrize("module", ["paycollect.ipn", "paycollect.testing"])
def test_loads_neither_client_nor_converter(module: str) -> None:
    """A service that only receives webhooks pays for nothing else."""
    heavy = ["aiohttp", "asyncio", "cattrs", "yarl", "paycollect._convert", "paycollect.session"]
    code = f"import sys, {module}; print([m for m in {heavy} if m in sys.modules])"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"


def test_front_door() -> None:
    """`__all__` is what is there, and each name says where it came from."""
    assert sorted(ipn.__all__) == ipn.__all__
    public = {n for n in vars(ipn) if n.isidentifier() and n[0] != "_"} - {"annotations"}
    assert public == set(ipn.__all__)


def test_errors_are_those_of_the_tree() -> None:
    """They are re-exported, not defined anew."""
    for name in ("IpnError", "SignatureError", "PayloadError", "CallbackError", "TestEventError"):
        if name in ipn.__all__:
            assert getattr(ipn, name) is getattr(errors, name)
            assert issubclass(getattr(ipn, name), errors.IpnError)
    assert ipn.PaymentStatus is status.PaymentStatus
