"""The names that users import: all there, documented, and loaded only when needed."""

from __future__ import annotations

import inspect
import subprocess
import sys
from typing import Any

import pytest

import paycollect
from paycollect import errors


def run(code: str) -> str:
    """Run a program in a process of its own, and give what it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_names_are_sorted_and_once() -> None:
    """The list of public names is sorted, without doubles."""
    assert list(paycollect.__all__) == sorted(set(paycollect.__all__))


@pytest.mark.parametrize("name", paycollect.__all__)
def test_a_public_name_is_there(name: str) -> None:
    """A public name is there, has a docstring, and calls itself by its name."""
    value: Any = getattr(paycollect, name)
    if inspect.isclass(value):
        assert value.__name__ == name
        assert value.__doc__
        assert value.__module__.startswith("paycollect.")


def test_nothing_else_is_public() -> None:
    """In a fresh process `import *` gives the public names, and `dir` shows no others."""
    printed = run(
        "import paycollect, types\n"
        "shown = {n for n in dir(paycollect) if not n.startswith('_')}\n"
        "print(sorted(shown - set(paycollect.__all__)))\n"
        "from paycollect import *\n"
        "print(all(n in globals() for n in paycollect.__all__))"
    )
    extra, complete = printed.splitlines()
    assert set(eval(extra)) <= {"TYPE_CHECKING", "import_module", "version"}
    assert complete == "True"


def test_all_names_are_shown() -> None:
    """`dir` shows every public name, loaded or not."""
    assert set(paycollect.__all__) <= set(dir(paycollect))


def test_a_name_that_is_not_there() -> None:
    """A name that does not exist is refused as any module does."""
    with pytest.raises(AttributeError, match="module 'paycollect' has no attribute 'Nothing'"):
        paycollect.Nothing  # noqa: B018  # pyright: ignore


@pytest.mark.parametrize(
    "code",
    [
        "import paycollect",
        "import paycollect.ipn",
        "import paycollect.errors",
        "import paycollect; paycollect.PaymentStatus, paycollect.RetryPolicy, paycollect.Timeout",
        "import paycollect; paycollect.PayCollectError, paycollect.Outcome, paycollect.__version__",
    ],
)
def test_aiohttp_is_not_loaded_before_it_is_needed(code: str) -> None:
    """Neither the package nor its webhook room loads the HTTP client or the converter."""
    heavy = ("aiohttp", "cattrs")
    assert run(f"{code}\nimport sys; print([m for m in {heavy} if m in sys.modules])") == "[]"


def test_import_of_the_package_loads_nothing_of_note() -> None:
    """`import paycollect` loads neither asyncio nor attrs."""
    heavy = ("asyncio", "attr", "ssl", "json")
    assert run(f"import paycollect, sys; print([m for m in {heavy} if m in sys.modules])") == "[]"


def test_the_manager_loads_it() -> None:
    """The session manager is there by attribute and by import, and is the same class."""
    printed = run(
        "import paycollect, sys\n"
        "from paycollect import SessionManager\n"
        "print(SessionManager is paycollect.SessionManager, 'aiohttp' in sys.modules)"
    )
    assert printed == "True True"


def test_every_error_can_be_reached() -> None:
    """Each error is in its room; the most common ones are at the front door too."""
    for name in paycollect.__all__:
        if name.endswith("Error"):
            assert getattr(paycollect, name) is getattr(errors, name)
