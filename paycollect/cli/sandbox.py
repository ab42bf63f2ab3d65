"""`paycollect sandbox`: the provider on this machine, until it is told to stop. Needs no extra.

Invariants: what can be chosen about a sandbox stands in `SandboxOptions`; here is only how a person
is told about it. Both command lines are made of `CHOICES`.
"""

from __future__ import annotations

import asyncio
import signal
from contextlib import contextmanager, suppress
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final, get_args, get_type_hints

from attrs import frozen

from paycollect.cli.exits import About, Exit, UsageError
from paycollect.cli.live_log import LiveLog
from paycollect.cli.run import run
from paycollect.cli.terminal import results
from paycollect.sandbox import Sandbox
from paycollect.sandbox.options import SandboxOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from paycollect.cli.terminal import Screen

# A service can be set up once: the port is always the same, as the credentials are.
_DEFAULTS: Final = {"port": 8900}
# The clock is no choice of a command line.
_TYPES: Final = get_type_hints(SandboxOptions, localns={"Clock": object})


@frozen(kw_only=True)
class Choice:
    """An option of the sandbox as a person is told about it.

    Attributes:
        name: in `SandboxOptions`.
        help: what it means.
        metavar: what its value is called; "" where the values are listed.

    """

    name: str
    help: str
    metavar: str = ""

    @property
    def flag(self) -> str:
        """How it is typed."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def kind(self) -> Any:
        """The type of its value."""
        kind = _TYPES[self.name]
        return str if str in get_args(kind) else kind  # a text or a path: a text here

    @property
    def default(self) -> Any:
        """Its value if it is not given."""
        return _DEFAULTS.get(self.name, _GIVEN[self.name])


_GIVEN: Final = {option.name: option.default for option in fields(SandboxOptions)}
CHOICES: Final = (
    Choice(name="port", metavar="NUMBER", help="Where it listens; 0 for any that is free."),
    Choice(
        name="webhook_secret",
        metavar="TEXT",
        help="What webhooks are signed with; it guards nothing but the sandbox.",
    ),
    Choice(
        name="time_scale",
        metavar="NUMBER",
        help="Sandbox seconds in a real second; 60 makes an hour a minute.",
    ),
    Choice(name="shapes", help="Which of the published forms the data has."),
    Choice(name="scheme", help="How webhooks are signed."),
    Choice(name="envelope", help="Version of the form around the data of a webhook."),
    Choice(
        name="event_ids",
        help="By which id events name a collection: that of create (own), one that GET does not"
        " know (collection), or one that GET knows as well (both).",
    ),
    Choice(
        name="refund_events",
        help="Whether events of refunds tell the order and the collection (full) or not (bare).",
    ),
    Choice(
        name="stale_reads",
        metavar="SECONDS",
        help="How old the states are that a GET tells, as of a copy that lags behind.",
    ),
    Choice(name="refund_delay", metavar="SECONDS", help="How long a refund stays PENDING."),
    Choice(name="state", metavar="FILE", help="Keep everything in this file over a restart."),
    Choice(name="seed", metavar="FILE", help="Begin with what this JSON or TOML file says."),
    Choice(name="merchant", metavar="TEXT", help="The name on the checkout page."),
)
QUIET: Final = "Do not tell what happens in it."


def command(given: Mapping[str, Any], *, quiet: bool) -> Exit:
    """Run the sandbox until it is told to stop."""

    async def serve() -> Exit:
        await _serve(Sandbox(**given), given["port"], quiet=quiet)
        return Exit.OK

    names = {choice.name: choice.flag for choice in CHOICES}
    return run(serve, About(names=names, command="paycollect sandbox"))


async def _serve(server: Sandbox, port: int, *, quiet: bool) -> None:
    try:
        await server.start()
    except (OSError, OverflowError):
        raise UsageError(f"port {port} cannot be opened: choose another with --port") from None
    try:
        stop, screen = asyncio.Event(), results()
        with _sigterm(stop.set):
            _introduce(screen, server)
            log = None if quiet else LiveLog(screen, server, stop.set)
            await stop.wait()
    finally:
        await server.aclose()
    if log is not None and log.lost is not None:
        raise log.lost


@contextmanager
def _sigterm(act: Callable[[], None]) -> Iterator[None]:
    """Act on SIGTERM, which a process manager sends; Ctrl-C cancels the command by itself."""
    loop = asyncio.get_running_loop()
    # Windows has no signal handlers on a loop; nor has a loop outside of the main thread.
    with suppress(NotImplementedError, RuntimeError, ValueError):
        loop.add_signal_handler(signal.SIGTERM, act)
    try:
        yield
    finally:
        with suppress(NotImplementedError, RuntimeError, ValueError):
            loop.remove_signal_handler(signal.SIGTERM)


def _introduce(screen: Screen, server: Sandbox) -> None:
    screen.title("The sandbox is running; Ctrl-C stops it.")
    screen.fact("console", f"{server.url}/")
    screen.fact("API", server.base_url)
    screen.text()
    screen.text("Give your service these settings:")
    screen.text()
    for name, value in (
        ("BASE_URL", server.base_url),
        ("APP_ID", server.app_id),
        ("SECRET_KEY", server.secret_key),
        ("WEBHOOK_SECRET", server.webhook_secret),
    ):
        screen.verbatim(f"export PAYCOLLECT_{name}={value}")
