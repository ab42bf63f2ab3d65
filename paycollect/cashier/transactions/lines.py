"""What several transactions share: a line of the timeline, webhooks that are handled."""

from __future__ import annotations

import itertools
import secrets
from typing import Final

from paycollect.cashier.orders import ORDER_COLUMNS
from paycollect.cashier.store import Args

ALL: Final = ", ".join(ORDER_COLUMNS)
"""The columns that `order_of` reads."""

_numbers = itertools.count()


def _entry(what: str, detail: str = "", by: str = "") -> dict[str, str | int | None]:
    """Give the parameters of a line in the timeline; ids sort as the lines were written."""
    entry_id = f"{next(_numbers):012x}{secrets.token_hex(6)}"
    return {"entry": entry_id, "what": what, "detail": detail, "by": by}


def tell(order_id: str, what: str, detail: str = "", by: str = "") -> tuple[str, Args]:
    """Write a line of the timeline."""
    return (
        (
            "INSERT INTO paycollect_timeline (id, order_id, at, what, detail, done_by)"
            " VALUES (:entry, :order_id, {now}, :what, :detail, :by)"
        ),
        {"order_id": order_id, **_entry(what, detail, by)},
    )


def tell_if(order_id: str, state: str, what: str, detail: str) -> tuple[str, Args]:
    """Write a line of the timeline if the state is still what this transaction has made it.

    Threat: the handler has ended the transaction, and with it our mark.
    """
    return (
        (
            "INSERT INTO paycollect_timeline (id, order_id, at, what, detail, done_by)"
            " SELECT CAST(:entry AS TEXT), order_id, {now}, CAST(:what AS TEXT),"
            " CAST(:detail AS TEXT), CAST(:by AS TEXT)"
            " FROM paycollect_order WHERE order_id = :order_id AND state = :state RETURNING id"
        ),
        {"order_id": order_id, "state": state, **_entry(what, detail)},
    )
