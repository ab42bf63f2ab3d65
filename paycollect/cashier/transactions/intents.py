"""Reading an order, and its way from intent to checkout."""

# ruff: noqa: S608 - statements are put together of constants only; values are parameters

from __future__ import annotations

import secrets
from typing import Final, cast

from paycollect.cashier.orders import GRACE, HOUR, MINUTE, Order, order_of
from paycollect.cashier.store import Args, Steps
from paycollect.cashier.transactions.lines import ALL, tell

FIRST_LOOK: Final = 2 * MINUTE
"""When to look for the checkout of a create whose answer never came."""


def now() -> Steps[int]:
    """Tell the time that the store goes by."""
    rows = yield "SELECT {now}", {}
    return cast("int", rows[0][0])


def read(order_id: str) -> Steps[Order | None]:
    """Read an order."""
    rows = yield f"SELECT {ALL} FROM paycollect_order WHERE order_id = :o", {"o": order_id}
    return order_of(rows[0]) if rows else None


def read_by_collection(collection_id: str) -> Steps[tuple[Order, int] | None]:
    """Read the order of a collection, and the time."""
    rows = yield (
        f"SELECT {ALL}, {{now}} FROM paycollect_order WHERE collection_id = :c",
        {"c": collection_id},
    )
    return (order_of(rows[0][:-1]), cast("int", rows[0][-1])) if rows else None


def intend(order_id: str, amount: str, currency: str, request: str) -> Steps[Order]:
    """Write the intent, unless there is one; give the row, whoever wrote it."""
    rows = yield (
        (
            "INSERT INTO paycollect_order"
            " (order_id, state, amount, currency, nonce, request, created_at, due_at)"
            " VALUES (:o, 'intended', :amount, :currency, :nonce, :request, {now}, {now} + :wait)"
            f" ON CONFLICT (order_id) DO NOTHING RETURNING {ALL}"
        ),
        {
            "o": order_id,
            "amount": amount,
            "currency": currency,
            "nonce": secrets.token_hex(16),
            "request": request,
            "wait": HOUR + GRACE,
        },
    )
    if rows:
        yield tell(order_id, "intended", f"{amount} {currency}")
        return order_of(rows[0])
    found = yield from read(order_id)
    if found is None:  # pragma: no cover  # only where another transaction deletes orders
        raise LookupError(order_id)
    return found


def sending(order_id: str) -> Steps[Order | None]:
    """Note that a create is about to be sent; None where none must be sent any more.

    It takes the lease from a worker that has looked for an earlier send in vain, and would close
    the order now.
    """
    rows = yield (
        (
            "UPDATE paycollect_order SET first_sent_at = COALESCE(first_sent_at, {now}),"
            " lease = NULL, lease_until = NULL,"
            " last_sent_at = {now}, missing_at = NULL, cursor = 0, due_at = {now} + :wait"
            " WHERE order_id = :o AND state = 'intended' AND gave_up_at IS NULL"
            f" RETURNING {ALL}"
        ),
        {"o": order_id, "wait": FIRST_LOOK},
    )
    return order_of(rows[0]) if rows else None


def refused(order_id: str, error: str) -> Steps[None]:
    """Note why the last create came to nothing."""
    yield (
        (
            "UPDATE paycollect_order SET last_error = :error"
            " WHERE order_id = :o AND state = 'intended' RETURNING order_id"
        ),
        {"o": order_id, "error": error},
    )


def opened(order_id: str, collection_id: str, checkout: str, life: int) -> Steps[Order | None]:
    """Store the checkout of an order; an order that was closed meanwhile stays closed."""
    args: Args = {
        "o": order_id,
        "c": collection_id,
        "checkout": checkout,
        "life": life,
        "grace": GRACE,
    }
    rows = yield (
        (
            "UPDATE paycollect_order SET state = 'open', collection_id = :c, checkout = :checkout,"
            " opened_at = {now}, ends_at = {now} + :life, checks = 0, last_error = '',"
            " due_at = {now} + CASE WHEN gave_up_at IS NULL THEN :life + :grace ELSE 0 END"
            f" WHERE order_id = :o AND state = 'intended' RETURNING {ALL}"
        ),
        args,
    )
    if rows:
        yield tell(order_id, "open", collection_id)
        return order_of(rows[0])
    yield (
        (
            "UPDATE paycollect_order SET collection_id = :c, due_at = {now} + :wait"
            " WHERE order_id = :o AND state = 'closed' AND collection_id IS NULL RETURNING order_id"
        ),
        {"o": order_id, "c": collection_id, "wait": HOUR},
    )
    # A checkout that the worker found by its order id lacks the address until somebody asks for it.
    yield (
        (
            "UPDATE paycollect_order SET checkout = :checkout"
            " WHERE order_id = :o AND collection_id = :c AND checkout = '' RETURNING order_id"
        ),
        {"o": order_id, "c": collection_id, "checkout": checkout},
    )
    return (yield from read(order_id))


def give_up(order_id: str, by: str = "") -> Steps[Order | None]:
    """Note that the merchant no longer wants to be paid for an order."""
    rows = yield (
        (
            "UPDATE paycollect_order SET gave_up_at = {now}, due_at = {now}"
            " WHERE order_id = :o AND gave_up_at IS NULL AND state IN ('intended', 'open')"
            f" RETURNING {ALL}"
        ),
        {"o": order_id},
    )
    if rows:
        yield tell(order_id, "given up", by=by)
        return order_of(rows[0])
    return (yield from read(order_id))
