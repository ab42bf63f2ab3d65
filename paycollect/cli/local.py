"""What runs on this machine alone: the demo and the sandbox. Needs no extra."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from paycollect import demo as _demo
from paycollect.cli.exits import Exit, UsageError
from paycollect.cli.run import run
from paycollect.demo.screen import Screen
from paycollect.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Shapes: TypeAlias = Literal["events", "concept"]
Scheme: TypeAlias = Literal["raw", "compact", "php"]
Envelope: TypeAlias = Literal["3.0", "2.0"]

LOST_ANSWER: Final = "lost-answer"
DEFAULT_PORT: Final = 8900
# Guards nothing but a sandbox; the same every time, so that a service can be set up once.
WEBHOOK_SECRET: Final = "whsec_sandbox0000000000000000000000001"  # noqa: S105  see above


def demo(*, by_hand: bool, lost_answer: bool) -> Exit:
    """Tell the story of one payment."""

    async def command() -> Exit:
        await _demo.run(_screen(), by_hand=by_hand, lost_answer=lost_answer)
        return Exit.OK

    return run(command)


def sandbox(
    *,
    port: int,
    webhook_secret: str,
    time_scale: float,
    shapes: Shapes,
    scheme: Scheme,
    envelope: Envelope,
) -> Exit:
    """Run the sandbox until it is told to stop."""

    async def command() -> Exit:
        server = Sandbox(
            port=port,
            webhook_secret=webhook_secret,
            time_scale=time_scale,
            shapes=shapes,
            scheme=scheme,
            envelope=envelope,
        )
        await _serve(server, port)
        return Exit.OK

    return run(command)


async def _serve(server: Sandbox, port: int) -> None:
    try:
        await server.start()
    except (OSError, OverflowError):
        raise UsageError(f"port {port} cannot be opened: choose another with --port") from None
    try:
        stop = asyncio.Event()
        with _sigterm(stop.set):
            _introduce(_screen(), server)
            await stop.wait()
    finally:
        await server.aclose()


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


def _screen() -> Screen:
    return Screen.on(sys.stdout, os.environ)


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
