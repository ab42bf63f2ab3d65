"""What commands write: tables for people, JSON for machines.

The law of this room: texts from outside reach the terminal as text, never as markup and never with
control characters in them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

import attrs
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from paycollect.cli.as_json import dumps, members
from paycollect.cli.exits import Exit
from paycollect.demo.screen import printable
from paycollect.models import Collection
from paycollect.status import PaymentStatus, RefundStatus

_STYLES: Final = {"COMPLETED": "green", "PENDING": "yellow"}
# The signed data of a webhook in full is for machines: its fields are shown by their names.
_HIDDEN: Final = frozenset({"data"})


def console() -> Console:
    """Give the console for results; colours only on a terminal, and not under NO_COLOR."""
    return Console(file=sys.stdout, highlight=False, emoji=False, markup=False)


def one(value: object, *, as_json: bool, code: Exit = Exit.OK) -> Exit:
    """Write one value, for whom it is meant; give the exit code."""
    if as_json:
        sys.stdout.write(dumps(value) + "\n")
    else:
        record(value)
    return code


def record(value: object) -> None:
    """Write one value for people: its fields that hold something."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for label, field in _rows(value):
        table.add_row(label, field)
    console().print(table)


def collections(found: Sequence[Collection]) -> None:
    """Write collections for people, one a line."""
    table = Table(box=box.SIMPLE, show_edge=False, pad_edge=False)
    for name in ("collection", "order", "status", "amount", "created"):
        table.add_column(name, overflow="fold", justify="right" if name == "amount" else "left")
    for one in found:
        table.add_row(
            text(one.collection_id),
            text(one.order_id),
            text(one.status),
            text(f"{one.amount} {one.currency}"),
            text(one.created_at),
        )
    console().print(table)


def line(words: str, style: str = "") -> None:
    """Write a sentence for people."""
    console().print(Text(words, style))


def text(value: object) -> Text:
    """Make anything fit for a terminal."""
    if value is None:
        return Text("")
    if isinstance(value, datetime):
        return Text(f"{value:%Y-%m-%d %H:%M:%S} UTC")
    if isinstance(value, bool):
        return Text("yes" if value else "no")
    if isinstance(value, PaymentStatus | RefundStatus):
        return Text(printable(value), _STYLES.get(value, "red"))
    return Text(printable(dumps(value) if isinstance(value, Mapping) else str(value)))


def _rows(value: object, prefix: str = "") -> Iterator[tuple[str, Text]]:
    for name, member in members(value):
        label = prefix + name.replace("_", " ")
        if attrs.has(type(member)):
            yield from _rows(member, f"{label}: ")
        elif member not in (None, "", False, ()) and member != {} and name not in _HIDDEN:
            yield label, text(member)
