"""Looking an order up by its order id, over several passes where one does not suffice."""

from __future__ import annotations

from paycollect.cashier.orders import Order
from paycollect.cashier.store import Steps
from paycollect.cashier.transactions.claims import Claimed


def looked(
    claimed: Claimed, *, cursor: int, missing: int, wait: int, error: str = ""
) -> Steps[None]:
    """Give an order back that was not found: in all pages (`missing` is 1), or in those so far."""
    order: Order = claimed.order
    yield (
        (
            "UPDATE paycollect_order SET lease = NULL, lease_until = NULL, cursor = :cursor,"
            " missing_at = CASE WHEN :missing = 1 THEN COALESCE(missing_at, {now})"
            " ELSE missing_at END,"
            " due_at = CASE WHEN due_at = :claimed THEN {now} + :wait ELSE due_at END,"
            " last_error = CASE WHEN :error = '' THEN last_error ELSE CAST(:error AS TEXT) END"
            " WHERE order_id = :o AND lease = :token"
        ),
        {
            "o": order.order_id,
            "token": claimed.token,
            "claimed": order.due_at,
            "cursor": cursor,
            "missing": missing,
            "wait": wait,
            "error": error,
        },
    )
