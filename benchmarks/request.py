"""What a checkout costs beside a bare aiohttp post, and how the manager behaves under load.

    python -m benchmarks.request [--full] [--json FILE]

Everything is a ratio against a baseline taken interleaved in the same run, as medians over rounds.
The server is a process of its own, so that CPU time is the client's alone.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import re
import statistics
import subprocess
import sys
import time
import timeit
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

import aiohttp

from benchmarks.table import Row, run_alone
from paycollect import SessionManager
from paycollect.observe import log

HOST = "127.0.0.1"
ANSWER = (
    '{{"success":true,"status":201,"message":"Checkout session created successfully","data":'
    '{{"collectionId":"SCI679A1B2C3D4E5","reference":"A2B4C6D8E0F2","orderId":{order_id},'
    '"amount":25,"fee":0.75,"netAmount":24.25,"currency":"USD","status":"PENDING",'
    '"checkoutUrl":"https://checkout.fyatu.com/sci/checkout?batch=SCI679A1B2C3D4E5",'
    '"expiresAt":"2026-01-08T12:30:00+00:00"}},'
    '"meta":{{"requestId":"req_abc123","timestamp":"2026-01-08T11:30:00+00:00"}}}}'
)
TOKEN = json.dumps(
    {
        "success": True,
        "data": {"accessToken": "t" * 200, "expiresIn": 86400, "scopes": ["collect:write"]},
    }
)


class Provider(asyncio.Protocol):
    """Answers every POST at once: the least that a server can do."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.received = b""

    def data_received(self, data: bytes) -> None:
        self.received += data
        while (end := self.received.find(b"\r\n\r\n")) >= 0:
            head = self.received[:end].lower()
            start = head.find(b"content-length:") + len(b"content-length:")
            size = int(head[start:].split(b"\r\n", 1)[0])
            if len(self.received) < end + 4 + size:
                return
            body = self.received[end + 4 : end + 4 + size]
            self.received = self.received[end + 4 + size :]
            self.answer(b"/auth/token" in head, json.loads(body))

    def answer(self, token: bool, document: dict[str, object]) -> None:
        body = TOKEN if token else ANSWER.format(order_id=json.dumps(document["orderId"]))
        self.transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
            % (len(body), body.encode())
        )


def serve(pipe: Connection) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Provider, HOST, 0, backlog=1024)
        pipe.send(server.sockets[0].getsockname()[1])
        await loop.run_in_executor(None, pipe.recv)
        server.close()

    asyncio.run(main())


@contextmanager
def provider() -> Iterator[str]:
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(there,))
    process.start()
    try:
        yield f"http://{HOST}:{here.recv()}"
    finally:
        here.send("stop")
        process.join()


Call = Callable[[int], Awaitable[object]]


async def spend(call: Call, calls: int, concurrency: int) -> tuple[float, float]:
    """Make so many calls, so many at a time; CPU and wall seconds per call."""
    numbers = iter(range(calls))

    async def worker() -> None:
        for number in numbers:
            await call(number)

    cpu, wall = time.process_time(), time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(concurrency)))
    return (time.process_time() - cpu) / calls, (time.perf_counter() - wall) / calls


def bare_call(http: aiohttp.ClientSession, url: str) -> Call:
    headers = {"Authorization": "Bearer " + "t" * 200}

    async def call(number: int) -> object:
        document = {
            "amount": 25.0,
            "currency": "USD",
            "orderId": f"INV-{number}",
            "description": "Premium Subscription",
            "callbackUrl": "https://shop.example/return",
            "webhookUrl": "https://shop.example/hook",
        }
        async with http.post(url + "/collections", json=document, headers=headers) as response:
            return await response.json()

    return call


def manager(url: str) -> SessionManager:
    return SessionManager(
        app_id="A1B2C3D4E5F6G7H8",
        secret_key="not_a_real_secret_key",
        base_url=url,
        deadline=300,
    )


def our_call(pay: SessionManager) -> Call:
    async def call(number: int) -> object:
        return await pay.create_checkout(
            amount="25.00",
            order_id=f"INV-{number}",
            description="Premium Subscription",
            callback_url="https://shop.example/return",
            webhook_url="https://shop.example/hook",
        )

    return call


async def compare(url: str, *, rounds: int, calls: int) -> list[Row]:
    """Compare a checkout with a bare aiohttp post + json() on the same server."""
    found = []
    async with aiohttp.ClientSession() as http, manager(url) as pay:
        bare, ours = bare_call(http, url), our_call(pay)
        for concurrency, goal in ((1, 1.06), (10, 1.06), (100, 1.10)):
            await spend(bare, calls, concurrency)
            await spend(ours, calls, concurrency)
            cpu, wall, floor = [], [], []
            for _ in range(rounds):
                bare_cpu, bare_wall = await spend(bare, calls, concurrency)
                our_cpu, our_wall = await spend(ours, calls, concurrency)
                cpu.append(our_cpu / bare_cpu)
                wall.append(our_wall / bare_wall)
                floor.append(bare_cpu)
            work = f"create_checkout / bare aiohttp post, {concurrency} in flight"
            note = f"CPU; wall {statistics.median(wall):.2f}, bare {1e6 * min(floor):.0f} us"
            found.append(Row(work, statistics.median(cpu), goal=goal, note=note))
    return found


def memory(name: str) -> int:
    """Read this process's present (VmRSS) or peak (VmHWM) memory in KiB; Linux only.

    The portable ru_maxrss does not serve: a child inherits its parent's.
    """
    line = re.search(rf"{name}:\s+(\d+)", Path("/proc/self/status").read_text("utf-8"))
    assert line is not None
    return int(line[1])


async def flood(url: str, in_flight: int) -> list[Row]:
    """Start all calls at once: how long each waits, and what a waiting call holds."""
    async with manager(url) as pay:
        call = our_call(pay)
        await call(0)
        before = memory("VmHWM")
        waits: list[float] = []
        start = time.perf_counter()

        async def one(number: int) -> None:
            await call(number)
            waits.append(time.perf_counter() - start)

        await asyncio.gather(*(one(number) for number in range(in_flight)))
        held = (memory("VmHWM") - before) / in_flight
        quantiles = statistics.quantiles(waits, n=100)
        title = f"{in_flight:,} calls at once, pool of 100"
        total = f"all of them in {max(waits):.2f} s"
        return [
            Row(f"{title}: p99 / p50", quantiles[98] / quantiles[49], goal=2, note=total),
            Row(f"{title}: memory of a waiting call", held, "KiB", goal=5),
        ]


def floods(url: str, sizes: tuple[int, ...]) -> Iterator[Row]:
    context = multiprocessing.get_context("spawn")
    for size in sizes:  # each in a process of its own, as peak memory never goes down
        here, there = context.Pipe()
        process = context.Process(target=flood_alone, args=(url, size, there))
        process.start()
        yield from here.recv()
        process.join()


def flood_alone(url: str, size: int, pipe: Connection) -> None:
    pipe.send(asyncio.run(flood(url, size)))


async def token_path(url: str) -> list[Row]:
    """Compare what a call does about its token with the least it could do."""
    async with manager(url) as pay:
        await our_call(pay)(0)
        keeper = pay._engine._keeper
        token = keeper.token
        scope = {"keeper": keeper, "token": token, "now": time.monotonic}
        loops = 200_000
        fresh = min(timeit.repeat("keeper.fresh(now())", globals=scope, number=loops, repeat=5))
        floor = min(timeit.repeat("now() < 1; token", globals=scope, number=loops, repeat=5))
        lock = await lock_cost(loops // 10)
        return [
            Row("token that is fresh / reading the clock once", fresh / floor),
            Row("an asyncio.Lock / token that is fresh", lock / (fresh / loops), better="higher"),
        ]


async def unobserved(url: str) -> list[Row]:
    """What it costs to ask whether somebody listens, as a share of a call."""
    async with manager(url) as pay:
        call = our_call(pay)
        await call(0)
        cpu, _ = await spend(call, 300, 1)
        asked = "engine._is_observed; engine._is_observed or log.isEnabledFor(10); not observers"
        engine = pay._engine
        scope = {"engine": engine, "log": log, "observers": engine.observers}
        loops = 100_000
        seconds = min(timeit.repeat(asked, globals=scope, number=loops, repeat=5)) / loops
        note = f"{1e6 * seconds:.2f} us of {1e6 * cpu:.0f} us"
        return [Row("no observer / create_checkout", seconds / cpu, goal=0.01, note=note)]


async def lock_cost(loops: int) -> float:
    lock = asyncio.Lock()
    start = time.perf_counter()
    for _ in range(loops):
        async with lock:
            pass
    return (time.perf_counter() - start) / loops


def imports(rounds: int) -> Iterator[Row]:
    """CPU time and memory beyond a bare interpreter, as a share of what three packages need."""
    code = (
        "import time; a = time.process_time(); {}; b = time.process_time();"
        "print(b - a, open('/proc/self/statm').read().split()[1])"
    )
    # An editable install is compiled once: where this is forbidden, compiling would be measured.
    compiled = os.environ | {"PYTHONDONTWRITEBYTECODE": ""}

    def measure(statement: str) -> tuple[float, float]:
        output = subprocess.run(
            [sys.executable, "-c", code.format(statement)],
            capture_output=True,
            check=True,
            env=compiled,
        ).stdout.split()
        return float(output[0]), float(output[1])

    rows = {
        "aiohttp + attrs + cattrs": "import aiohttp, attrs, cattrs",
        "paycollect": "import paycollect",
        "paycollect.ipn": "from paycollect.ipn import parse_webhook",
        "paycollect.SessionManager": "from paycollect import SessionManager",
    }
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in ("nothing", *rows)}
    for _ in range(rounds):
        for name, runs in taken.items():
            runs.append(measure(rows.get(name, "pass")))
    empty = statistics.median(memory for _, memory in taken.pop("nothing"))
    medians = {
        name: (statistics.median(t for t, _ in runs), statistics.median(m for _, m in runs) - empty)
        for name, runs in taken.items()
    }
    base_time, base_memory = medians.pop("aiohttp + attrs + cattrs")
    goals = {"paycollect.ipn": 0.33, "paycollect.SessionManager": 1.15}
    for name, (seconds, memory) in medians.items():
        note = f"CPU; memory {memory / base_memory:.2f}"
        title = f"import {name} / aiohttp + attrs + cattrs"
        yield Row(title, seconds / base_time, goal=goals.get(name), note=note)


def rows(full: bool) -> Iterator[Row]:
    """Measure everything."""
    with provider() as url:
        yield from asyncio.run(compare(url, rounds=25 if full else 15, calls=1000 if full else 300))
        yield from floods(url, (1_000, 10_000) if full else (1_000,))
        yield from asyncio.run(token_path(url))
        yield from asyncio.run(unobserved(url))
    yield from imports(25 if full else 9)


if __name__ == "__main__":
    run_alone("request", __doc__, rows)
