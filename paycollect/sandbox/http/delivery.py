"""Deliveries of webhooks: tried at once, then after 1, 5 and 30 minutes, each attempt on record.

A delivery succeeded when a 2xx came within 10 seconds (provider docs: webhooks, delivery). The
waits go by the sandbox's clock; the 10 seconds are real ones, as the merchant's service cannot be
made faster by moving a clock.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import aiohttp

from paycollect.sandbox.provider.errors import not_found, wrong_state
from paycollect.sandbox.provider.events import Event
from paycollect.sandbox.wakeup import Wakeup

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from paycollect.sandbox.clock import Clock
    from paycollect.sandbox.faults import Fault, Faults
    from paycollect.sandbox.provider.endpoints import Provider
    from paycollect.sandbox.provider.events import Webhook

RETRY_AFTER: Final = (60.0, 300.0, 1800.0)
"""Seconds between an attempt that failed and the next one (provider docs: webhooks, delivery)."""

DELIVERIES_KEPT: Final = 10_000
"""How many deliveries are remembered, besides those that are under way."""

_HELD_BACK: Final = timedelta(seconds=60)
_HEADERS: Final = {"Content-Type": "application/json", "User-Agent": "paycollect-sandbox"}
_ANSWER_SHOWN: Final = 2000

State: TypeAlias = Literal["waiting", "sending", "delivered", "failed"]


@dataclass(slots=True, kw_only=True)
class Attempt:
    """One POST to the merchant: what was sent when, and what came back.

    `status` is None and `error` says why, when no answer came; `seconds` are real ones.
    """

    at: datetime
    body: str = field(repr=False)
    fault: str = ""
    status: int | None = None
    error: str = ""
    answer: str = field(default="", repr=False)
    seconds: float = 0.0

    @property
    def answered(self) -> bool:
        """Whether the attempt is over, well or not."""
        return self.status is not None or bool(self.error)

    @property
    def succeeded(self) -> bool:
        """Whether the merchant took it."""
        return self.status is not None and 200 <= self.status <= 299  # noqa: PLR2004 - "any 2xx"


@dataclass(slots=True, kw_only=True)
class Delivery:
    """An event on its way to a URL, with every attempt made so far; moments are UTC."""

    delivery_id: int
    event: Event
    url: str
    collection_id: str | None
    created_at: datetime
    state: State = "waiting"
    next_attempt_at: datetime | None = None
    failures: int = 0
    retries: tuple[float, ...] = ()
    attempts: list[Attempt] = field(default_factory=list)

    def is_due(self, now: datetime) -> bool:
        """Whether something has to happen now."""
        return self.next_attempt_at is not None and self.next_attempt_at <= now


class Dispatcher:
    """Delivers webhooks in the background; open from `start` to `close`."""

    def __init__(self, clock: Clock, faults: Faults, provider: Provider) -> None:
        self._deliveries: dict[int, Delivery] = {}
        self.listeners: list[Callable[[Delivery, Attempt], None]] = []
        self._clock = clock
        self._faults = faults
        self._provider = provider
        self._limit = provider.options.answer_limit
        self._changed = Wakeup()
        self._numbers = itertools.count(1)
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._unfinished: dict[int, Delivery] = {}
        self._held: list[Delivery] = []
        self._http: aiohttp.ClientSession | None = None

    @property
    def log(self) -> list[Delivery]:
        """Every delivery that is remembered, oldest first."""
        return list(self._deliveries.values())

    async def start(self) -> None:
        """Get ready to send."""
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(force_close=True),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=self._limit),
        )

    async def close(self) -> None:
        """Drop whatever is still under way."""
        tasks, self._tasks = list(self._tasks.values()), {}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._http is not None:
            await self._http.close()
            self._http = None
        self._unfinished.clear()
        self._changed.wake_all()

    def restore(self, deliveries: Iterable[Delivery]) -> None:
        """Take over the deliveries of an earlier life; those that were under way go on."""
        self._deliveries |= {delivery.delivery_id: delivery for delivery in deliveries}
        self._numbers = itertools.count(1 + max(self._deliveries, default=0))
        for delivery in self.log:
            if delivery.next_attempt_at is not None:
                delivery.state = "waiting"
                self._unfinished[delivery.delivery_id] = delivery
                self._schedule(delivery)

    def send(self, webhook: Webhook) -> Delivery:
        """Deliver an event in the background, with the documented retries."""
        delivery = self._enter(webhook, RETRY_AFTER)
        self._schedule(delivery)
        return delivery

    async def send_once(self, webhook: Webhook) -> bool:
        """Deliver an event now, without retries, and tell whether the merchant took it."""
        delivery = self._enter(webhook, ())
        await self._try(delivery)
        self._schedule(delivery)
        return delivery.state == "delivered"

    def redeliver(self, delivery_id: int) -> Delivery:
        """Start a delivery anew, whatever became of it.

        Raises:
            RefusedError: RESOURCE_NOT_FOUND; INVALID_STATUS, it is being sent at this moment.

        """
        delivery = self._deliveries.get(delivery_id)
        if delivery is None:
            raise not_found("Delivery")
        if delivery.state == "sending":
            raise wrong_state("The delivery is being sent")
        delivery.failures = 0
        self._start_now(delivery)
        return delivery

    def clear(self) -> None:
        """Forget all deliveries that are finished."""
        self._deliveries = dict(self._unfinished)

    async def drained(self) -> None:
        """Wait until no delivery is under way and none is due."""
        while self._is_busy():
            await self._changed.wait(unless=lambda: not self._is_busy())

    @property
    def _client(self) -> aiohttp.ClientSession:
        if self._http is None:
            raise RuntimeError("the sandbox is not running")
        return self._http

    def _is_busy(self) -> bool:
        now = self._clock.now()
        return any(delivery.is_due(now) for delivery in self._unfinished.values())

    def _enter(self, webhook: Webhook, retries: tuple[float, ...]) -> Delivery:
        _ = self._client  # refuses if there is none, before anything is on record
        now = self._clock.now()
        delivery = Delivery(
            delivery_id=next(self._numbers),
            event=webhook.event,
            url=webhook.url,
            collection_id=webhook.collection_id,
            created_at=now,
            next_attempt_at=now,
            retries=retries,
        )
        self._forget()
        self._deliveries[delivery.delivery_id] = delivery
        self._unfinished[delivery.delivery_id] = delivery
        return delivery

    def _forget(self) -> None:
        """Drop the oldest tenth of too many; whatever is under way stays."""
        if len(self._deliveries) - len(self._unfinished) >= DELIVERIES_KEPT:
            finished = [number for number in self._deliveries if number not in self._unfinished]
            for number in finished[: max(1, DELIVERIES_KEPT // 10)]:
                del self._deliveries[number]

    def _start_now(self, delivery: Delivery) -> None:
        delivery.state = "waiting"
        delivery.next_attempt_at = self._clock.now()
        self._unfinished[delivery.delivery_id] = delivery
        self._schedule(delivery)

    def _schedule(self, delivery: Delivery) -> None:
        if old := self._tasks.pop(delivery.delivery_id, None):
            old.cancel()
        task = asyncio.create_task(self._keep_trying(delivery))
        self._tasks[delivery.delivery_id] = task

    async def _keep_trying(self, delivery: Delivery) -> None:
        while delivery.next_attempt_at is not None:
            await self._clock.sleep_until(delivery.next_attempt_at)
            await self._try(delivery)
        self._tasks.pop(delivery.delivery_id, None)

    async def _try(self, delivery: Delivery) -> None:
        fault = self._faults.take(f"webhook {delivery.event.name}")
        posting = HttpPosting(self._client, self._provider, delivery, fault, self._limit)
        if fault is None:
            await posting.post()
        else:
            await fault.act(posting)
        if posting.is_held_back:
            self._held.append(delivery)
            delivery.next_attempt_at = self._clock.now() + _HELD_BACK
        else:
            self._held = [held for held in self._held if held is not delivery]
            self._conclude(delivery, posting.first)
            for listener in self.listeners:
                listener(delivery, posting.first)
            self._release_held()
        self._changed.wake_all()

    def _conclude(self, delivery: Delivery, attempt: Attempt) -> None:
        if attempt.succeeded:
            delivery.state, delivery.next_attempt_at = "delivered", None
        elif delivery.failures < len(delivery.retries):
            wait = timedelta(seconds=delivery.retries[delivery.failures])
            delivery.state, delivery.next_attempt_at = "waiting", self._clock.now() + wait
        else:
            delivery.state, delivery.next_attempt_at = "failed", None
        delivery.failures += 1
        if delivery.next_attempt_at is None:
            self._unfinished.pop(delivery.delivery_id, None)

    def _release_held(self) -> None:
        held, self._held = self._held, []
        for delivery in held:
            self._start_now(delivery)


class HttpPosting:
    """A webhook that is sent to the merchant's service; see `faults.Posting`."""

    def __init__(
        self,
        client: aiohttp.ClientSession,
        provider: Provider,
        delivery: Delivery,
        fault: Fault | None,
        limit: float,
    ) -> None:
        self.is_held_back: bool = False
        self._client = client
        self._provider = provider
        self._delivery = delivery
        self._fault = "" if fault is None else fault.kind
        self._limit = limit
        self._before = len(delivery.attempts)

    @property
    def first(self) -> Attempt:
        """The attempt that counts."""
        return self._delivery.attempts[self._before]

    @property
    def old_secret(self) -> str:
        """The secret before the present one."""
        return self._provider.webhooks.retired_secret

    def hold_back(self) -> None:
        """Send it later: after the next one, or after a minute."""
        self.is_held_back = True

    async def post(self, secret: str | None = None) -> None:
        """Send it once, signed with the present secret or another one."""
        self._delivery.state = "sending"
        body = self._provider.webhook_body(self._delivery.event, secret)
        attempt = Attempt(at=self._provider.now(), body=body.decode(), fault=self._fault)
        self._delivery.attempts.append(attempt)
        started = time.monotonic()
        try:
            attempt.answer, attempt.status = await self._exchange(body)
        except TimeoutError:
            attempt.error = f"no answer within {self._limit:g} s"
        except (aiohttp.ClientError, ValueError) as problem:
            attempt.error = str(problem) or type(problem).__name__
        attempt.seconds = time.monotonic() - started

    async def _exchange(self, body: bytes) -> tuple[str, int]:
        async with self._client.post(
            self._delivery.url, data=body, headers=_HEADERS, allow_redirects=False
        ) as response:
            answer = await response.content.read(_ANSWER_SHOWN)
            return answer.decode(errors="replace"), response.status
