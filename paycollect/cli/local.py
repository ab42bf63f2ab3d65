"""What runs on this machine alone: the demo and the sandbox. Needs no extra."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from paycollect import demo as _demo
from paycollect.cli.exits import Exit, UsageError
from paycollect.demo.screen import Screen
from paycollect.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable

Shapes: TypeAlias = Literal["events", "concept"]
Scheme: TypeAlias = Literal["raw", "compact", "php"]
Envelope: TypeAlias = Literal["3.0", "2.0"]

LOST_ANSWER: Final = "lost-answer"
DEFAULT_PORT: Final = 8900
# Guards nothing but a sandbox; the same every time, so that a service can be set up once.
WEBHOOK_SECRET: Final = "whsec_sandbox0000000000000000000000001"  # noqa: S105  see above


async def demo(*, by_hand: bool, lost_answer: bool) -> Exit:
    """Tell the story of one payment."""
    screen = Screen.on(sys.stdout, os.environ)
    await _demo.run(screen, by_hand=by_hand, lost_answer=lost_answer)
    return Exit.OK


async def sandbox(
    *,
    port: int,
    webhook_secret: str,
    time_scale: float,
    shapes: Shapes,
    scheme: Scheme,
    envelope: Envelope,
) -> Exit:
    """Run the sandbox until it is told to stop."""
    server = Sandbox(
        port=port,
        webhook_secret=webhook_secret,
        time_scale=time_scale,
        shapes=shapes,
        scheme=scheme,
        envelope=envelope,
    )
    try:
        await server.start()
    except (OSError, OverflowError):
        raise UsageError(f"port {port} cannot be opened: choose another with --port") from None
    try:
        _introduce(Screen.on(sys.stdout, os.environ), server)
        await _told_to_stop()
    finally:
        await server.aclose()
    return Exit.OK


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


async def _told_to_stop() -> None:
    """Wait for SIGTERM, which a process manager sends; Ctrl-C cancels this wait."""
    stop = asyncio.Event()
    with _on_sigterm(stop.set):
        await stop.wait()


class _on_sigterm:  # noqa: N801  reads as what it is, like contextlib's own
    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call

    def __enter__(self) -> None:
        # Windows has no signal handlers on a loop; nor has a loop outside of the main thread.
        with suppress(NotImplementedError, RuntimeError, ValueError):
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._call)

    def __exit__(self, *_: object) -> None:
        with suppress(NotImplementedError, RuntimeError, ValueError):
            asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)
