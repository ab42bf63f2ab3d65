"""Webhook bodies: the envelope, the signature, and where the merchant wants them.

Invariants: no I/O. The body carries `data` with slashes unescaped and money with two
decimals, so that the three published schemes really give three different messages.
"""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from paycollect import _signing
from paycollect._json import write
from paycollect.models import JsonValue
from paycollect.sandbox.provider.envelope import instant

if TYPE_CHECKING:
    from paycollect.sandbox.options import EnvelopeVersion, Scheme

TESTABLE_EVENTS: Final = (
    "collection.initiated",
    "collection.received",
    "collection.completed",
    "refund.completed",
)
"""Events that `POST /webhooks/test` takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An event to tell the merchant about, before it is signed."""

    name: str
    event_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    data: Mapping[str, Any]  # JSON

    def body(self, secret: str, scheme: Scheme, version: EnvelopeVersion) -> bytes:
        """Sign the event and write it down (provider docs: webhook signature)."""
        data = write(self.data).encode()
        message = data if scheme == "raw" else _signing.serialise(self.data, scheme)
        envelope: dict[str, JsonValue] = {"event": self.name, "version": version}
        if version == "3.0":
            envelope["eventId"] = self.event_id
        envelope["sign"] = _signing.sign(message, secret)
        return write(envelope).encode()[:-1] + b',"data":' + data + b"}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """An event and where it goes; without a collection it is a test delivery."""

    event: Event
    url: str
    collection_id: str | None = None


@dataclass(slots=True, kw_only=True)
class WebhookSettings:
    """Where webhooks go, and the secrets that signed and sign them; moments are UTC."""

    secret: str = field(repr=False)
    url: str | None = None
    retired_secret: str = field(
        default_factory=lambda: f"whsec_{secrets.token_hex(16)}", repr=False
    )
    told: bool = False
    created_at: datetime | None = None
    updated_at: datetime | None = None

    def point_to(self, url: str | None, now: datetime) -> None:
        """Set or disable the URL."""
        self.url = url
        self.created_at = self.created_at or now
        self.updated_at = now

    def regenerate(self, now: datetime) -> str:
        """Replace the secret; the old one signs nothing any more."""
        self.retired_secret = self.secret
        self.secret = f"whsec_{secrets.token_hex(16)}"
        self.told = True
        self.updated_at = now
        return self.secret


def test_event(event: str, app_id: str, now: datetime) -> Event:
    """Make up a test delivery; its `data` says in its first members that it is one.

    Provider docs: webhooks/test.
    """
    kind = "RFD" if event.startswith("refund") else "SCI"
    data: dict[str, JsonValue] = {
        "appId": app_id,
        "timestamp": instant(now),
        "_test": True,
        "_note": "This is simulated test data for development purposes only.",
        "reference": f"TEST_{kind}{secrets.token_hex(7)[:13].upper()}",
        "externalReference": f"TEST_{secrets.token_hex(4).upper()}",
        "amount": 100,
        "charge": 3,
        "netAmount": 97,
        "currency": "USD",
        "status": "PENDING" if event.endswith("initiated") else "COMPLETED",
    }
    return Event(name=event, data=data)
