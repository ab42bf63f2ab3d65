"""An HTTP request in, `paycollect.ipn` or the cashier, an HTTP answer out.

    Answer           what an endpoint answers with, whatever the framework
    Webhook          an endpoint that proves a webhook and hands it to a function of yours
    Endpoint         what an endpoint of your own must have
    aiohttp, starlette (and FastAPI), django, flask, asgi, wsgi: the adapters

Invariants: the raw bytes are read before a framework parses them; no framework is imported before
its adapter is. It may import `ipn` and what lies below it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from paycollect.web._endpoint import Answer, Endpoint, Webhook

if TYPE_CHECKING:
    from paycollect.web import aiohttp as aiohttp
    from paycollect.web import asgi as asgi
    from paycollect.web import django as django
    from paycollect.web import flask as flask
    from paycollect.web import starlette as starlette
    from paycollect.web import wsgi as wsgi

__all__ = ["Answer", "Endpoint", "Webhook"]

_ADAPTERS = frozenset({"aiohttp", "asgi", "django", "flask", "starlette", "wsgi"})


def __getattr__(name: str) -> object:
    if name in _ADAPTERS:
        return import_module(f"paycollect.web.{name}")
    raise AttributeError(f"module 'paycollect.web' has no attribute {name!r}")
