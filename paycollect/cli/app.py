"""The whole command line, with typer and rich; one room for each group of commands.

A new command is a function with `@commands.command` in one of the rooms; a new room is also named
here.
"""

from __future__ import annotations

import inspect
import sys
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from paycollect import __version__
from paycollect.cli import (
    cashier_desk,
    demo,
    doctor,
    payments,
    refunds,
    sandbox,
    show,
    webhook_config,
    webhooks,
)
from paycollect.cli.command import DELIVERY, PAYMENTS, RECEIVING, Commands, end
from paycollect.cli.exits import About, Exit, Trouble
from paycollect.cli.run import fail, log_to_stderr

if TYPE_CHECKING:
    from collections.abc import Sequence

EPILOG: Final = (
    "Exit codes: 0 done; 1 the answer is no (not paid, not genuine, not found); 2 wrong usage or a"
    " missing setting; 3 the provider refused; 4 no clear answer, so that a write may have taken"
    " effect; 5 done, but the result could not be written; 6 nothing was sent, as the provider was"
    " not reached; 130 Ctrl-C.\n\nSettings come from the environment: PAYCOLLECT_APP_ID,"
    " PAYCOLLECT_SECRET_KEY, PAYCOLLECT_BASE_URL, PAYCOLLECT_WEBHOOK_SECRET."
)
_VERBOSE: Final = "--verbose"
_WIDE: Final = 80

app: Final = Commands(
    name="paycollect",
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main(argv: Sequence[str]) -> int:
    """Carry out a command line; return its exit code."""
    log_to_stderr(_VERBOSE in argv)
    # In a narrow window the panels would cut the names of options off.
    app.rich_markup_mode = "rich" if get_terminal_size().columns >= _WIDE else None
    given = [argument for argument in argv if argument != _VERBOSE]
    try:
        code = app(given, prog_name="paycollect", standalone_mode=False)
    except typer.TyperException as error:
        return _wrong_usage(error, as_json="--json" in argv)
    return code if isinstance(code, int) else Exit.OK


def _wrong_usage(error: typer.TyperException, *, as_json: bool) -> Exit:
    what = error.format_message().strip()
    if not what:  # nothing was asked for: the help is shown already
        return Exit.USAGE
    if what.startswith("Usage: "):  # the same, in a narrow window
        sys.stdout.write(f"{what}\n")
        return Exit.USAGE
    context = getattr(error, "ctx", None)
    about = About(command="paycollect" if context is None else context.command_path)
    return fail(Trouble(what, "yours", about.help, Exit.USAGE), as_json=as_json)


def _show_version(wanted: bool) -> None:
    if wanted:
        show.line(f"paycollect {__version__}")
        end(Exit.OK)


@app.callback()
def _root(
    *,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", help="Show which release this is.", callback=_show_version, is_eager=True
        ),
    ] = False,
    _verbose: Annotated[
        bool, typer.Option(_VERBOSE, help="Show what is logged; goes after any command, too.")
    ] = False,
) -> None:
    """Payments: try them, create them, look after them."""


def _demo(
    by_hand: Annotated[bool, typer.Option("--open", help="Pay by hand in your browser.")] = False,
    fault: Annotated[
        Literal["lost-answer"] | None, typer.Option(help="Let something go wrong.")
    ] = None,
) -> None:
    """Watch a shop deliver once, though it is killed: on this machine, no network, no account."""
    end(demo.command(by_hand=by_hand, lost_answer=fault is not None))


def _sandbox(*, quiet: bool, **given: Any) -> None:
    """Run the provider on this machine: its API, its checkout page and its webhooks.

    It tells what happens, one line each: who asked what, which webhook went where.
    """
    end(sandbox.command(given, quiet=quiet))


def _add_sandbox() -> None:
    """Give the command its options; Typer reads them from a signature."""
    parameters = [
        inspect.Parameter(
            choice.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=choice.default,
            annotation=Annotated[
                choice.kind, typer.Option(metavar=choice.metavar or None, help=choice.help)
            ],
        )
        for choice in sandbox.CHOICES
    ]
    quiet = inspect.Parameter(
        "quiet",
        inspect.Parameter.KEYWORD_ONLY,
        default=False,
        annotation=Annotated[bool, typer.Option("--quiet", help=sandbox.QUIET)],
    )
    signature = inspect.Signature([*parameters, quiet])
    _sandbox.__signature__ = signature  # type: ignore[attr-defined]  # read by inspect
    _sandbox.__annotations__ = {name: p.annotation for name, p in signature.parameters.items()}
    app.command("sandbox", rich_help_panel=_TRY)(_sandbox)


_TRY: Final = "Try it: no network, no account, no extra"
app.command("demo", rich_help_panel=_TRY)(_demo)
_add_sandbox()
app.add_typer(payments.checkout, name="checkout", rich_help_panel=PAYMENTS)
app.add_typer(refunds.refund, name="refund", rich_help_panel=PAYMENTS)
app.add_typer(payments.commands)
app.add_typer(refunds.commands)
app.add_typer(doctor.commands)
app.add_typer(webhooks.webhook, name="webhook", rich_help_panel=RECEIVING)
webhooks.webhook.add_typer(webhook_config.config, name="config")
app.add_typer(webhooks.commands)
app.add_typer(cashier_desk.desk, name="cashier", rich_help_panel=DELIVERY)
