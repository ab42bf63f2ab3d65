"""`python -m paycollect`, and the command `paycollect`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from paycollect.cli import streams

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out a command line; return its exit code."""
    with streams.guarded():
        try:
            code = _carry_out(sys.argv[1:] if argv is None else argv)
            sys.stdout.flush()
        except KeyboardInterrupt:  # while libraries are loaded: later, the command says so itself
            sys.stderr.write("Stopped.\n")
            return 130
        except streams.OutputError as lost:  # a help text: a command says so itself
            from paycollect.cli.run import not_written  # noqa: PLC0415  slow, and seldom needed

            return not_written(lost)
    return code


def _carry_out(argv: Sequence[str]) -> int:
    try:
        return _choose()(argv)
    except SystemExit as end:  # argparse, and a shell that asks for completions
        return end.code if isinstance(end.code, int) else 0


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
