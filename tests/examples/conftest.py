"""The examples in processes of their own, as a reader starts them, and their customers."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import sqlite3
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

import aiohttp
import pytest
from attrs import frozen

from paycollect.cli.demo.payer import read_form
from paycollect.sandbox import Sandbox
from paycollect.status import PaymentStatus

ROOT: Final = Path(__file__).parents[2]
EXAMPLES: Final = ROOT / "examples"
TIMES: Final = 60.0
"""How much faster than the machine's the clocks run: a dead process's order is free in a second."""


@frozen(kw_only=True)
class Example:
    """How an example is started; the first command is the one that serves.

    `PORT` in a command stands for the port, and in `database` PATH for that of the file.
    """

    name: str
    commands: tuple[tuple[str, ...], ...]
    prepare: tuple[str, ...] = ()
    folder: Path = ROOT
    database: str = "PATH"
    parcels: str = "SELECT order_id FROM parcels"


class Town:
    """A sandbox, an example, and its customers."""

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        self.sandbox = sandbox
        self.path = folder / "shop.db"
        self.more: dict[str, str] = {}
        self._all: list[asyncio.subprocess.Process] = []
        self._lives: list[asyncio.subprocess.Process] = []
        with closing(socket.socket()) as found:
            found.bind(("127.0.0.1", 0))
            self.port: int = found.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        # Without `unsafe` no cookie of an address is kept.
        self._http = aiohttp.ClientSession(
            cookie_jar=aiohttp.CookieJar(unsafe=True), timeout=aiohttp.ClientTimeout(total=10)
        )

    # --- the example

    def environment(self, example: Example) -> dict[str, str]:
        """What an example reads from its environment."""
        paths = [str(Path(__file__).parent / "fast"), os.environ.get("PYTHONPATH", "")]
        return {
            **os.environ,
            **self.more,
            "PAYCOLLECT_APP_ID": self.sandbox.app_id,
            "PAYCOLLECT_SECRET_KEY": self.sandbox.secret_key,
            "PAYCOLLECT_BASE_URL": self.sandbox.base_url,
            "PAYCOLLECT_WEBHOOK_SECRET": self.sandbox.webhook_secret,
            "PORT": str(self.port),
            "SHOP_URL": self.url,
            "SHOP_DATABASE": example.database.replace("PATH", str(self.path)),
            "EXAMPLE_NOW": self.sandbox.clock.now().isoformat(),
            "EXAMPLE_TIMES": str(TIMES),
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        }

    async def run(self, example: Example, command: Iterable[str]) -> asyncio.subprocess.Process:
        """Start a command of an example."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *(word.replace("PORT", str(self.port)) for word in command),
            cwd=example.folder,
            env=self.environment(example),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=None if os.environ.get("SHOW") else asyncio.subprocess.DEVNULL,
        )
        self._all.append(process)
        return process

    async def start(self, example: Example) -> None:
        """Start all of an example on the same file, and wait until it serves."""
        if example.prepare and not self.path.exists():
            assert await (await self.run(example, example.prepare)).wait() == 0
        self._lives = [await self.run(example, command) for command in example.commands]
        async with asyncio.timeout(40):
            while not await self._serves():
                assert self._lives[0].returncode is None, "the example did not start"
                await asyncio.sleep(0.05)

    async def _serves(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.close()
        await writer.wait_closed()
        return True

    async def kill(self) -> None:
        """Kill what `start` has started: SIGKILL, which nothing can catch."""
        await _kill(self._lives)

    async def aclose(self) -> None:
        """End what runs."""
        await _kill(self._all)
        await self._http.close()

    # --- customers

    async def buy(self) -> str:
        """Press the shop's button; give the collection that the customer is sent to."""
        async with self._http.get(f"{self.url}/") as page:
            form = read_form(await page.text())
        async with self._http.post(
            f"{self.url}{form.action}", data=form.fields, allow_redirects=False
        ) as answer:
            assert answer.status == 303, await answer.text()
            return answer.headers["Location"].rpartition("=")[2]

    async def come_back(self, collection_id: str) -> str:
        """Come back from the checkout; give the shop's page."""
        url = f"{self.url}/return?batch={collection_id}&status=COMPLETED"
        async with self._http.get(url) as page:
            return await page.text()

    async def custom(self) -> None:
        """Order, pay, come back or not, whatever becomes of the shop."""
        while True:
            with suppress(aiohttp.ClientError, AssertionError, TimeoutError):  # the shop is dead
                collection_id = await self.buy()
                if random.random() < 0.8:  # others never pay
                    await self.sandbox.pay(collection_id)
                if random.random() < 0.5:
                    await self.come_back(collection_id)
            await asyncio.sleep(0.02)

    # --- what came of it

    def rows(self, sql: str) -> list[str]:
        """Read the first column of a query to the example's file."""
        with closing(sqlite3.connect(self.path, timeout=20)) as db:
            return [str(row[0]) for row in db.execute(sql)]

    def parcels(self, example: Example) -> Counter[str]:
        """Count what went out, as the shop's own tables say."""
        return Counter(self.rows(example.parcels))

    @property
    def paid(self) -> set[str]:
        """The orders that the provider has the money of."""
        return {
            record.order.order_id
            for record in self.sandbox.collections
            if record.status is PaymentStatus.COMPLETED
        }


async def _kill(processes: list[asyncio.subprocess.Process]) -> None:
    for process in processes:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    """Wait for what another process does."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  the shop tells nobody
            await asyncio.sleep(0.005)


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    """A town whose example is killed at the end, if it is not dead then."""
    async with Sandbox(time_scale=TIMES) as sandbox:
        town = Town(sandbox, tmp_path)
        yield town
        await town.aclose()
