"""`paycollect doctor`: is everything that payments need in order, and if not, what to do."""

from __future__ import annotations

import os
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.text import Text

from paycollect.cli import checkup, settings, show, store_checkup, stores
from paycollect.cli.checkup import Finding
from paycollect.cli.command import PAYMENTS, AsJson, Commands, carry_out
from paycollect.cli.exits import About, Exit
from paycollect.session import SessionManager
from paycollect.tokens.file import FileTokenStore

commands: Final = Commands(panel=PAYMENTS)
_SIGNS: Final = {
    "ok": ("ok", "green"),
    "warning": ("look", "yellow"),
    "wrong": ("wrong", "red"),
    "skipped": ("-", "dim"),
}


@commands.command("doctor")
def doctor(
    webhook_url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Your endpoint; the one that the provider has if absent."),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where your service keeps its token, if in a file."),
    ] = None,
    store: stores.StoreOption = None,
    app: stores.AppOption = None,
    as_json: AsJson = False,
) -> None:
    """Check connection, clock, credentials and your webhook endpoint; exit code 1 if wrong.

    With --store or --app the cashier's database, too.

    Your endpoint gets two events: a forged one, which it must answer with 401, and a genuine test
    delivery, which it must answer with 2xx and not fulfil.
    """

    def start() -> Coroutine[None, None, Exit]:
        # A file that is of no use is a finding: the call shall not fail because of it.
        good = token_file is not None and checkup.tokens(token_file).state == "ok"
        kept = FileTokenStore(token_file) if token_file is not None and good else None
        which = stores.named(store, app) if store or app else None
        return _examine(settings.session(kept), webhook_url, token_file, which, as_json=as_json)

    carry_out(start, About(as_json=as_json))


async def _examine(
    pay: SessionManager,
    webhook_url: str | None,
    token_file: Path | None,
    which: stores.Named | None,
    *,
    as_json: bool,
) -> Exit:
    findings: list[Finding] = []
    async with pay:
        rooms = [
            checkup.examine(
                pay,
                settings.base_url(),
                webhook_url=webhook_url,
                secret=os.environ.get(settings.WEBHOOK_SECRET),
                token_file=token_file,
            )
        ]
        if which is not None:
            rooms.append(store_checkup.examine(which))
        for room in rooms:
            async for finding in room:
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
    label = Text.assemble((f"{sign:<6}", style), (f"{finding.subject:<12}", "dim"))
    rows = [(label, show.text(finding.text))]
    if finding.advice:
        rows.append((Text(" " * len(label)), show.text(f"-> {finding.advice}")))
    show.facts(rows)
