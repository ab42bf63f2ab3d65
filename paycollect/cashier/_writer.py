"""The thread that has the connection to a SQLite file, and what it does in which order.

All writing is done by it, in two lanes. The cashier's own transactions come first and are grouped:
one BEGIN and COMMIT for all that wait, a SAVEPOINT for each. Then comes exactly one handler's
transaction, never grouped, as a handler could end the transaction for everybody, and a webhook
would wait for the sum of the handlers. Then the next group.

Invariants: what is answered is on the disk (`synchronous=FULL`). Each member of a group is told its
own outcome. Several processes on one file are safe: every transaction that writes begins with
BEGIN IMMEDIATE, as one that reads first and writes later would fail at once where another wrote.
The file is never open during a fork: see `Writer.pause`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Final, Generic, TypeVar
from weakref import WeakSet

from attrs import define, field

from paycollect.cashier import schema
from paycollect.cashier._grouping import settle
from paycollect.cashier._guarded import GuardedConnection
from paycollect.cashier._network import network_file_system
from paycollect.cashier.errors import BrokenHandlerError, StoreError
from paycollect.cashier.store import (
    HANDLER,
    Args,
    Dialect,
    Reach,
    Row,
    Steps,
    play,
    play_together,
)
from paycollect.cashier.transactions.settings import check_version
from paycollect.errors import Outcome

R = TypeVar("R")

LARGEST_GROUP: Final = 256
MOST_ROWS: Final = 64
"""Of a statement: an old SQLite takes 999 parameters at most."""
LOG_PAGES: Final = 4_000
"""Of 4 KiB: at so many SQLite moves its log into the file while all wait. With its usual 1,000 that
met one webhook in a hundred."""
BUSY_SECONDS: Final = 5.0
MEMORY: Final = ":memory:"
LONGEST_PAUSE: Final = 30.0
"""Seconds that a fork waits for the handler that runs."""
log: Final = logging.getLogger("paycollect.cashier")
Handler = Callable[[sqlite3.Connection], Awaitable[None] | None]
_Outcome = tuple[asyncio.Future[Any], object, BaseException | None]


@define(eq=False)
class Job(Generic[R]):
    """A transaction that waits for its turn."""

    steps: Callable[[], Steps[R]]
    handler: Handler | None = None
    alone: bool = False
    answer: asyncio.Future[R] = field(factory=lambda: asyncio.get_running_loop().create_future())


class Writer(threading.Thread):
    """The thread that has the connection."""

    def __init__(
        self,
        path: str,
        dialect: Dialect,
        connection: type[GuardedConnection],
        reach: Reach,
    ) -> None:
        super().__init__(name="paycollect-cashier", daemon=True)
        self.process = os.getpid()
        self.opened: Future[None] = Future()
        self._path = path
        self._dialect = dialect
        self._connection = connection
        self._reach = reach
        self._ready = threading.Condition()
        self._lanes: dict[str, deque[Job[Any]]] = {
            "reads": deque(),
            "own": deque(),
            "guests": deque(),
        }
        self._taken: list[Job[Any]] = []
        self._closing = False
        self._forks = 0
        self._is_idle = False
        """It is not within SQLite, and will not be before the forks have ended."""
        self._is_open = False
        self._outcomes: dict[asyncio.AbstractEventLoop, list[_Outcome]] = {}
        self._db: GuardedConnection
        _writers.add(self)

    # --- called on other threads

    def serves(self) -> bool:
        """Tell whether it takes something more, and for this process.

        What it was asked last is told before its thread ends. After a fork it is the parent's, and
        SQLite forbids to use its connection.
        """
        return self.process == os.getpid() and not self._closing and self.is_alive()

    def add(self, job: Job[R], lane: str) -> asyncio.Future[R]:
        """Put a transaction into a lane; who is cancelled meanwhile leaves it to end by itself."""
        with self._ready:
            if self._closing:
                job.answer.set_exception(StoreError("the store is closed"))
            else:
                self._lanes[lane].append(job)
                self._ready.notify()
        return job.answer

    def close(self) -> None:
        """Let what waits be done, and end."""
        with self._ready:
            self._closing = True
            self._ready.notify()
        self.join()

    def pause(self) -> None:
        """Finish the transaction that runs, and close the file until `go_on`: a fork is coming.

        Threat: the child inherits SQLite's notes about the files that are open, of which no lock is
        its own. Whoever closes the file last in the parent then removes the log (WAL) that the
        child writes to, and its orders are lost; and where the parent was writing, the child could
        never write (SQLite: "How To Corrupt An SQLite Database File", section 2.6).
        """
        with self._ready:
            self._forks += 1
            self._ready.notify_all()
            # A handler that forks cannot wait for its own transaction; and in a child, the thread
            # of the parent is not alive.
            if threading.current_thread() is self or not self.is_alive():
                return
            if not self._ready.wait_for(lambda: self._is_idle, LONGEST_PAUSE):
                log.warning(
                    "this process forks while a handler has been running for %g s: the child must"
                    " not use the cashier. Fork before the cashier is entered",
                    LONGEST_PAUSE,
                )

    def go_on(self) -> None:
        """Work again, in the parent, after a fork."""
        with self._ready:
            self._forks = max(self._forks - 1, 0)  # it may have been made since the fork began
            self._ready.notify_all()

    # --- on this thread

    def run(self) -> None:
        """Work until closed."""
        try:
            while self._turn():
                pass
        except BaseException as problem:  # noqa: BLE001  # whoever waits is told, whatever it was
            self._give_up(problem)
        finally:
            self._let_go()

    def _give_up(self, problem: BaseException) -> None:
        if not self.opened.done():
            self.opened.set_exception(problem)
        with self._ready:
            self._closing = True
            waiting = [*self._taken, *(job for lane in self._lanes.values() for job in lane)]
        for job in waiting:
            failure = problem if isinstance(problem, StoreError) else None
            self._tell(job, None, failure or StoreError("the store has failed"))
        self._send()

    def _let_go(self) -> None:
        with self._ready:
            if self._is_open and not (self._forks and self._path == MEMORY):
                self._db.close_for_good()
                self._is_open = False
            self._is_idle = True
            self._ready.notify_all()

    def _rest(self) -> None:
        """Wait for work, or the end; during a fork in any case."""
        with self._ready:
            while self._forks or (self._is_open and not self._closing and not self._waits()):
                if self._forks:
                    self._let_go()
                self._ready.wait()
            self._is_idle = False

    def _turn(self) -> bool:
        """Do what waits; tell whether there may be more."""
        self._rest()
        if not self._is_open:
            self._open()
        with self._ready:
            reads, own, guests = self._lanes.values()
            looks = [reads.popleft() for _ in range(len(reads))]
            group = [own.popleft() for _ in range(min(len(own), LARGEST_GROUP))]
            self._taken = [*looks, *group]
        for job in looks:
            self._alone(job, "BEGIN")
        self._send()  # who only reads does not wait for the disk
        if group:
            self._together(group)
            self._send()
        if guests:  # only this thread takes from it
            self._alone(guests.popleft(), "BEGIN IMMEDIATE")
            self._send()
        return self._waits() or not self._closing

    def _waits(self) -> bool:
        return any(self._lanes.values())

    def _tell(self, job: Job[Any], value: object, problem: BaseException | None) -> None:
        loop = job.answer.get_loop()
        self._outcomes.setdefault(loop, []).append((job.answer, value, problem))

    def _send(self) -> None:
        """Tell all outcomes to whoever waits: each loop is woken once, as that costs most."""
        outcomes, self._outcomes = self._outcomes, {}
        for loop, answers in outcomes.items():
            with suppress(RuntimeError):  # the loop is closed: nobody waits
                loop.call_soon_threadsafe(_settle_all, answers)

    def _together(self, group: list[Job[Any]]) -> None:
        """Run a group in one transaction; if that fails as a whole, each member by itself."""
        short = [job for job in group if job.alone]
        if len(group) == 1 and not short:
            self._alone(group[0], "BEGIN IMMEDIATE")
            return
        try:
            if len(short) == len(group) <= MOST_ROWS:
                values = self._at_once(short)
                outcomes: list[tuple[Job[Any], Any, Exception | None]] = []
            else:
                self._db.run("BEGIN IMMEDIATE")
                values = self._play_short(short)
                outcomes = [(job, *self._member(job)) for job in group if not job.alone]
                self._commit()
            outcomes += [(job, value, None) for job, value in zip(short, values, strict=True)]
        except Exception:  # noqa: BLE001  # each is told its own, whatever it was
            self._rollback()
            self._one_by_one(group)
        except BaseException as death:
            self._rollback()
            for job in group:
                self._tell(job, None, death)
            raise
        else:
            for outcome in outcomes:
                self._tell(*outcome)

    def _at_once(self, short: list[Job[Any]]) -> list[Any]:
        """Run a group without BEGIN and COMMIT: a statement alone is a transaction, too.

        For each statement the interpreter's lock is let go and awaited again, up to 5 ms where an
        event loop is busy.
        """
        self._reach("commit:before")
        values = self._play_short(short)
        self._reach("commit:after")
        return values

    def _play_short(self, short: list[Job[Any]]) -> list[Any]:
        return play_together(self._execute_many, [job.steps for job in short], self._reach)

    def _one_by_one(self, group: list[Job[Any]]) -> None:
        for number, job in enumerate(group, start=1):
            try:
                self._alone(job, "BEGIN IMMEDIATE")
            except BaseException as death:
                for other in group[number:]:
                    self._tell(other, None, death)
                raise

    def _member(self, job: Job[Any]) -> tuple[Any, Exception | None]:
        self._db.run("SAVEPOINT paycollect_member")
        try:
            value = play(self._execute, job.steps(), self._reach)
        except sqlite3.Error:
            raise  # it may have ended the transaction: each member by itself will tell
        except Exception as problem:  # noqa: BLE001  # it is told to whom it concerns
            self._db.run("ROLLBACK TO paycollect_member")
            self._db.run("RELEASE paycollect_member")
            return None, problem
        self._db.run("RELEASE paycollect_member")
        return value, None

    def _alone(self, job: Job[Any], begin: str) -> None:
        try:
            self._db.run(begin)
            value = play(self._play_with(job.handler), job.steps(), self._reach)
            self._commit()
        except Exception as problem:  # noqa: BLE001  # it is told to whom it concerns
            self._rollback()
            self._tell(job, None, self._explain(problem))
        except BaseException as death:
            self._rollback()
            self._tell(job, None, death)
            raise
        else:
            self._tell(job, value, None)

    def _play_with(self, handler: Handler | None) -> Callable[[str, Args], list[Row]]:
        if handler is None:
            return self._execute

        def execute(sql: str, args: Args) -> list[Row]:
            if sql is not HANDLER:
                return self._execute(sql, args)
            with self._db.guarded():
                handler(self._db)
            if not self._db.in_transaction:
                raise BrokenHandlerError(
                    "the handler has ended the transaction that it runs in: what it did afterwards"
                    " may have been kept"
                )
            return []

        return execute

    def _execute(self, sql: str, args: Args) -> list[Row]:
        text, values = self._dialect.write(sql, args)
        return self._db.run(text, values)

    def _execute_many(self, sql: str, rows: Sequence[Args]) -> list[Row]:
        """Run a statement with each of the parameters; many rows are inserted by one of them."""
        if len(rows) == 1 or not sql.startswith("INSERT"):
            return [row for args in rows for row in self._execute(sql, args)]
        for first in range(0, len(rows), MOST_ROWS):
            self._db.run(*self._dialect.write_rows(sql, rows[first : first + MOST_ROWS]))
        return []

    def _commit(self) -> None:
        self._reach("commit:before")
        self._db.run("COMMIT")
        self._reach("commit:after")

    def _rollback(self) -> None:
        if self._db.in_transaction:
            self._db.run("ROLLBACK")

    def _explain(self, problem: Exception) -> Exception:
        return explain(problem, self._path) if isinstance(problem, sqlite3.Error) else problem

    # --- opening

    def _open(self) -> None:
        system = network_file_system(self._path)
        if system is not None:
            raise StoreError(
                f"{self._path!r} is on a network file system ({system}), where SQLite's locks"
                " cannot be relied on: use a local disk, or PostgreSQL"
            )
        try:
            self._db = sqlite3.connect(
                self._path,
                timeout=BUSY_SECONDS,
                isolation_level=None,
                cached_statements=256,
                factory=self._connection,
            )
            try:
                self._set_up()
            except BaseException:
                self._db.close_for_good()
                raise
        except sqlite3.Error as problem:
            error = explain(problem, self._path)
        else:
            self._is_open = True
            if not self.opened.done():
                self.opened.set_result(None)
            return
        raise error

    def _set_up(self) -> None:
        mode = self._db.run("PRAGMA journal_mode = WAL")[0][0]
        if mode not in ("wal", "memory"):
            raise StoreError(f"{self._path!r}: SQLite cannot use WAL there: use a local disk")
        self._db.run("PRAGMA synchronous = FULL")
        self._db.run(f"PRAGMA wal_autocheckpoint = {LOG_PAGES}")
        self._db.run("PRAGMA foreign_keys = ON")
        self._db.run("BEGIN IMMEDIATE")
        try:
            for statement in schema.statements():
                self._db.run(statement)
            play(self._db.run, check_version())
            self._db.run("COMMIT")
        finally:
            self._rollback()


def _settle_all(outcomes: list[_Outcome]) -> None:
    for outcome in outcomes:
        settle(*outcome)


_writers: Final[WeakSet[Writer]] = WeakSet()


def _before_fork() -> None:
    for writer in list(_writers):
        writer.pause()


def _after_fork_in_parent() -> None:
    for writer in list(_writers):
        writer.go_on()


if hasattr(os, "register_at_fork"):  # pragma: no branch  Windows does not fork
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent)


ADVICE: Final = {
    "SQLITE_NOTADB": "it is not a SQLite database: name another file",
    "SQLITE_CANTOPEN": "it cannot be opened: its folder must exist, and be writable",
    "SQLITE_READONLY": "it cannot be written to: give this user the right to, also in its folder",
    "SQLITE_FULL": "the disk is full: make room; whatever was under way is rolled back",
    "SQLITE_BUSY": "another process has been writing for too long: see what holds its transaction",
    "SQLITE_CORRUPT": "the file is damaged: restore a backup; reused order ids are recognised",
    "SQLITE_IOERR": "the disk has failed: whatever was under way is rolled back",
}


def explain(problem: sqlite3.Error, path: str) -> StoreError:
    """Say what a failure of SQLite means, and what to do; no statement or value is shown."""
    name = getattr(problem, "sqlite_errorname", None) or "an error"
    advice = next((text for code, text in ADVICE.items() if name.startswith(code)), "")
    error = StoreError(f"SQLite file {path!r}: {advice or name}")
    if name.startswith("SQLITE_IOERR"):
        error.outcome = Outcome.UNKNOWN
    return error
