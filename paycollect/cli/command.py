"""What the commands of the full command line share: options, groups, asking, and how they end."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import ContextVar
from typing import Annotated, Any, Final, NoReturn, TypeVar

import typer
from attrs import evolve
from typer.core import TyperCommand, TyperGroup

from paycollect.cli import settings
from paycollect.cli.exits import About, Exit
from paycollect.cli.run import guarded, run
from paycollect.cli.streams import OutputError
from paycollect.cli.terminal import notices
from paycollect.session import SessionManager

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

AsJson = Annotated[bool, typer.Option("--json", help="Write JSON, for machines.")]
CollectionId = Annotated[
    str,
    typer.Argument(metavar="COLLECTION_ID", help="The provider's id, such as SCI679A1B2C3D4E5."),
]
NOTHING: Final = About()
PAYMENTS: Final = "Payments"
RECEIVING: Final = "Webhooks and callbacks"
DELIVERY: Final = "From order to delivery"
_this: Final[ContextVar[About]] = ContextVar("this", default=NOTHING)


class _PlainFlags:
    """A flag takes no value, so that none is shown in its help."""

    def get_params(self, ctx: Any) -> Any:
        params = super().get_params(ctx)  # type: ignore[misc]  # of the class that it is mixed into
        for param in params:
            if getattr(param, "is_flag", False):
                param.metavar = ""
        return params


class Command(_PlainFlags, TyperCommand):
    """One command; what it says about an argument calls that as a person does."""

    def invoke(self, ctx: Any) -> Any:
        """Carry it out."""
        names = {param.name: _name(param) for param in self.params}
        _this.set(About(names=names, command=ctx.command_path))
        return super().invoke(ctx)


def _name(param: Any) -> str:
    return str(param.metavar if param.param_type_name == "argument" else param.opts[0])


class Group(_PlainFlags, TyperGroup):
    """A command with commands of its own."""


class Commands(typer.Typer):
    """Collects commands.

    Args:
        panel: the heading under which a help text lists them.
        options: those of Typer.

    """

    def __init__(self, *, panel: str | None = None, **options: Any) -> None:
        given = {"cls": Group, "no_args_is_help": True, "pretty_exceptions_enable": False}
        super().__init__(**{**given, **options})
        self._panel = panel

    def command(self, name: str | None = None, **options: Any) -> Callable[[F], F]:
        """Make a function a command."""
        given = {"cls": Command, "rich_help_panel": self._panel}
        return super().command(name, **{**given, **options})


def end(code: Exit) -> NoReturn:
    """End the command."""
    raise typer.Exit(code)


def carry_out(start: Callable[[], Coroutine[None, None, Exit]], about: About = NOTHING) -> NoReturn:
    """Run what needs the network, and end."""
    end(run(start, _named(about)))


def do(work: Callable[[], Exit], about: About = NOTHING) -> NoReturn:
    """Do what needs no network, and end."""
    end(guarded(work, _named(about)))


def ask(
    question: Callable[[SessionManager], Awaitable[T]],
    answer: Callable[[T], Exit],
    about: About = NOTHING,
    made: Callable[[T], str] | None = None,
) -> NoReturn:
    """Put a question to the provider, show the answer, and end."""
    carry_out(lambda: asking(question, answer, made), about)


def asking(
    question: Callable[[SessionManager], Awaitable[T]],
    answer: Callable[[T], Exit],
    made: Callable[[T], str] | None = None,
) -> Coroutine[None, None, Exit]:
    """Read the settings now; put the question when awaited, while a spinner turns.

    `made` says what the answer tells to be done now at the provider, written or not.
    """
    pay = settings.session()

    async def command() -> Exit:
        async with pay, notices().waiting("asking the provider"):
            value = await question(pay)
        return tell(lambda: answer(value), "" if made is None else made(value))

    return command()


def tell(answer: Callable[[], Exit], made: str) -> Exit:
    """Write an answer down now, so that one that is lost does not hide what was made."""
    try:
        code = answer()
        sys.stdout.flush()
    except OutputError as lost:
        lost.made = made
        raise
    return code


async def settled(code: Exit) -> Exit:
    """End without a question to the provider."""
    await asyncio.sleep(0)
    return code


def _named(about: About) -> About:
    return evolve(about, names=_this.get().names, command=_this.get().command)
