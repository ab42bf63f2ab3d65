"""The command line without the extra "cli": demo, sandbox, and how to get the rest."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Final, get_args

from paycollect import __version__
from paycollect.cli import local
from paycollect.cli.exits import Exit

if TYPE_CHECKING:
    from collections.abc import Sequence

OTHERS: Final = ("checkout", "refund", "wait", "webhook", "callback", "doctor")
INSTALL: Final = """\
The commands demo and sandbox work as they are. The others need the extra "cli":

    python -m pip install 'paycollect[cli]'
"""


def main(argv: Sequence[str]) -> int:
    """Carry out a command line; return its exit code."""
    parser = _parser()
    if argv and argv[0] in OTHERS:
        parser.exit(Exit.USAGE, f"`paycollect {argv[0]}` is not available.\n{INSTALL}")
    options = parser.parse_args(argv)
    match options.command:
        case "demo":
            return local.demo(by_hand=options.open, lost_answer=options.fault is not None)
        case "sandbox":
            return local.sandbox(
                port=options.port,
                webhook_secret=options.webhook_secret,
                time_scale=options.time_scale,
                shapes=options.shapes,
                scheme=options.scheme,
                envelope=options.envelope,
            )
        case _:
            parser.print_help()
            return Exit.USAGE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="paycollect",
        description="Payments on your desk.",
        epilog=INSTALL,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"paycollect {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="{demo,sandbox}")
    _add_demo(commands.add_parser("demo", help="one payment from the order to the proof"))
    _add_sandbox(commands.add_parser("sandbox", help="run the provider on this machine"))
    return parser


def _add_demo(demo: argparse.ArgumentParser) -> None:
    demo.add_argument("--open", action="store_true", help="pay by hand in your browser")
    demo.add_argument("--fault", choices=[local.LOST_ANSWER], help="let something go wrong")


def _add_sandbox(sandbox: argparse.ArgumentParser) -> None:
    add = sandbox.add_argument
    add("--port", type=int, default=local.DEFAULT_PORT, help="0 for any")
    add("--webhook-secret", default=local.WEBHOOK_SECRET, help="what webhooks are signed with")
    add("--time-scale", type=float, default=1.0, help="sandbox seconds per real second")
    add("--shapes", choices=get_args(local.Shapes), default="events", help="form of the data")
    add("--scheme", choices=get_args(local.Scheme), default="raw", help="recipe of signatures")
    add("--envelope", choices=get_args(local.Envelope), default="3.0", help="webhook envelope")
