"""Sphinx reads our docstrings as reStructuredText; this makes them what people meant.

A block that stands indented after a sentence is a drawing or a table in fixed width (the tree of
errors, the two forms of a webhook), and not a quotation.
"""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx

_HEADING = re.compile(r"^\s*(Args|Attributes|Example|Raises|Returns|Yields)::?$")
# A star in a sentence is a star: ours emphasise nothing.
_STAR = re.compile(r"(?<!`)\*(?!`)")


def keep_drawings(*event: Any) -> None:
    """Put `::` before each indented block that follows a line of prose and a blank line.

    Args:
        event: as Sphinx gives it; the last argument is the docstring, which is changed in place.

    """
    lines: list[str] = event[-1]
    result: list[str] = []
    inside = False
    for number, line in enumerate(lines):
        indented = line.startswith("    ")
        if line.strip():
            before = lines[number - 2] if number > 1 and not lines[number - 1].strip() else " "
            starts = indented and not inside and not before.startswith(" ")
            if starts and not before.endswith("::") and not _HEADING.match(before):
                result += ["::", ""]
            inside = indented
        result.append(line if inside else _STAR.sub(r"\\*", line))
    lines[:] = result


def setup(app: Sphinx) -> dict[str, bool]:
    """Register it, before napoleon rewrites the sections."""
    app.connect("autodoc-process-docstring", keep_drawings, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
