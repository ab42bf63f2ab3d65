"""Proving that a webhook is the provider's, and then reading it.

Invariants: whatever a stranger sends ends in an event or in an `IpnError`, in time linear
in its length. What is returned was parsed from the very message that the signature proved.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import lru_cache
from typing import Self, TypedDict, Unpack

from attrs import frozen

from paycollect._json import Value, instant
from paycollect._signing import SCHEMES, Key
from paycollect.errors import SignatureError, TestEventError
from paycollect.ipn._body import MAX_SIZE, Body, open_body
from paycollect.ipn._proof import prove
from paycollect.ipn._settings import (
    ClockLike,
    read_app_id,
    read_clock,
    read_max_age,
    read_max_size,
    read_require_app_id,
    read_schemes,
    read_secrets,
    secrets_from_env,
)
from paycollect.ipn.event import WebhookEvent, read_event


@frozen(kw_only=True)
class Proof:
    """What a signature matched.

    Attributes:
        scheme: how the signed message was written: "raw", "compact" or "php".
        key_index: which of the secrets, counted from 0; anything but 0 during a rotation says that
            the provider still signs with an older one.

    """

    scheme: str
    key_index: int


class ReceiverOptions(TypedDict, total=False):
    """The options of a `Receiver`, by their names."""

    schemes: Sequence[str]
    app_id: str | None
    require_app_id: bool
    allow_test: bool
    max_age: timedelta | float | None
    max_size: int
    clock: ClockLike | None


class Receiver:
    """The settings for receiving webhooks, checked once, when the service starts.

    Args:
        secrets: the webhook secret, or several of them while one replaces another: the provider
            kills the old secret at once (provider docs: webhooks/configuration), but deliveries
            that it signed before may still be on their way.
        schemes: which ways to write the signed message to accept, in this order.
        app_id: refuse what is signed for another app that shares the secret. A message that names
            no app passes, as one of the published forms names none (provider docs: collections).
        require_app_id: refuse a message that names no app, too.
        allow_test: whether a validly signed test delivery is an event like any other.
        max_age: refuse what was signed longer ago than this (seconds or a timedelta), or is from
            the future by as much. The provider's redeliveries come after up to 36 minutes, and it
            is not published whether they are signed anew: less than an hour may lose genuine ones.
        max_size: refuse bodies of more bytes.
        clock: tells the time for `max_age`: anything with `time()`, seconds since 1970-01-01 in
            UTC, such as a `paycollect.clock.Clock`; or a function that gives an aware datetime.

    Raises:
        TypeError: a secret that is not a text, or a setting of the wrong type.
        ValueError: no secret, a blank one, an unknown scheme, or a limit that is not positive.

    >>> receiver = Receiver(secrets=["whsec_new", "whsec_old"], schemes=["raw"])
    >>> receiver
    Receiver(2 secrets, schemes=('raw',))
    """

    __slots__ = (
        "_allow_test",
        "_app_id",
        "_keys",
        "_max_age",
        "_max_size",
        "_now",
        "_require_app_id",
        "_schemes",
    )

    def __init__(
        self,
        *,
        secrets: str | Sequence[str],
        schemes: Sequence[str] = SCHEMES,
        app_id: str | None = None,
        require_app_id: bool = False,
        allow_test: bool = False,
        max_age: timedelta | float | None = None,
        max_size: int = MAX_SIZE,
        clock: ClockLike | None = None,
    ) -> None:
        self._keys = [Key(key) for key in read_secrets(secrets)]
        self._schemes = read_schemes(schemes)
        self._app_id = read_app_id(app_id)
        self._require_app_id = read_require_app_id(require_app_id, self._app_id)
        self._allow_test = allow_test
        self._max_age = read_max_age(max_age)
        self._max_size = read_max_size(max_size)
        self._now = read_clock(clock)

    @classmethod
    def from_env(cls, **options: Unpack[ReceiverOptions]) -> Self:
        """Make a receiver of PAYCOLLECT_WEBHOOK_SECRET.

        While one secret replaces another, PAYCOLLECT_WEBHOOK_SECRET_OLD is accepted, too: an event
        that it signed has `key_index` 1. An empty one counts as not set.

        Args:
            options: as for `Receiver`, but for `secrets`.

        Raises:
            ValueError: the variable is not set, blank, or has white space around it; or an option
                is wrong. The text names the variable or the option, and shows no secret.
            TypeError: an option of the wrong type.

        """
        return cls(secrets=secrets_from_env(), **options)

    def __repr__(self) -> str:
        keys = len(self._keys)
        return f"Receiver({keys} secret{'s' * (keys > 1)}, schemes={self._schemes})"

    @property
    def max_size(self) -> int:
        """The size, in bytes, up to which a body is read."""
        return self._max_size

    def parse(self, body: Body) -> WebhookEvent:
        """Prove a webhook body, then read it.

        Raises:
            SignatureError: unsigned, signed by somebody else, altered, stale, for another app.
            PayloadError: malformed, or too large.
            TestEventError: a genuine test delivery, and `allow_test` is off.
            TypeError: the body is not bytes or text.

        """
        members, data, message = open_body(body, self._max_size)
        message, data, scheme, key_index = prove(
            members.get("sign"), data, message, self._schemes, self._keys
        )
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
        _, data, scheme, key_index = prove(
            members.get("sign"), data, message, self._schemes, self._keys
        )
        self._check_addressee(data)
        return Proof(scheme=scheme, key_index=key_index)

    @property
    def max_age(self) -> timedelta | None:
        """How old a message may be; None where any age is accepted."""
        return self._max_age

    def _check_addressee(self, data: dict[str, Value]) -> None:
        if self._app_id is not None:
            app_id = data.get("appId")
            if app_id is None and self._require_app_id:
                raise SignatureError("signed for an app that it does not name")
            if app_id is not None and app_id != self._app_id:
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
        age = self._now() - sent_at
        limit = f"max_age allows {max_age.total_seconds():g} s"
        if age > max_age:
            raise SignatureError(
                f"too old: signed {age.total_seconds():.0f} s ago, and {limit}; either an old"
                " delivery was sent again, or max_age is too short for the provider's redeliveries"
            )
        if age < -max_age:
            raise SignatureError(
                f"from the future: signed {-age.total_seconds():.0f} s ahead of this machine's"
                f" clock, and {limit}; compare the clock with the real time"
            )


@lru_cache(maxsize=8)
def _receiver(secret: str, allow_test: bool) -> Receiver:
    """Keep the receivers of earlier calls: a service calls with the same settings each time."""
    return Receiver(secrets=secret, allow_test=allow_test)


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
        schemes: which ways to write the signed message to accept.
        allow_test: whether a validly signed test delivery is an event like any other.

    Raises:
        SignatureError: unsigned, signed by somebody else, or altered (answer 401).
        PayloadError: malformed (answer 400) or larger than 1 MiB (answer 413).
        TestEventError: a genuine test delivery, and `allow_test` is off (answer 200).
        TypeError: the body is not bytes or text (a parsed dict, say), or a secret is not a text.
        ValueError: no secret, a blank one, or an unknown scheme.

    """
    if isinstance(secret, str) and schemes is SCHEMES:
        return _receiver(secret, allow_test).parse(body)
    return Receiver(secrets=secret, schemes=schemes, allow_test=allow_test).parse(body)


def verify_webhook(
    body: Body, *, secret: str | Sequence[str], schemes: Sequence[str] = SCHEMES
) -> Proof:
    """Prove a webhook body without looking at what it says: `Receiver.verify` in one call.

    Says which scheme and which secret matched. Raises what `parse_webhook` raises, but for
    TestEventError.
    """
    if isinstance(secret, str) and schemes is SCHEMES:
        return _receiver(secret, True).verify(body)
    return Receiver(secrets=secret, schemes=schemes).verify(body)


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
