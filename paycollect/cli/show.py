"""What commands write: tables for people, JSON for machines.

Invariants: texts from outside reach the terminal as text, never as markup and never with control
characters in them; an id is never broken, so that it can be copied from a window of any width.
"""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Final, TypeAlias

import attrs
from rich.console import Console
from rich.text import Text

from paycollect.cli.exits import Exit
from paycollect.cli.terminal import printable
from paycollect.models import Collection, Fee, Page, Refund
from paycollect.status import PaymentStatus, RefundStatus

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

_STYLES: Final = {"COMPLETED": "green", "PENDING": "yellow"}
# The signed data of a webhook in full is for machines: its fields are shown by their names.
_HIDDEN: Final = frozenset({"data"})
_GAP: Final = 2


def to_json(value: object) -> Json:
    """Turn a value of the SDK into what JSON knows; what was not told is left out, not null."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(name): to_json(member) for name, member in value.items()}
    if isinstance(value, tuple | list):
        return [to_json(member) for member in value]
    if isinstance(value, Decimal | str):
        return str(value)
    return {name: to_json(member) for name, member in _members(value) if member is not None}


def dumps(value: object) -> str:
    """Write a value down; in ASCII, so that no text in it can steer a terminal."""
    return json.dumps(to_json(value), indent=2)


def one(value: object, *, as_json: bool, code: Exit = Exit.OK) -> Exit:
    """Write one value, for whom it is meant; give the exit code."""
    if as_json:
        sys.stdout.write(dumps(value) + "\n")
    else:
        record(value)
    return code


def record(value: object) -> None:
    """Write one value for people: its fields that hold something."""
    facts(list(_rows(value)))


def facts(rows: Sequence[tuple[Text, Text]]) -> None:
    """Write labels and what belongs to them; only a text with spaces in it is wrapped."""
    indent = max((len(label) for label, _ in rows), default=0) + _GAP
    for label, value in rows:
        lines = _wrapped(value.plain, indent)
        label.pad_right(indent - len(label))
        _write(label + Text(lines[0], value.style))
        for line_ in lines[1:]:
            _write(Text(" " * indent) + Text(line_, value.style))


def page(found: Page[Collection] | Page[Refund], *, as_json: bool) -> Exit:
    """Write a page of a list; there is none beyond the last."""
    code = Exit.NO if found.page > max(found.total_pages, 1) else Exit.OK
    if as_json:
        return one(found, as_json=True, code=code)
    if code is Exit.NO:
        line(f"There is no page {found.page}: the last is {found.total_pages}.", "yellow")
        return code
    table([_entry(item) for item in found.items])
    line(f"page {found.page} of {max(found.total_pages, 1)}, {found.total_items} in all", "dim")
    return code


def table(rows: Sequence[Mapping[str, Text]]) -> None:
    """Write a table; where the window is too narrow for it, one block of lines for each row."""
    if not rows:
        return
    widths = {name: max(len(name), *(len(row[name].plain) for row in rows)) for name in rows[0]}
    if sum(widths.values()) + _GAP * (len(widths) - 1) > shutil.get_terminal_size().columns:
        for row in rows:
            facts([(Text(name, "dim"), cell) for name, cell in row.items() if cell.plain])
            _write(Text())
        return
    for row in [{name: Text(name, "bold") for name in widths}, *rows]:
        cells = [_aligned(row[name], name, width) for name, width in widths.items()]
        _write(Text(" " * _GAP).join(cells))


def fees(found: Sequence[Fee]) -> None:
    """Write a price list."""
    table(
        [
            {
                "fee": text(fee.code),
                "name": text(fee.name),
                "rate": text("waived" if fee.is_waived else _rate(fee)),
                "least": text(fee.min_fee),
                "most": text(fee.max_fee),
            }
            for fee in found
        ]
    )


def line(words: str, style: str = "") -> None:
    """Write a sentence for people, wrapped at its spaces where a window has an edge."""
    told = printable(words)
    for part in _wrapped(told, 0) if sys.stdout.isatty() else [told]:
        _write(Text(part, style))


def verbatim(words: str) -> None:
    """Write a line that is to be copied."""
    _write(Text(printable(words)))


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


def _wrapped(words: str, indent: int) -> list[str]:
    width = max(shutil.get_terminal_size().columns - indent, 1)
    return textwrap.wrap(words, width, break_long_words=False, break_on_hyphens=False) or [""]


def _write(words: Text) -> None:
    """Leave long lines to the terminal: what it wraps can be copied in one piece.

    Colours are for a terminal only, and not under NO_COLOR.
    """
    console = Console(file=sys.stdout, highlight=False, emoji=False, markup=False)
    console.print(words, soft_wrap=True)


def _entry(item: Collection | Refund) -> dict[str, Text]:
    first = (
        {"collection": text(item.collection_id), "order": text(item.order_id)}
        if isinstance(item, Collection)
        else {"refund": text(item.refund_id), "collection": text(item.collection_id)}
    )
    return {
        **first,
        "status": text(item.status),
        "amount": text(f"{item.amount} {item.currency}"),
        "created": text(item.created_at),
    }


def _aligned(cell: Text, name: str, width: int) -> Text:
    space = Text(" " * (width - len(cell.plain)))
    return space + cell if name == "amount" else cell + space


def _rate(fee: Fee) -> str:
    return f"{fee.rate} %" if fee.type == "PERCENTAGE" else f"{fee.rate} USD"


def _rows(value: object, prefix: str = "") -> Iterator[tuple[Text, Text]]:
    for name, member in _members(value):
        label = prefix + name.replace("_", " ")
        if attrs.has(type(member)):
            yield from _rows(member, f"{label}: ")
        elif member not in (None, "", False, ()) and member != {} and name not in _HIDDEN:
            yield Text(label, "dim"), text(member)


def _members(value: object) -> list[tuple[str, object]]:
    """Give the public fields of an attrs value."""
    kind = type(value)
    if not attrs.has(kind):
        raise TypeError(f"no JSON for {kind.__name__}")
    names = [field.name for field in attrs.fields(kind) if not field.name.startswith("_")]
    return [(name, getattr(value, name)) for name in names]
