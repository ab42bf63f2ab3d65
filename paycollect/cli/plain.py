"""The command line without the extra "cli": demo, sandbox, and how to get the rest."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Final, NoReturn, get_args

from paycollect import __version__
from paycollect.cli import demo, sandbox
from paycollect.cli.exits import About, Exit, Trouble
from paycollect.cli.run import fail, log_to_stderr

if TYPE_CHECKING:
    from collections.abc import Sequence

_HERE: Final = ("demo", "sandbox")
_INSTALL: Final = "python -m pip install rich typer"
_EPILOG: Final = f"""\
The commands demo and sandbox work as they are. The others need the extra "cli":

    {_INSTALL}
"""


def main(argv: Sequence[str]) -> int:
    """Carry out a command line; return its exit code."""
    log_to_stderr(False)
    if argv and not argv[0].startswith("-") and argv[0] not in _HERE:
        what = f'`paycollect {argv[0]}` is not available: it needs the extra "cli"'
        return fail(Trouble(what, "yours", _INSTALL, Exit.USAGE), as_json="--json" in argv)
    parser = _parser()
    options = parser.parse_args(argv)
    match options.command:
        case "demo":
            return demo.command(by_hand=options.open, lost_answer=options.fault is not None)
        case "sandbox":
            given = {choice.name: getattr(options, choice.name) for choice in sandbox.CHOICES}
            return sandbox.command(given, quiet=options.quiet)
        case _:
            parser.print_help()
            return Exit.USAGE


class _Parser(argparse.ArgumentParser):
    """Says what is wrong as every command does; argparse would repeat control characters."""

    def error(self, message: str) -> NoReturn:
        about = About(command=self.prog)
        sys.exit(fail(Trouble(message, "yours", about.help, Exit.USAGE)))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="paycollect",
        description="Payments on your desk.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"paycollect {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="{demo,sandbox}")
    _add_demo(
        commands.add_parser("demo", help="from the order to the delivery, once, whatever happens")
    )
    _add_sandbox(commands.add_parser("sandbox", help="run the provider on this machine"))
    return parser


def _add_demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--open", action="store_true", help="pay by hand in your browser")
    parser.add_argument("--fault", choices=[demo.LOST_ANSWER], help="let something go wrong")


def _add_sandbox(parser: argparse.ArgumentParser) -> None:
    for choice in sandbox.CHOICES:
        values = get_args(choice.kind) or None
        parser.add_argument(
            choice.flag,
            type=str if values else choice.kind,
            choices=values,
            default=choice.default,
            metavar=choice.metavar or None,
            help=choice.help,
        )
    parser.add_argument("--quiet", action="store_true", help=sandbox.QUIET)
