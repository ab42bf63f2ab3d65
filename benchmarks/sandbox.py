"""How fast the sandbox starts and works beside a bare handler, and what a day's work does to it.

    python benchmarks/sandbox.py [--quick] [--payments N]

Creates are compared with an aiohttp.web handler that reads and answers the same JSON and does
nothing else: each server has a process of its own, and the ratio is of the CPU time that the
servers took, so that a busy machine harms both alike. The goal is 0.4. The soak creates, pays,
reads, finds and lists so many collections, with a webhook each and the console open: its memory
shall stay below 500 MB, the 99th percentile of the API's answers (at the client, so with the
machine's own delays) below 50 ms. A start shall take less than 50 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import resource
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

import aiohttp
from aiohttp import web

from paycollect.sandbox import Sandbox

ORDER = {"amount": 25, "description": "Premium plan"}
WORKERS = 4
Serve = Callable[[], Awaitable[tuple[str, str]]]


async def serve_sandbox() -> tuple[str, str]:
    """Start a sandbox; give its API's address and a token."""
    sandbox = Sandbox()
    await sandbox.start()
    token = sandbox.provider.tokens.authenticate(
        sandbox.app_id, sandbox.secret_key, sandbox.clock.now()
    )
    return sandbox.base_url, token.value


async def serve_bare() -> tuple[str, str]:
    """Start the least that answers a create: JSON in, JSON out."""

    async def create(request: web.Request) -> web.Response:
        order = await request.json()
        data = {
            "collectionId": "SCI0000000000001",
            "reference": "000000000001",
            "orderId": order["orderId"],
            "amount": order["amount"],
            "fee": 0.75,
            "netAmount": 24.25,
            "currency": "USD",
            "status": "PENDING",
            "checkoutUrl": "http://127.0.0.1:8900/sci/checkout?batch=SCI0000000000001",
            "expiresAt": "2026-01-08T12:30:00+00:00",
        }
        answer = {
            "success": True,
            "status": 201,
            "message": "Checkout session created successfully",
            "data": data,
            "meta": {"requestId": "req_0", "timestamp": "2026-01-08T11:30:00+00:00"},
        }
        return web.json_response(answer, status=201)

    app = web.Application()
    app.router.add_post("/collections", create)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return f"http://127.0.0.1:{runner.addresses[0][1]}", "none"


def run_server(serve: Serve, pipe: Connection) -> None:
    """Serve until the pipe says "end"; until then, tell CPU seconds and the peak of memory."""

    async def run() -> None:
        pipe.send(await serve())
        while await asyncio.to_thread(pipe.recv) != "end":
            usage = resource.getrusage(resource.RUSAGE_SELF)
            pipe.send((time.process_time(), usage.ru_maxrss / 1024))

    asyncio.run(run())


class Server:
    """A server in a process of its own."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self.url, self.token = pipe.recv()

    def usage(self) -> tuple[float, float]:
        """Tell its CPU seconds so far and the peak of its memory in MB."""
        self._pipe.send("usage")
        cpu, memory = self._pipe.recv()
        return cpu, memory


@contextmanager
def server(serve: Serve) -> Iterator[Server]:
    """Run a server."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=run_server, args=(serve, there))
    process.start()
    try:
        yield Server(here)
    finally:
        here.send("end")
        process.join()


async def creates(url: str, token: str, orders: Sequence[str]) -> None:
    """Create one collection after the other on one connection, with the least of a client."""
    parts = url.removeprefix("http://").split("/", 1)
    host, port = parts[0].split(":")
    path = "/".join(["", *parts[1:], "collections"])
    reader, writer = await asyncio.open_connection(host, int(port))
    for order in orders:
        body = json.dumps(ORDER | {"orderId": order}).encode()
        writer.write(
            f"POST {path} HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Bearer {token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        head = await reader.readuntil(b"\r\n\r\n")
        if b" 201 " not in head:
            raise RuntimeError(head.decode())
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        await reader.readexactly(int(length))
    writer.close()
    await writer.wait_closed()


def report_creates(rounds: int, count: int) -> None:
    """Print the rate of creates beside that of the bare handler."""
    rates: dict[str, list[float]] = {"bare": [], "sandbox": []}
    with server(serve_bare) as bare, server(serve_sandbox) as sandbox:
        for turn in range(rounds + 1):
            for name, each in (("bare", bare), ("sandbox", sandbox)):
                orders = [f"{turn}-{number}" for number in range(count)]
                before, _ = each.usage()
                asyncio.run(creates(each.url, each.token, orders))
                after, _ = each.usage()
                if turn:  # the first round warms up
                    rates[name].append(count / (after - before))
    ratio = statistics.median(
        mine / base for mine, base in zip(rates["sandbox"], rates["bare"], strict=True)
    )
    print("creates per second of the server's CPU time")
    for name, each_rate in rates.items():
        print(f"    {name:32}{statistics.median(each_rate):8.0f}")
    print(f"    {'ratio':32}{ratio:8.2f}  (goal: 0.4 or more)")


def report_start(rounds: int) -> None:
    """Print how long a start takes, once everything is imported."""

    async def start() -> float:
        sandbox = Sandbox()
        started = time.perf_counter()
        await sandbox.start()
        seconds = time.perf_counter() - started
        await sandbox.aclose()
        return seconds

    times = [asyncio.run(start()) * 1000 for _ in range(rounds)]
    print(f"start: median {statistics.median(times):.1f} ms, worst {max(times):.1f} ms (goal: 50)")


@dataclass
class Soak:
    """What the soak did and saw."""

    http: aiohttp.ClientSession
    base: str
    token: str
    hook: str
    milliseconds: list[float] = field(default_factory=list)
    polls: int = 0
    webhooks: int = 0

    async def api(self, method: str, path: str, body: object = None) -> Any:
        """Call the API, and note how long it took."""
        started = time.perf_counter()
        headers = {"Authorization": f"Bearer {self.token}"}
        async with self.http.request(
            method, self.base + path, json=body, headers=headers
        ) as response:
            answer = await response.json()
        self.milliseconds.append((time.perf_counter() - started) * 1000)
        return answer["data"]

    async def sell(self, numbers: Iterator[int]) -> None:
        """Sell, as a shop does: create, be paid, look, and now and then search and list."""
        control = self.base.removesuffix("/api/v3") + "/_sandbox"
        for number in numbers:
            order = ORDER | {"orderId": f"INV-{number}", "webhookUrl": self.hook}
            collection_id = (await self.api("POST", "/collections", order))["collectionId"]
            pay = f"{control}/collections/{collection_id}/pay"
            async with self.http.post(pay, json={}) as response:
                response.raise_for_status()
            await self.api("GET", f"/collections/{collection_id}")
            if number % 10 == 0:
                await self.api("GET", "/collections?status=COMPLETED&page=2&limit=100")
                await self.api("GET", f"/collections?orderId=INV-{number}")
                await self.api("GET", "/refunds")

    async def watch(self) -> None:
        """Look at the console and at the state, as an open page does, and more often."""
        origin = self.base.removesuffix("/api/v3")
        while True:
            for path in ("/_sandbox/panels", "/_sandbox/state?limit=100"):
                async with self.http.get(origin + path) as response:
                    await response.read()
            self.polls += 1
            await asyncio.sleep(0.7)


@asynccontextmanager
async def shop(soak: Callable[[], Soak]) -> AsyncIterator[str]:
    """Receive webhooks."""

    async def receive(request: web.Request) -> web.Response:
        await request.read()
        soak().webhooks += 1
        return web.Response()

    app = web.Application()
    app.router.add_post("/hook", receive)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    await runner.cleanup()


async def run_soak(sandbox: Server, payments: int) -> Soak:
    """Sell so much at a few tills at once, and wait for the last webhook."""
    async with aiohttp.ClientSession() as http:
        soak = Soak(http, sandbox.url, sandbox.token, "")
        async with shop(lambda: soak) as soak.hook:
            watching = asyncio.create_task(soak.watch())
            numbers = iter(range(payments))
            await asyncio.gather(*(soak.sell(numbers) for _ in range(WORKERS)))
            control = sandbox.url.removesuffix("/api/v3") + "/_sandbox"
            async with http.post(f"{control}/drain", json={}) as response:
                response.raise_for_status()
            watching.cancel()
    return soak


def report_soak(payments: int) -> None:
    """Print what many payments do to memory and to the time of an answer."""
    with server(serve_sandbox) as sandbox:
        started = time.perf_counter()
        soak = asyncio.run(run_soak(sandbox, payments))
        seconds = time.perf_counter() - started
        cpu, memory = sandbox.usage()
    times = sorted(soak.milliseconds)
    p50, p99 = times[len(times) // 2], times[len(times) * 99 // 100]
    print(f"soak: {payments} payments in {seconds:.0f} s ({cpu:.0f} s of the sandbox's CPU)")
    print(f"    webhooks {soak.webhooks}, console and state read {soak.polls} times")
    print(f"    memory {memory:.0f} MB at most (goal: 500 at 100,000 payments)")
    print(f"    API p50 {p50:.1f} ms, p99 {p99:.1f} ms (goal: 50), worst {times[-1]:.1f} ms")


def main(argv: Sequence[str] | None = None) -> None:
    """Run all three."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, rougher numbers")
    parser.add_argument("--payments", type=int, metavar="N", help="of the soak; 100000 if absent")
    arguments = parser.parse_args(argv)
    quick = arguments.quick
    report_start(5 if quick else 20)
    report_creates(3 if quick else 7, 300 if quick else 1000)
    report_soak(arguments.payments or (500 if quick else 100_000))


if __name__ == "__main__":
    main()
