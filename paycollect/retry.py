"""When to try again, and how long to wait first: decisions only, no waiting.

The provider's rule is exponential backoff from 1 s, cap 30 s, at most 3 retries (provider docs:
errors, "retries"); full jitter is added so that callers do not come back all at once.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, TypeVar

from attrs import Attribute, field, frozen

from paycollect.errors import Outcome, PayCollectError

LONGEST: Final = 10.0**9
_REDIRECTS: Final = range(300, 400)
Number = TypeVar("Number", int, float)


def _not_negative(_: object, attribute: Attribute[Number], value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{attribute.name}: a number is needed")
    if not 0 <= value <= LONGEST:
        raise ValueError(f"{attribute.name}: must be 0 or more, and finite")


def _positive(owner: object, attribute: Attribute[Number], value: object) -> None:
    _not_negative(owner, attribute, value)
    if not value:
        raise ValueError(f"{attribute.name}: must be more than 0")


@frozen(kw_only=True)
class Timeout:
    """Time limits of one attempt, in seconds.

    Attributes:
        connect: until a connection stands.
        read: until the answer begins, and then between two pieces of it. A limit of `connect` or
            more counts together with connecting until the answer begins.
        total: for the attempt as a whole.

    Raises:
        TypeError: a value is not a number.
        ValueError: a value is 0, negative or not finite.

    """

    connect: float = field(default=5.0, validator=_positive)
    read: float = field(default=20.0, validator=_positive)
    total: float = field(default=30.0, validator=_positive)


@frozen(kw_only=True)
class RetryPolicy:
    """What to try again, and after how many seconds.

    Attributes:
        max_retries: attempts after the first; 0 switches retrying off.
        backoff_base: upper bound of the first wait; it doubles with every retry.
        backoff_cap: no wait is longer. A `Retry-After` beyond it is not waited for but raised.
        rng: gives a number from 0 to 1, by which each wait is multiplied ("full jitter").

    Raises:
        TypeError: a value is not a number.
        ValueError: a value is negative or not finite.

    >>> policy = RetryPolicy(rng=lambda: 1.0)
    >>> [policy.backoff(n) for n in (1, 2, 3, 4, 5, 6)]
    [1.0, 2.0, 4.0, 8.0, 16.0, 30.0]

    """

    max_retries: int = field(default=3, validator=_not_negative)
    backoff_base: float = field(default=1.0, validator=_not_negative)
    backoff_cap: float = field(default=30.0, validator=_not_negative)
    rng: Callable[[], float] = field(default=random.random, repr=False, eq=False)

    def backoff(self, retry: int) -> float:
        """Give the wait before the n-th retry (from 1), where the provider did not name one."""
        ceiling = self.backoff_base * 2.0 ** min(retry - 1, 60)
        return self.rng() * min(ceiling, self.backoff_cap)

    def next_wait(
        self,
        error: PayCollectError,
        *,
        retries: int,
        remaining: float,
        repeatable: bool,
        recoverable: bool = False,
    ) -> float | None:
        """Decide on a failed attempt: seconds to wait before the next one, or None to give up.

        Args:
            error: how the attempt failed.
            retries: how many retries were made so far.
            remaining: seconds until the deadline of the whole call.
            repeatable: whether the request does no harm when it took effect and is made again.
                Else an attempt whose outcome is unknown is not repeated.
            recoverable: whether, beyond that, a repeat tells whether an earlier attempt took
                effect. Then any attempt whose outcome is unknown is repeated.

        """
        unsure = error.outcome is Outcome.UNKNOWN
        worth_it = error.is_retryable and (repeatable or not unsure)
        worth_it = worth_it or (recoverable and unsure)
        if getattr(error, "status", 0) in _REDIRECTS:
            worth_it = False  # it leads elsewhere each time: base_url is wrong
        if not worth_it or retries >= self.max_retries:
            return None
        asked: float | None = getattr(error, "retry_after", None)
        wait = max(asked or 0.0, self.backoff(retries + 1))
        return wait if wait <= self.backoff_cap and wait < remaining else None


def parse_retry_after(value: str | None, *, now: float) -> float | None:
    """Read a `Retry-After` header: seconds, or an HTTP date; never raises.

    Args:
        value: the header, or None.
        now: the present, in seconds since 1970 (UTC), for a date.

    Returns:
        Seconds from now, not negative; None where the header is absent or makes no sense.

    """
    value = (value or "").strip()
    if not value.isascii() or not value:
        return None
    if value.removeprefix("-").isdigit():
        return min(max(float(value[:20]), 0.0), LONGEST)
    moment = parse_http_date(value)
    if moment is None:
        return None
    seconds = (moment - datetime.fromtimestamp(now, UTC)).total_seconds()
    return min(max(seconds, 0.0), LONGEST)


def parse_http_date(value: str) -> datetime | None:
    """Read an HTTP date, as an aware datetime; None where it makes no sense, never raises."""
    try:
        moment = parsedate_to_datetime(value)
        # One without a zone, or with "-0000", is in UTC (RFC 9110, section 5.6.7; RFC 5322).
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    except (TypeError, ValueError, OverflowError, IndexError):
        return None
