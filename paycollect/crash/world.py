"""The world around a merchant's process: the provider, the time, and what happens outside.

It outlives each life of the process. Everything is in one process and without HTTP, so that
thousands of schedules take minutes; the session manager is the real one, but for its transport.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar

from attrs import define, field, frozen

from paycollect._api.answers import Request, Response
from paycollect.cashier import Cashier
from paycollect.errors import ConnectError, Outcome, ResponseLostError
from paycollect.ipn import Receiver
from paycollect.retry import RetryPolicy
from paycollect.sandbox.clock import Clock
from paycollect.sandbox.options import APP_ID, SECRET_KEY, WEBHOOK_SECRET, SandboxOptions
from paycollect.sandbox.provider.endpoints import Provider
from paycollect.sandbox.provider.envelope import Reply
from paycollect.sandbox.provider.events import Webhook
from paycollect.session import SessionManager

T = TypeVar("T")
WEBHOOK_URL: Final = "https://shop.example/webhook"

Ask: TypeAlias = Callable[[str, str, Mapping[str, str], bytes], Reply | None]

inside: ContextVar[str] = ContextVar("inside", default="")
"""The kind of handler that runs here."""


@frozen
class Shop:
    """One life of a merchant's process.

    Attributes:
        cashier: made for this life, on the store that outlives it.
        delivered: tells how often an order was delivered, read from the merchant's own tables.
        gave_back: tells how often the stock of an order was given back, as it was closed unpaid.
        took_back: tells how often a delivered order was taken back, as it was refunded.
        close: ends what `make_shop` has opened beside the cashier, such as an engine.

    """

    cashier: Cashier[Any]
    delivered: Callable[[str], int | Awaitable[int]]
    gave_back: Callable[[str], int | Awaitable[int]] | None = None
    took_back: Callable[[str], int | Awaitable[int]] | None = None
    close: Callable[[], object] | None = None


@frozen
class Effect:
    """Something that a handler did outside of the database."""

    what: str
    key: str
    handler: str


class Effects:
    """What handlers do outside: the network, which no rollback takes back.

    The crash test cannot see the merchant's own network. Have the handler, or the double that
    stands for the mail server, call `world.effects.record("mail", payment.key)`.
    """

    def __init__(self, record: Callable[[Effect], None]) -> None:
        self._record = record

    def record(self, what: str, key: str) -> None:
        """Note that something was done outside; `key` says about what."""
        self._record(Effect(what, key, inside.get()))


class WorldClock(Clock):
    """A clock that is moved by hand; who sleeps moves it."""

    def __init__(self, start: datetime | None = None) -> None:
        super().__init__(time_scale=0.0, start=start)

    async def sleep(self, seconds: float) -> None:
        """Let the time pass at once."""
        self.advance(seconds)
        await asyncio.sleep(0)


class World:
    """What `make_shop` is given: a place for files, the provider, the time, the outside.

    Attributes:
        folder: where files that outlive a life are; a new one for each schedule.
        clock: the time of all; give it to the `Cashier`.
        pay: a session manager of this life.
        receiver: proves the provider's webhooks.
        effects: where handlers note what they do outside.

    """

    def __init__(
        self,
        folder: Path,
        clock: WorldClock,
        *,
        ask: Ask,
        keep: Callable[[Effect], None],
        secret: str,
        credentials: tuple[str, str],
    ) -> None:
        self.folder = folder
        self.clock = clock
        self.receiver: Receiver = Receiver(secrets=secret)
        self.effects: Effects = Effects(self._effect)
        self.reach: Callable[[str], None] = _nothing
        self._keep = keep
        self._ask = ask
        app_id, secret_key = credentials
        self.pay: SessionManager = SessionManager(
            app_id=app_id,
            secret_key=secret_key,
            base_url="http://127.0.0.1",
            clock=clock,
            retry=RetryPolicy(max_retries=1),
        )
        engine: Any = self.pay._engine  # noqa: SLF001  # no HTTP in thousands of schedules
        engine._transport = _Transport(self)  # noqa: SLF001  # as above

    def _effect(self, effect: Effect) -> None:
        self.reach(f"effect:{effect.what}:before")
        self._keep(effect)
        self.reach(f"effect:{effect.what}:after")

    def exchange(self, request: Request[T], read: Callable[[Response], T], bearer: str) -> T:
        """Send a request, and read its answer: a life can die before, after and in between.

        Raises:
            ConnectError: the provider is away.
            ResponseLostError: the answer was lost on its way.

        """
        name = f"request:{request.method} {request.template or request.path}"
        self.reach(f"{name}:send")
        headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        reply = self._ask(request.method, request.path, headers, request.body or b"")
        self.reach(f"{name}:sent")
        if reply is None:
            error = ResponseLostError(f"the answer to {request.method} was lost")
            error.outcome = Outcome.UNKNOWN
            raise error
        self.reach(f"{name}:answered")
        return read(Response(status=reply.status, body=reply.body, headers=dict(reply.headers)))


def _nothing(_: object) -> None:
    pass


class _Line:
    """A line in front of the provider that nobody has to wait in."""

    def enter_nowait(self) -> bool:
        return True

    def leave(self) -> None:
        pass


class _Transport:
    """Carries requests to the provider in the same process."""

    is_open = False

    def __init__(self, world: World) -> None:
        self.queue = _Line()
        self._world = world

    def open(self) -> None:
        """Open nothing."""

    async def aclose(self) -> None:
        """Close nothing."""

    async def send(
        self,
        request: Request[T],
        read: Callable[[Response], T],
        *,
        bearer: str | None,
        **_limits: object,
    ) -> T:
        await asyncio.sleep(0)
        return self._world.exchange(request, read, bearer or "")


@define
class Outside:
    """The provider's side, with its faults, and what is known to have happened.

    Attributes:
        letters: webhooks that the provider has sent, by order id; it is for the schedule to say
            which of them arrive, how often and in which order.
        answers_lost: how many of the next answers are lost on their way.
        away: whether nobody can reach the provider.
        stale: how many seconds old the state is that a GET tells.

    """

    clock: WorldClock
    provider: Provider = field(init=False)
    letters: dict[str, list[bytes]] = field(factory=dict)
    effects: list[Effect] = field(factory=list)
    answers_lost: int = 0
    away: bool = False
    stale: float = 0.0

    def __attrs_post_init__(self) -> None:
        self.provider = Provider(SandboxOptions(), self.clock.now, send=self._send)
        self.provider.webhooks.url = WEBHOOK_URL

    def _send(self, webhook: Webhook) -> None:
        record = self.provider.ledger[webhook.collection_id or ""]
        body = self.provider.webhook_body(webhook.event)
        self.letters.setdefault(record.order.order_id, []).append(body)

    def ask(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> Reply | None:
        """Answer a request; None where the answer is lost.

        Raises:
            ConnectError: the provider is away.

        """
        if self.away:
            raise ConnectError("no connection to the provider")
        reply = self.provider.handle(
            method, target, authorization=headers.get("Authorization"), body=body, lag=self.stale
        )
        if self.answers_lost and "/auth/" not in target:
            self.answers_lost -= 1
            return None
        return reply  # type: ignore[return-value]  # only a test delivery gives anything else

    def world(self, folder: Path) -> World:
        """Make the world of a new life."""
        return world_of(folder, self.clock, self.ask, self.effects.append)

    def collection_of(self, order_id: str) -> str | None:
        """Find the collection of an order."""
        ids = self.provider.ledger._id_by_order  # noqa: SLF001  # the books of this world
        return ids.get(order_id)

    def statuses(self, order_id: str) -> list[str]:
        """List the states that the collection of an order was in."""
        collection_id = self.collection_of(order_id)
        if collection_id is None:
            return []
        history = self.provider.ledger.history(collection_id)
        return [str(record.status) for _, record in history]


def world_of(folder: Path, clock: WorldClock, ask: Ask, keep: Callable[[Effect], None]) -> World:
    """Make the world of a life, with the credentials of every sandbox."""
    return World(
        folder,
        clock,
        ask=ask,
        keep=keep,
        secret=WEBHOOK_SECRET,
        credentials=(APP_ID, SECRET_KEY),
    )
