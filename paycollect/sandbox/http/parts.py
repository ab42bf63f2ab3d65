"""Everything that a sandbox consists of, for the rooms that serve it, show it and act on it."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from paycollect.sandbox.clock import Clock
from paycollect.sandbox.faults import Faults
from paycollect.sandbox.http.delivery import Dispatcher
from paycollect.sandbox.options import SandboxOptions
from paycollect.sandbox.provider.endpoints import Provider
from paycollect.sandbox.request_log import RequestLog
from paycollect.sandbox.wakeup import Wakeup


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The parts of one sandbox."""

    options: SandboxOptions
    clock: Clock
    faults: Faults
    requests: RequestLog
    provider: Provider
    dispatcher: Dispatcher
    changes: Wakeup

    @property
    def base_url(self) -> str:
        """What to give to a client as the base URL."""
        return self.provider.origin() + BASE_PATH

    @property
    def root(self) -> str:
        """The path below which the sandbox is; "" unless it is a part of another application."""
        return urlsplit(self.provider.origin()).path


BASE_PATH = "/api/v3"
