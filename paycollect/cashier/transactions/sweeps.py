"""What the sweep reads and marks; what is marked as due is asked for, like any other order."""

# ruff: noqa: S608 - statements are put together of constants only; values are parameters

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, cast

from attrs import frozen

from paycollect.cashier.orders import DAY, GRACE, HOUR
from paycollect.cashier.store import Steps

_FURTHEST: Final = 2 * (HOUR + GRACE)
"""No due time is half as far ahead, but for that of a closed order: one that is further comes from
a clock that has jumped."""
_FURTHEST_CLOSED: Final = 2 * DAY


@frozen
class Open:
    """An order that can be paid, as far as the sweep looks at it."""

    order_id: str
    collection_id: str
    asked_at: int


def open_orders() -> Steps[tuple[list[Open], int]]:
    """List the orders that can be paid, least recently asked for first, and tell the time."""
    rows = yield (
        (
            "SELECT order_id, collection_id, COALESCE(asked_at, opened_at, 0), {now}"
            " FROM paycollect_order WHERE state = 'open' AND held_reason = '' ORDER BY 3, 1"
        ),
        {},
    )
    found = [Open(*row[:3]) for row in rows]  # type: ignore[arg-type]  # by schema
    return found, cast("int", rows[0][3]) if rows else 0


def mark_due(order_ids: Iterable[str], asked_before: int) -> Steps[None]:
    """Have orders asked for that nobody has asked for, or opened, since the list was read."""
    for order_id in order_ids:
        yield (
            (
                "UPDATE paycollect_order SET due_at = {now} WHERE order_id = :o AND state = 'open'"
                " AND due_at > {now} AND opened_at <= :before"
                " AND COALESCE(asked_at, 0) <= :before"
            ),
            {"o": order_id, "before": asked_before},
        )


def wake(collection_id: str, order_id: str) -> Steps[bool]:
    """Have the order of a paid record asked for; False where there is no such order."""
    rows = yield (
        (
            "SELECT order_id, state, held_reason FROM paycollect_order"
            " WHERE collection_id = :c OR order_id = :o"
        ),
        {"c": collection_id, "o": order_id},
    )
    for found, state, held in rows:
        if state in ("intended", "open", "closed") and not held:
            yield (
                "UPDATE paycollect_order SET due_at = {now} WHERE order_id = :o AND state = :state",
                {"o": str(found), "state": str(state)},
            )
    return bool(rows)


def refunded(collection_id: str, amount: str) -> Steps[None]:
    """Note a refund that is complete, and have its order asked for: once."""
    yield (
        (
            "UPDATE paycollect_order SET refund = :amount, due_at = {now}"
            " WHERE collection_id = :c AND refund = ''"
            " AND state IN ('open', 'paid', 'fulfilled', 'closed')"
        ),
        {"c": collection_id, "amount": amount},
    )


def repair() -> Steps[None]:
    """Have done now what a clock that has jumped would put off for too long."""
    yield (
        (
            "UPDATE paycollect_order SET due_at = {now} WHERE due_at > {now} + :furthest"
            " AND (state <> 'closed' OR due_at > {now} + :closed)"
        ),
        {"furthest": _FURTHEST, "closed": _FURTHEST_CLOSED},
    )
    for table, column in (
        ("order", "after_at"),
        ("order", "alarm_at"),
        ("inbox", "due_at"),
        ("stray", "alarm_at"),
    ):
        yield (
            (
                f"UPDATE paycollect_{table} SET {column} = {{now}}"
                f" WHERE {column} > {{now}} + :furthest"
            ),
            {"furthest": _FURTHEST},
        )
