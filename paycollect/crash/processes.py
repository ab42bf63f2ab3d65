"""A life that is a process of its own, and is killed by SIGKILL.

The provider, the clock and what happened outside stay with the parent, and outlive it. The child
asks the parent over a pipe; its own clock follows.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
import warnings
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import datetime
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final, NoReturn

from paycollect.crash.life import ENDED, Life, Memory, Row
from paycollect.crash.world import Effect, Outside, World, WorldClock, world_of
from paycollect.errors import ConnectError
from paycollect.sandbox.provider.envelope import Reply

Born = Callable[[World, Memory], Awaitable[Life]]
_PATIENCE: Final = 60.0
_AWAY: Final = "away"


class ProcessLife:
    """The parent's side of a life."""

    def __init__(self, born: Born, outside: Outside, memory: Memory, folder: Path) -> None:
        self._outside = outside
        self._memory = memory
        self._pipe, theirs = Pipe()
        with warnings.catch_warnings():
            # Python warns of a fork beside other threads; the child uses nothing of theirs.
            warnings.simplefilter("ignore", DeprecationWarning)
            self._pid = os.fork()
        if not self._pid:  # pragma: no cover  # another process, which is killed
            _Child(born, theirs, folder, outside.clock.now()).live()
        theirs.close()
        self.planned()

    def planned(self) -> None:
        """Tell the child what is planned."""
        memory = self._memory
        fails = None if memory.fail_at is None else memory.fail_at - memory.statements
        self._send("plan", (memory.death, fails))

    async def do(self, what: str, **arguments: Any) -> object:
        """Have the child do something; ENDED if it died."""
        return self._call("do", (what, arguments))

    async def look(self) -> tuple[list[Row], int] | None:
        """Read how all orders stand; None if it died."""
        found = self._call("look", None)
        return None if found is ENDED else found

    async def end(self) -> None:
        """Kill the child, whatever it is doing."""
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)  # noqa: ASYNC222  # it is dead already
        self._pipe.close()

    def _send(self, what: str, value: object) -> None:
        with suppress(BrokenPipeError):  # it is dead: the next answer tells
            self._pipe.send((what, value, self._outside.clock.monotonic()))

    def _call(self, what: str, value: object) -> Any:
        """Ask the child, and serve what it asks meanwhile."""
        self._send(what, value)
        while True:
            try:
                if not self._pipe.poll(_PATIENCE):
                    raise TimeoutError(f"the process has not answered for {_PATIENCE:g} s")
                kind, told, at = self._pipe.recv()
            except (EOFError, ConnectionResetError):
                return ENDED
            clock = self._outside.clock
            clock.advance(max(0.0, at - clock.monotonic()))
            if kind == "result":
                return told
            self._serve(kind, told)

    def _serve(self, kind: str, told: Any) -> None:
        match kind:
            case "ask":
                try:
                    reply: object = self._outside.ask(*told)
                except ConnectError:
                    reply = _AWAY
                self._send("reply", reply)
            case "effect":
                self._outside.effects.append(told)
            case "called":
                self._memory.keep(*told)
            case _:
                self._memory.deaths.append(told)
                self._memory.death = None


class _Child:  # pragma: no cover  # it runs in a process that is killed before it can report
    """The child's side: serves the parent until it is killed."""

    def __init__(self, born: Born, pipe: Connection, folder: Path, start: datetime) -> None:
        self._born = born
        self._pipe = pipe
        self._folder = folder
        self._clock = WorldClock(start)
        self._zero: float | None = None
        self._lock = threading.Lock()
        self._memory = Memory(kill=self._kill, keeps=self._called)

    def live(self) -> NoReturn:
        try:
            asyncio.run(self._serve())
        finally:
            os._exit(1)

    async def _serve(self) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
        life: Life | None = None
        while True:
            what, value = self._receive()
            if life is None:
                world = world_of(self._folder, self._clock, self._ask, self._effect)
                life = await self._born(world, self._memory)
            match what:
                case "plan":
                    death, fails = value
                    self._memory.plan(death)
                    self._memory.fail_at = (
                        None if fails is None else self._memory.statements + fails
                    )
                case "do":
                    name, arguments = value
                    self._tell("result", await life.do(name, **arguments))
                case _:
                    self._tell("result", await life.look())

    def _receive(self) -> tuple[str, Any]:
        what, value, at = self._pipe.recv()
        if self._zero is None:
            self._zero = at
        self._clock.advance(max(0.0, at - self._now()))
        return what, value

    def _now(self) -> float:
        return self._clock.monotonic() + (self._zero or 0.0)

    def _tell(self, kind: str, value: object) -> None:
        self._pipe.send((kind, value, self._now()))

    def _ask(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> Reply | None:
        with self._lock:
            self._tell("ask", (method, target, dict(headers), body))
            reply = self._receive()[1]
        if reply == _AWAY:
            raise ConnectError("no connection to the provider")
        return reply  # type: ignore[no-any-return]  # as it was sent

    def _effect(self, effect: Effect) -> None:
        with self._lock:
            self._tell("effect", effect)

    def _called(self, *told: str) -> None:
        with self._lock:
            self._tell("called", told)

    def _kill(self) -> NoReturn:
        self._tell("died", self._memory.deaths[-1])
        os.kill(os.getpid(), signal.SIGKILL)
        while True:
            time.sleep(1)
