"""Webhook bodies: the envelope, the signature, and where the merchant wants them.

The law of this room: no I/O. The body carries `data` with slashes unescaped and money with two
decimals, so that the three published recipes really give three different messages.
"""

from __future__ import annotations

import secrets
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from paycollect import _signing
from paycollect.sandbox.wire import dumps, instant

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from paycollect.models import JsonValue

Scheme: TypeAlias = Literal["raw", "compact", "php"]
EnvelopeVersion: TypeAlias = Literal["3.0", "2.0"]

TESTABLE_EVENTS: Final = (
    "collection.initiated",
    "collection.received",
    "collection.completed",
    "refund.completed",
)
"""Events that `POST /webhooks/test` takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """An event to tell the merchant about, before it is signed."""

    event: str
    event_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    data: Mapping[str, JsonValue]

    def body(self, secret: str, scheme: Scheme, version: EnvelopeVersion) -> bytes:
        """Sign the event and write it down (provider docs: webhook signature)."""
        data = dumps(self.data).encode()
        message = data if scheme == "raw" else _signing.serialise(self.data, scheme)
        envelope: dict[str, JsonValue] = {"event": self.event, "version": version}
        if version == "3.0":
            envelope["eventId"] = self.event_id
        envelope["sign"] = _signing.sign(message, secret)
        return dumps(envelope).encode()[:-1] + b',"data":' + data + b"}"


@dataclass(slots=True, kw_only=True)
class Settings:
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


def test_notice(event: str, app_id: str, now: datetime) -> Notice:
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
    return Notice(event=event, data=data)
