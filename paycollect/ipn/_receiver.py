"""Proving that a webhook is the provider's, and then reading it.

The law of this room: whatever a stranger sends ends in an event or in an `IpnError`, in time linear
in its length. What is returned was parsed from the very message that the signature proved.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from attrs import frozen

from paycollect._rawjson import Value
from paycollect._scalars import instant
from paycollect._signing import SCHEMES
from paycollect.errors import SignatureError, TestEventError
from paycollect.ipn._body import MAX_SIZE, Body, messages, open_body, read_message
from paycollect.ipn._event import WebhookEvent, read_event
from paycollect.ipn._settings import (
    read_app_id,
    read_max_age,
    read_max_size,
    read_schemes,
    read_secrets,
)

_SIGN_LENGTH: Final = 64
_DIGEST_LENGTH: Final = 32


@frozen(kw_only=True)
class Proof:
    """What a signature matched.

    Attributes:
        scheme: the recipe for the message: "raw", "compact" or "php".
        key_index: which of the secrets, counted from 0; anything but 0 during a rotation says that
            the provider still signs with an older one.

    """

    scheme: str
    key_index: int


class Receiver:
    """The settings for receiving webhooks, checked once, when the service starts.

    Args:
        secrets: the webhook secret, or several of them while one replaces another: the provider
            kills the old secret at once (provider docs: webhooks/configuration), but deliveries
            that it signed before may still be on their way.
        schemes: which recipes for the signed message to accept, in this order.
        app_id: refuse what is signed for another app that shares the secret.
        allow_test: whether a validly signed test delivery is an event like any other.
        max_age: refuse what was signed longer ago than this (seconds or a timedelta), or is from
            the future by as much. The provider's redeliveries come after up to 36 minutes, and it
            is not published whether they are signed anew: less than an hour may lose genuine ones.
        max_size: refuse bodies of more bytes.
        clock: tells the time for `max_age`; an aware datetime.

    Raises:
        TypeError: a secret that is not a text, or a setting of the wrong type.
        ValueError: no secret, a blank one, an unknown recipe, or a limit that is not positive.

    >>> receiver = Receiver(secrets=["whsec_new", "whsec_old"], schemes=["raw"])
    >>> receiver
    Receiver(2 secrets, schemes=('raw',))
    """

    __slots__ = ("_allow_test", "_app_id", "_clock", "_keys", "_max_age", "_max_size", "_schemes")

    def __init__(
        self,
        *,
        secrets: str | Sequence[str],
        schemes: Sequence[str] = SCHEMES,
        app_id: str | None = None,
        allow_test: bool = False,
        max_age: timedelta | float | None = None,
        max_size: int = MAX_SIZE,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        # Keyed once: a copy of a keyed state costs less than keying it for each message.
        self._keys = [hmac.new(key, digestmod="sha256") for key in read_secrets(secrets)]
        self._schemes = read_schemes(schemes)
        self._app_id = read_app_id(app_id)
        self._allow_test = allow_test
        self._max_age = read_max_age(max_age)
        self._max_size = read_max_size(max_size)
        self._clock = clock or _now

    def __repr__(self) -> str:
        keys = len(self._keys)
        return f"Receiver({keys} secret{'s' * (keys > 1)}, schemes={self._schemes})"

    def parse(self, body: Body) -> WebhookEvent:
        """Prove a webhook body, then read it.

        Raises:
            SignatureError: unsigned, signed by somebody else, altered, stale, for another app.
            PayloadError: malformed, or too large.
            TestEventError: a genuine test delivery, and `allow_test` is off.
            TypeError: the body is not bytes or text.

        """
        members, data, message = open_body(body, self._max_size)
        message, data, scheme, key_index = self._prove(members.get("sign"), data, message)
        if self._app_id is not None or self._max_age is not None:
            self._check_addressee(data)
        event = read_event(members, data, message, scheme, key_index)
        if event.is_test and not self._allow_test:
            raise TestEventError("a test delivery: acknowledge it, and fulfil nothing")
        return event

    def verify(self, body: Body) -> Proof:
        """Prove a webhook body, without looking at what it says.

        The signature, and where they are set `app_id` and `max_age`, are checked; whether it is a
        test delivery is not. Raises what `parse` raises.
        """
        members, data, message = open_body(body, self._max_size)
        _, data, scheme, key_index = self._prove(members.get("sign"), data, message)
        self._check_addressee(data)
        return Proof(scheme=scheme, key_index=key_index)

    def _prove(
        self, sign: Value, data: dict[str, Value], received: bytes
    ) -> tuple[bytes, dict[str, Value], str, int]:
        """Find the recipe and the secret that explain the signature, and what they prove.

        Threat: a forged message. The digests are compared in constant time, so that the time taken
        does not tell a forger how much of a guess was right.
        """
        expected = _read_sign(sign)
        for scheme in self._schemes:
            for message in messages(scheme, data, received):
                for key_index, key in enumerate(self._keys):
                    mac = key.copy()
                    mac.update(message)
                    if hmac.compare_digest(mac.digest(), expected):
                        proven = data if scheme == "raw" else read_message(message)
                        return message, proven, scheme, key_index
        raise SignatureError("the signature does not match: see ipn.explain")

    def _check_addressee(self, data: dict[str, Value]) -> None:
        if self._app_id is not None and data.get("appId") not in (None, self._app_id):
            raise SignatureError("signed for another app")
        if self._max_age is not None:
            self._check_age(data, self._max_age)

    def _check_age(self, data: dict[str, Value], max_age: timedelta) -> None:
        """Threat: an old delivery, caught once and sent again. v3 has no other replay window."""
        stamp = data.get("timestamp")
        try:
            sent_at = instant(data.get("completedAt") if stamp is None else stamp)
        except ValueError:
            raise SignatureError("no time was signed, so that its age is unknown") from None
        if abs(self._clock() - sent_at) > max_age:
            raise SignatureError("signed too long ago, or in the future")


def _read_sign(sign: Value) -> bytes:
    if sign is None:
        raise SignatureError("the body is not signed")
    # fromhex() skips white space and knows both cases; the lengths leave room for digits only.
    if isinstance(sign, str) and len(sign) == _SIGN_LENGTH:
        try:
            digest = bytes.fromhex(sign)
        except ValueError:
            digest = b""
        if len(digest) == _DIGEST_LENGTH:
            return digest
    raise SignatureError("sign: expected 64 hex digits")


def _now() -> datetime:
    return datetime.now(UTC)


@lru_cache(maxsize=8)
def _receiver(secret: str, allow_test: bool) -> Receiver:
    return Receiver(secrets=secret, allow_test=allow_test)


def _one_call(secret: str | Sequence[str], schemes: Sequence[str], allow_test: bool) -> Receiver:
    """Use the receiver of an earlier call with the same settings, as services have one of them."""
    if isinstance(secret, str) and schemes is SCHEMES:
        return _receiver(secret, allow_test)
    return Receiver(secrets=secret, schemes=schemes, allow_test=allow_test)


def parse_webhook(
    body: Body,
    *,
    secret: str | Sequence[str],
    schemes: Sequence[str] = SCHEMES,
    allow_test: bool = False,
) -> WebhookEvent:
    """Prove a webhook body, then read it: `Receiver.parse` in one call.

    >>> from paycollect.testing import sign_webhook
    >>> body = sign_webhook({"collectionId": "SCI1", "status": "COMPLETED"}, "whsec_x")
    >>> parse_webhook(body, secret="whsec_x").status
    <PaymentStatus.COMPLETED: 'COMPLETED'>

    Args:
        body: the body of the request exactly as it was received.
        secret: the webhook secret, or a list of them while one replaces another.
        schemes: which recipes for the signed message to accept.
        allow_test: whether a validly signed test delivery is an event like any other.

    Raises:
        SignatureError: unsigned, signed by somebody else, or altered (answer 401).
        PayloadError: malformed (answer 400) or larger than 1 MiB (answer 413).
        TestEventError: a genuine test delivery, and `allow_test` is off (answer 200).
        TypeError: the body is not bytes or text (a parsed dict, say), or a secret is not a text.
        ValueError: no secret, a blank one, or an unknown recipe.

    """
    return _one_call(secret, schemes, allow_test).parse(body)


def verify_webhook(
    body: Body, *, secret: str | Sequence[str], schemes: Sequence[str] = SCHEMES
) -> Proof:
    """Prove a webhook body without looking at what it says: `Receiver.verify` in one call.

    Says which recipe and which secret matched. Raises what `parse_webhook` raises, but for
    TestEventError.
    """
    return _one_call(secret, schemes, True).verify(body)


def parse_unverified(body: Body, *, max_size: int = MAX_SIZE) -> WebhookEvent:
    """Read a webhook body without proving anything: for a log or a test, never for a decision.

    The event has `verified` False, whatever the body claims. This is also the way to look at the
    unsigned form of the concept page (provider docs: collections, webhooks).

    Raises:
        PayloadError: malformed, or larger than `max_size` bytes.
        TypeError: the body is not bytes or text.

    """
    members, data, message = open_body(body, max_size)
    return read_event(members, data, message)
