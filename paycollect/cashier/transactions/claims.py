"""Having orders for oneself for a while, with the webhooks that speak of them.

What is claimed and never given back, as its worker died, comes back by itself: later each time.
"""

# ruff: noqa: S608 - statements are put together of constants only; values are parameters

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, cast

from attrs import frozen

from paycollect.cashier.orders import MINUTE, SECOND, Order, order_of
from paycollect.cashier.store import Row, Steps
from paycollect.cashier.transactions.lines import ALL

LEASE: Final = 60 * SECOND
"""How long a worker has an order for itself, until it notes that it is paid."""
LONGEST_LEASE: Final = 30 * MINUTE
"""No lease is longer: one that ends later than twice this is of a clock that has jumped."""

_FREE: Final = (
    f"(lease IS NULL OR lease_until <= {{now}} OR lease_until > {{now}} + {2 * LONGEST_LEASE})"
)
_LIVE: Final = (
    "state IN ('intended', 'open', 'paid', 'fulfilled', 'closed', 'partially_refunded', 'refunded')"
)
"""A state of a later release is read and never claimed, so that two releases can run."""
_TAKE: Final = (
    "UPDATE paycollect_order SET lease = :token, lease_until = {now} + :lease,"
    " checks = checks + 1,"
    " due_at = {now} + :lease + 30000 * CASE WHEN checks < 20 THEN checks ELSE 20 END"
    f" WHERE order_id IN (SELECT order_id FROM due) RETURNING {ALL}, {{now}}"
)


@frozen
class Hint:
    """A webhook that was not handled yet, as the claim saw it; `tries` counts this claim, too."""

    id: str
    status: str
    tries: int
    received_at: int


@frozen
class Claimed:
    """An order that is ours for a while, and the webhooks that were there when it became ours."""

    order: Order
    token: str
    now: int
    hints: tuple[Hint, ...]


def _with_hints(rows: Sequence[Row], token: str, lease: int) -> Steps[list[Claimed]]:
    """Read the webhooks of claimed orders, and put them off until after the lease."""
    claimed = []
    for row in sorted(rows, key=lambda row: cast("str", row[0])):
        order, at = order_of(row[:-1]), cast("int", row[-1])
        found = yield (
            (
                "UPDATE paycollect_inbox SET tries = tries + 1, order_id = COALESCE(order_id, :o),"
                " due_at = {now} + :lease + 30000 * CASE WHEN tries < 20 THEN tries ELSE 20 END"
                # Each side can use its own partial index. By a sub-select PostgreSQL would look
                # through all webhooks for as long as nobody has told it how many there are.
                " WHERE (due_at IS NOT NULL AND order_id = :o)"
                " OR (due_at IS NOT NULL AND collection_id = :c)"
                " RETURNING id, status, tries, received_at"
            ),
            {"o": order.order_id, "c": order.collection_id or "", "lease": lease},
        )
        hints = tuple(sorted((Hint(*hint) for hint in found), key=lambda hint: hint.id))  # type: ignore[arg-type]  # by schema
        claimed.append(Claimed(order, token, at, hints))
    return claimed


def claim_woken(token: str, limit: int, delivers: int, lease: int = LEASE) -> Steps[list[Claimed]]:
    """Claim orders that a webhook speaks of."""
    rows = yield (
        (
            "WITH wake AS MATERIALIZED (SELECT order_id, collection_id FROM paycollect_inbox"
            " WHERE due_at IS NOT NULL AND due_at <= {now} ORDER BY due_at LIMIT :n),"
            # Neither by an OR nor by a join: for both PostgreSQL can look through all orders.
            " known AS MATERIALIZED (SELECT order_id FROM wake WHERE order_id IS NOT NULL"
            " UNION SELECT (SELECT MIN(paycollect_order.order_id) FROM paycollect_order"
            " WHERE paycollect_order.collection_id = wake.collection_id) FROM wake),"
            " due AS MATERIALIZED (SELECT order_id FROM paycollect_order"
            " WHERE order_id IN (SELECT order_id FROM known)"
            f" AND {_FREE} AND {_LIVE} AND (state <> 'paid' OR :delivers = 1)"
            f" LIMIT :n {{skip}}) {_TAKE}"
        ),
        {"token": token, "n": limit, "lease": lease, "delivers": delivers},
    )
    return (yield from _with_hints(rows, token, lease))


def claim_due(
    token: str, limit: int, delivers: int, sweeps: int, lease: int = LEASE
) -> Steps[list[Claimed]]:
    """Claim orders whose time has come: paid ones, and for who sweeps all others, too."""
    rows = yield (
        (
            "WITH due AS MATERIALIZED (SELECT order_id FROM paycollect_order"
            f" WHERE due_at IS NOT NULL AND due_at <= {{now}} AND {_FREE} AND {_LIVE}"
            " AND ((state = 'paid' AND :delivers = 1) OR (state <> 'paid' AND :sweeps = 1))"
            f" ORDER BY due_at LIMIT :n {{skip}}) {_TAKE}"
        ),
        {"token": token, "n": limit, "lease": lease, "delivers": delivers, "sweeps": sweeps},
    )
    return (yield from _with_hints(rows, token, lease))


def claim_one(order_id: str, token: str, gap: int, lease: int = LEASE) -> Steps[Claimed | None]:
    """Claim one order, unless it is claimed, or was asked for less than `gap` ms ago."""
    rows = yield (
        (
            "WITH due AS MATERIALIZED (SELECT order_id FROM paycollect_order"
            f" WHERE order_id = :o AND {_FREE} AND {_LIVE}"
            f" AND (asked_at IS NULL OR asked_at <= {{now}} - :gap) {{skip}}) {_TAKE}"
        ),
        {"o": order_id, "token": token, "gap": gap, "lease": lease},
    )
    return next(iter((yield from _with_hints(rows, token, lease))), None)


def claim_after(token: str, limit: int, lease: int) -> Steps[list[Claimed]]:
    """Claim delivered orders whose outside effects are due."""
    rows = yield (
        (
            "WITH due AS MATERIALIZED (SELECT order_id FROM paycollect_order"
            f" WHERE after_at IS NOT NULL AND after_at <= {{now}} AND {_FREE}"
            " ORDER BY after_at LIMIT :n {skip})"
            " UPDATE paycollect_order SET lease = :token, lease_until = {now} + :lease,"
            " after_tries = after_tries + 1, after_at = {now} + :lease"
            f" WHERE order_id IN (SELECT order_id FROM due) RETURNING {ALL}, {{now}}"
        ),
        {"token": token, "n": limit, "lease": lease},
    )
    return [
        Claimed(order_of(row[:-1]), token, cast("int", row[-1]), ())
        for row in sorted(rows, key=lambda row: cast("str", row[0]))
    ]


def claim_alarms(limit: int, lease: int) -> Steps[list[Order]]:
    """Claim held orders whose alarm is due."""
    rows = yield (
        (
            "WITH due AS MATERIALIZED (SELECT order_id FROM paycollect_order"
            " WHERE alarm_at IS NOT NULL AND alarm_at <= {now} ORDER BY alarm_at LIMIT :n {skip})"
            " UPDATE paycollect_order SET alarm_tries = alarm_tries + 1, alarm_at = {now} + :lease"
            f" WHERE order_id IN (SELECT order_id FROM due) RETURNING {ALL}"
        ),
        {"n": limit, "lease": lease},
    )
    return sorted(map(order_of, rows), key=lambda order: order.held_at or 0)


def next_due() -> Steps[int | None]:
    """Tell when the next order, webhook or alarm is due."""
    earliest = None
    for table, column in (
        ("order", "due_at"),
        ("order", "after_at"),
        ("order", "alarm_at"),
        ("inbox", "due_at"),
        ("stray", "alarm_at"),
    ):
        rows = yield (
            f"SELECT MIN({column}) FROM paycollect_{table} WHERE {column} IS NOT NULL",
            {},
        )
        at = cast("int | None", rows[0][0])
        if at is not None and (earliest is None or at < earliest):
            earliest = at
    return earliest
