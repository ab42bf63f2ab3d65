"""The cashier's tables, as data: the stores make them, migrations and models are compared to them.

    order      one row for each order, for ever: the proof against an order id that comes back
    inbox      webhooks that were proven; a row with `due_at` is work to do
    stray      payments that belong to no order here, until a person has decided
    timeline   what has happened to an order
    setting    who sweeps, when each pass was last made, which handlers exist, when all began
    schema     the version of all this

Invariants: changes are additive. Types are TEXT and BIGINT only; instants are milliseconds since
1970 in UTC, amounts are TEXT, there are no booleans. Whatever has a `*_at` that is NULL is not
due, and the partial indexes hold only what is live.
"""

from __future__ import annotations

from typing import Final

from attrs import frozen

VERSION: Final = 1
"""Of the tables that this release makes."""
MIN_COMPATIBLE: Final = 1
"""The oldest version of the code that can work with them."""
PREFIX: Final = "paycollect_"


@frozen
class Column:
    """A column; `default` is the SQL literal for rows of an older release, None: it may be NULL."""

    name: str
    type: str
    default: str | None = None


@frozen
class Index:
    """An index, of the rows where the condition holds."""

    name: str
    columns: str
    where: str


@frozen
class Table:
    """A table; its first column is the primary key."""

    name: str
    columns: tuple[Column, ...]
    indexes: tuple[Index, ...] = ()


def _text(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name, "TEXT", "''") for name in names)


def _number(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name, "BIGINT", "0") for name in names)


def _maybe_text(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name, "TEXT") for name in names)


def _maybe_number(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name, "BIGINT") for name in names)


TABLES: Final = (
    Table(
        "order",
        (
            *_text("order_id", "state", "amount", "currency", "nonce", "request"),
            *_maybe_text("collection_id"),
            *_text("checkout"),
            *_number("created_at"),
            *_maybe_number("first_sent_at", "last_sent_at", "opened_at", "ends_at", "paid_at"),
            *_maybe_number("fulfilled_at", "closed_at"),
            *_text("closed_why"),
            *_maybe_number("gave_up_at", "due_at"),
            *_maybe_text("lease"),
            *_maybe_number("lease_until"),
            *_number("checks", "deliveries"),
            *_maybe_number("asked_at"),
            *_text("seen"),
            *_number("same"),
            *_text("record", "found_by", "refund"),
            *_maybe_number("after_at"),
            *_number("after_tries"),
            *_text("held_reason"),
            *_maybe_number("held_at"),
            *_text("hold_id"),
            *_maybe_number("alarm_at"),
            *_number("alarm_tries"),
            *_text("judged", "attributed"),
            *_number("cursor"),
            *_maybe_number("missing_at"),
            *_text("last_error"),
        ),
        (
            Index("order_due", "due_at", "due_at IS NOT NULL"),
            Index("order_after", "after_at", "after_at IS NOT NULL"),
            Index("order_alarm", "alarm_at", "alarm_at IS NOT NULL"),
            Index("order_held", "held_at", "held_at IS NOT NULL"),
            Index("order_open", "opened_at", "state = 'open'"),
            Index("order_collection", "collection_id", "collection_id IS NOT NULL"),
        ),
    ),
    Table(
        "inbox",
        (
            *_text("id"),
            *_number("received_at"),
            *_maybe_text("order_id", "collection_id"),
            *_text("event", "status"),
            *_maybe_number("occurred_at"),
            *_maybe_number("due_at"),
            *_number("tries"),
            *_maybe_number("handled_at"),
            *_text("outcome", "body"),
        ),
        (
            Index("inbox_due", "due_at", "due_at IS NOT NULL"),
            Index("inbox_due_order", "order_id", "due_at IS NOT NULL"),
            Index("inbox_due_collection", "collection_id", "due_at IS NOT NULL"),
            Index("inbox_order", "order_id", "order_id IS NOT NULL"),
            Index("inbox_handled", "handled_at", "handled_at IS NOT NULL"),
        ),
    ),
    Table(
        "stray",
        (
            *_text("id"),
            *_maybe_text("order_id", "collection_id"),
            *_text("record", "reason", "hold_id"),
            *_maybe_number("held_at"),
            *_maybe_number("alarm_at"),
            *_number("alarm_tries"),
            *_text("note"),
        ),
        (
            Index("stray_alarm", "alarm_at", "alarm_at IS NOT NULL"),
            Index("stray_held", "held_at", "held_at IS NOT NULL"),
        ),
    ),
    Table(
        "timeline",
        (*_text("id", "order_id"), *_number("at"), *_text("what", "detail", "done_by")),
        (Index("timeline_order", "order_id", ""), Index("timeline_at", "at", "")),
    ),
    Table("setting", (*_text("name", "value"), *_number("at"))),
    Table("schema", (*_text("id"), *_number("version", "min_compatible"))),
)


def statements(prefix: str = PREFIX) -> list[str]:
    """The statements that make whatever is not there yet, for SQLite and PostgreSQL alike."""
    made = []
    for table in TABLES:
        columns = [
            f"{column.name} {column.type}"
            + ("" if column.default is None else f" NOT NULL DEFAULT {column.default}")
            + (" PRIMARY KEY" if column is table.columns[0] else "")
            for column in table.columns
        ]
        made.append(
            f"CREATE TABLE IF NOT EXISTS {prefix}{table.name} (\n  " + ",\n  ".join(columns) + "\n)"
        )
        made += [
            f"CREATE INDEX IF NOT EXISTS {prefix}{index.name} ON {prefix}{table.name}"
            f" ({index.columns})" + (f" WHERE {index.where}" if index.where else "")
            for index in table.indexes
        ]
    return made
