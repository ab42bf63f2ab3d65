"""The names that users import: all there, documented, and loaded only when needed."""

from __future__ import annotations

import ast
import builtins
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import paycollect
from paycollect import errors

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def run(code: str) -> str:
    """Run a program in a process of its own, and give what it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_names_are_sorted_and_once() -> None:
    """The list of public names is sorted, without doubles."""
    names = list(paycollect.__all__)
    assert names == [*sorted(set(names) - {"__version__"}), "__version__"]


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
    assert set(eval(extra)) <= {"TYPE_CHECKING", "Final", "import_module", "version"}
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


def test_the_manager_loads_only_what_it_needs() -> None:
    """The manager loads neither webhooks, nor command line, sandbox or cashier, nor stores."""
    printed = run(
        "import paycollect, sys\n"
        "paycollect.SessionManager\n"
        "print([m for m in sys.modules if m.startswith('paycollect.')])"
    )
    others = "cashier|cli|ipn\\..*|otel|sandbox|sync|testing|tokens\\.(file|redis)|web"
    assert not [m for m in eval(printed) if re.fullmatch(rf"paycollect\.({others})", m)]


def test_type_checkers_see_what_is_there() -> None:
    """What the imports for type checkers say is what the table says, each from the same module."""
    tree = ast.parse(Path(paycollect.__file__).read_text("utf-8"))
    (block,) = (one for one in tree.body if isinstance(one, ast.If))
    typed = {
        alias.asname: f"paycollect.{paycollect._ROOMS[alias.name]}"
        for statement in block.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
        if statement.module == f"paycollect.{paycollect._ROOMS[alias.name]}"
    }
    assert [*sorted(str(name) for name in typed), "__version__"] == paycollect.__all__


def test_every_room_can_be_reached() -> None:
    """A public module is loaded when it is first asked for; a private one is not offered."""
    printed = run(
        "import paycollect, sys\n"
        "print(paycollect.ipn.parse_webhook.__name__, paycollect.sandbox.Sandbox.__name__)\n"
        "print(hasattr(paycollect, '_flows'), hasattr(paycollect, 'nothing'))"
    )
    assert printed.split() == ["parse_webhook", "Sandbox", "False", "False"]


def test_a_room_that_lacks_its_library_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where an optional library is missing, its name is in the error, not that of our room."""
    monkeypatch.delitem(sys.modules, "paycollect.pytest_plugin", raising=False)
    monkeypatch.setitem(sys.modules, "pytest", None)
    with pytest.raises(ModuleNotFoundError) as caught:
        paycollect.__getattr__("pytest_plugin")
    assert caught.value.name == "pytest"


def test_every_error_is_at_the_front_door() -> None:
    """Each error of the tree can be imported from the package."""
    tree = {name for name in vars(errors) if name.endswith("Error")}
    assert tree <= set(paycollect.__all__)


# What is used by its room's name, as in `ipn.parse_webhook`.
PRODUCTS = ("ipn", "sandbox", "web", "testing")
CORE = ("errors", "models", "status", "retry", "clock", "session", "tokens.store", "tokens.file")


def everything_in(room: str) -> dict[str, Any]:
    """Give what a module has, what it loads only when asked included."""
    module = importlib.import_module(f"paycollect.{room}")
    return {
        **vars(module),
        **{name: getattr(module, name) for name in getattr(module, "__all__", ())},
    }


def public_classes() -> set[str]:
    """Name the classes of the modules that users meet through `SessionManager`."""
    return {
        name
        for room in CORE
        for name, thing in vars(importlib.import_module(f"paycollect.{room}")).items()
        if inspect.isclass(thing) and thing.__module__ == f"paycollect.{room}" and name[0] != "_"
    } - {"ReadOnlyDict"}  # what a JSON object looks like; users read it as a Mapping


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_the_pages_show_is_at_the_front_door(page: Path) -> None:
    """Each class of the core that README or a page of the docs names can be imported."""
    words = set(re.findall(r"\b[A-Z]\w+\b", page.read_text("utf-8")))
    assert words & public_classes() <= set(paycollect.__all__)
    for names in re.findall(
        r"^from paycollect import (.+)$", page.read_text("utf-8"), re.MULTILINE
    ):
        for name in re.split(r",\s*", names.strip("() ")):
            assert hasattr(paycollect, name.split(" as ")[0])


def test_the_pages_were_found() -> None:
    """There are pages to compare with, and they show much of the core."""
    words = {word for page in PAGES for word in re.findall(r"\w+", page.read_text("utf-8"))}
    assert len(PAGES) > 5
    assert len(words & public_classes()) > 30


def test_whatever_can_be_raised_is_at_the_front_door() -> None:
    """Each error that a docstring of a public method announces can be imported, or is Python's."""
    announced = {
        word
        for room in (*CORE, *PRODUCTS)
        for thing in everything_in(room).values()
        if getattr(thing, "__module__", "").startswith("paycollect.")
        for member in (thing, *(vars(thing).values() if inspect.isclass(thing) else ()))
        for section in re.findall(
            r"(?:Raises:|raises, beside)(.*)", inspect.getdoc(member) or "", re.DOTALL
        )
        for word in re.findall(r"\b[A-Z]\w*Error\b", section)
    }
    assert {"AlreadyRefundedError", "CallbackError", "EventLoopError", "OSError"} <= announced
    there = {*paycollect.__all__, *dir(builtins)}
    for product in PRODUCTS:
        there |= everything_in(product).keys()
    assert announced <= there
