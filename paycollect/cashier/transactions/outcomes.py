"""What a claimed order becomes."""

# ruff: noqa: S608 - statements are put together of constants only; values are parameters

from __future__ import annotations

from collections.abc import Iterable

from paycollect.cashier.errors import BrokenHandlerError
from paycollect.cashier.orders import HOUR, Order, order_of
from paycollect.cashier.store import HANDLER, Args, Steps
from paycollect.cashier.transactions.claims import Claimed, Hint
from paycollect.cashier.transactions.lines import ALL, tell, tell_if


def _handled(hints: Iterable[Hint], outcome: str) -> Iterable[tuple[str, Args]]:
    for hint in hints:
        yield (
            (
                "UPDATE paycollect_inbox SET due_at = NULL, handled_at = {now}, outcome = :outcome"
                " WHERE id = :id AND handled_at IS NULL"
            ),
            {"id": hint.id, "outcome": outcome},
        )


def rest(
    claimed: Claimed, *, due_at: int | None, seen: str, news: bool, stale_after: int | None
) -> Steps[bool]:
    """Give a claimed order back as it was; its webhooks are handled, or put off as stale.

    A wake-up that was written meanwhile stays: the due time is only replaced if it is the claim's.
    """
    order = claimed.order
    rows = yield (
        (
            "UPDATE paycollect_order SET lease = NULL, lease_until = NULL, asked_at = {now},"
            " due_at = CASE WHEN due_at = :claimed THEN :due ELSE due_at END,"
            " seen = :seen, same = :same, checks = :checks, last_error = ''"
            " WHERE order_id = :o AND lease = :token RETURNING order_id"
        ),
        {
            "o": order.order_id,
            "token": claimed.token,
            "claimed": order.due_at,
            "due": due_at,
            "seen": seen,
            "same": 1 if news else order.same + 1,
            "checks": 0 if news else order.checks,
        },
    )
    if rows and news:
        yield tell(order.order_id, "seen", seen)
    if stale_after is None:
        yield from _handled(claimed.hints, "nothing new")
    else:
        yield from put_off(claimed.hints, stale_after)
    return bool(rows)


def put_off(hints: Iterable[Hint], wait: int) -> Steps[None]:
    """Look at webhooks again later."""
    for hint in hints:
        yield (
            (
                "UPDATE paycollect_inbox SET due_at = {now} + :wait"
                " WHERE id = :id AND handled_at IS NULL"
            ),
            {"id": hint.id, "wait": wait},
        )


def failed(claimed: Claimed, wait: int, error: str) -> Steps[None]:
    """Give a claimed order back after an error, to be tried again; no state changes."""
    order = claimed.order
    yield (
        (
            "UPDATE paycollect_order SET lease = NULL, lease_until = NULL, asked_at = {now},"
            " due_at = CASE WHEN due_at = :claimed THEN {now} + :wait ELSE due_at END,"
            " last_error = :error WHERE order_id = :o AND lease = :token RETURNING order_id"
        ),
        {
            "o": order.order_id,
            "token": claimed.token,
            "claimed": order.due_at,
            "wait": wait,
            "error": error,
        },
    )
    if error != order.last_error:
        yield tell(order.order_id, "not known yet", error)
    yield from put_off(claimed.hints, wait)


def note(
    claimed: Claimed, *, record: str, seen: str, found_by: str, delivers: int, lease: int
) -> Steps[Order | None]:
    """Note that an order is paid, and count the delivery that is about to begin.

    Without a handler to deliver to, it is left for a process that has one.
    """
    order = claimed.order
    rows = yield (
        (
            "UPDATE paycollect_order SET state = 'paid', deliveries = deliveries + :delivers,"
            " lease = CASE WHEN :delivers = 1 THEN lease END,"
            " lease_until = CASE WHEN :delivers = 1 THEN {now} + :lease END,"
            " due_at = CASE WHEN :delivers = 1 THEN {now} + :lease ELSE {now} END,"
            " record = :record, paid_at = COALESCE(paid_at, {now}), asked_at = {now}, seen = :seen,"
            " same = 1, checks = 0, last_error = '',"
            " found_by = CASE WHEN found_by = '' THEN CAST(:found_by AS TEXT) ELSE found_by END"
            " WHERE order_id = :o AND lease = :token AND state IN ('open', 'paid')"
            f" RETURNING {ALL}"
        ),
        {
            "o": order.order_id,
            "token": claimed.token,
            "record": record,
            "seen": seen,
            "found_by": found_by,
            "delivers": delivers,
            "lease": lease,
        },
    )
    if rows and order.state != "paid":
        yield tell(order.order_id, "paid", f"found by the {found_by}")
    if rows and not delivers:
        yield from _handled(claimed.hints, "paid")
    return order_of(rows[0]) if rows else None


def fulfil(claimed: Claimed, after: int) -> Steps[bool]:
    """Mark an order as fulfilled, and let the handler work in the same transaction."""
    order = claimed.order
    rows = yield (
        (
            "UPDATE paycollect_order SET state = 'fulfilled', fulfilled_at = {now}, request = '',"
            " lease = NULL, lease_until = NULL, due_at = NULL, last_error = '',"
            " after_at = CASE WHEN :after = 1 THEN {now} END"
            " WHERE order_id = :o AND lease = :token AND state IN ('open', 'paid')"
            " RETURNING order_id"
        ),
        {"o": order.order_id, "token": claimed.token, "after": after},
    )
    if not rows:
        return False
    yield from _handle(order.order_id, "fulfilled", "fulfilled", f"delivery {order.deliveries}")
    yield from _handled(claimed.hints, "fulfilled")
    return True


def close(claimed: Claimed, why: str, reason: str, hold_id: str) -> Steps[bool]:
    """Close an order, and let the handler give the stock back; with a reason it is held, too."""
    order = claimed.order
    rows = yield (
        (
            "UPDATE paycollect_order SET state = 'closed', closed_at = {now}, closed_why = :why,"
            " request = '', lease = NULL, lease_until = NULL, asked_at = {now}, checks = 0,"
            " due_at = CASE WHEN :again = 1 THEN {now} + :wait END, held_reason = :reason,"
            " hold_id = :hold, held_at = CASE WHEN :held = 1 THEN {now} END,"
            " alarm_at = CASE WHEN :held = 1 THEN {now} END, alarm_tries = 0"
            " WHERE order_id = :o AND lease = :token AND state IN ('intended', 'open', 'paid')"
            " RETURNING order_id"
        ),
        {
            "o": order.order_id,
            "token": claimed.token,
            "why": why,
            "again": int(order.collection_id is not None and why not in ("refunded", "dismissed")),
            "wait": HOUR,
            "reason": reason,
            "held": int(bool(reason)),
            "hold": hold_id,
        },
    )
    if not rows:
        return False
    yield from _handle(order.order_id, "closed", "closed", why)
    if reason:
        yield tell(order.order_id, "held", reason)
    yield from _handled(claimed.hints, "closed")
    return True


def refund(claimed: Claimed, state: str, record: str, amount: str) -> Steps[bool]:
    """Mark a delivered order as refunded, and let the handler work in the same transaction."""
    order = claimed.order
    rows = yield (
        (
            "UPDATE paycollect_order SET state = :state, record = :record, lease = NULL,"
            " lease_until = NULL, asked_at = {now}, due_at = NULL, held_reason = '', hold_id = '',"
            " held_at = NULL, alarm_at = NULL WHERE order_id = :o AND lease = :token"
            " AND state = 'fulfilled' RETURNING order_id"
        ),
        {"o": order.order_id, "token": claimed.token, "state": state, "record": record},
    )
    if not rows:
        return False
    yield from _handle(order.order_id, state, state.replace("_", " "), amount)
    yield from _handled(claimed.hints, state)
    return True


def _handle(order_id: str, state: str, what: str, detail: str) -> Steps[None]:
    yield HANDLER, {}
    rows = yield tell_if(order_id, state, what, detail)
    if not rows:
        raise BrokenHandlerError(
            f"order {order_id}: the handler has ended the transaction that it runs in:"
            " it must neither commit nor roll back, nor write to the cashier's tables"
        )


def hold(
    claimed: Claimed, *, reason: str, hold_id: str, record: str, broken: int, problem: str
) -> Steps[bool]:
    """Hold an order for a person; an alarm is due.

    A handler that has ended its transaction may have taken our lease with it.
    """
    order = claimed.order
    rows = yield (
        (
            "UPDATE paycollect_order SET held_reason = :reason, held_at = {now}, hold_id = :hold,"
            " alarm_at = {now}, alarm_tries = 0, due_at = NULL, lease = NULL, lease_until = NULL,"
            " asked_at = {now}, after_at = NULL, last_error = :problem,"
            " record = CASE WHEN :record = '' THEN record ELSE CAST(:record AS TEXT) END"
            " WHERE order_id = :o AND (lease = :token OR (:broken = 1 AND lease IS NULL))"
            " RETURNING order_id"
        ),
        {
            "o": order.order_id,
            "token": claimed.token,
            "reason": reason,
            "hold": hold_id,
            "record": record,
            "broken": broken,
            "problem": problem,
        },
    )
    if rows:
        yield tell(order.order_id, "held", f"{reason}, {problem}" if problem else reason)
        yield from _handled(claimed.hints, f"held: {reason}")
    return bool(rows)


def done(claimed: Claimed, settles: int) -> Steps[None]:
    """Give a claimed order back that nothing more happens to; settle its hold if asked to."""
    order = claimed.order
    rows = yield (
        (
            "UPDATE paycollect_order SET lease = NULL, lease_until = NULL, asked_at = {now},"
            " due_at = CASE WHEN due_at = :claimed THEN NULL ELSE due_at END,"
            " held_reason = CASE WHEN :settles = 1 THEN '' ELSE held_reason END,"
            " held_at = CASE WHEN :settles = 1 THEN NULL ELSE held_at END,"
            " alarm_at = CASE WHEN :settles = 1 THEN NULL ELSE alarm_at END"
            " WHERE order_id = :o AND lease = :token RETURNING order_id"
        ),
        {
            "o": order.order_id,
            "token": claimed.token,
            "claimed": order.due_at,
            "settles": settles,
        },
    )
    if rows and settles and order.held_reason:
        yield tell(order.order_id, "settled", "refunded")
    yield from _handled(claimed.hints, "nothing to do")


def after_done(claimed: Claimed) -> Steps[None]:
    """Note that the outside effects are done."""
    rows = yield (
        (
            "UPDATE paycollect_order SET after_at = NULL, lease = NULL, lease_until = NULL,"
            " last_error = '' WHERE order_id = :o AND lease = :token RETURNING order_id"
        ),
        {"o": claimed.order.order_id, "token": claimed.token},
    )
    if rows:
        yield tell(claimed.order.order_id, "after_paid", f"call {claimed.order.after_tries}")


def after_failed(claimed: Claimed, wait: int, error: str) -> Steps[None]:
    """Try the outside effects again later."""
    rows = yield (
        (
            "UPDATE paycollect_order SET after_at = {now} + :wait, lease = NULL,"
            " lease_until = NULL, last_error = :error"
            " WHERE order_id = :o AND lease = :token RETURNING order_id"
        ),
        {"o": claimed.order.order_id, "token": claimed.token, "wait": wait, "error": error},
    )
    if rows and error != claimed.order.last_error:
        yield tell(claimed.order.order_id, "after_paid failed", error)


def alarmed(order_id: str, hold_id: str, wait: int | None) -> Steps[None]:
    """Note that a person was told, or that telling them is to be tried again."""
    rows = yield (
        (
            "UPDATE paycollect_order SET alarm_at = CASE WHEN :again = 1 THEN {now} + :wait END"
            " WHERE order_id = :o AND hold_id = :hold AND alarm_at IS NOT NULL RETURNING order_id"
        ),
        {"o": order_id, "hold": hold_id, "again": int(wait is not None), "wait": wait or 0},
    )
    if rows and wait is None:
        yield tell(order_id, "alarmed")
