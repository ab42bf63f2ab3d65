"""What must hold at the end, whatever crashed: the promise, sentence by sentence."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from paycollect.cashier.handlers import TRANSACTIONAL
from paycollect.crash.life import Memory, Row
from paycollect.crash.world import Outside, Shop

_ORDER: Final = {
    "intended": 0,
    "open": 1,
    "paid": 2,
    "closed": 3,
    "fulfilled": 3,
    "partially_refunded": 4,
    "refunded": 4,
}
_DELIVERED: Final = ("fulfilled", "partially_refunded", "refunded")
_FINAL: Final = (*_DELIVERED, "closed")
_RIGHT_HOLDS: Final = ("too_late", "refunded_before_delivery")
"""Holds that a crash test can lead to without anybody's mistake."""


def went_back(before: Iterable[Row], after: Iterable[Row]) -> list[str]:
    """Say which orders went back in their life."""
    states = {row.order_id: row.state for row in before}
    found = []
    for row in after:
        was = states.pop(row.order_id, row.state)
        if was != row.state and _ORDER[row.state] <= _ORDER[was]:
            found.append(f"{row.order_id} went back from {was} to {row.state}")
    return found + [f"{order_id} has vanished from the store" for order_id in states]


async def _number(count: Callable[[str], int | Awaitable[int]] | None, order_id: str) -> int | None:
    if count is None:
        return None
    told = count(order_id)
    return await told if inspect.isawaitable(told) else told


async def broken_promises(
    shop: Shop,
    outside: Outside,
    memory: Memory,
    *,
    rows: Iterable[Row],
    waiting: int,
    orders: Iterable[str],
) -> list[str]:
    """Say which promises are broken, in words; none if all is well."""
    handlers = shop.cashier.handlers
    by_id = {row.order_id: row for row in rows}
    found = []
    for order_id in orders:
        row = by_id.get(order_id)
        statuses = outside.statuses(order_id)
        delivered = await _number(shop.delivered, order_id) or 0
        found += _deliveries(order_id, row, statuses, delivered)
        if row is not None:
            found += _undone(row)
            found += _held(row, memory, has_alarm=handlers.has("on_held"))
            if handlers.has("after_paid") and _lacks_after_paid(row, memory):
                found.append(f"{order_id} was delivered, and after_paid was never called")
            gave_back = await _number(shop.gave_back, order_id)
            if gave_back not in (None, int(row.state == "closed")):
                found.append(f"{order_id} is {row.state}, and on_closed has worked {gave_back} x")
            took_back = await _number(shop.took_back, order_id)
            if took_back not in (None, int("refunded" in row.state)):
                found.append(f"{order_id} is {row.state}, and on_refunded has worked {took_back} x")
    if waiting:
        found.append(f"{waiting} webhooks were never handled")
    found += [
        f"after_paid was called for {order_id} with {len(keys)} keys"
        for order_id, keys in memory.keys.items()
        if len(keys) > 1
    ]
    found += [
        f"{kind} has caught the death of its process and gone on: `except BaseException` and bare"
        " `except:` must not be in a handler"
        for kind in sorted(memory.swallowed)
    ]
    return found + _outside_effects(outside)


def _deliveries(order_id: str, row: Row | None, statuses: list[str], delivered: int) -> list[str]:
    found = []
    if "COMPLETED" not in statuses:
        if delivered:
            found.append(f"{order_id} was not paid, and delivered {delivered} x")
    elif delivered > 1:
        found.append(f"{order_id} was paid once, and delivered {delivered} x")
    elif row is None:
        found.append(f"{order_id} was paid, and is not in the store")
    elif delivered and row.state not in _DELIVERED:
        found.append(f"{order_id} was delivered, and is {row.state} in the store")
    elif not delivered and row.state in _DELIVERED:
        found.append(f"{order_id} was paid and is marked as {row.state}, but was never delivered")
    elif not delivered and not row.held_reason and row.closed_why != "refunded":
        found.append(f"{order_id} was paid, and neither delivered nor held: {row}")
    return found


def _undone(row: Row) -> list[str]:
    if row.state not in _FINAL and not row.held_reason:
        return [f"{row.order_id} was left {row} after the last start and a day of sweeps"]
    if row.after_at is not None:
        return [f"{row.order_id}: after_paid was never done"]
    return []


def _lacks_after_paid(row: Row, memory: Memory) -> bool:
    return row.state in _DELIVERED and not row.held_reason and row.order_id not in memory.keys


def _held(row: Row, memory: Memory, *, has_alarm: bool) -> list[str]:
    if not row.held_reason:
        return []
    if row.held_reason not in _RIGHT_HOLDS:
        return [f"{row.order_id} is held ({row.held_reason}), though only processes have crashed"]
    if has_alarm and (row.hold_id not in memory.alarms or row.alarm_at is not None):
        return [f"{row.order_id} is held ({row.held_reason}), and nobody was told"]
    return []


def _outside_effects(outside: Outside) -> list[str]:
    counts: dict[tuple[str, str, str], int] = {}
    for effect in outside.effects:
        if effect.handler in TRANSACTIONAL:
            place = effect.handler, effect.what, effect.key
            counts[place] = counts.get(place, 0) + 1
    return [
        f"{handler} has done {what!r} ({key}) {count} x: no rollback takes back what happens"
        " outside of the database; do it in after_paid, with payment.key"
        for (handler, what, key), count in counts.items()
        if count > 1
    ]
