"""States of payments and refunds: open enums.

Invariants: a value that the provider adds tomorrow must not break a service today, and a
value that strangers put into a URL must not be remembered.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Self


class _OpenEnum(StrEnum):
    """A string enum that answers an unknown text with a member of its own, made for the occasion.

    Such a pseudo-member equals its text, survives pickling and copying, and is stored nowhere.
    Anything but a string is refused with ValueError.
    """

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, str):
            return None
        member = str.__new__(cls, value)
        member._name_ = member._value_ = str(value)
        return member

    @property
    def is_known(self) -> bool:
        """Whether this release of the SDK knows the value."""
        return self._value_ in type(self)._value2member_map_


class PaymentStatus(_OpenEnum):
    """State of a checkout ("collection").

    PENDING, COMPLETED, FAILED, CANCELLED and EXPIRED are the states of a checkout; REFUNDED and
    PARTIALLY_REFUNDED follow a refund (provider docs: collections, "status values"; no page lists
    all of them, and an expired session is EXPIRED on some pages and FAILED on others).

    >>> PaymentStatus("COMPLETED") is PaymentStatus.COMPLETED
    True
    >>> PaymentStatus("ON_HOLD").is_known, PaymentStatus("ON_HOLD") == "ON_HOLD"
    (False, True)
    """

    PENDING = "PENDING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"
    REFUNDED = "REFUNDED"
    PARTIALLY_REFUNDED = "PARTIALLY_REFUNDED"

    @property
    def is_final(self) -> bool:
        """Whether the customer can no longer pay; False for a value that the SDK does not know."""
        return self.is_known and self is not PaymentStatus.PENDING


class RefundStatus(_OpenEnum):
    """State of a refund (provider docs: refunds/list)."""

    PENDING = "PENDING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"

    @property
    def is_final(self) -> bool:
        """Whether the refund will not change any more; False for an unknown value."""
        return self.is_known and self is not RefundStatus.PENDING
