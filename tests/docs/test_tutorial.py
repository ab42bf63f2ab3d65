"""The shop of the tutorial, as its reader runs it: bought from, killed at the worst moment, back."""

from __future__ import annotations

import asyncio
import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

import aiohttp
import pytest

from paycollect.sandbox import Sandbox
from tests.cashier.postgres import free_port
from tests.docs.pages import DOCS, blocks

FILE = "shop.db"


class Reader:
    """Somebody who has saved the files of the tutorial, and types its commands."""

    def __init__(self, folder: Path, sandbox: Sandbox) -> None:
        self.folder = folder
        self.sandbox = sandbox
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = os.environ | {
            "PAYCOLLECT_BASE_URL": sandbox.base_url,
            "PAYCOLLECT_APP_ID": sandbox.app_id,
            "PAYCOLLECT_SECRET_KEY": sandbox.secret_key,
            "PAYCOLLECT_WEBHOOK_SECRET": sandbox.webhook_secret,
            "PORT": str(self.port),
        }
        for block in blocks(DOCS / "tutorial.md"):
            if block.file:
                (folder / block.file).write_text(block.code, "utf-8")

    @asynccontextmanager
    async def shop(self, **more: str) -> AsyncIterator[asyncio.subprocess.Process]:
        """Run the shop."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "shop.py"),
            cwd=self.folder,
            env=self.environment | more,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            await self.until(lambda: self.answers(process))
            yield process
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()

    def answers(self, process: asyncio.subprocess.Process) -> bool:
        """Tell whether the shop listens."""
        assert process.returncode is None, "the shop has ended"
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    async def buy_and_pay(self) -> str:
        """Press both buttons; gives the order id."""
        async with (
            aiohttp.ClientSession() as browser,
            browser.post(f"{self.url}/buy", allow_redirects=False) as answer,
        ):
            assert answer.status == 303
        order = self.sandbox.collections[0]
        await self.sandbox.pay(order.collection_id)
        return str(order.order.order_id)

    def ask(self, sql: str) -> list[tuple[object, ...]]:
        """Look into the shop's file."""
        with closing(sqlite3.connect(self.folder / FILE)) as db, db:
            return db.execute(sql).fetchall()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait for another process."""
        async with asyncio.timeout(40):
            while not holds():  # noqa: ASYNC110  # nothing tells when another process is so far
                await asyncio.sleep(0.05)


@pytest.mark.timeout(120)
async def test_the_shop_survives_its_worst_moment(tmp_path: Path) -> None:
    """Delivered once each, with and without a death between the parcel and the commit."""
    async with Sandbox() as sandbox:
        reader = Reader(tmp_path, sandbox)
        async with reader.shop():
            first = await reader.buy_and_pay()
            await reader.until(lambda: reader.ask("SELECT * FROM parcels") == [(first,)])
        async with reader.shop(WORST_MOMENT="1") as process:
            second = await reader.buy_and_pay()
            assert await process.wait() == -9
        assert reader.ask("SELECT * FROM parcels") == [(first,)]
        paid = "SELECT state FROM paycollect_order WHERE order_id = "
        assert reader.ask(f"{paid}'{second}'") == [("paid",)]
        # The 40 seconds are over at once.
        reader.ask("UPDATE paycollect_order SET lease_until = 1, due_at = 1 WHERE state = 'paid'")
        async with reader.shop():
            await reader.until(lambda: reader.ask("SELECT * FROM parcels") == [(first,), (second,)])
        look = await asyncio.create_subprocess_exec(
            *(sys.executable, "look.py", second),
            cwd=tmp_path,
            env=reader.environment,
            stdout=subprocess.PIPE,
        )
        printed, _ = await look.communicate()
    assert b"fulfilled delivery 2" in printed
