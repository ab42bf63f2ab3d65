"""The pages of reference tell of everything that there is."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Final

import pytest

import paycollect.cashier
import paycollect.sync
from paycollect import RetryPolicy, SessionManager, Timeout, ipn, sandbox, status, testing, web
from paycollect.ipn.receiver import ReceiverOptions
from tests.docs.pages import DOCS, PAGES, ROOT

REFERENCE: Final = {
    page.stem: page.read_text("utf-8") for page in (DOCS / "reference").glob("*.md")
}


def described() -> tuple[set[str], set[str]]:
    """Give the modules and the names that the reference is generated from."""
    modules: set[str] = set()
    names: set[str] = set()
    for text in REFERENCE.values():
        current = ""
        for kind, name in re.findall(r"^\.\. (\w+):: ([\w.]+)$", text, re.MULTILINE):
            if kind == "currentmodule":
                current = name
            elif kind == "automodule":
                modules.add(name)
            else:
                names.add(name if name.startswith("paycollect.") else f"{current}.{name}")
    return modules, names


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (module, name)
        for module in (paycollect, ipn, web, paycollect.sync, paycollect.cashier, sandbox, testing)
        for name in getattr(module, "__all__", ())
        if name != "__version__" and not inspect.ismodule(getattr(module, name))
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_every_public_name_is_described(module: object, name: str) -> None:
    """By its own entry, or with the module that it comes from."""
    thing = getattr(module, name)
    home = getattr(thing, "__module__", "")
    modules, names = described()
    last = {full.rpartition(".")[2] for full in names}
    homes = {home, home.rpartition(".")[0], getattr(module, "__name__", "")}
    assert homes & modules or name in last, (
        f"describe {home}.{name} on a page below docs/reference/"
    )


def test_every_environment_variable_is_told() -> None:
    """The table of settings names those that the package reads, and no other."""
    read = {
        name
        for path in (ROOT / "paycollect").rglob("*.py")
        for name in re.findall(r"\bPAYCOLLECT_[A-Z_]*[A-Z]\b", path.read_text("utf-8"))
    }
    told = set(re.findall(r"^\| `(PAYCOLLECT_[A-Z_]+)`", REFERENCE["settings"], re.MULTILINE))
    assert told == read


SETTINGS: Final = {
    "SessionManager": SessionManager,
    "Receiver": ipn.Receiver,
    "Cashier": paycollect.cashier.Cashier,
}


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_is_told(name: str) -> None:
    """Each argument of the constructor, in the table below its name, and no other."""
    section = REFERENCE["settings"].split(f"\n## {name}\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\|([^|]+)\| ([^|]+) \|", section, re.MULTILINE)
    told = {
        argument: default for names, default in rows for argument in re.findall(r"`(\w+)`", names)
    }
    parameters = inspect.signature(SETTINGS[name]).parameters
    assert sorted(told) == sorted(parameters)
    for argument, parameter in parameters.items():
        if parameter.default is inspect.Parameter.empty:
            assert told[argument] == "none: needed"
        elif isinstance(parameter.default, bool):
            assert told[argument] == str(parameter.default)
        elif isinstance(parameter.default, float):
            assert told[argument] == f"{parameter.default:g}"


def test_options_beside_the_environment_are_told() -> None:
    """Whatever the two `from_env` take stands in the table of their class."""
    taken = set(inspect.signature(SessionManager.from_env).parameters)
    assert taken < set(inspect.signature(SessionManager).parameters)
    options = set(ReceiverOptions.__annotations__)
    assert options < set(inspect.signature(ipn.Receiver).parameters)


def test_every_state_has_its_meaning() -> None:
    """So that nobody must guess what to do about one."""
    rows = " ".join(re.findall(r"^\| ([A-Z_, ]+) \|", REFERENCE["statuses"], re.MULTILINE))
    assert set(re.findall(r"[A-Z_]+", rows)) == {state.value for state in status.PaymentStatus}


def test_limits_are_as_told() -> None:
    """The numbers of the pages are the defaults of the code."""
    manager = inspect.signature(SessionManager).parameters
    receiver = inspect.signature(ipn.Receiver).parameters
    retry, timeout = RetryPolicy(), Timeout()
    settings, limits = REFERENCE["settings"], REFERENCE["limits"]
    assert f"| `deadline` | {manager['deadline'].default:g} |" in settings
    assert (
        f"connect {timeout.connect:g}, read {timeout.read:g}, total {timeout.total:g}" in settings
    )
    assert (
        f"{retry.max_retries} retries, waits from {retry.backoff_base:g} to {retry.backoff_cap:g}"
        in settings
    )
    assert f"size of a webhook | {receiver['max_size'].default // 2**20} MiB" in limits


def test_the_tree_of_the_architecture_is_the_tree() -> None:
    """Every file and folder at the top of the package stands in it, and no other."""
    page = (DOCS / "architecture.md").read_text("utf-8")
    drawing = re.findall(r"^paycollect/\n(.*?)^```", page, re.MULTILINE | re.DOTALL)[0]
    at_the_top = "\n".join(line for line in drawing.splitlines() if not line.startswith("    "))
    drawn = {name.rstrip("/") for name in re.findall(r"(?<![\w/])[a-z_]+(?:\.py|/)", at_the_top)}
    package = ROOT / "paycollect"
    there = {path.name for path in package.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert drawn - {"cli/demo"} == there - {"__pycache__", "version.py"}


def test_named_files_exist() -> None:
    """Every file that the pages for contributors name is there."""
    for page in (ROOT / "CONTRIBUTING.md", DOCS / "architecture.md"):
        for name in re.findall(r"`((?:paycollect|docs|tests)/[a-z_./]+)`", page.read_text("utf-8")):
            assert (ROOT / name).exists(), f"{page.name}: {name}"


# The front page, those that include a file from elsewhere, and three with a beginning of their own.
OTHERS: Final = {"index", "webhooks", "sandbox", "cli", "contributing", "security", "changelog"}
NEW: Final = [page for page in PAGES if page.parent != DOCS or page.stem not in OTHERS]


@pytest.mark.parametrize("page", NEW, ids=lambda page: str(page.relative_to(DOCS)))
def test_a_page_begins_with_what_the_reader_can_do_after_it(page: Path) -> None:
    """So that readers see at once whether it is for them."""
    assert re.match(r"# .+\n\nAfter this page ", page.read_text("utf-8"))
