"""`python -m paycollect`, and the command `paycollect`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out a command line; return its exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    try:
        from paycollect.cli.app import main as carry_out  # noqa: PLC0415  needs the extra "cli"
    except ModuleNotFoundError as error:
        if error.name not in {"typer", "rich"}:
            raise
        from paycollect.cli.plain import main as carry_out  # noqa: PLC0415  needs nothing
    return carry_out(arguments)


if __name__ == "__main__":
    sys.exit(main())
