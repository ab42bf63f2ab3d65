"""Webhook bodies and return URLs: what may be believed, and what not.

    event = ipn.parse_webhook(body, secret=SECRET)       # proves, then reads
    callback = ipn.parse_callback(url)                   # reads: nothing in a URL can be proven

A webhook endpoint is public: anybody can post anything to it. `parse_webhook` returns an event only
if the body was signed with the webhook secret; whatever else comes in ends in an `IpnError`, whose
`status_hint` is the HTTP status to answer with. The URL on which the browser comes back is not
signed at all. Neither is a reason to hand over goods: confirm the payment by asking the provider
(`SessionManager.confirm`), and fulfil each order once.

The law of these rooms: no I/O, no global state that depends on what strangers send, and neither the
HTTP client nor the converter is loaded.
"""

from __future__ import annotations

from paycollect.errors import (
    CallbackError,
    IpnError,
    PayloadError,
    SignatureError,
    TestEventError,
)
from paycollect.ipn._callback import Callback, parse_callback
from paycollect.ipn._event import WebhookEvent
from paycollect.ipn._explain import explain
from paycollect.ipn._receiver import (
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
