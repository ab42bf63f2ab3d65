"""The pure decisions on retrying, as tables and as properties."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paycollect import errors
from paycollect.errors import Outcome, PayCollectError
from paycollect.retry import RetryPolicy, Timeout, parse_retry_after
from tests.provider.clocks import WALL

WORST = RetryPolicy(rng=lambda: 1.0)


def limited(
    retry_after: float | None, kind: type[PayCollectError] = errors.RateLimitError
) -> PayCollectError:
    """Make an error that asks for a wait."""
    error = kind("slow down")
    error.retry_after = retry_after  # type: ignore[attr-defined]  # pyright: ignore
    return error


def rejected(kind: type[PayCollectError], outcome: Outcome) -> PayCollectError:
    """Make an error of a certain outcome."""
    error = kind()
    error.outcome = outcome
    return error


@pytest.mark.parametrize(
    ("error", "when_repeatable", "when_not"),
    [
        (errors.ConnectError(), True, True),
        (errors.ResponseLostError(), True, False),
        (errors.RequestTimeoutError(status=408), True, False),
        (errors.RateLimitError(status=429), True, True),
        (errors.ServerError(status=500), True, False),
        (errors.ServerError(status=503), True, False),
        (errors.ApiError(status=418), False, False),
        (errors.InvalidRequestError(status=400), False, False),
        (errors.AuthenticationError(status=401), False, False),
        (errors.InsufficientBalanceError(status=402), False, False),
        (errors.PermissionDeniedError(status=403), False, False),
        (errors.NotFoundError(status=404), False, False),
        (errors.ConflictError(status=409), False, False),
        (errors.DuplicateOrderError(status=409), False, False),
        (errors.AlreadyRefundedError(status=400), False, False),
        (errors.ClosedError(), False, False),
        (errors.EventLoopError(), False, False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, PayCollectError) else str(value),
)
def test_what_is_tried_again(error: PayCollectError, when_repeatable: bool, when_not: bool) -> None:
    """An attempt of unknown outcome is repeated if that is harmless, others if it may help."""
    for repeatable, expected in ((True, when_repeatable), (False, when_not)):
        wait = WORST.next_wait(error, retries=0, remaining=90, repeatable=repeatable)
        assert wait == (1.0 if expected else None)


def test_waits_double_up_to_the_cap() -> None:
    """The upper bounds of the waits are 1, 2, 4 ... and 30 seconds at most."""
    assert [WORST.backoff(n) for n in range(1, 8)] == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]


def test_jitter_is_full() -> None:
    """A wait is anywhere between nothing and its upper bound."""
    luck = iter((0.0, 0.5, 1.0))
    policy = RetryPolicy(rng=lambda: next(luck))
    assert [policy.backoff(3), policy.backoff(3), policy.backoff(3)] == [0.0, 2.0, 4.0]


@given(st.integers(1, 10_000), st.floats(0, 1), st.floats(0, 1e6), st.floats(0, 1e6))
def test_no_wait_is_beyond_the_cap(retry: int, luck: float, base: float, cap: float) -> None:
    """Whatever the settings, a wait is from 0 to the cap."""
    policy = RetryPolicy(backoff_base=base, backoff_cap=cap, rng=lambda: luck)
    assert 0 <= policy.backoff(retry) <= cap


@pytest.mark.parametrize(("retries", "goes_on"), [(0, True), (2, True), (3, False), (4, False)])
def test_three_retries_at_most(retries: int, goes_on: bool) -> None:
    """After three retries it ends."""
    wait = WORST.next_wait(errors.ConnectError(), retries=retries, remaining=90, repeatable=True)
    assert (wait is not None) is goes_on


def test_retrying_can_be_switched_off() -> None:
    """With no retries allowed, nothing is tried again."""
    policy = RetryPolicy(max_retries=0)
    assert policy.next_wait(errors.ConnectError(), retries=0, remaining=9, repeatable=True) is None


@pytest.mark.parametrize("kind", [errors.RateLimitError, errors.ServerError])
@pytest.mark.parametrize(
    ("asked", "expected"),
    [(None, 1.0), (0.0, 1.0), (0.5, 1.0), (7.0, 7.0), (30.0, 30.0), (30.1, None), (1e9, None)],
)
def test_retry_after_is_honoured_up_to_the_cap(
    kind: type[PayCollectError], asked: float | None, expected: float | None
) -> None:
    """The provider's wait counts where it is longer; beyond the cap it is not waited for."""
    error = limited(asked, kind)
    assert WORST.next_wait(error, retries=0, remaining=90, repeatable=True) == expected


@pytest.mark.parametrize(
    ("remaining", "expected"), [(5.1, 5.0), (5.0, None), (4.0, None), (0.0, None), (-1.0, None)]
)
def test_no_wait_outlasts_the_deadline(remaining: float, expected: float | None) -> None:
    """A wait that would reach the deadline is not begun."""
    error = limited(5.0)
    assert WORST.next_wait(error, retries=0, remaining=remaining, repeatable=True) == expected


@given(
    st.floats(0, 1e9),
    st.integers(0, 5),
    st.floats(-10, 1000),
    st.booleans(),
    st.sampled_from([errors.RateLimitError, errors.ServerError]),
)
def test_a_wait_is_always_within_all_limits(
    asked: float, retries: int, remaining: float, repeatable: bool, kind: type[PayCollectError]
) -> None:
    """A wait is not shorter than asked for, nor beyond the cap, nor beyond the deadline."""
    wait = RetryPolicy().next_wait(
        limited(asked, kind), retries=retries, remaining=remaining, repeatable=repeatable
    )
    assert wait is None or (asked <= wait <= 30 and wait < remaining and retries < 3)


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("max_retries", -1, ValueError),
        ("max_retries", True, TypeError),
        ("max_retries", "3", TypeError),
        ("backoff_base", -0.1, ValueError),
        ("backoff_base", float("nan"), ValueError),
        ("backoff_cap", float("inf"), ValueError),
        ("backoff_cap", None, TypeError),
    ],
)
def test_a_policy_refuses_nonsense(name: str, value: object, kind: type[Exception]) -> None:
    """A setting that makes no sense is refused by name."""
    with pytest.raises(kind, match=f"^{name}: "):
        RetryPolicy(**{name: value})  # type: ignore[arg-type]  # pyright: ignore


@pytest.mark.parametrize("name", ["connect", "read", "total"])
@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (0, ValueError),
        (-1, ValueError),
        (float("nan"), ValueError),
        (float("inf"), ValueError),
        ("5", TypeError),
        (True, TypeError),
        (None, TypeError),
    ],
)
def test_a_timeout_refuses_nonsense(name: str, value: object, kind: type[Exception]) -> None:
    """A limit of time that makes no sense is refused by name."""
    with pytest.raises(kind, match=f"^{name}: "):
        Timeout(**{name: value})  # type: ignore[arg-type]  # pyright: ignore


def test_the_documented_defaults() -> None:
    """The defaults are those that the documentation promises."""
    assert Timeout() == Timeout(connect=5.0, read=20.0, total=30.0)
    assert RetryPolicy() == RetryPolicy(max_retries=3, backoff_base=1.0, backoff_cap=30.0)


def http_date(seconds: float) -> str:
    """Write a moment so many seconds from now as HTTP does."""
    return format_datetime(datetime.fromtimestamp(WALL + seconds, UTC), usegmt=True)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("0", 0.0),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("007", 7.0),
        ("-5", 0.0),
        ("9" * 10, 1e9),
        ("9" * 5000, 1e9),
        ("-" + "9" * 5000, 0.0),
        (http_date(90), 90.0),
        (http_date(-90), 0.0),
        (http_date(4e9), 1e9),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 1e9),
        ("Fri, 31 Dec 9999 23:59:59 -2359", 1e9),
        ("Mon, 01 Jan 0001 00:00:00 +2359", 0.0),
        (http_date(60).replace("GMT", "-0000"), 60.0),
        (http_date(60).replace(" GMT", ""), 60.0),
    ],
)
def test_a_retry_after_that_makes_sense(header: str, expected: float) -> None:
    """Seconds and dates are read, kept from 0 to a billion."""
    assert parse_retry_after(header, now=WALL) == pytest.approx(expected, abs=0.001)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        " ",
        "soon",
        "--5",
        "-" * 30 + "5",
        "-",
        "+5",
        "1.5",
        "1e3",
        "5 s",
        "0x10",
        "٣",
        "²",
        "Mon, 99 Foo 2026 99:99:99 GMT",
        "Thu, 01 Jan 99999999999 00:00:00 GMT",
        "\x00",
        "NaN",
    ],
)
def test_a_retry_after_that_makes_none(header: str | None) -> None:
    """Anything else counts as absent."""
    assert parse_retry_after(header, now=WALL) is None


@given(
    st.one_of(
        st.text(),
        st.text("0123456789-+.eE: ,GMT"),
        st.datetimes().map(format_datetime),
        st.from_regex(r"\A-{0,30}[0-9]{1,30}\Z"),
    )
)
def test_no_retry_after_raises(header: str) -> None:
    """Whatever the header says, the answer is absent or a number from 0 to a billion."""
    seconds = parse_retry_after(header, now=WALL)
    assert seconds is None or 0 <= seconds <= 1e9
