"""The SDK for code without an event loop: scripts, Flask, Django, Celery.

    SessionManager      as `paycollect.SessionManager`, but blocking
    Cashier             as `paycollect.cashier.Cashier`, but blocking
    run                 runs a coroutine function of yours where the SDK's own run

The HTTP client runs on one event loop, on a daemon thread that the first call starts. All managers
of a process share it, and any number of threads may use a manager at once. After a fork the child
starts a thread of its own. At the end of the program open managers are closed.

Invariants: the names, arguments and errors are those of the async ones, taken from them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from paycollect.sync.session import SessionManager, run

if TYPE_CHECKING:
    from paycollect.sync.cashier import Cashier

__all__ = ["Cashier", "SessionManager", "run"]


def __getattr__(name: str) -> object:
    if name != "Cashier":  # it is loaded when it is used: most programs that block have none
        raise AttributeError(f"module 'paycollect.sync' has no attribute {name!r}")
    return import_module("paycollect.sync.cashier").Cashier
