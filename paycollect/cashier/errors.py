"""What the cashier raises, beside the errors of `SessionManager`.

    CashierError                base
    |-- StoreError              the store could not do it: is_retryable
    |   |-- StoreVersionError   its tables are of a version that this release cannot work with
    |   `-- BrokenHandlerError  a handler ended the transaction that it runs in
    |-- OrderConflictError      the order was intended before, with another amount or currency
    |-- OrderClosedError        the order is over: no checkout can be made for it any more
    |-- UnknownOrderError       the store has no such order, or nothing held of that name
    `-- HoldChangedError        what was decided on is not held any more, or held anew

Invariants: as in `paycollect.errors`, no text shows personal data or a secret.
"""

from __future__ import annotations

from paycollect.errors import Outcome, PayCollectError


class CashierError(PayCollectError):
    """Base of what only the cashier raises."""

    outcome = Outcome.NOT_SENT


class StoreError(CashierError):
    """The store could not do what it was asked; what was under way is rolled back.

    Where `outcome` is UNKNOWN the connection was lost at a commit: it may have been done.
    """

    is_retryable = True


class StoreVersionError(StoreError):
    """The tables are of a version that this release of the SDK cannot work with."""

    is_retryable = False


class BrokenHandlerError(StoreError):
    """A handler committed, rolled back or otherwise ended the transaction that it runs in."""

    is_retryable = False


class OrderConflictError(CashierError, ValueError):
    """The order was intended before, with another amount or currency. Use another order id."""


class OrderClosedError(CashierError):
    """The order is over: it was given up, or its checkout has ended. Use another order id."""


class UnknownOrderError(CashierError, LookupError):
    """The store has no such order, or nothing that is held under this name."""


class HoldChangedError(CashierError):
    """The hold was decided on by somebody else, or is a new one: look at `held()` again."""
