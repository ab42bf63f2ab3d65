"""Single JSON values to Python values: money, instants, texts.

The law of this room: a value is exactly what was written, or it is refused; nothing is rounded,
cut or guessed. Each function raises ValueError with a sentence that does not show the value, as
that may be personal data. (The second argument is the type, which a converter passes along.)
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

# Far beyond any amount of money, and far below what makes Decimal arithmetic slow.
_LONGEST: Final = 40
_LARGEST_EXPONENT: Final = 24
_LARGEST: Final = 10**_LARGEST_EXPONENT
_PLAIN_NUMBER: Final = re.compile(r"-?[0-9]{1,30}(?:\.[0-9]{1,18})?", re.ASCII)


def money(value: object, _: object = None) -> Decimal:
    """Read an amount: a JSON number, or a plain decimal text as on the provider's older pages.

    JSON must have been read with `parse_float=Decimal`; a float is refused, as is a bool.
    """
    if type(value) is int:
        if -_LARGEST < value < _LARGEST:
            return Decimal(value)
        raise ValueError("a number out of all proportion")
    if type(value) is Decimal:
        number = value
    elif type(value) is str and _PLAIN_NUMBER.fullmatch(value):
        return Decimal(value)
    else:
        raise ValueError("expected a number")
    # A short text can still be 1E-999999, hence the second look.
    if (
        len(str(number)) > _LONGEST
        or not number.is_finite()
        or not -_LARGEST_EXPONENT <= number.adjusted() <= _LARGEST_EXPONENT
    ):
        raise ValueError("a number out of all proportion")
    return number


def instant(value: object, _: object = None) -> datetime:
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


def text(value: object, _: object = None) -> str:
    """Read a text: only a JSON string will do."""
    if type(value) is not str:
        raise ValueError("expected a text")
    return value
