"""What a store must offer, and how it runs the transactions of `transactions`.

A transaction is written once, as a generator that yields `(sql, args)` and is sent the rows back;
each store plays it on its own driver. Where it yields `(HANDLER, {})`, the merchant's handler runs.

The text of a statement is the same for all databases. Its rules, all of them measured on SQLite
and PostgreSQL with six drivers:

- parameters are `:name`, in a dict, and are str, int or None only; one name has one type;
- a store replaces `{now}` (milliseconds since 1970, of the database's clock or the injected one),
  `{skip}` (FOR UPDATE SKIP LOCKED, where the database has it), and the prefix `paycollect_`;
- rows are read by position, to the end; no `::`, no `:x IS NULL`, no booleans.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from dis import get_instructions
from functools import cache
from itertools import pairwise
from types import CodeType, GeneratorType
from typing import Any, Final, Protocol, TypeAlias, TypeVar

Args: TypeAlias = Mapping[str, str | int | None]
Row: TypeAlias = tuple[object, ...]
R = TypeVar("R")
Steps: TypeAlias = Generator[tuple[str, Args], list[Row], R]
"""A transaction: yields statements, is sent their rows, returns what came of it."""
Tx = TypeVar("Tx")
Tx_contra = TypeVar("Tx_contra", contravariant=True)
Reach: TypeAlias = Callable[[str], None]

HANDLER: Final = "-- the handler runs here"
"""Yielded in place of a statement where the merchant's handler runs, on the same connection."""
ENDS_TRANSACTION: Final = re.compile(
    r"[\s;(]*(?:BEGIN|START|COMMIT|END|ROLLBACK|ABORT|PREPARE\s+TRANSACTION|ATTACH)\b"
    r"(?!\s+(?:WORK\s+|TRANSACTION\s+)?TO\b)",
    re.IGNORECASE,
)
"""A statement that would end the transaction of a handler; ROLLBACK TO a savepoint would not."""


def reach_nothing(_point: str) -> None:
    """Stand in for the hook that crash tests set: `store.reach` and with it the cashier's.

    It is called with the name of each point where a process can die: before each statement (see
    `point_of`), around each commit ("commit:before", "commit:after"), request
    ("request:get:before") and handler ("handler:on_paid:start"). What it raises is not caught, if
    it is no `Exception`.
    """


class Store(Protocol[Tx]):
    """Where the cashier keeps orders; `Tx` is what transactional handlers are given.

    Attributes:
        reach: called at each point where a process can die; for crash tests.
        sync_handlers: whether transactional handlers may be plain functions.
        async_handlers: whether they may be coroutine functions.
        passes_tx: whether handlers are given the transaction, too.

    """

    reach: Reach
    sync_handlers: bool
    async_handlers: bool
    passes_tx: bool

    async def open(self) -> None:
        """Connect, and make or check the tables; harmless when open.

        Raises:
            StoreError: it cannot be used; the text says what to do.

        """
        ...

    async def aclose(self) -> None:
        """Finish what is under way, and disconnect; harmless when closed."""
        ...

    def use_clock(self, now: Callable[[], int]) -> None:
        """Take the time from here, in milliseconds since 1970, in place of the database's clock."""
        ...

    def listen(self, wake: Callable[[], None], /) -> Callable[[], None]:
        """Have a function called, on any thread, when there may be work; gives what ends that."""
        ...

    def notify(self) -> None:
        """Call whoever listens."""
        ...

    async def run(
        self, steps: Callable[[], Steps[R]], *, reads: bool = False, alone: bool = False
    ) -> R:
        """Run a short transaction of the cashier's own; the generator may be started repeatedly.

        Args:
            steps: makes the generator.
            reads: it only reads, so that it need not wait for a writer.
            alone: it is one statement, which does no harm if it is run twice: a store may spare
                what is around it.

        Raises:
            StoreError: the database failed; nothing was done, or `outcome` is UNKNOWN.

        """
        ...

    async def deliver(
        self, steps: Callable[[], Steps[R]], handler: Callable[[Tx], Awaitable[None] | None]
    ) -> R:
        """Run a transaction with a handler in it, alone, and commit if neither has failed.

        Raises:
            BrokenHandlerError: the handler has ended the transaction.
            StoreError: the database failed.
            Exception: whatever the handler raised; everything is rolled back.

        """
        ...

    async def join(self, tx: Tx, steps: Callable[[], Steps[R]]) -> R:
        """Run a transaction's statements within the merchant's own transaction, and commit nothing.

        Raises:
            StoreError: `tx` is not a transaction of this store's database.

        """
        ...


def point_of(steps: Steps[R]) -> str:
    """Name the statement that a transaction has yielded, for `reach`: "sql:outcomes.note 2".

    These are the file and the function, and those that it calls ("sql:outcomes.fulfil > handle 1").
    The number tells the statements of one function apart, in their order.
    """
    inner: Any = steps
    frame = inner.gi_frame
    name = frame.f_globals["__name__"].rpartition(".")[2] + "." + frame.f_code.co_name.lstrip("_")
    while isinstance(inner.gi_yieldfrom, GeneratorType):
        inner = inner.gi_yieldfrom
        frame = inner.gi_frame
        name += " > " + frame.f_code.co_name.lstrip("_")
    number = _lines_of_yields(frame.f_code).index(frame.f_lineno) + 1
    return f"sql:{name} {number}"


@cache
def _lines_of_yields(code: CodeType) -> list[int]:
    """Find where a generator yields by itself, not what another one yields (`yield from`)."""
    steps = pairwise(get_instructions(code))
    found = {
        step.positions.lineno
        for before, step in steps
        if step.opname == "YIELD_VALUE" and before.opname != "SEND" and step.positions
    }
    return sorted(line for line in found if line is not None)


def play(
    execute: Callable[[str, Args], list[Row]],
    steps: Steps[R],
    reach: Reach = reach_nothing,
    rows: list[Row] | None = None,
) -> R:
    """Run a transaction's statements on a blocking driver; with `rows`, those after the first."""
    while True:
        try:
            sql, args = next(steps) if rows is None else steps.send(rows)
        except StopIteration as end:
            result: R = end.value
            return result
        if reach is not reach_nothing and sql != HANDLER:
            reach(point_of(steps))
        rows = execute(sql, args)


def play_together(
    execute: Callable[[str, Sequence[Args]], list[Row]],
    group: Sequence[Callable[[], Steps[Any]]],
    reach: Reach = reach_nothing,
) -> list[Any]:
    """Run transactions of one statement each; equal ones are sent at once, where they give no rows.

    Args:
        execute: runs one statement with each of the parameters.
        group: they make the generators.
        reach: as for `play`.

    """
    begun: list[tuple[Steps[Any], str, Args]] = []
    equal: dict[str, list[Args]] = {}
    for make in group:
        steps = make()
        sql, args = next(steps)
        if reach is not reach_nothing:
            reach(point_of(steps))
        begun.append((steps, sql, args))
        if "RETURNING" not in sql:
            equal.setdefault(sql, []).append(args)
    for sql, many in equal.items():
        execute(sql, many)

    def one(sql: str, args: Args) -> list[Row]:
        return execute(sql, [args])

    return [
        play(one, steps, reach, [] if sql in equal else one(sql, args))
        for steps, sql, args in begun
    ]


async def play_async(
    execute: Callable[[str, Args], Awaitable[list[Row]]],
    steps: Steps[R],
    reach: Reach = reach_nothing,
) -> R:
    """Run a transaction's statements on a driver that is awaited."""
    rows: list[Row] | None = None
    while True:
        try:
            sql, args = next(steps) if rows is None else steps.send(rows)
        except StopIteration as end:
            result: R = end.value
            return result
        if reach is not reach_nothing and sql != HANDLER:
            reach(point_of(steps))
        rows = await execute(sql, args)


class Dialect:
    """Writes the one text of a statement for a database."""

    def __init__(self, now: str, skip: str, prefix: str = "paycollect_") -> None:
        self._now = now
        self._skip = skip
        self._prefix = prefix
        self._clock: Callable[[], int] | None = None
        self._written: dict[str, tuple[str, bool]] = {}
        self._rows: dict[tuple[str, int], tuple[str, list[str]]] = {}

    def use_clock(self, now: Callable[[], int]) -> None:
        """Take the time from here in place of the database's clock."""
        self._clock = now
        self._written.clear()
        self._rows.clear()

    def write(self, sql: str, args: Args) -> tuple[str, Args]:
        """Give the text and the parameters for the driver."""
        known = self._written.get(sql)
        if known is None:
            now = self._now if self._clock is None else "CAST(:now AS BIGINT)"
            text = sql.replace("{now}", now).replace("{skip}", self._skip)
            if self._prefix != "paycollect_":
                text = re.sub(r"\bpaycollect_", self._prefix, text)
            known = self._written[sql] = text, self._clock is not None and "{now}" in sql
        text, timed = known
        if timed and self._clock is not None:
            args = {**args, "now": self._clock()}
        return text, args

    def write_rows(self, sql: str, rows: Sequence[Args]) -> tuple[str, list[str | int | None]]:
        """Give the text of an INSERT for so many rows, and its parameters, which are `?`."""
        known = self._rows.get((sql, len(rows)))
        if known is None:
            text, _ = self.write(sql, rows[0])
            start, row, end = _VALUES.split(text)
            many = ", ".join([_NAMED.sub("?", row)] * len(rows))
            known = self._rows[sql, len(rows)] = start + many + end, _NAMED.findall(row)
        text, names = known
        given = [self.write(sql, row)[1] for row in rows]
        return text, [row[name] for row in given for name in names]


_VALUES: Final = re.compile(r"(?<=\bVALUES )(\(.*\))(?= ON CONFLICT\b|$)")
_NAMED: Final = re.compile(r"(?<!:):(\w+)")


class Listeners:
    """Who is to be told that there may be work; safe to use from several threads."""

    def __init__(self) -> None:
        self._wakes: list[Callable[[], None]] = []

    def listen(self, wake: Callable[[], None], /) -> Callable[[], None]:
        """Add a function; gives what takes it away again."""
        self._wakes.append(wake)
        return lambda: self._wakes.remove(wake)

    def notify(self) -> None:
        """Call them all."""
        for wake in tuple(self._wakes):
            wake()
