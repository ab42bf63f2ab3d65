"""Webhook bodies and return URLs: what may be believed, and what not.

    event = ipn.parse_webhook(body, secret=SECRET)       # proves, then reads
    callback = ipn.parse_callback(url)                   # reads: nothing in a URL can be proven

A webhook endpoint is public: anybody can post anything to it. `parse_webhook` returns an event only
if the body was signed with the webhook secret; whatever else comes in ends in an `IpnError`, whose
`status_hint` is the HTTP status to answer with. The URL on which the browser comes back is not
signed at all. Neither is a reason to hand over goods: confirm the payment by asking the provider
(`SessionManager.confirm`), and fulfil each order once.

Invariants: no I/O, no global state that depends on what strangers send, and neither the
HTTP client nor the converter is loaded. Every name is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from paycollect.errors import (
        CallbackError,
        IpnError,
        PayloadError,
        SignatureError,
        TestEventError,
    )
    from paycollect.ipn._explain import Explanation, explain
    from paycollect.ipn.callback import Callback, parse_callback
    from paycollect.ipn.event import WebhookEvent
    from paycollect.ipn.receiver import (
        Proof,
        Receiver,
        parse_unverified,
        parse_webhook,
        verify_webhook,
    )
    from paycollect.status import PaymentStatus

__all__ = [
    "Callback",
    "CallbackError",
    "Explanation",
    "IpnError",
    "PayloadError",
    "PaymentStatus",
    "Proof",
    "Receiver",
    "SignatureError",
    "TestEventError",
    "WebhookEvent",
    "explain",
    "parse_callback",
    "parse_unverified",
    "parse_webhook",
    "verify_webhook",
]

_ROOMS = {
    "Callback": "ipn.callback",
    "Explanation": "ipn._explain",
    "PaymentStatus": "status",
    "Proof": "ipn.receiver",
    "Receiver": "ipn.receiver",
    "WebhookEvent": "ipn.event",
    "explain": "ipn._explain",
    "parse_callback": "ipn.callback",
    "parse_unverified": "ipn.receiver",
    "parse_webhook": "ipn.receiver",
    "verify_webhook": "ipn.receiver",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"paycollect.{_ROOMS.get(name, 'errors')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
