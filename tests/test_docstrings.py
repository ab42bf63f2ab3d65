"""The examples in docstrings run: doctests as they are, `Example::` blocks against the sandbox."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import paycollect
from paycollect import SessionManager
from paycollect.sandbox import Sandbox
from tests.cashier.django.world import configured


def _modules() -> list[ModuleType]:
    names = [
        module.name
        for module in pkgutil.walk_packages(paycollect.__path__, "paycollect.")
        if "__main__" not in module.name
    ]
    return [paycollect, *map(importlib.import_module, names)]


def _examples(thing: object) -> Iterator[str]:
    text = inspect.getdoc(thing) or ""
    for block in re.findall(r"^ *Example::\n\n((?: +.*\n|\n)+)", text + "\n", re.MULTILINE):
        yield textwrap.dedent(block)


def _documented() -> Iterator[tuple[str, str]]:
    for module in _modules():
        for cls in vars(module).values():
            if inspect.isclass(cls) and cls.__module__ == module.__name__:
                for name, thing in ((cls.__name__, cls), *inspect.getmembers(cls, callable)):
                    if thing is cls or name in vars(cls):
                        for example in _examples(thing):
                            yield f"{cls.__name__}.{name}", example


with configured(":memory:"):  # for the modules of the Django app
    EXAMPLES = dict(_documented())


def test_there_are_examples_to_run() -> None:
    """The blocks are found, so that the tests below test something."""
    assert {"SessionManager.create_checkout", "SessionManager.confirm"} < EXAMPLES.keys()


@pytest.mark.parametrize("name", EXAMPLES)
async def test_example(name: str, tmp_path: Path) -> None:
    """The block runs as it stands, with a manager called `pay`."""
    async with Sandbox() as sandbox:
        known: dict[str, Any] = {"app_id": sandbox.app_id, "secret_key": sandbox.secret_key}
        names: dict[str, Any] = {"folder": tmp_path, "base_url": sandbox.base_url, **known}
        names |= {name: getattr(paycollect, name) for name in paycollect.__all__}
        body = textwrap.indent(EXAMPLES[name], "    ")
        exec(f"async def example(pay):\n{body}", names)
        async with SessionManager(**known, base_url=sandbox.base_url) as pay:
            await names["example"](pay)


@pytest.mark.parametrize("module", _modules(), ids=lambda module: module.__name__)
def test_doctests(module: ModuleType) -> None:
    """What a docstring shows after `>>>` is what happens."""
    with configured(":memory:"):
        assert doctest.testmod(module).failed == 0
