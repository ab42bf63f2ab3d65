"""What `manage.py check` says before somebody pays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from inspect import unwrap
from types import FunctionType
from typing import Any, Final

from django import VERSION
from django.conf import settings
from django.core.checks import Error, Warning  # noqa: A004  # Django's name
from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS, connections
from django.urls import get_resolver
from django.utils.module_loading import import_string

from paycollect.cashier.django import named
from paycollect.cashier.django.store import VENDORS, aliases_in_use
from paycollect.web.django import webhook_view

_IMMEDIATE: Final = ("IMMEDIATE", "EXCLUSIVE")
_DEEPEST: Final = 6
"""How many decorators a view is looked for under."""


def check_cashier(**_: object) -> list[Any]:
    """Check that PAYCOLLECT_CASHIER, where it is set, names a cashier."""
    try:
        if named.is_named():
            named.named()
    except ImproperlyConfigured as error:
        return [Error(str(error), id="paycollect.E001")]
    return []


def check_databases(databases: Sequence[str] | None = None, **_: object) -> list[Any]:
    """Check the databases that the cashier's stores are on."""
    found: list[Any] = []
    check_cashier()  # which imports it, and so makes its store known
    for alias in sorted(aliases_in_use() or {DEFAULT_DB_ALIAS}):
        if alias in set(connections) and (databases is None or alias in databases):
            found += _check_database(connections[alias])
    return found


def _check_database(conn: Any) -> Iterator[Any]:
    if conn.vendor not in VENDORS:
        yield Error(
            f"The cashier's database {conn.alias!r} is {conn.display_name}.",
            hint="Use PostgreSQL or SQLite, and name its alias: DjangoStore(using=...).",
            id="paycollect.E002",
        )
    if not conn.settings_dict["AUTOCOMMIT"]:
        yield Error(
            f"AUTOCOMMIT is off on the cashier's database {conn.alias!r}.",
            hint="Remove it from DATABASES: the cashier must commit by itself.",
            id="paycollect.E003",
        )
    if conn.vendor == "sqlite" and not _begins_immediately(conn):
        yield Warning(
            f"Transactions on the SQLite database {conn.alias!r} begin without the lock for"
            " writing: one of yours that reads before it writes fails at once with 'database is"
            " locked' where the cashier has written meanwhile.",
            hint=_advice(VERSION),
            id="paycollect.W001",
        )


def _begins_immediately(conn: Any) -> bool:
    from django.db.backends.sqlite3.base import DatabaseWrapper  # noqa: PLC0415  # if it is used

    name = "_start_transaction_under_autocommit"
    if getattr(type(conn), name) is not getattr(DatabaseWrapper, name):
        return True  # a backend of the merchant's own, as the advice says
    mode = conn.settings_dict["OPTIONS"].get("transaction_mode")
    return str(mode).upper() in _IMMEDIATE


def _advice(version: tuple[Any, ...]) -> str:
    if version >= (5, 1):
        return 'Set DATABASES[...]["OPTIONS"]["transaction_mode"] = "IMMEDIATE".'
    return (
        "Upgrade to Django 5.1, which has the option transaction_mode, or name a backend of your"
        " own as ENGINE, whose DatabaseWrapper begins with BEGIN IMMEDIATE in"
        " _start_transaction_under_autocommit."
    )


def check_views(**_: object) -> list[Any]:
    """Check that nothing around a view for webhooks undoes what it needs."""
    found: list[Any] = []
    resolver: Any = get_resolver()
    for route, view in _views(resolver.url_patterns):
        if not _is_webhook(view, _DEEPEST):
            continue
        if not getattr(view, "csrf_exempt", False) and _csrf_is_checked():
            found.append(
                Error(
                    f"The view for webhooks at {route!r} asks for a CSRF token: the provider is"
                    " refused with 403.",
                    hint=_HINT.format("csrf_exempt"),
                    id="paycollect.E004",
                )
            )
        outside = getattr(view, "_non_atomic_requests", ())
        found += [
            Error(
                f"The view for webhooks at {route!r} is within ATOMIC_REQUESTS of {alias!r}: a"
                " webhook could be lost after it was answered with 200.",
                hint=_HINT.format("non_atomic_requests"),
                id="paycollect.E005",
            )
            for alias in connections
            if connections[alias].settings_dict["ATOMIC_REQUESTS"] and alias not in outside
        ]
    return found


_HINT: Final = (
    "Give path() the view of paycollect.web.django as it is, or use functools.wraps in your"
    " decorator, which keeps the mark {}."
)


def _views(patterns: Sequence[Any], route: str = "") -> Iterator[tuple[str, Any]]:
    for pattern in patterns:
        here = route + str(pattern.pattern)
        if hasattr(pattern, "url_patterns"):
            yield from _views(pattern.url_patterns, here)
        else:
            yield here, pattern.callback


def _is_webhook(view: object, depth: int) -> bool:
    """Tell whether a view is one of `webhook_view`, or calls one, under decorators."""
    if isinstance(view, partial):
        view = view.func
    if not isinstance(view, FunctionType) or not depth:
        return False
    inner = unwrap(view)
    if inner.__module__ == webhook_view.__module__ and inner.__qualname__.startswith(_MADE_BY):
        return True
    values = [cell.cell_contents for cell in inner.__closure__ or ()]
    return any(_is_webhook(value, depth - 1) for value in values)


_MADE_BY: Final = f"{webhook_view.__name__}.<locals>."


def _csrf_is_checked() -> bool:
    from django.middleware.csrf import CsrfViewMiddleware  # noqa: PLC0415  # needs settings

    middleware = map(import_string, settings.MIDDLEWARE)
    return any(isinstance(one, type) and issubclass(one, CsrfViewMiddleware) for one in middleware)
