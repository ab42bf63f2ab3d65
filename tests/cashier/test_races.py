"""Two processes at the same instant, on SQLite and on PostgreSQL: one delivery, one checkout."""

from __future__ import annotations

import ast
import asyncio
import os
import sqlite3
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from attrs import define

from paycollect import SessionManager
from paycollect.cashier import Cashier
from paycollect.ipn import Receiver
from paycollect.sandbox import Sandbox
from tests.cashier.postgres import find_server, fresh_schema
from tests.cashier.racer import store_of

PROCESSES = 2
pytestmark = [pytest.mark.no_cover, pytest.mark.greenlets, pytest.mark.timeout(300)]
ROOT = Path(__file__).parents[2]


@define
class Place:
    """Where the shop's tables are."""

    name: str
    url: str
    ask: Callable[[str], Awaitable[list[Any]]]


@asynccontextmanager
async def place_for(kind: str, folder: Path) -> AsyncIterator[Place]:
    """Make the merchant's table in a new file, or in a new schema."""
    table = "CREATE TABLE parcels (order_id TEXT)"
    if kind == "sqlite":
        path = folder / "shop.db"

        async def ask(sql: str) -> list[Any]:
            db = sqlite3.connect(path)
            try:
                return db.execute(sql).fetchall()
            finally:
                db.close()

        await ask(table)
        yield Place(str(path), "", ask)
        return
    server = find_server()
    if isinstance(server, str):
        pytest.skip(server)
    with fresh_schema(server) as postgres:
        await postgres.ask(table)
        yield Place(postgres.schema, server.render_as_string(hide_password=False), postgres.ask)


async def race(place: Place, base_url: str, what: str, line: str) -> list[dict[str, int]]:
    """Start the processes, let them loose together, and give what each of them has seen."""
    async with racing("tests.cashier.racer", place.name, base_url, place.url, what) as go:
        return await go(line)


@asynccontextmanager
async def racing(
    *arguments: str, env: Mapping[str, str] | None = None
) -> AsyncIterator[Callable[[str], Awaitable[list[dict[str, int]]]]]:
    """Start the processes; gives what lets them loose together, and tells what each has seen."""
    pipe = asyncio.subprocess.PIPE
    command = (sys.executable, "-m", *arguments)
    racers = [
        await asyncio.create_subprocess_exec(
            *command, stdin=pipe, stdout=pipe, cwd=ROOT, env={**os.environ, **(env or {})}
        )
        for _ in range(PROCESSES)
    ]

    async def said() -> list[bytes]:
        return [await racer.stdout.readline() for racer in racers if racer.stdout]

    async def go(line: str) -> list[dict[str, int]]:
        for racer in racers:
            assert racer.stdin is not None
            racer.stdin.write(line.encode())
        return [ast.literal_eval(out.decode()) for out in await said()]

    try:
        assert await said() == [b"ready\n"] * PROCESSES
        yield go
        for racer in racers:
            await racer.communicate(b"")  # which closes their input
    finally:
        for racer in racers:
            if racer.returncode is None:
                racer.kill()
            await racer.wait()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_one_delivery(kind: str, tmp_path: Path) -> None:
    """Webhook, return page, sweep and replay of one order, 50 tasks in each of two processes."""
    async with place_for(kind, tmp_path) as place, Sandbox() as sandbox:
        async with SessionManager(
            app_id=sandbox.app_id, secret_key=sandbox.secret_key, base_url=sandbox.base_url
        ) as pay:
            store, handlers = store_of(place.name, place.url)
            receiver = Receiver(secrets=sandbox.webhook_secret)
            cashier = Cashier(pay, receiver, store, handlers=handlers)
            checkout = await cashier.create_checkout(
                order_id="A", amount="25.00", description="Premium"
            )
            sandbox.provider.webhooks.url = "https://shop.example/webhook"
            sent: list[Any] = []
            sandbox.provider.send = sent.append
            await sandbox.pay(checkout.collection_id)
            body = sandbox.provider.webhook_body(sent[0].event)
            line = f"{body.hex()} {checkout.collection_id}\n"
            told = await race(place, sandbox.base_url, "deliver", line)
            await cashier.run_until_idle()
            await cashier.aclose()
            if place.url:
                await store._engine.dispose()
        assert set().union(*told) <= {"Answer", "Returned", "Done"}, told
        assert [tuple(row) for row in await place.ask("SELECT order_id FROM parcels")] == [("A",)]
        states = await place.ask("SELECT state, held_reason FROM paycollect_order")
        assert [tuple(row) for row in states] == [("fulfilled", "")]


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_one_checkout(kind: str, tmp_path: Path) -> None:
    """The same order, created 50 times in each of two processes: one checkout for all."""
    async with place_for(kind, tmp_path) as place, Sandbox() as sandbox:
        told = await race(place, sandbox.base_url, "create", "\n")
        ids: set[str] = set().union(*told)
        assert ids == {sandbox.collections[0].collection_id}, told
        assert len(sandbox.collections) == 1
