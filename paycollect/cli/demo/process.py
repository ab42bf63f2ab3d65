"""The shop's process: started, killed, and started again on the same port and the same file."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
from contextlib import closing, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final, Self

from paycollect.cli.demo.failures import StepFailedError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from paycollect.sandbox import Clock

_LOOK_AGAIN: Final = 0.02
_SHOP: Final = "paycollect.cli.demo.shop"


class ShopProcess:
    """Use it as `async with ShopProcess(clock, settings) as shop`.

    Args:
        clock: the sandbox's time, which the shop lives by, too.
        settings: the environment variables that the shop reads.

    """

    def __init__(self, clock: Clock, settings: Mapping[str, str]) -> None:
        self._clock = clock
        self._settings = settings
        self._folder = TemporaryDirectory(prefix="paycollect-demo-", ignore_cleanup_errors=True)
        self._process: asyncio.subprocess.Process | None = None
        self._port = 0

    @property
    def url(self) -> str:
        """Where the shop serves."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def pid(self) -> int:
        """The number of its process."""
        return self._running.pid

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._end()

    async def start(self) -> None:
        """Start it, and wait until it serves.

        Raises:
            StepFailedError: it did not start.

        """
        log = self._file("shop.log")
        with log.open("wb") as errors:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", _SHOP, self._file("shop.db")),
                *(str(self._port), str(self._clock.time())),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                env={**_without_ours(os.environ), **self._settings},
                start_new_session=True,  # Ctrl-C is for the demo, which ends the shop
            )
        assert self._process.stdout is not None  # noqa: S101  # a pipe was asked for
        port = await self._process.stdout.readline()
        if not port:
            last = log.read_text("utf-8", "replace").strip().rpartition("\n")[2]
            raise StepFailedError(f"the shop did not start: {last or 'it said nothing'}")
        self._port = int(port)

    async def kill(self) -> None:
        """Kill it, as `kill -9` does; nothing of it runs any more."""
        process, self._process = self._running, None
        with suppress(ProcessLookupError):  # it has ended by itself
            process.kill()
        await process.communicate()

    def advance(self, seconds: float) -> None:
        """Move the time forward, the provider's and the shop's."""
        self._clock.advance(seconds)
        assert self._running.stdin is not None  # noqa: S101  # a pipe was asked for
        self._running.stdin.write(f"{seconds}\n".encode())

    def parcels(self, order_id: str) -> list[str]:
        """Look into the shop's own table: for each delivery of an order, what led to it."""
        with closing(sqlite3.connect(self._file("shop.db"))) as db:
            rows = db.execute("SELECT found_by FROM parcels WHERE order_id = ?", (order_id,))
            return [found_by for (found_by,) in rows]

    async def delivered(self, order_id: str) -> list[str]:
        """Wait until an order is delivered; see `parcels`."""
        while not (found := self.parcels(order_id)):  # noqa: ASYNC110  # another process writes
            await asyncio.sleep(_LOOK_AGAIN)
        return found

    @property
    def _running(self) -> asyncio.subprocess.Process:
        if self._process is None:
            raise StepFailedError("the shop does not run")
        return self._process

    def _file(self, name: str) -> Path:
        return Path(self._folder.name) / name

    async def _end(self) -> None:
        if self._process is not None:
            await self.kill()
        self._folder.cleanup()


def _without_ours(environ: Mapping[str, str]) -> dict[str, str]:
    """Leave out the settings of whoever runs the demo: they are for another provider."""
    return {name: value for name, value in environ.items() if not name.startswith("PAYCOLLECT_")}
