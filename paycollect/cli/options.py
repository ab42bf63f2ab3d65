"""Arguments and options that several commands share, and how a command hands its exit code on."""

from __future__ import annotations

from typing import Annotated, NoReturn

import typer

from paycollect.cli.exits import Exit

AsJson = Annotated[bool, typer.Option("--json", help="Write JSON, for machines.")]
CollectionId = Annotated[str, typer.Argument(help="The provider's id, such as SCI679A1B2C3D4E5.")]


def end(code: Exit) -> NoReturn:
    """End the command."""
    raise typer.Exit(code)
