"""`manage.py paycollect_worker`: confirms, delivers, and looks for lost webhooks."""

from __future__ import annotations

import asyncio
import inspect
import signal
import threading
from collections.abc import Callable
from typing import Any, Final

from django.core.management.base import BaseCommand

from paycollect.cashier.cashier import close_with_session
from paycollect.cashier.django.named import named
from paycollect.cashier.errors import StoreError
from paycollect.cashier.values import Done

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
POLL_SECONDS: Final = 1.0


class Command(BaseCommand):
    """Works until SIGTERM or SIGINT; any number of them may run."""

    help = (
        "Confirms payments, delivers orders and looks for lost webhooks, for the cashier that"
        " PAYCOLLECT_CASHIER names. Any number of them may run."
    )

    def add_arguments(self, parser: Any) -> None:
        """Add the options."""
        parser.add_argument(
            "--once", action="store_true", help="do what is due now, and end: for cron"
        )

    def handle(self, *_: object, once: bool, **__: object) -> None:
        """Work."""
        cashier = named()
        is_async = inspect.iscoroutinefunction(cashier.run_until_idle)
        if once:
            done = asyncio.run(_once(cashier)) if is_async else cashier.run_until_idle()
            self._tell(done)
            return
        self.stdout.write(f"Working for {cashier!r}; end with SIGTERM or Ctrl-C.")
        self.stdout.flush()
        if is_async:
            asyncio.run(_work(cashier))
        else:
            _work_blocking(cashier, self.stderr.write)
        self.stdout.write("Ended; what was under way is finished.")

    def _tell(self, done: Done) -> None:
        self.stdout.write(
            f"confirmed {done.confirmed}, delivered {done.delivered}, held {done.held},"
            f" closed {done.closed}"
        )


async def _once(cashier: Any) -> Done:
    try:
        done: Done = await cashier.run_until_idle()
        return done
    finally:
        await close_with_session(cashier)


async def _work(cashier: Any) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in SIGNALS:
        loop.add_signal_handler(number, stop.set)
    try:
        async with cashier:
            await stop.wait()
    finally:
        await close_with_session(cashier)


def _work_blocking(cashier: Any, complain: Callable[[str], object]) -> None:
    stop = threading.Event()
    kept = [(number, signal.signal(number, lambda *_: stop.set())) for number in SIGNALS]
    try:
        while not stop.is_set():
            try:
                cashier.run_until_idle()
            except StoreError as error:
                complain(f"{error}; the worker goes on")
            stop.wait(POLL_SECONDS)
    finally:
        for number, handler in kept:
            signal.signal(number, handler)
        cashier.aclose()
