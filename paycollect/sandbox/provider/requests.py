"""Requests to proven values: every wrong field is named, all at once.

Invariants: pure functions; what they return needs no further check, and what they refuse
is refused with VALIDATION_ERROR (provider docs: collections/create, refunds/create, lists).
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import urlsplit

from paycollect import _json
from paycollect.sandbox.options import SHORTEST_APP_ID, SHORTEST_SECRET
from paycollect.sandbox.provider.errors import invalid
from paycollect.sandbox.provider.events import TESTABLE_EVENTS
from paycollect.sandbox.provider.records import CENT, EXACT, REFUND_REASONS, CheckoutOrder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from paycollect.models import JsonValue

T = TypeVar("T")

_LONGEST_TEXT: Final = 100
_LONGEST_URL: Final = 2048
_MOST_PER_PAGE: Final = 100
# The provider publishes no maximum; this one keeps the sandbox's sums readable.
_LARGEST_AMOUNT: Final = Decimal(10_000_000)
# Nor a limit of metadata; without one a few requests would fill the machine's memory.
_LARGEST_METADATA: Final = 65536
_GRAPHIC: Final = re.compile(r"[^\s\x00-\x1f\x7f-\x9f\ud800-\udfff\\]+")
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ListQuery:
    """Which entries of a list are asked for; `since` is inclusive, `until` is not, both are UTC.

    Zone and inclusiveness of dateFrom and dateTo are not published: whole days in UTC here.
    """

    page: int
    limit: int
    since: datetime | None
    until: datetime | None
    texts: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundRequest:
    """What is to be refunded; no amount means all of it."""

    amount: Decimal | None
    reason: str


def order(body: Mapping[str, object]) -> CheckoutOrder:
    """Check the body of a create.

    `currency` is not looked at: the provider ignores what it does not support.
    """
    read = _Reader(body)
    amount = read.required("amount", _payable, Decimal(1))
    order_id = read.required("orderId", _short_text, "")
    description = read.required("description", _short_text, "")
    callback_url = read.optional("callbackUrl", _url)
    webhook_url = read.optional("webhookUrl", _url)
    metadata = read.optional("metadata", _object)
    read.done()
    return CheckoutOrder(
        amount=amount,
        order_id=order_id,
        description=description,
        callback_url=callback_url,
        webhook_url=webhook_url,
        metadata=metadata or {},
    )


def refund(body: Mapping[str, JsonValue]) -> RefundRequest:
    """Check the body of a refund; `amount` counts only with mode PARTIAL."""
    read = _Reader(body)
    mode = read.optional("mode", _one_of("FULL", "PARTIAL")) or "FULL"
    reason = read.optional("reason", _one_of(*REFUND_REASONS)) or "CUSTOMER_REQUEST"
    amount = read.required("amount", _amount, Decimal(1)) if mode == "PARTIAL" else None
    read.done()
    return RefundRequest(amount=amount, reason=reason)


def credentials(body: Mapping[str, JsonValue]) -> tuple[str, str]:
    """Check the body of auth/token: app id and secret key."""
    read = _Reader(body)
    app_id = read.required("appId", _at_least(SHORTEST_APP_ID), "")
    secret_key = read.required("secretKey", _at_least(SHORTEST_SECRET), "")
    read.required("grantType", _one_of("client_credentials"), "")
    read.done()
    return app_id, secret_key


def webhook_url(body: Mapping[str, JsonValue]) -> str | None:
    """Check the body of a webhook configuration; null or "" disables."""
    if "webhookUrl" not in body:
        raise invalid({"webhookUrl": "is required"})
    read = _Reader(body)
    url = None if body["webhookUrl"] == "" else read.optional("webhookUrl", _secure_url)
    read.done()
    return url


def test_delivery(body: Mapping[str, JsonValue]) -> tuple[str, str | None]:
    """Check the body of a test delivery: the event, and a URL, which only the console gives."""
    read = _Reader(body)
    event = read.required("event", _one_of(*TESTABLE_EVENTS), "")
    url = read.optional("url", _url)
    read.done()
    return event, url


def number(body: Mapping[str, JsonValue], name: str) -> Decimal:
    """Check a number that must be there, 0 or more."""
    value = body.get(name)
    try:
        amount = _json.money(value)
    except ValueError:
        raise invalid({name: "must be a number"}) from None
    if amount < 0:
        raise invalid({name: "must be 0 or more"})
    return amount


def part(query: Mapping[str, str]) -> tuple[int, int]:
    """Check which part of the sandbox's own lists is asked for: page and limit."""
    read = _Reader(query)
    page = read.optional("page", _whole(1, 1_000_000)) or 1
    limit = read.optional("limit", _whole(1, 1000)) or 100
    read.done()
    return page, limit


def listing(
    query: Mapping[str, str], texts: tuple[str, ...], statuses: tuple[str, ...]
) -> ListQuery:
    """Check the query of a list: page, limit, status, dateFrom, dateTo and filters by text."""
    read = _Reader(query)
    page = read.optional("page", _whole(1, 1_000_000)) or 1
    limit = read.optional("limit", _whole(1, _MOST_PER_PAGE)) or 20
    since = read.optional("dateFrom", _day)
    until = read.optional("dateTo", _day)
    status = read.optional("status", _one_of(*statuses))
    read.done()
    wanted = {name: query[name] for name in texts if query.get(name)}
    return ListQuery(
        page=page,
        limit=limit,
        since=since,
        until=None if until is None else _end_of(until),
        texts=wanted | ({"status": status} if status else {}),
    )


class _WrongError(Exception):
    """What is wrong with one member, in words that follow its name."""


@dataclass(slots=True)
class _Reader:
    """Reads one member after the other and remembers what was wrong."""

    members: Mapping[str, object]
    problems: dict[str, str] = field(default_factory=dict)

    def required(self, name: str, read: Callable[[object], T], placeholder: T) -> T:
        """Read a member that must be there; the placeholder stands in until `done` refuses."""
        if self.members.get(name) is None:
            self.problems[name] = "is required"
            return placeholder
        value = self.optional(name, read)
        return placeholder if value is None else value

    def optional(self, name: str, read: Callable[[object], T]) -> T | None:
        """Read a member if it is there and not null."""
        value = self.members.get(name)
        try:
            return None if value is None else read(value)
        except _WrongError as problem:
            self.problems[name] = str(problem)
            return None

    def done(self) -> None:
        """Refuse the request if anything was wrong."""
        if self.problems:
            raise invalid(self.problems)


def _amount(value: object) -> Decimal:
    try:
        amount = _json.money(value)
    except ValueError:
        raise _WrongError("must be a number") from None
    if isinstance(value, str):
        raise _WrongError("must be a number")
    if not 0 < amount <= _LARGEST_AMOUNT:
        raise _WrongError("must be more than 0 and at most 10000000")
    if amount != (rounded := amount.quantize(CENT, context=EXACT)):
        raise _WrongError("must have at most 2 decimals")
    return rounded


def _payable(value: object) -> Decimal:
    amount = _amount(value)
    if amount < 1:
        raise _WrongError("must be at least 1")
    return amount


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise _WrongError("must be a string")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise _WrongError("must be well-formed Unicode") from None
    return value


def _short_text(value: object) -> str:
    text = _text(value)
    if not text.strip():
        raise _WrongError("is required")
    if len(text) > _LONGEST_TEXT:
        raise _WrongError(f"must not be longer than {_LONGEST_TEXT} characters")
    return text


def _at_least(shortest: int) -> Callable[[object], str]:
    def read(value: object) -> str:
        text = _text(value)
        if len(text) < shortest:
            raise _WrongError(f"must have at least {shortest} characters")
        return text

    return read


def _one_of(*choices: str) -> Callable[[object], str]:
    def read(value: object) -> str:
        if value not in choices:
            raise _WrongError("must be one of " + ", ".join(choices))
        return str(value)

    return read


def _whole(least: int, most: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        if not re.fullmatch("[0-9]{1,7}", text := str(value)) or not least <= int(text) <= most:
            raise _WrongError(f"must be a whole number from {least} to {most}")
        return int(text)

    return read


def _day(value: object) -> datetime:
    # strptime alone would take "2026-1-8" too.
    if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text := str(value)):
        with contextlib.suppress(ValueError):
            return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    raise _WrongError("must be a date, YYYY-MM-DD")


def _end_of(day: datetime) -> datetime:
    # The calendar's last day has no next one.
    return day if day.date() == date.max else day + timedelta(days=1)


def _object(value: object) -> dict[str, JsonValue]:
    if not isinstance(value, dict):
        raise _WrongError("must be an object")
    try:
        size = len(_json.write(value).encode())
    except (TypeError, ValueError, RecursionError):
        raise _WrongError("must be JSON") from None
    if size > _LARGEST_METADATA:
        raise _WrongError(f"must not be larger than {_LARGEST_METADATA} bytes")
    return value


def _url(value: object) -> str:
    url = _text(value)
    try:
        parts = urlsplit(url)
        good = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        good = False
    if not good or len(url) > _LONGEST_URL or not _GRAPHIC.fullmatch(url):
        raise _WrongError("must be an absolute http or https URL")
    return url


def _secure_url(value: object) -> str:
    url = _url(value)
    parts = urlsplit(url)
    # The provider insists on https; a service under development has only loopback.
    if parts.scheme != "https" and parts.hostname not in _LOOPBACK:
        raise _WrongError("must be an https URL")
    return url
