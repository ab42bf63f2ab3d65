"""`paycollect doctor`: is everything that payments need in order, and if not, what to do."""

from __future__ import annotations

import os
from typing import Annotated, Final

import typer
from rich.table import Table
from rich.text import Text

from paycollect.cli import checkup, settings, show
from paycollect.cli.checkup import Finding
from paycollect.cli.exits import Exit
from paycollect.cli.options import AsJson, end
from paycollect.cli.run import run
from paycollect.session import SessionManager

_SIGNS: Final = {"ok": ("ok", "green"), "warning": ("look", "yellow"), "wrong": ("wrong", "red")}


def doctor(
    webhook_url: Annotated[
        str | None, typer.Option(help="Your endpoint; the one the provider has if absent.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check credentials, clock, TLS, proxies and your webhook endpoint; exit code 1 if wrong.

    Your endpoint gets two events: a forged one, which it must answer with 401, and a genuine test
    delivery, which it must answer with 2xx and not fulfil.
    """
    end(run(lambda: _examine(settings.session(), webhook_url, as_json=as_json), as_json=as_json))


async def _examine(pay: SessionManager, webhook_url: str | None, *, as_json: bool) -> Exit:
    secret = os.environ.get(settings.WEBHOOK_SECRET)
    findings: list[Finding] = []
    async with pay:
        async for finding in checkup.examine(pay, settings.base_url(), webhook_url, secret):
            findings.append(finding)
            if not as_json:
                _show(finding)
    wrong = any(finding.state == "wrong" for finding in findings)
    if as_json:
        show.one({"healthy": not wrong, "findings": findings}, as_json=True)
    else:
        show.line("Something is wrong." if wrong else "All is well.", "red" if wrong else "green")
    return Exit.NO if wrong else Exit.OK


def _show(finding: Finding) -> None:
    sign, style = _SIGNS[finding.state]
    table = Table.grid(padding=(0, 2))
    table.add_column(width=5)
    table.add_column(width=11)
    table.add_column(overflow="fold")
    table.add_row(Text(sign, style), Text(finding.subject, "dim"), show.text(finding.text))
    if finding.advice:
        table.add_row("", "", Text(f"-> {finding.advice}"))
    show.console().print(table)
