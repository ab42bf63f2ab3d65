"""Deliveries of webhooks: tried at once, then after 1, 5 and 30 minutes, each attempt on record.

A delivery succeeded when a 2xx came within 10 seconds (provider docs: webhooks, delivery). The
waits go by the sandbox's clock; the 10 seconds are real ones, as the merchant's service cannot be
made faster by moving a clock.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
import time
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import aiohttp

from paycollect.sandbox.pulse import Pulse
from paycollect.sandbox.refusals import not_found, wrong_state

if TYPE_CHECKING:
    from datetime import datetime

    from paycollect.sandbox.clock import Clock
    from paycollect.sandbox.faults import Fault, Faults
    from paycollect.sandbox.webhooks import EnvelopeVersion, Notice, Scheme, Settings

RETRY_AFTER: Final = (60.0, 300.0, 1800.0)
"""Seconds between an attempt that failed and the next one (provider docs: webhooks, delivery)."""

ANSWER_LIMIT: Final = 10.0
"""Real seconds that the merchant's service has for its answer."""

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
    notice: Notice
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


class Courier:
    """Delivers webhooks in the background; open from `start` to `close`."""

    def __init__(
        self,
        clock: Clock,
        faults: Faults,
        settings: Settings,
        *,
        scheme: Scheme,
        envelope: EnvelopeVersion,
        answer_limit: float = ANSWER_LIMIT,
    ) -> None:
        self.log: list[Delivery] = []
        self._clock = clock
        self._faults = faults
        self._settings = settings
        self._scheme: Scheme = scheme
        self._envelope: EnvelopeVersion = envelope
        self._limit = answer_limit
        self._pulse = Pulse()
        self._numbers = itertools.count(1)
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._unfinished: dict[int, Delivery] = {}
        self._held: list[Delivery] = []
        self._http: aiohttp.ClientSession | None = None

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
        self._pulse.beat()

    def send(self, notice: Notice, url: str, collection_id: str | None = None) -> Delivery:
        """Deliver an event in the background, with the documented retries."""
        delivery = self._enter(notice, url, collection_id, RETRY_AFTER)
        self._schedule(delivery)
        return delivery

    async def send_once(self, notice: Notice, url: str) -> bool:
        """Deliver an event now, without retries, and tell whether the merchant took it."""
        delivery = self._enter(notice, url, None, ())
        await self._try(delivery)
        self._schedule(delivery)
        return delivery.state == "delivered"

    def redeliver(self, delivery_id: int) -> Delivery:
        """Start a delivery anew, whatever became of it.

        Raises:
            RefusedError: RESOURCE_NOT_FOUND; INVALID_STATUS, it is being sent at this moment.

        """
        delivery = next((d for d in self.log if d.delivery_id == delivery_id), None)
        if delivery is None:
            raise not_found("Delivery")
        if delivery.state == "sending":
            raise wrong_state("The delivery is being sent")
        delivery.failures = 0
        self._start_now(delivery)
        return delivery

    async def drained(self) -> None:
        """Wait until no delivery is under way and none is due."""
        while self._http and self._is_busy():
            await self._pulse.wait()

    @property
    def _client(self) -> aiohttp.ClientSession:
        if self._http is None:
            raise RuntimeError("the sandbox is not running")
        return self._http

    def _is_busy(self) -> bool:
        now = self._clock.now()
        return any(delivery.is_due(now) for delivery in self._unfinished.values())

    def _enter(
        self, notice: Notice, url: str, collection_id: str | None, retries: tuple[float, ...]
    ) -> Delivery:
        _ = self._client  # refuses if there is none, before anything is on record
        now = self._clock.now()
        delivery = Delivery(
            delivery_id=next(self._numbers),
            notice=notice,
            url=url,
            collection_id=collection_id,
            created_at=now,
            next_attempt_at=now,
            retries=retries,
        )
        self.log.append(delivery)
        self._unfinished[delivery.delivery_id] = delivery
        return delivery

    def _start_now(self, delivery: Delivery) -> None:
        delivery.state = "waiting"
        delivery.next_attempt_at = self._clock.now()
        self._unfinished[delivery.delivery_id] = delivery
        self._schedule(delivery)

    def _schedule(self, delivery: Delivery) -> None:
        if old := self._tasks.pop(delivery.delivery_id, None):
            old.cancel()
        task = asyncio.create_task(self._carry(delivery))
        self._tasks[delivery.delivery_id] = task

    async def _carry(self, delivery: Delivery) -> None:
        while delivery.next_attempt_at is not None:
            await self._clock.sleep_until(delivery.next_attempt_at)
            await self._try(delivery)
        self._tasks.pop(delivery.delivery_id, None)

    async def _try(self, delivery: Delivery) -> None:
        fault = self._faults.take(f"webhook {delivery.notice.event}")
        if fault is not None and fault.kind == "reordered":
            self._held.append(delivery)
            delivery.next_attempt_at = self._clock.now() + _HELD_BACK
        else:
            self._held = [held for held in self._held if held is not delivery]
            delivery.state = "sending"
            attempt = await self._attempt(delivery, fault)
            if fault is not None and fault.kind == "duplicated":
                await self._attempt(delivery, fault)
            self._conclude(delivery, attempt)
            self._release_held()
        self._pulse.beat()

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

    async def _attempt(self, delivery: Delivery, fault: Fault | None) -> Attempt:
        body = delivery.notice.body(self._secret(fault), self._scheme, self._envelope)
        kind = "" if fault is None else fault.kind
        attempt = Attempt(at=self._clock.now(), body=body.decode(), fault=kind)
        delivery.attempts.append(attempt)
        started = time.monotonic()
        try:
            attempt.answer, attempt.status = await self._post(delivery.url, body)
        except TimeoutError:
            attempt.error = f"no answer within {self._limit:g} s"
        except (aiohttp.ClientError, ValueError) as problem:
            attempt.error = str(problem) or type(problem).__name__
        attempt.seconds = time.monotonic() - started
        return attempt

    async def _post(self, url: str, body: bytes) -> tuple[str, int]:
        async with self._client.post(
            url, data=body, headers=_HEADERS, allow_redirects=False
        ) as response:
            answer = await response.content.read(_ANSWER_SHOWN)
            return answer.decode(errors="replace"), response.status

    def _secret(self, fault: Fault | None) -> str:
        match fault and fault.kind:
            case "wrongly_signed":
                return f"whsec_{secrets.token_hex(16)}"
            case "old_secret":
                return self._settings.retired_secret
            case _:
                return self._settings.secret
