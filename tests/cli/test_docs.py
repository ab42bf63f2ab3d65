"""docs/cli.md names what there is, and nothing else."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main

from paycollect.cli import plain
from paycollect.cli.app import app
from paycollect.cli.exits import Exit

TEXT = (Path(__file__).parents[2] / "docs" / "cli.md").read_text("utf-8")
COMMON = {"--help", "--version", "--install-completion", "--show-completion"}


def walk(command: Any) -> Iterator[Any]:
    """Give a command and all below it."""
    yield command
    for below in getattr(command, "commands", {}).values():
        yield from walk(below)


def options(command: Any) -> set[str]:
    """The long options of a command."""
    found = (o for p in command.params for o in (*p.opts, *p.secondary_opts))
    return {option for option in found if option.startswith("--")} - COMMON


def test_every_option_is_documented_and_exists() -> None:
    """The table of options, read in both directions."""
    root = typer.main.get_command(app)
    existing = set().union(*(options(command) for command in walk(root)))
    documented = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", TEXT)) - COMMON
    assert documented == existing


def test_every_exit_code_is_documented() -> None:
    """And no other."""
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", TEXT, re.MULTILINE)} == set(Exit)


def test_both_command_lines_have_the_same_options() -> None:
    """What works without the extra works in the same way with it."""
    root: Any = typer.main.get_command(app)
    (below,) = (a for a in plain._parser()._actions if isinstance(a, argparse._SubParsersAction))
    for name, parser in below.choices.items():
        without = {o for a in parser._actions for o in a.option_strings if o.startswith("--")}
        assert without - COMMON == options(root.commands[name])
