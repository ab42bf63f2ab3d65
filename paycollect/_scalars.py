"""Single JSON values to Python values: money, instants, texts.

The law of this room: a value is exactly what was written, or it is refused; nothing is rounded,
cut or guessed. Each function raises ValueError with a sentence that does not show the value, as
that may be personal data.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

# Far beyond any amount of money, and far below what makes Decimal arithmetic slow.
_MOST_DIGITS: Final = 40
_LARGEST_EXPONENT: Final = 24
_PLAIN_NUMBER: Final = re.compile(r"-?[0-9]{1,30}(?:\.[0-9]{1,18})?", re.ASCII)


def money(value: object) -> Decimal:
    """Read an amount: a JSON number, or a plain decimal text as on the provider's older pages.

    JSON must have been read with `parse_float=Decimal`; a float is refused, as is a bool.
    """
    if type(value) is Decimal:
        number = value
    elif type(value) is int:
        number = Decimal(value)
    elif type(value) is str and _PLAIN_NUMBER.fullmatch(value):
        return Decimal(value)
    else:
        raise ValueError("expected a number")
    _, digits, exponent = number.as_tuple()
    if (
        not isinstance(exponent, int)  # NaN and infinities carry a letter instead
        or abs(exponent) > _LARGEST_EXPONENT
        or len(digits) > _MOST_DIGITS
    ):
        raise ValueError("a number out of all proportion")
    return number


def instant(value: object) -> datetime:
    """Read an ISO 8601 instant, as an aware datetime in UTC.

    The provider writes "+00:00" on some pages and "Z" on others; a text without a zone is read as
    UTC, which is the only zone that its pages show.
    """
    if type(value) is not str or len(value) < len("2026-01-08T11:30"):
        raise ValueError("expected an ISO 8601 instant")
    try:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is UTC:
            return moment
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("expected an ISO 8601 instant") from None


def text(value: object) -> str:
    """Read a text: only a JSON string will do."""
    if type(value) is not str:
        raise ValueError("expected a text")
    return value
