"""What importing these rooms costs, and what they show."""

from __future__ import annotations

import subprocess
import sys
from types import ModuleType

import pytest

from paycollect import errors, ipn, status


@pytest.mark.parametrize("module", ["paycollect.ipn", "paycollect.testing"])
def test_loads_neither_client_nor_converter(module: str) -> None:
    """A service that only receives webhooks pays for nothing else."""
    heavy = ["aiohttp", "asyncio", "cattrs", "yarl", "paycollect._api.decode", "paycollect.session"]
    code = f"import sys, {module}; print([m for m in {heavy} if m in sys.modules])"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"


def test_front_door() -> None:
    """Each name of `__all__` is there, and is what its own room calls so; no other name is."""
    assert sorted(ipn.__all__) == ipn.__all__
    assert set(ipn.__all__) <= set(dir(ipn))
    for name in ipn.__all__:
        value = getattr(ipn, name)
        assert not isinstance(value, ModuleType)
        assert getattr(sys.modules[value.__module__], name) is value
    with pytest.raises(AttributeError, match="no attribute 'parse'"):
        ipn.parse  # noqa: B018  # that it is not there is the point


def test_every_name_is_loaded_when_it_is_first_used() -> None:
    """The package alone loads nothing; a name stays what it is when its room is imported as well."""
    code = (
        "import sys\nimport paycollect.ipn as ipn\n"
        "assert not {'attrs', 'json', 'hmac', 'datetime'} & set(sys.modules), sorted(sys.modules)\n"
        "import pkgutil, importlib\n"
        "for room in pkgutil.iter_modules(ipn.__path__): importlib.import_module(f'{ipn.__name__}.{room.name}')\n"
        "print(callable(ipn.explain), ipn.parse_callback('batch=A&status=FAILED').batch)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert (answer.stdout.strip(), answer.stderr) == ("True A", "")


def test_errors_are_those_of_the_tree() -> None:
    """They are re-exported, not defined anew."""
    for name in ("IpnError", "SignatureError", "PayloadError", "CallbackError", "TestEventError"):
        if name in ipn.__all__:
            assert getattr(ipn, name) is getattr(errors, name)
            assert issubclass(getattr(ipn, name), errors.IpnError)
    assert ipn.PaymentStatus is status.PaymentStatus
