"""The whole command line, with typer and rich; one room below for each group of commands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from paycollect import __version__
from paycollect.cli import doctor, local, payments, show, webhooks
from paycollect.cli.exits import Exit
from paycollect.cli.options import end

if TYPE_CHECKING:
    from collections.abc import Sequence

EPILOG: Final = (
    "Exit codes: 0 done; 1 the answer is no (not paid, not genuine, not found); 2 wrong usage or a"
    " missing setting; 3 the provider refused; 4 no clear answer, so that a write may have taken"
    " effect; 130 Ctrl-C.\n\nSettings come from the environment: PAYCOLLECT_APP_ID,"
    " PAYCOLLECT_SECRET_KEY, PAYCOLLECT_BASE_URL, PAYCOLLECT_WEBHOOK_SECRET."
)

app: Final = typer.Typer(
    name="paycollect",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main(argv: Sequence[str]) -> int:
    """Carry out a command line; return its exit code."""
    code: object = Exit.OK
    try:
        app(list(argv), prog_name="paycollect")
    except SystemExit as end_of_command:
        code = end_of_command.code
    return code if isinstance(code, int) else Exit.OK


def _show_version(wanted: bool) -> None:
    if wanted:
        show.line(f"paycollect {__version__}")
        end(Exit.OK)


@app.callback()
def _root(
    *,
    _: Annotated[
        bool,
        typer.Option("--version", help="Show it.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """Payments: try them, create them, look after them."""


def _demo(
    by_hand: Annotated[bool, typer.Option("--open", help="Pay by hand in your browser.")] = False,
    fault: Annotated[
        Literal["lost-answer"] | None, typer.Option(help="Let something go wrong.")
    ] = None,
) -> None:
    """Watch one payment, from the order to the proof, on this machine: no network, no account."""
    end(local.demo(by_hand=by_hand, lost_answer=fault is not None))


def _sandbox(
    *,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 for any.")] = local.DEFAULT_PORT,
    webhook_secret: Annotated[
        str, typer.Option(help="What webhooks are signed with; guards nothing.")
    ] = local.WEBHOOK_SECRET,
    time_scale: Annotated[float, typer.Option(min=0, help="Sandbox seconds per real second.")] = 1,
    shapes: Annotated[local.Shapes, typer.Option(help="Form of the data.")] = "events",
    scheme: Annotated[local.Scheme, typer.Option(help="Recipe of the signature.")] = "raw",
    envelope: Annotated[local.Envelope, typer.Option(help="Form of the envelope.")] = "3.0",
) -> None:
    """Run the provider on this machine: its API, its checkout page and its webhooks."""
    end(
        local.sandbox(
            port=port,
            webhook_secret=webhook_secret,
            time_scale=time_scale,
            shapes=shapes,
            scheme=scheme,
            envelope=envelope,
        )
    )


_TRY: Final = "Try it: no network, no account, no extra"
_PAYMENTS: Final = "Payments"
_RECEIVING: Final = "Webhooks and callbacks"
app.command("demo", rich_help_panel=_TRY)(_demo)
app.command("sandbox", rich_help_panel=_TRY)(_sandbox)
app.add_typer(payments.checkout, name="checkout", rich_help_panel=_PAYMENTS)
app.command("refund", rich_help_panel=_PAYMENTS)(payments.refund)
app.command("wait", rich_help_panel=_PAYMENTS)(payments.wait)
app.command("doctor", rich_help_panel=_PAYMENTS)(doctor.doctor)
app.add_typer(webhooks.webhook, name="webhook", rich_help_panel=_RECEIVING)
app.command("callback", rich_help_panel=_RECEIVING)(webhooks.callback)
