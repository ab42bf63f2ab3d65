"""What the cashier's work costs when it is written by hand: the floors of `benchmarks/cashier.py`.

The statements are the cashier's own; what differs is how they are run: on the bare driver, with
their texts and parameters made ready beforehand.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import sqlite3
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol, TypeAlias, cast

from attrs import evolve

from paycollect.cashier import schema
from paycollect.cashier._writer import LOG_PAGES
from paycollect.cashier.letters import letter_of
from paycollect.cashier.orders import Order, order_of
from paycollect.cashier.store import HANDLER, Args, Dialect, Row, Steps
from paycollect.cashier.transactions import claims, inbox, outcomes
from paycollect.cashier.transactions.claims import Claimed, Hint
from paycollect.ipn import Receiver

SHIP = "INSERT INTO parcels (order_id) VALUES (:order_id)"
"""What the merchant's handler does."""
PARCELS = "CREATE TABLE parcels (order_id TEXT)"
Statement: TypeAlias = tuple[str, dict[str, str | int | None]]


def connect(path: Path) -> sqlite3.Connection:
    """Open a file as SqliteStore does, with its tables."""
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute(f"PRAGMA wal_autocheckpoint = {LOG_PAGES}")
    for statement in schema.statements():
        db.execute(statement)
    return db


# --- receive --------------------------------------------------------------------------------------


class Grouping:
    """Proves webhooks and has a thread store them, as many in one transaction as wait."""

    def __init__(self, path: Path, receiver: Receiver, dialect: Dialect) -> None:
        self._receiver = receiver
        self._dialect = dialect
        self._waiting: deque[tuple[Args, asyncio.Future[None]]] = deque()
        self._ready = threading.Condition()
        self._ends = False
        self._db = connect(path)
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    async def receive(self, body: bytes) -> None:
        """Store a webhook; it is on the disk when this returns."""
        letter = letter_of(self._receiver.parse(body), None)
        sql, args = next(inbox.put(letter))
        self.text, args = self._dialect.write(sql, args)
        stored: asyncio.Future[None] = self._loop.create_future()
        with self._ready:
            self._waiting.append((args, stored))
            self._ready.notify()
        await stored

    def close(self) -> None:
        """End the thread."""
        with self._ready:
            self._ends = True
            self._ready.notify()
        self._thread.join()
        self._db.close()

    def _run(self) -> None:
        while True:
            with self._ready:
                while not self._waiting:
                    if self._ends:
                        return
                    self._ready.wait()
                group = [self._waiting.popleft() for _ in range(len(self._waiting))]
            self._db.execute("BEGIN IMMEDIATE")
            for args, _ in group:
                self._db.execute(self.text, args)
            self._db.execute("COMMIT")
            self._loop.call_soon_threadsafe(_resolve, [stored for _, stored in group])


def _resolve(stored: Sequence[asyncio.Future[None]]) -> None:
    for one in stored:
        one.set_result(None)


# --- claim, note, fulfil --------------------------------------------------------------------------


def _statements(
    dialect: Dialect, steps: Steps[object], rows: Sequence[list[Row]]
) -> list[Statement]:
    """Play a transaction on prepared answers; give its statements as the driver gets them."""
    found: list[Statement] = []
    answers = iter(rows)
    sql, args = next(steps)
    try:
        while True:
            if sql is HANDLER:
                found.append((SHIP, {"order_id": ""}))
            else:
                text, written = dialect.write(sql, args)
                found.append((text, dict(written)))
            sql, args = steps.send(next(answers, []))
    except StopIteration:
        return found


class Recipe:
    """The statements of one fulfilled payment, in the cashier's words, for a database."""

    def __init__(self, dialect: Dialect) -> None:
        order = _sample()
        claimed = Claimed(order, "t", 0, (Hint("h", "COMPLETED", 1, 0),))
        row = cast("Row", tuple(getattr(order, name) for name in Order.__annotations__))
        woken = _statements(dialect, claims.claim_woken("t", 16, 1), [[(*row, 0)], []])
        self.claim, self.hints = woken
        (self.due,) = _statements(dialect, claims.claim_due("t", 16, 1, 0), [[]])
        noted = outcomes.note(
            claimed, record="{}", seen="COMPLETED", found_by="webhook", delivers=1, lease=60_000
        )
        self.note = _statements(dialect, noted, [[row]])
        self.fulfil = _statements(dialect, outcomes.fulfil(claimed, 0), [[("A",)], [], [("line",)]])

    @property
    def count(self) -> int:
        """How many statements a payment takes, with those that only a batch takes."""
        return 3 + len(self.note) + len(self.fulfil)


def _sample() -> Order:
    values: dict[str, Any] = dict.fromkeys(Order.__annotations__, "")
    numbers = ("created_at", "checks", "deliveries", "same", "after_tries", "alarm_tries", "cursor")
    order = Order(**(values | cast("dict[str, Any]", dict.fromkeys(numbers, 0))))
    return evolve(order, order_id="A", state="open", amount=str(Decimal(25)), collection_id="C")


Execute: TypeAlias = Callable[[str, dict[str, str | int | None]], Awaitable[list[Any]]]


class Transactions(Protocol):
    """A connection of some driver, on which statements run within a transaction."""

    async def begin(self) -> None: ...
    async def execute(self, text: str, args: dict[str, str | int | None]) -> list[Any]: ...
    async def commit(self) -> None: ...


async def claim_by_hand(on: Transactions, recipe: Recipe) -> list[tuple[Order, str, str]]:
    """Claim a batch; gives order, token and the webhook of each."""
    token = secrets.token_hex(12)
    await on.begin()
    text, args = recipe.claim
    rows = await on.execute(text, args | {"token": token})
    claimed = []
    for row in rows:
        order = order_of(tuple(row)[:-1])
        text, args = recipe.hints
        hints = await on.execute(text, args | {"o": order.order_id, "c": order.collection_id or ""})
        claimed.append((order, token, hints[0][0] if hints else ""))
    text, args = recipe.due
    await on.execute(text, args | {"token": secrets.token_hex(12)})
    await on.commit()
    return claimed


async def fulfil_by_hand(
    on: Transactions, recipe: Recipe, order: Order, token: str, hint: str
) -> None:
    """Note that an order is paid, and deliver it: two transactions."""
    own = {"o": order.order_id, "order_id": order.order_id, "token": token, "id": hint}
    for transaction in (recipe.note, recipe.fulfil):
        await on.begin()
        for text, args in transaction:
            mine = {name: own.get(name, value) for name, value in args.items()}
            if "entry" in mine:
                mine["entry"] = secrets.token_hex(12)
            await on.execute(text, mine)
        await on.commit()


class OnSqlite:
    """The bare `sqlite3`."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    async def begin(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    async def execute(self, text: str, args: dict[str, str | int | None]) -> list[Any]:
        return self._db.execute(text, args).fetchall()

    async def commit(self) -> None:
        self._db.execute("COMMIT")


_PARAMETER = re.compile(r"(?<!:):([a-z_]+)")


class OnAsyncpg:
    """The bare asyncpg, which wants parameters by number."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._known: dict[str, tuple[str, list[str]]] = {}
        self._transaction: Any = None

    async def begin(self) -> None:
        self._transaction = self._connection.transaction()
        await self._transaction.start()

    async def execute(self, text: str, args: dict[str, str | int | None]) -> list[Any]:
        known = self._known.get(text)
        if known is None:
            names = list(dict.fromkeys(_PARAMETER.findall(text)))
            numbered = _PARAMETER.sub(lambda match: f"${names.index(match[1]) + 1}", text)
            known = self._known[text] = numbered, names
        written, names = known
        return cast(
            "list[Any]", await self._connection.fetch(written, *[args[name] for name in names])
        )

    async def commit(self) -> None:
        await self._transaction.commit()


class OnPsycopg:
    """The bare psycopg, which wants parameters in its own form."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._known: dict[str, str] = {}

    async def begin(self) -> None:
        """Psycopg begins by itself."""

    async def execute(self, text: str, args: dict[str, str | int | None]) -> list[Any]:
        written = self._known.get(text)
        if written is None:
            written = self._known[text] = _PARAMETER.sub(r"%(\1)s", text.replace("%", "%%"))
        cursor = await self._connection.execute(written, args)
        return await cursor.fetchall() if cursor.description else []

    async def commit(self) -> None:
        await self._connection.commit()


class OnSqlAlchemy:
    """SQLAlchemy's asyncio connection, with the statements made ready as `text()`."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._known: dict[str, Any] = {}

    async def begin(self) -> None:
        await self._connection.begin()

    async def execute(self, text: str, args: dict[str, str | int | None]) -> list[Any]:
        from sqlalchemy import text as clause  # noqa: PLC0415  only this floor needs it

        known = self._known.get(text)
        if known is None:
            known = self._known[text] = clause(text)
        result = await self._connection.execute(known, args)
        return result.all() if result.returns_rows else []

    async def commit(self) -> None:
        await self._connection.commit()
