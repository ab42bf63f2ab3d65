"""One row for each thing that is measured, and how rows are printed: as a table, and as JSON.

Invariants: a row is a ratio against a floor of the same run wherever there is a floor, as absolute
times differ between machines; "best of several" rounds, as waiting for a busy machine is no cost of
ours.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Literal, TypeAlias

from attrs import asdict, frozen

Better: TypeAlias = Literal["lower", "higher"]


@frozen
class Row:
    """A thing that was measured.

    Attributes:
        work: what was done.
        value: how much it took, in `unit`.
        unit: "x" is a ratio against the floor of the same run.
        goal: the value that it should reach; None: it only tells.
        better: whether a lower or a higher value is better.
        note: what stands behind the value, e.g. the floor's absolute time.

    """

    work: str
    value: float
    unit: str = "x"
    goal: float | None = None
    better: Better = "lower"
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the goal is reached; None where there is none."""
        if self.goal is None:
            return None
        return self.value <= self.goal if self.better == "lower" else self.value >= self.goal


Rows: TypeAlias = Callable[[bool], Iterable[Row]]
"""Measures: given whether to take the time for it, gives rows as they come."""


def line(row: Row) -> str:
    """Write a row of the table."""
    sign = "<=" if row.better == "lower" else ">="
    goal = "" if row.goal is None else f"{sign} {row.goal:g}"
    verdict = {None: "", True: "ok", False: "MISSED"}[row.met]
    value = f"{row.value:,.0f}" if row.value >= 1000 else f"{row.value:.3g}"
    return f"  {row.work:<60} {value:>8} {row.unit:<4} {goal:<9} {verdict:<6}  {row.note}".rstrip()


def arguments(about: str | None) -> argparse.ArgumentParser:
    """Make the options that every script has."""
    parser = argparse.ArgumentParser(description=about.splitlines()[0] if about else None)
    parser.add_argument("--full", action="store_true", help="more rounds, larger sizes")
    parser.add_argument("--json", metavar="FILE", help="write the rows as JSON, too; - is stdout")
    return parser


def show(title: str, rows: Iterable[Row], *, quietly: bool = False) -> Iterator[Row]:
    """Print rows as they come, and pass them on."""
    out = sys.stderr if quietly else sys.stdout
    print(title, file=out, flush=True)
    for row in rows:
        print(line(row), file=out, flush=True)
        yield row


def write_json(rows: dict[str, list[Row]], target: str | None) -> None:
    """Write the rows of each script as JSON, if that is wanted."""
    if target is None:
        return
    kept = {
        script: [asdict(row) | {"met": row.met} for row in each] for script, each in rows.items()
    }
    write_text(json.dumps(kept, indent=2), target)


def write_text(text: str, target: str) -> None:
    """Write a text into a file, or to stdout for "-"."""
    if target == "-":
        print(text)
    else:
        Path(target).write_text(text + "\n", "utf-8")


def run_alone(script: str, about: str | None, rows: Rows) -> None:
    """Be the main function of a script."""
    given = arguments(about).parse_args()
    shown = list(show(script, rows(given.full), quietly=given.json == "-"))
    write_json({script: shown}, given.json)
