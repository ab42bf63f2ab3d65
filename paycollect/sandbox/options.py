"""What can be chosen about a sandbox, stated once: for Python, the command line and pytest.

Invariants: pure; whoever has options has valid ones.
"""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import (
    TYPE_CHECKING,
    Concatenate,
    Final,
    Literal,
    ParamSpec,
    TypeAlias,
    TypeVar,
    get_args,
)

from paycollect.models import Fee
from paycollect.status import PaymentStatus

if TYPE_CHECKING:
    from paycollect.sandbox.clock import Clock

P = ParamSpec("P")
S = TypeVar("S")

Shapes: TypeAlias = Literal["events", "concept"]
Scheme: TypeAlias = Literal["raw", "compact", "php"]
EnvelopeVersion: TypeAlias = Literal["3.0", "2.0"]
EventIds: TypeAlias = Literal["own", "collection", "both"]
RefundEvents: TypeAlias = Literal["full", "bare"]

APP_ID: Final = "SANDBOX0APP00001"
SECRET_KEY: Final = "sandbox-secret-key-not-for-production"  # noqa: S105 - opens nothing
WEBHOOK_SECRET: Final = "whsec_sandbox0000000000000000000000001"  # noqa: S105 - guards nothing

ANNOUNCED: Final = (
    PaymentStatus.COMPLETED,
    PaymentStatus.REFUNDED,
    PaymentStatus.PARTIALLY_REFUNDED,
)
"""States that are told by webhook unless asked otherwise: those that the provider documents as
told after payment. It also documents one for PENDING; for the others it documents nothing."""

SHORTEST_APP_ID: Final = 8
SHORTEST_SECRET: Final = 16
"""The provider's schema asks for at least so many characters (provider docs: auth/token)."""

DEFAULT_FEES: Final = (
    Fee(code="COLLECTION_FEE", name="Collection Fee", type="PERCENTAGE", rate=Decimal(3)),
    Fee(code="PAYOUT_FEE", name="Payout Fee", type="FIXED", rate=Decimal(1)),
)
"""The price list of a new sandbox; the provider's pages show 3 % and 1.9 %."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxOptions:
    """The options of a `Sandbox`.

    Attributes:
        host: where it listens.
        port: the port; 0 takes a free one.
        app_id: what your service must know, the first half of the credentials.
        secret_key: the other half.
        webhook_secret: what signs webhooks.
        shapes: "events" (the provider's schemas and event pages) or "concept" (its tables).
        scheme: which published form of the signed message: "raw", "compact" or "php".
        envelope: which published form of the webhook: "3.0" or "2.0".
        event_ids: the id by which events name a collection: "own" (SCI..., as create and GET),
            "collection" (COL..., which GET does not know), or "both" (COL..., which GET answers
            with the record under its SCI... id). The published samples leave it open.
        refund_events: "full" (with orderId and collectionId) or "bare" (without them).
        stale_reads: how many seconds old the collections and refunds are that a GET tells.
        time_scale: sandbox seconds per real second; 0 stands still.
        fees: the price list.
        clock: the clock to live by, in place of one of its own.
        merchant: the name on the checkout page.
        announce: the states that are told by webhook.
        expired_as: what an expired session is called: EXPIRED or FAILED.
        refund_delay: seconds for which a refund is PENDING.
        refresh_revokes: whether a refresh ends the old token.
        answer_limit: real seconds that a service has to answer a webhook.
        allowed_hosts: further names that the sandbox may be called by.
        state: a file that keeps everything over a restart; it holds tokens and secrets.
        seed: a JSON or TOML file to begin with, where no state is kept yet.

    Raises:
        ValueError: an option has a value that it cannot have; the message begins with its name.

    """

    host: str = "127.0.0.1"
    port: int = 0
    app_id: str = APP_ID
    secret_key: str = SECRET_KEY
    webhook_secret: str = WEBHOOK_SECRET
    shapes: Shapes = "events"
    scheme: Scheme = "raw"
    envelope: EnvelopeVersion = "3.0"
    event_ids: EventIds = "own"
    refund_events: RefundEvents = "full"
    stale_reads: float = 0.0
    time_scale: float = 1.0
    fees: Iterable[Fee] = DEFAULT_FEES
    clock: Clock | None = None
    merchant: str = "Sandbox Merchant"
    announce: Iterable[PaymentStatus] = ANNOUNCED
    expired_as: PaymentStatus = PaymentStatus.EXPIRED
    refund_delay: float = 0.0
    refresh_revokes: bool = False
    answer_limit: float = 10.0
    allowed_hosts: Iterable[str] = ()
    state: str | os.PathLike[str] = ""
    seed: str | os.PathLike[str] = ""

    def __post_init__(self) -> None:
        for name in ("fees", "announce", "allowed_hosts"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in get_args(choices):
                raise ValueError(f"{name}: one of {', '.join(get_args(choices))} is needed")
        if not 0 <= self.stale_reads < float("inf"):
            raise ValueError("stale_reads: a finite number of seconds, 0 or more, is needed")
        if not self.webhook_secret.strip():
            raise ValueError("webhook_secret: must not be blank")
        if len(self.app_id) < SHORTEST_APP_ID:
            raise ValueError(f"app_id: at least {SHORTEST_APP_ID} characters are needed")
        if len(self.secret_key) < SHORTEST_SECRET:
            raise ValueError(f"secret_key: at least {SHORTEST_SECRET} characters are needed")


_CHOICES: Final[dict[str, object]] = {
    "shapes": Shapes,
    "scheme": Scheme,
    "envelope": EnvelopeVersion,
    "event_ids": EventIds,
    "refund_events": RefundEvents,
}


def takes(
    options: Callable[P, SandboxOptions],
) -> Callable[[Callable[[S, SandboxOptions], None]], Callable[Concatenate[S, P], None]]:
    """Let an `__init__` that wants options take each of them as an argument of its own."""

    def decorate(init: Callable[[S, SandboxOptions], None]) -> Callable[Concatenate[S, P], None]:
        def __init__(self: S, /, *args: P.args, **kwargs: P.kwargs) -> None:  # noqa: N807 - it is one
            init(self, options(*args, **kwargs))

        functools.update_wrapper(__init__, init)
        me = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
        parameters = inspect.signature(options).parameters.values()
        __init__.__signature__ = inspect.Signature([me, *parameters])  # type: ignore[attr-defined]  # read by inspect and help()
        return __init__

    return decorate
