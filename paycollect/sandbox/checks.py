"""Requests to proven values: every wrong field is named, all at once.

The law of this room: pure functions; what they return needs no further check, and what they refuse
is refused with VALIDATION_ERROR (provider docs: collections/create, refunds/create, lists).
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import urlsplit

from paycollect import _scalars
from paycollect.sandbox.refusals import invalid
from paycollect.sandbox.state import CENT, EXACT, REFUND_REASONS, Order
from paycollect.sandbox.webhooks import TESTABLE_EVENTS
from paycollect.sandbox.wire import dumps

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from paycollect.models import JsonValue

T = TypeVar("T")

_LONGEST_TEXT: Final = 100
_LONGEST_URL: Final = 2048
_MOST_PER_PAGE: Final = 100
# The provider publishes no maximum; this one keeps the sandbox's sums readable.
_LARGEST_AMOUNT: Final = Decimal(10_000_000)
_GRAPHIC: Final = re.compile(r"[^\s\x00-\x1f\x7f-\x9f\ud800-\udfff\\]+")
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_SHORTEST_APP_ID: Final = 8
_SHORTEST_SECRET: Final = 16


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
class RefundOrder:
    """What is to be refunded; no amount means all of it."""

    amount: Decimal | None
    reason: str


def order(body: Mapping[str, object]) -> Order:
    """Check the body of a create.

    `currency` is not looked at: the provider ignores what it does not support.
    """
    check = _Check(body)
    amount = check.required("amount", _payable, Decimal(1))
    order_id = check.required("orderId", _short_text, "")
    description = check.required("description", _short_text, "")
    callback_url = check.optional("callbackUrl", _url)
    webhook_url = check.optional("webhookUrl", _url)
    metadata = check.optional("metadata", _object)
    check.done()
    return Order(
        amount=amount,
        order_id=order_id,
        description=description,
        callback_url=callback_url,
        webhook_url=webhook_url,
        metadata=metadata or {},
    )


def option(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Check an option of the sandbox itself.

    Raises:
        ValueError: it is none of the choices.

    """
    if value not in choices:
        raise ValueError(f"{name}: one of {', '.join(choices)} is needed")


def own_secrets(app_id: str, secret_key: str, webhook_secret: str) -> None:
    """Check the credentials that the sandbox is to know, and the key that it signs with.

    Raises:
        ValueError: they are too short to be asked for a token with, or to sign anything.

    """
    if not webhook_secret.strip():
        raise ValueError("webhook_secret: must not be blank")
    if len(app_id) < _SHORTEST_APP_ID:
        raise ValueError(f"app_id: at least {_SHORTEST_APP_ID} characters are needed")
    if len(secret_key) < _SHORTEST_SECRET:
        raise ValueError(f"secret_key: at least {_SHORTEST_SECRET} characters are needed")


def refund(body: Mapping[str, JsonValue]) -> RefundOrder:
    """Check the body of a refund; `amount` counts only with mode PARTIAL."""
    check = _Check(body)
    mode = check.optional("mode", _one_of("FULL", "PARTIAL")) or "FULL"
    reason = check.optional("reason", _one_of(*REFUND_REASONS)) or "CUSTOMER_REQUEST"
    amount = check.required("amount", _amount, Decimal(1)) if mode == "PARTIAL" else None
    check.done()
    return RefundOrder(amount=amount, reason=reason)


def credentials(body: Mapping[str, JsonValue]) -> tuple[str, str]:
    """Check the body of auth/token: app id and secret key."""
    check = _Check(body)
    app_id = check.required("appId", _at_least(_SHORTEST_APP_ID), "")
    secret_key = check.required("secretKey", _at_least(_SHORTEST_SECRET), "")
    check.required("grantType", _one_of("client_credentials"), "")
    check.done()
    return app_id, secret_key


def webhook_url(body: Mapping[str, JsonValue]) -> str | None:
    """Check the body of a webhook configuration; null or "" disables."""
    if "webhookUrl" not in body:
        raise invalid({"webhookUrl": "is required"})
    check = _Check(body)
    url = None if body["webhookUrl"] == "" else check.optional("webhookUrl", _secure_url)
    check.done()
    return url


def test_delivery(body: Mapping[str, JsonValue]) -> tuple[str, str | None]:
    """Check the body of a test delivery: the event, and a URL, which only the console gives."""
    check = _Check(body)
    event = check.required("event", _one_of(*TESTABLE_EVENTS), "")
    url = check.optional("url", _url)
    check.done()
    return event, url


def number(body: Mapping[str, JsonValue], name: str) -> Decimal:
    """Check a number that must be there, 0 or more."""
    value = body.get(name)
    try:
        amount = _scalars.money(value)
    except ValueError:
        raise invalid({name: "must be a number"}) from None
    if amount < 0:
        raise invalid({name: "must be 0 or more"})
    return amount


def listing(
    query: Mapping[str, str], texts: tuple[str, ...], statuses: tuple[str, ...]
) -> ListQuery:
    """Check the query of a list: page, limit, status, dateFrom, dateTo and filters by text."""
    check = _Check(query)
    page = check.optional("page", _whole(1, 1_000_000)) or 1
    limit = check.optional("limit", _whole(1, _MOST_PER_PAGE)) or 20
    since = check.optional("dateFrom", _day)
    until = check.optional("dateTo", _day)
    status = check.optional("status", _one_of(*statuses))
    check.done()
    wanted = {name: query[name] for name in texts if query.get(name)}
    return ListQuery(
        page=page,
        limit=limit,
        since=since,
        until=None if until is None else until + timedelta(days=1),
        texts=wanted | ({"status": status} if status else {}),
    )


class _WrongError(Exception):
    """What is wrong with one member, in words that follow its name."""


@dataclass(slots=True)
class _Check:
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
        amount = _scalars.money(value)
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


def _object(value: object) -> dict[str, JsonValue]:
    if not isinstance(value, dict):
        raise _WrongError("must be an object")
    try:
        dumps(value).encode()
    except (TypeError, ValueError, RecursionError):
        raise _WrongError("must be JSON") from None
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
