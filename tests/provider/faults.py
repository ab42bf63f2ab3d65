"""Ways to misbehave, each to be put into a provider's script."""

from __future__ import annotations

import asyncio
import gzip
from functools import cache

from tests.provider.messages import Reply, failure
from tests.provider.server import Exchange, Fault


async def lost_after_commit(exchange: Exchange) -> None:
    """Do it, then reset the connection."""
    exchange.commit()
    exchange.drop()


async def dropped_before_commit(exchange: Exchange) -> None:
    """Reset the connection without having done anything."""
    exchange.drop()


async def truncated_after_commit(exchange: Exchange) -> None:
    """Do it, send half of the answer, and hang up."""
    data = exchange.commit().encode()
    await exchange.send(data[:-30])
    exchange.writer.close()


async def garbled_after_commit(exchange: Exchange) -> None:
    """Do it, and answer with half a JSON document of the right length."""
    body = exchange.commit().body()[:-30]
    await exchange.send(b"HTTP/1.1 201 Created\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


async def silent_after_commit(exchange: Exchange) -> None:
    """Do it, and never answer."""
    exchange.commit()
    await exchange.gone()


async def silent(exchange: Exchange) -> None:
    """Do nothing, and never answer."""
    await exchange.gone()


def failing_after_commit(status: int) -> Fault:
    """Do it, and say that it failed."""

    async def fault(exchange: Exchange) -> None:
        exchange.commit()
        await exchange.send(failure(status, "INTERNAL_ERROR"))

    return fault


def answers(reply: Reply | bytes) -> Fault:
    """Answer without doing anything; bytes are written as they are, and end the connection."""

    async def fault(exchange: Exchange) -> None:
        await exchange.send(reply)
        if isinstance(reply, bytes):
            exchange.writer.close()

    return fault


def says(status: int, code: str = "", message: str = "No.", **headers: str) -> Fault:
    """Answer with an error; `Retry_After="2"` sets a header."""
    return answers(failure(status, code, message, **headers))


def when(event: asyncio.Event, fault: Fault) -> Fault:
    """Hold a fault back until an event."""

    async def held(exchange: Exchange) -> None:
        await event.wait()
        await fault(exchange)

    return held


def text(status: int, body: bytes, kind: str = "text/html", **headers: str) -> Fault:
    """Answer with a body that is no JSON document, on a connection that stays good."""
    lines = {"Content-Type": kind, "Content-Length": str(len(body)), **headers}
    head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in lines.items())

    async def fault(exchange: Exchange) -> None:
        await exchange.send(f"HTTP/1.1 {status} OK\r\n{head}\r\n".encode() + body)

    return fault


def drip(start: bytes, drop: bytes) -> Fault:
    """Write a start, then a drop every few milliseconds until the client hangs up."""

    async def fault(exchange: Exchange) -> None:
        await exchange.send(start)
        while True:
            await asyncio.sleep(0.005)
            await exchange.send(drop)

    return fault


def flood(megabytes: int, written: list[int]) -> Fault:
    """Stream a body of many megabytes, and note how many bytes were taken."""

    async def fault(exchange: Exchange) -> None:
        piece = b" " * 65536
        size = megabytes * 1024 * 1024
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(size // len(piece)):
            await exchange.send(piece)
            written.append(len(piece))

    return fault


def packed(data: bytes) -> bytes:
    """Pack data with gzip."""
    return gzip.compress(data, 9)


@cache
def _bomb(megabytes: int) -> bytes:
    return packed(b" " * (megabytes * 1024 * 1024))


def gzip_bomb(megabytes: int) -> Fault:
    """Answer with a small gzip that unpacks to many megabytes of spaces."""
    body = _bomb(megabytes)
    return text(200, body, "application/json", Content_Encoding="gzip")


def answers_and_stays(start: bytes) -> Fault:
    """Write the start of an answer, and then nothing."""

    async def fault(exchange: Exchange) -> None:
        await exchange.send(start)
        await exchange.gone()

    return fault
