"""`python -m paycollect`, and the command `paycollect`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out a command line; return its exit code."""
    try:
        return _choose()(sys.argv[1:] if argv is None else argv)
    except KeyboardInterrupt:  # while the libraries were loaded: later, the command says so itself
        sys.stderr.write("Stopped.\n")
        return 130


def _choose() -> Callable[[Sequence[str]], int]:
    try:
        from paycollect.cli.app import main as full  # noqa: PLC0415  needs the extra "cli"
    except ModuleNotFoundError as error:
        if error.name not in {"typer", "rich"}:
            raise
        from paycollect.cli.plain import main as plain  # noqa: PLC0415  needs nothing

        return plain
    return full


if __name__ == "__main__":
    sys.exit(main())
