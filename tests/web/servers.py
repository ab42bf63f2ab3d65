"""The servers of these tests, on loopback: in a thread, or where they need it in a process.

`python -m tests.web.servers SERVER FRAMEWORK FILE` serves in this process, and says its port.
"""

# ruff: noqa: PLC0415  each framework is imported by its own service only

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.web.apps import FRAMEWORKS

Stop = Callable[[], object]
Ready = Callable[[Stop], None]


def uvicorn(app: Any, sock: socket.socket, ready: Ready) -> None:
    """Serve an ASGI application."""
    import uvicorn

    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
    ready(lambda: setattr(server, "should_exit", True))
    asyncio.run(server.serve(sockets=[sock]))


def hypercorn(app: Any, sock: socket.socket, ready: Ready) -> None:
    """Serve an ASGI application."""
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    config = Config()
    config.bind = [f"fd://{os.dup(sock.fileno())}"]
    config.graceful_timeout = 0

    async def main() -> None:
        loop, end = asyncio.get_running_loop(), asyncio.Event()
        ready(lambda: loop.call_soon_threadsafe(end.set))

        async def wait() -> None:
            await end.wait()

        await serve(app, config, shutdown_trigger=wait)

    asyncio.run(main())


def aiohttp(app: Any, sock: socket.socket, ready: Ready) -> None:
    """Serve an application of aiohttp.web."""
    from aiohttp import web

    async def main() -> None:
        loop, end = asyncio.get_running_loop(), asyncio.Event()
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        await web.SockSite(runner, sock).start()
        ready(lambda: loop.call_soon_threadsafe(end.set))
        await end.wait()
        await runner.cleanup()

    asyncio.run(main())


def waitress(app: Any, sock: socket.socket, ready: Ready) -> None:
    """Serve a WSGI application."""
    from waitress.server import create_server  # type: ignore[import-untyped]  # it has no types

    server: Any = create_server(app, sockets=[sock], threads=2)

    def stop() -> None:
        server.trigger.pull_trigger(server.close)

    ready(stop)
    server.run()
    server.close()


def wsgiref(app: Any, sock: socket.socket, ready: Ready) -> None:
    """Serve a WSGI application with the server of the standard library: no chunked bodies."""
    from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

    class Quiet(WSGIRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  its name
            pass

    server = WSGIServer(("127.0.0.1", 0), Quiet, bind_and_activate=False)
    server.socket.close()
    server.socket = sock
    server.server_name, server.server_port = sock.getsockname()
    server.setup_environ()
    server.set_app(app)
    ready(server.shutdown)
    server.serve_forever(poll_interval=0.01)


SERVERS: dict[str, Callable[[Any, socket.socket, Ready], None]] = {
    server.__name__: server for server in (uvicorn, hypercorn, aiohttp, waitress, wsgiref)
}


@contextmanager
def in_thread(server: str, framework: str, file: Path) -> Iterator[int]:
    """Serve in a thread of this process, so that lines are counted."""
    is_ready, stops, sock = threading.Event(), [], _listen()

    def ready(stop: Stop) -> None:
        stops.append(stop)
        is_ready.set()

    app = FRAMEWORKS[framework](file)
    thread = threading.Thread(target=SERVERS[server], args=(app, sock, ready), daemon=True)
    thread.start()
    try:
        assert is_ready.wait(10), "the server does not start"
        yield sock.getsockname()[1]
    finally:
        for stop in stops:
            stop()
        thread.join(10)
        sock.close()
    assert not thread.is_alive(), "the server does not end"


@contextmanager
def in_process(server: str, framework: str, file: Path) -> Iterator[int]:
    """Serve in a process of its own: gunicorn forks, and Django has one configuration."""
    if server == "gunicorn":
        with gunicorn([f"tests.web.apps:application({framework!r}, {str(file)!r})"]) as port:
            yield port
    else:
        with _child(["-m", "tests.web.servers", server, framework, str(file)]) as port:
            yield port


@contextmanager
def gunicorn(
    options: list[str], cwd: Path | None = None, env: dict[str, str] | None = None
) -> Iterator[int]:
    """Serve with gunicorn."""
    command = ["-m", "gunicorn", "--bind=127.0.0.1:0", "--no-control-socket"]
    # A worker that is told to end while it starts never hears of it, and is killed after this.
    command += ["--graceful-timeout=1", *options]
    with _child(command, cwd, env) as port:
        yield port


@contextmanager
def _child(
    command: list[str], cwd: Path | None = None, env: dict[str, str] | None = None
) -> Iterator[int]:
    """Run a program that says at which port it listens."""
    process = subprocess.Popen(
        [sys.executable, *command],
        cwd=cwd,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    said = []
    try:
        for line in process.stdout:
            said.append(line)
            if found := re.search(r"127\.0\.0\.1:(\d+)", line):
                break
        else:
            raise AssertionError(f"the server does not start: {''.join(said)}")
        # What it says later must not fill the pipe.
        reader = threading.Thread(target=process.stdout.read, daemon=True)
        reader.start()
        yield int(found[1])
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)
    reader.join(5)
    process.stdout.close()


def _listen() -> socket.socket:
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen(64)
    return sock


if __name__ == "__main__":
    name, framework, file = sys.argv[1:]
    sock = _listen()
    print(f"127.0.0.1:{sock.getsockname()[1]}", flush=True)  # noqa: T201  the parent reads it
    SERVERS[name](FRAMEWORKS[framework](Path(file)), sock, lambda _: None)
