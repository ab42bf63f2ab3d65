"""A configured Django in this process, on a database that is empty for each test."""

from __future__ import annotations

from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import django
from asgiref.local import Local
from asgiref.sync import SyncToAsync
from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from django.db import connections
from django.urls import clear_url_caches
from django.utils.functional import empty

from tests.cashier.django.project import settings as project

__all__ = [
    "Parcel",
    "Permission",
    "User",
    "checks",
    "configured",
    "drive",
    "empty_tables",
    "migrate",
    "models",
    "named",
    "rows",
]

R = TypeVar("R")
TABLES = ("order", "inbox", "stray", "timeline", "setting")


@contextmanager
def configured(place: str, **more: Any) -> Iterator[None]:
    """Have Django use the project's settings with this database; what was before comes back."""
    kept = settings._wrapped, connections._settings, connections._connections
    given = {name: getattr(project, name) for name in dir(project) if name.isupper()}
    nothing: Any = empty
    settings._wrapped, connections._settings = nothing, None
    _forget()
    settings.configure(**{**given, "DATABASES": {"default": project.database(place)}, **more})
    connections._connections = Local(thread_critical=True)
    try:
        django.setup()
        if not apps.is_installed("tests.cashier.django.project"):  # the page on Django came first
            apps.set_installed_apps(project.INSTALLED_APPS)
        yield
    finally:
        connections.close_all()
        SyncToAsync.single_thread_executor.submit(connections.close_all).result()
        settings._wrapped, connections._settings, connections._connections = kept
        _forget()


def _forget() -> None:
    for name in ("settings", "databases"):
        vars(connections).pop(name, None)
    clear_url_caches()


def migrate() -> None:
    """Make all tables."""
    call_command("migrate", run_syncdb=True, verbosity=0)


def empty_tables() -> None:
    """Leave nothing of another test."""
    with connections["default"].cursor() as cursor:
        for table in (*(f"paycollect_{name}" for name in TABLES), "parcel"):
            cursor.execute(f"DELETE FROM {table}")


def drive(work: Coroutine[Any, Any, R]) -> R:
    """Run a coroutine that waits for nothing, where no event loop runs."""
    try:
        work.send(None)
    except StopIteration as end:
        result: R = end.value
        return result
    work.close()
    raise AssertionError("it waits for something")


def rows(sql: str) -> list[Any]:
    """Ask the database of this thread."""
    with connections["default"].cursor() as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall())


# Models can be imported only where Django knows its apps.
with configured(":memory:"):
    from django.contrib.auth.models import Permission, User

    from paycollect.cashier.django import checks, models, named
    from tests.cashier.django.project.models import Parcel
