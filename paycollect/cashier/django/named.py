"""Finding the cashier that PAYCOLLECT_CASHIER names, and calling it from code that blocks."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

from asgiref.sync import async_to_sync
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

NAME: Final = "PAYCOLLECT_CASHIER"


def is_named() -> bool:
    """Tell whether a cashier is named, in the environment or in Django's settings."""
    return bool(_name())


def named() -> Any:
    """Import the cashier that is named: a `Cashier`, or one of `paycollect.sync`.

    Raises:
        ImproperlyConfigured: none is named, or the name leads to none.

    """
    name = _name()
    if not name:
        raise ImproperlyConfigured(
            f'{NAME} is not set: write {NAME} = "myshop.payments:cashier" into your settings, or'
            " into the environment"
        )
    module, _, attribute = name.partition(":")
    try:
        found: Any = import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise ImproperlyConfigured(
            f'{NAME} = {name!r}: write "module:cashier", of a module that can be imported ({error})'
        ) from error
    if not callable(getattr(found, "run_until_idle", None)):
        raise ImproperlyConfigured(f"{NAME} = {name!r} is a {type(found).__name__}, not a Cashier")
    return found


def call(method: Callable[..., Any], *args: object, **options: object) -> Any:
    """Call a method of a cashier in a thread without an event loop, and give its result."""
    if not inspect.iscoroutinefunction(method):
        return method(*args, **options)
    return async_to_sync(method)(*args, **options)


def _name() -> str:
    return os.environ.get(NAME) or getattr(settings, NAME, None) or ""
