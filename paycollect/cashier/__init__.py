"""From order to delivery, exactly once, whatever crashes.

    cashier                what a merchant uses; checkouts, letters, worker, sweep are its parts
    steps                  the one way that webhook, return page, sweep and replay all go
    orders, schema         the life of an order as values and decisions; the tables, as data
    transactions, store    the statements, once for all databases; what a store must offer
    sqlite                 the store for one SQLite file
    sqlalchemy             the store for many machines: PostgreSQL through SQLAlchemy
    django                 the store, and the app, for Django

It may import the session and what lies below it, and no database driver but the one that a store
is for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from paycollect.cashier.cashier import Cashier
from paycollect.cashier.desk import Entry, Pruned, Stats
from paycollect.cashier.errors import (
    BrokenHandlerError,
    CashierError,
    HoldChangedError,
    OrderClosedError,
    OrderConflictError,
    StoreError,
    StoreVersionError,
    UnknownOrderError,
)
from paycollect.cashier.handlers import Handlers
from paycollect.cashier.orders import HeldReason, OrderState
from paycollect.cashier.sqlite import SqliteStore
from paycollect.cashier.values import (
    Closed,
    Done,
    Held,
    Payment,
    Refunded,
    Returned,
    Standing,
)
from paycollect.web import Answer

if TYPE_CHECKING:
    from paycollect.cashier.django.store import DjangoStore
    from paycollect.cashier.sqlalchemy import SqlAlchemyStore

__all__ = [
    "Answer",
    "BrokenHandlerError",
    "Cashier",
    "CashierError",
    "Closed",
    "DjangoStore",
    "Done",
    "Entry",
    "Handlers",
    "Held",
    "HeldReason",
    "HoldChangedError",
    "OrderClosedError",
    "OrderConflictError",
    "OrderState",
    "Payment",
    "Pruned",
    "Refunded",
    "Returned",
    "SqlAlchemyStore",
    "SqliteStore",
    "Standing",
    "Stats",
    "StoreError",
    "StoreVersionError",
    "UnknownOrderError",
]

_NEEDS_AN_EXTRA = {"DjangoStore": "django.store", "SqlAlchemyStore": "sqlalchemy"}


def __getattr__(name: str) -> object:
    if name not in _NEEDS_AN_EXTRA:
        raise AttributeError(f"module 'paycollect.cashier' has no attribute {name!r}")
    return getattr(import_module(f"paycollect.cashier.{_NEEDS_AN_EXTRA[name]}"), name)
