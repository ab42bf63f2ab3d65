"""What a person asks and decides: what is held, what happened to an order, what may be deleted."""

# ruff: noqa: S608 - statements are put together of constants only; values are parameters

from __future__ import annotations

from typing import Final, cast

from attrs import frozen

from paycollect.cashier.orders import DAY, Order, order_of
from paycollect.cashier.store import Args, Row, Steps
from paycollect.cashier.transactions.lines import ALL, tell

_FREE_OF_WORK: Final = (
    "state IN ('fulfilled', 'closed', 'partially_refunded', 'refunded')"
    " AND due_at IS NULL AND after_at IS NULL AND held_at IS NULL"
)


def held_orders() -> Steps[list[Order]]:
    """List the orders that wait for a person, the longest first."""
    rows = yield (
        f"SELECT {ALL} FROM paycollect_order WHERE held_at IS NOT NULL ORDER BY held_at, order_id",
        {},
    )
    return [order_of(row) for row in rows]


def orders(state: str, limit: int) -> Steps[list[Order]]:
    """List the orders in a state, newest first."""
    rows = yield (
        (
            f"SELECT {ALL} FROM paycollect_order WHERE state = :state"
            " ORDER BY created_at DESC, order_id LIMIT :n"
        ),
        {"state": state, "n": limit},
    )
    return [order_of(row) for row in rows]


def release(
    order_id: str, hold_id: str, *, judged: str, revive: int, after: int, what: str, by: str
) -> Steps[bool]:
    """Settle a hold if it is still the same one, and have the order checked again."""
    rows = yield (
        (
            "UPDATE paycollect_order SET held_reason = '', held_at = NULL, alarm_at = NULL,"
            " hold_id = '', deliveries = 0, checks = 0, judged = :judged, lease = NULL,"
            " lease_until = NULL, due_at = {now}, asked_at = NULL,"
            " state = CASE WHEN :revive = 1 THEN 'paid' ELSE state END,"
            " after_at = CASE WHEN :after = 1 THEN {now} ELSE after_at END, after_tries = 0"
            " WHERE order_id = :o AND hold_id = :hold AND held_at IS NOT NULL RETURNING order_id"
        ),
        {"o": order_id, "hold": hold_id, "judged": judged, "revive": revive, "after": after},
    )
    if rows:
        yield tell(order_id, what, by=by)
    return bool(rows)


def dismiss(order_id: str, hold_id: str, *, judged: str, note: str, by: str) -> Steps[bool]:
    """Settle a hold without a delivery; what is not over yet is closed at its next look."""
    rows = yield (
        (
            "UPDATE paycollect_order SET held_reason = '', held_at = NULL, alarm_at = NULL,"
            " hold_id = '', judged = :judged, lease = NULL, lease_until = NULL,"
            " due_at = CASE WHEN state IN ('open', 'paid') THEN {now} END"
            " WHERE order_id = :o AND hold_id = :hold AND held_at IS NOT NULL RETURNING order_id"
        ),
        {"o": order_id, "hold": hold_id, "judged": judged},
    )
    if rows:
        yield tell(order_id, "dismissed", note, by)
    return bool(rows)


def attribute(collection_id: str, order_id: str, by: str) -> Steps[str]:
    """Give a collection to an order, by a person's word; says what stands against it."""
    rows = yield (
        "SELECT order_id FROM paycollect_order WHERE collection_id = :c AND order_id <> :o",
        {"c": collection_id, "o": order_id},
    )
    if rows:
        return "taken"
    rows = yield "SELECT state FROM paycollect_order WHERE order_id = :o", {"o": order_id}
    if not rows:
        return "unknown"
    rows = yield (
        (
            "UPDATE paycollect_order SET collection_id = :c, attributed = :c, due_at = {now},"
            " opened_at = COALESCE(opened_at, {now}), ends_at = COALESCE(ends_at, {now}),"
            " asked_at = NULL, state = CASE WHEN state = 'intended' THEN 'open' ELSE state END"
            " WHERE order_id = :o AND held_at IS NULL AND state IN ('intended', 'open', 'closed')"
            " RETURNING order_id"
        ),
        {"c": collection_id, "o": order_id},
    )
    if not rows:
        return "over"
    yield tell(order_id, "attributed", collection_id, by)
    yield (
        "UPDATE paycollect_stray SET held_at = NULL, alarm_at = NULL, note = :note WHERE id = :c",
        {"c": collection_id, "note": f"attributed to {order_id}"},
    )
    return ""


def call_again(order_id: str) -> Steps[bool]:
    """Have `after_paid` called again for a delivered order."""
    rows = yield (
        (
            "UPDATE paycollect_order SET after_at = {now}, after_tries = 0"
            " WHERE order_id = :o AND fulfilled_at IS NOT NULL RETURNING order_id"
        ),
        {"o": order_id},
    )
    if rows:
        yield tell(order_id, "after_paid again")
    return bool(rows)


@frozen(kw_only=True)
class Line:
    """A line of an order's timeline; `at` in milliseconds since 1970."""

    at: int
    what: str
    detail: str
    by: str


def timeline(order_id: str) -> Steps[list[Line] | None]:
    """List what happened to an order, its webhooks among it; None where there is none."""
    rows = yield (
        "SELECT seen, same, asked_at FROM paycollect_order WHERE order_id = :o",
        {"o": order_id},
    )
    if not rows:
        return None
    seen, same, asked_at = rows[0]
    written = yield (
        (
            "SELECT at, what, detail, done_by FROM paycollect_timeline WHERE order_id = :o"
            " ORDER BY at, id"
        ),
        {"o": order_id},
    )
    letters = yield (
        (
            "SELECT received_at, status, outcome FROM paycollect_inbox"
            " WHERE order_id = :o ORDER BY received_at, id"
        ),
        {"o": order_id},
    )
    lines = [_line(*row) for row in written]
    lines += [
        _line(at, "webhook", f"{status} {outcome}".strip(), "") for at, status, outcome in letters
    ]
    if cast("int", same) > 1:
        lines.append(_line(asked_at, "seen", f"{seen}, {same} times", ""))
    return sorted(lines, key=lambda line: line.at)


def _line(at: object, what: object, detail: object, by: object) -> Line:
    return Line(at=cast("int", at), what=str(what), detail=str(detail), by=str(by))


@frozen(kw_only=True)
class Figures:
    """What `stats` is made of."""

    now: int
    open: int
    held: int
    mismatches: int
    webhooks_due: int
    after_due: int
    oldest: int | None
    found: dict[str, int]
    lag: int | None


def figures() -> Steps[Figures]:
    """Count what is live; what is finished is not looked at, however much there is."""
    now = yield "SELECT {now}", {}
    opened = yield "SELECT COUNT(*) FROM paycollect_order WHERE state = 'open'", {}
    held = yield (
        (
            "SELECT COUNT(*), SUM(CASE WHEN held_reason LIKE '%mismatch' THEN 1 ELSE 0 END)"
            " FROM paycollect_order WHERE held_at IS NOT NULL"
        ),
        {},
    )
    strays = yield "SELECT COUNT(*) FROM paycollect_stray WHERE held_at IS NOT NULL", {}
    inbox = yield (
        "SELECT COUNT(*), MIN(received_at) FROM paycollect_inbox WHERE due_at IS NOT NULL",
        {},
    )
    paid = yield (
        "SELECT MIN(paid_at) FROM paycollect_order WHERE due_at IS NOT NULL AND state = 'paid'",
        {},
    )
    after = yield (
        "SELECT COUNT(*), MIN(fulfilled_at) FROM paycollect_order WHERE after_at IS NOT NULL",
        {},
    )
    found = yield (
        (
            "SELECT detail, COUNT(*) FROM paycollect_timeline"
            " WHERE at > {now} - :day AND what = 'paid' GROUP BY detail ORDER BY detail"
        ),
        {"day": DAY},
    )
    lag = yield (
        (
            "SELECT SUM(received_at - occurred_at), COUNT(*) FROM paycollect_inbox"
            " WHERE handled_at > {now} - :day AND occurred_at IS NOT NULL"
        ),
        {"day": DAY},
    )
    ages = [row[0][-1] for row in (inbox, paid, after)]
    oldest = [cast("int", age) for age in ages if age is not None]
    total, count = (int(str(value or 0)) for value in lag[0])
    return Figures(
        now=_int(now[0][0]),
        open=_int(opened[0][0]),
        held=_int(held[0][0]) + _int(strays[0][0]),
        mismatches=_int(held[0][1]),
        webhooks_due=_int(inbox[0][0]),
        after_due=_int(after[0][0]),
        oldest=min(oldest, default=None),
        found={str(detail): _int(number) for detail, number in found},
        lag=total // count if count else None,
    )


def _int(value: object) -> int:
    """Read a sum: PostgreSQL gives a Decimal for one of BIGINTs, and NULL for one of nothing."""
    return int(str(value or 0))


def prune_inbox(age: int, limit: int) -> Steps[int]:
    """Delete webhooks that were handled long ago."""
    args: Args = {"age": age, "n": limit}
    rows: list[Row] = yield (
        (
            "DELETE FROM paycollect_inbox WHERE id IN (SELECT id FROM paycollect_inbox"
            " WHERE handled_at IS NOT NULL AND handled_at < {now} - :age LIMIT :n) RETURNING id"
        ),
        args,
    )
    return len(rows)


def prune_timeline(age: int, limit: int) -> Steps[int]:
    """Delete old lines about orders that nothing is to be done about."""
    args: Args = {"age": age, "n": limit}
    rows: list[Row] = yield (
        (
            "DELETE FROM paycollect_timeline WHERE id IN (SELECT id FROM paycollect_timeline"
            " WHERE at < {now} - :age AND order_id IN (SELECT order_id FROM paycollect_order"
            f" WHERE paycollect_order.order_id = paycollect_timeline.order_id AND {_FREE_OF_WORK})"
            " LIMIT :n) RETURNING id"
        ),
        args,
    )
    return len(rows)
