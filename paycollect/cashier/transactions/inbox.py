"""Webhooks: one INSERT when they come, and what becomes of those that belong to no order."""

# ruff: noqa: S608 - statements are put together of constants only; values are parameters

from __future__ import annotations

from typing import Final, cast

from attrs import frozen

from paycollect.cashier.orders import MINUTE, SECOND
from paycollect.cashier.store import Steps
from paycollect.cashier.transactions.claims import Hint

PATIENCE: Final = 2 * MINUTE
"""How long a webhook may wait for its order's row before a person is told."""
_LOOK_AGAIN: Final = 10 * SECOND
_WINDOW: Final = 200
"""How many webhooks are looked through for strays at a time, however many wait."""


@frozen(kw_only=True)
class Letter:
    """A webhook, as it is stored; `live` is 1 where there is something to do about it."""

    id: str
    order_id: str | None
    collection_id: str | None
    event: str
    status: str
    occurred_at: int | None
    body: str
    live: int


@frozen
class Stray:
    """A webhook that belongs to no order of this store."""

    hint: Hint
    order_id: str | None
    collection_id: str | None
    is_old: bool


def put(letter: Letter) -> Steps[None]:
    """Store a webhook, unless it is there already."""
    yield (
        (
            "INSERT INTO paycollect_inbox"
            " (id, received_at, order_id, collection_id, event, status, occurred_at, due_at,"
            " handled_at, outcome, body) VALUES (:id, {now}, :o, :c, :event, :status, :occurred,"
            " CASE WHEN :live = 1 THEN {now} END, CASE WHEN :live = 1 THEN NULL ELSE {now} END,"
            " '', :body) ON CONFLICT (id) DO NOTHING"
        ),
        {
            "id": letter.id,
            "o": letter.order_id,
            "c": letter.collection_id,
            "event": letter.event,
            "status": letter.status,
            "occurred": letter.occurred_at,
            "live": letter.live,
            "body": letter.body,
        },
    )


def claim_strays(limit: int) -> Steps[list[Stray]]:
    """Take webhooks that are due and belong to no order, and put them off."""
    rows = yield (
        (
            "WITH oldest AS MATERIALIZED (SELECT id, order_id, collection_id, due_at"
            " FROM paycollect_inbox WHERE due_at IS NOT NULL AND due_at <= {now}"
            f" ORDER BY due_at LIMIT {_WINDOW}),"
            " lost AS MATERIALIZED (SELECT id FROM oldest"
            " WHERE NOT EXISTS (SELECT 1 FROM paycollect_order"
            " WHERE paycollect_order.order_id = oldest.order_id)"
            " AND NOT EXISTS (SELECT 1 FROM paycollect_order"
            " WHERE paycollect_order.collection_id = oldest.collection_id)"
            " ORDER BY due_at LIMIT :n),"
            # What is locked is so few rows that PostgreSQL does not look through all for them.
            " due AS MATERIALIZED (SELECT id FROM paycollect_inbox"
            " WHERE id IN (SELECT id FROM lost) AND due_at IS NOT NULL AND due_at <= {now} {skip})"
            " UPDATE paycollect_inbox SET tries = tries + 1, due_at = {now} + :wait"
            " WHERE id IN (SELECT id FROM due)"
            " RETURNING id, status, tries, received_at, order_id, collection_id, {now}"
        ),
        {"n": limit, "wait": _LOOK_AGAIN},
    )
    return [
        Stray(
            Hint(*row[:4]),  # type: ignore[arg-type]  # by schema
            cast("str | None", row[4]),
            cast("str | None", row[5]),
            cast("int", row[6]) - cast("int", row[3]) >= PATIENCE,
        )
        for row in sorted(rows, key=lambda row: cast("str", row[0]))
    ]


def drop(hint: Hint, outcome: str) -> Steps[None]:
    """Mark a webhook as handled that leads to nothing."""
    yield (
        (
            "UPDATE paycollect_inbox SET due_at = NULL, handled_at = {now}, outcome = :outcome"
            " WHERE id = :id AND handled_at IS NULL"
        ),
        {"id": hint.id, "outcome": outcome},
    )


def hold_stray(
    stray_id: str, order_id: str | None, record: str, hold_id: str, hint: Hint | None
) -> Steps[bool]:
    """Hold a payment that belongs to no order, unless it is known already; an alarm is due."""
    rows = yield (
        (
            "INSERT INTO paycollect_stray"
            " (id, order_id, collection_id, record, reason, hold_id, held_at, alarm_at)"
            " VALUES (:id, :o, :id, :record, 'unknown_order', :hold, {now}, {now})"
            " ON CONFLICT (id) DO NOTHING RETURNING id"
        ),
        {"id": stray_id, "o": order_id, "record": record, "hold": hold_id},
    )
    if hint is not None:
        yield from drop(hint, "held: unknown_order")
    return bool(rows)


@frozen
class HeldStray:
    """A row of the strays' table that is held."""

    id: str
    order_id: str | None
    record: str
    hold_id: str
    held_at: int
    alarm_tries: int


_STRAY: Final = "id, order_id, record, hold_id, held_at, alarm_tries"


def claim_stray_alarms(limit: int, lease: int) -> Steps[list[HeldStray]]:
    """Claim payments that belong to no order and whose alarm is due."""
    rows = yield (
        (
            "WITH due AS MATERIALIZED (SELECT id FROM paycollect_stray"
            " WHERE alarm_at IS NOT NULL AND alarm_at <= {now} ORDER BY alarm_at LIMIT :n {skip})"
            " UPDATE paycollect_stray SET alarm_tries = alarm_tries + 1, alarm_at = {now} + :lease"
            f" WHERE id IN (SELECT id FROM due) RETURNING {_STRAY}"
        ),
        {"n": limit, "lease": lease},
    )
    strays = [HeldStray(*row) for row in rows]  # type: ignore[arg-type]  # by schema
    return sorted(strays, key=lambda stray: (stray.held_at, stray.id))


def stray_alarmed(stray_id: str, hold_id: str, wait: int | None) -> Steps[None]:
    """Note that a person was told, or that telling them is to be tried again."""
    yield (
        (
            "UPDATE paycollect_stray SET alarm_at = CASE WHEN :again = 1 THEN {now} + :wait END"
            " WHERE id = :id AND hold_id = :hold AND alarm_at IS NOT NULL"
        ),
        {"id": stray_id, "hold": hold_id, "again": int(wait is not None), "wait": wait or 0},
    )


def held_strays() -> Steps[list[HeldStray]]:
    """List the payments that belong to no order and wait for a person."""
    rows = yield (
        f"SELECT {_STRAY} FROM paycollect_stray WHERE held_at IS NOT NULL ORDER BY held_at, id",
        {},
    )
    return [HeldStray(*row) for row in rows]  # type: ignore[arg-type]  # by schema


def settle_stray(stray_id: str, hold_id: str, note: str) -> Steps[bool]:
    """Settle a held payment, if it is still the same hold."""
    rows = yield (
        (
            "UPDATE paycollect_stray SET held_at = NULL, alarm_at = NULL, note = :note"
            " WHERE id = :id AND hold_id = :hold AND held_at IS NOT NULL RETURNING id"
        ),
        {"id": stray_id, "hold": hold_id, "note": note},
    )
    return bool(rows)
