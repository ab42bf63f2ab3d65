"""The sandbox's HTTP server: one application with the API, the checkout page and the console."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from paycollect.sandbox.http.api import Api
from paycollect.sandbox.http.checkout import Checkout
from paycollect.sandbox.http.control import Control
from paycollect.sandbox.http.guard import add_headers, guard

if TYPE_CHECKING:
    from paycollect.sandbox.http.parts import Parts


class Server:
    """Listens, from `start` to `close`; closed and started again it has the same port."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._host, self._port = parts.options.host, parts.options.port
        self.further_hosts: set[str] = set()
        self._runner: web.AppRunner | None = None

    @property
    def is_open(self) -> bool:
        """Whether it listens."""
        return self._runner is not None

    @property
    def url(self) -> str:
        """Where it listens."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    async def start(self) -> None:
        """Open the port.

        Raises:
            OSError: the port is taken, or the host is none of this machine's.

        """
        self._runner = web.AppRunner(self.application(), access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except OSError:
            await self.close()
            raise
        self._port = self._runner.addresses[0][1]

    def application(self) -> web.Application:
        """Make the application with all routes, to listen with or to be a part of another one."""
        parts = self._parts
        hosts = {self._host, *parts.options.allowed_hosts, *self.further_hosts}
        app = web.Application(middlewares=[guard(hosts)])
        app.on_response_prepare.append(add_headers)
        for room in (Api(parts), Checkout(parts), Control(parts)):
            room.add_to(app)
        return app

    async def close(self) -> None:
        """Close the port; harmless when closed."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
