"""One call, made to succeed: token, attempts, waits, deadline, and a clear end.

Invariants: every call ends, with the value, with one of our errors, or with the caller's
own cancellation; and the error knows whether any of its attempts may have taken effect.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from typing import Any, Final, Literal, TypeVar

import aiohttp
from attrs import define

from paycollect import _arguments as check
from paycollect._api import answers, endpoints
from paycollect._api.answers import Request, Response
from paycollect._http.concurrency import Interrupter, Task
from paycollect._http.transport import Limits, Transport, to_limits
from paycollect._observers import Observers, log
from paycollect.clock import Clock
from paycollect.errors import (
    AuthenticationError,
    ClosedError,
    DeadlineExceededError,
    EventLoopError,
    Outcome,
    PayCollectError,
    TransportError,
)
from paycollect.models import JsonValue, Token
from paycollect.retry import RetryPolicy, Timeout, parse_http_date
from paycollect.tokens import TokenStore
from paycollect.tokens.keeper import Grant, TokenKeeper, read_grant

T = TypeVar("T")
RecordKind = Literal["CallStarted", "AttemptStarted", "AttemptEnded", "Waiting", "CallEnded"]
# Clocks differ by minutes; a Date that is hours off is a proxy's, or in another zone.
_FURTHEST_CLOCK: Final = timedelta(minutes=90)
_number_of_next_call: Final = partial(next, count(1))


@define(eq=False, repr=False)
class Call:
    """One call of the API as its caller sees it, over all its requests and attempts."""

    started: float
    ends: float
    limits: Limits
    retry: RetryPolicy
    attempts: int = 0
    retries: int = 0
    sending: bool = False
    unsure: bool = False
    """Whether an earlier attempt may have taken effect."""
    sent_at: float = 0.0
    """When the last attempt began, by the monotonic clock."""
    answer: Response | None = None
    """The last answer; None where the last attempt had none."""
    number: int = 0
    """Given where somebody observes it."""


class Engine:
    """Runs requests for a session manager."""

    def __init__(
        self,
        *,
        app_id: str,
        secret_key: str,
        base_url: str,
        http: aiohttp.ClientSession | None,
        limits: Limits,
        deadline: float,
        retry: RetryPolicy,
        token_store: TokenStore,
        clock: Clock,
        observers: Observers,
    ) -> None:
        self._secret_key = secret_key
        self._base_url = base_url
        self._limits = limits
        self._deadline = deadline
        self._retry = retry
        self._clock = clock
        self._now = clock.monotonic
        self.observers = observers
        self._is_observed = bool(observers)
        self._transport = Transport(base_url, http=http)
        self._keeper = TokenKeeper(
            authenticate=lambda: self._ask_token(endpoints.authenticate(app_id, secret_key), None),
            refresh=lambda token: self._ask_token(endpoints.refresh(), token),
            store=token_store,
            clock=clock,
            app_id=app_id,
            base_url=base_url,
            observers=observers,
        )
        self._read_grant = partial(read_grant, clock=clock, app_id=app_id, base_url=base_url)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._process = os.getpid()
        self._interrupter = Interrupter()
        self._last_answer: tuple[Mapping[str, str], float] = ({}, 0.0)
        self.closed = False
        self._closing: asyncio.Future[None] | None = None

    @property
    def is_open(self) -> bool:
        """Whether connections may be open that `aclose` must close."""
        return not self.closed and self._transport.is_open and self._process == os.getpid()

    def begin(
        self,
        *,
        timeout: Timeout | aiohttp.ClientTimeout | float | None = None,
        deadline: float | None = None,
        retry: RetryPolicy | None = None,
    ) -> Call:
        """Start the clock of a call."""
        now = self._now()
        return Call(
            now,
            now + (self._deadline if deadline is None else check.seconds(deadline, "deadline")),
            self._limits if timeout is None else to_limits(timeout),
            self._retry if retry is None else check.instance(retry, RetryPolicy, "retry"),
        )

    async def run(self, call: Call, request: Request[T], token: Token | None = None) -> T:
        """Make a request, as often as it takes and may be; so that `aclose` can end it.

        Args:
            call: the call that it is part of.
            request: what to ask.
            token: the one to use, where it is not the one that is kept.

        Raises:
            PayCollectError: as the tree says; it carries attempts, elapsed time and order id.

        """
        task = self._enter()
        self._interrupter.enter(task)
        try:
            if self._is_observed:
                return await self._observed(call, request, token)
            return await self._attempts(call, request, token)
        except PayCollectError as error:
            self.complete(error, call, request)
            raise
        except asyncio.CancelledError:
            if not self._interrupter.take_back(task):
                raise
        finally:
            self._interrupter.leave(task)
        closed = ClosedError("the session manager was closed while the call was under way")
        closed.outcome = Outcome.UNKNOWN if call.sending else Outcome.NOT_SENT
        self.complete(closed, call, request)
        raise closed

    async def sleep(self, seconds: float) -> None:
        """Wait between two calls.

        Raises:
            ClosedError: the manager was closed meanwhile.

        """
        task = self._enter()
        self._interrupter.enter(task)
        try:
            return await self._clock.sleep(seconds)
        except asyncio.CancelledError:
            if not self._interrupter.take_back(task):
                raise
        finally:
            self._interrupter.leave(task)
        raise ClosedError("the session manager was closed while the call waited")

    async def _attempts(self, call: Call, request: Request[T], given: Token | None) -> T:
        """Make attempts until one has an answer, or it is time to give up."""
        was_refused = False
        token = given
        while True:
            now = self._now()
            if given is None and not request.for_token:
                token = self._keeper.fresh(now)
                if token is None:
                    token = await self._within(call, self._keeper.acquire())
                    now = self._now()
            try:
                return await self._attempt(call, request, token, now)
            except PayCollectError as error:
                failed = error
            unsure = failed.outcome is Outcome.UNKNOWN
            call.unsure = call.unsure or (unsure and request.method != "GET")
            if isinstance(failed, AuthenticationError) and token is not None and given is None:
                self._keeper.invalidate(token)
                if was_refused or (unsure and not request.repeatable):
                    raise failed
                log.info("the access token was refused, the call is made again: %s", failed)
                was_refused = True
                continue
            await self._wait(call, request, failed)

    async def _attempt(self, call: Call, request: Request[T], token: Token | None, now: float) -> T:
        """Take a place in the line, send once, and read the answer."""
        if now >= call.ends:
            raise self._too_late(call, None)
        queue = self._transport.queue
        if not queue.enter_nowait():
            await self._within(call, queue.enter())
            now = self._now()
        call.attempts += 1
        call.sent_at, call.sending, call.answer = now, True, None
        if self._is_observed:
            self._tell("AttemptStarted", call, request, now, attempt=call.attempts)
        bearer = None if token is None else token.access_token
        secrets = (self._secret_key,) if bearer is None else (self._secret_key, bearer)
        try:
            value = await self._transport.send(
                request,
                partial(self._read, call, request, secrets),
                bearer=bearer,
                limits=call.limits,
                left=call.ends - now,
            )
        except PayCollectError as error:
            self._tell_attempt(call, request, secrets, error)
            failed = error
        else:
            if self._is_observed or log.isEnabledFor(logging.DEBUG):
                self._tell_attempt(call, request, secrets, None)
            return value
        finally:
            queue.leave()
        call.sending = False
        if failed.is_retryable and self._now() >= call.ends:
            raise self._too_late(call, failed)
        raise failed

    def _read(
        self, call: Call, request: Request[T], secrets: tuple[str, ...], response: Response
    ) -> T:
        call.answer = response
        self._last_answer = (response.headers, call.sent_at)
        return answers.decipher(request, response, secrets=secrets, now=self._clock.time)

    async def _wait(self, call: Call, request: Request[T], failed: PayCollectError) -> None:
        """Wait before the next attempt, or give up and raise."""
        wait = call.retry.next_wait(
            failed,
            retries=call.retries,
            remaining=call.ends - self._now(),
            repeatable=request.repeatable,
            recoverable=request.recoverable,
        )
        if isinstance(failed, endpoints.UnnamedOrderError):
            raise failed  # a look-up tells more than a repeat
        # An answer, even a 503, is one failure for all who wait for a token: to ask again for each
        # of them would only add to the outage.
        if wait is None or (request.for_token and not isinstance(failed, TransportError)):
            raise failed
        call.retries += 1
        if self._is_observed:
            self._tell(
                "Waiting",
                call,
                request,
                self._now(),
                attempt=call.attempts,
                seconds=wait,
                error_type=type(failed).__name__,
            )
        await self._clock.sleep(wait)

    async def _within(self, call: Call, waiting: Awaitable[T]) -> T:
        """Wait for something, but not beyond the deadline."""
        try:
            async with asyncio.timeout(max(call.ends - self._now(), 0)):
                return await waiting
        except TimeoutError:
            pass
        raise self._too_late(call, None)

    def _too_late(self, call: Call, last: PayCollectError | None) -> DeadlineExceededError:
        seconds = f"{call.ends - call.started:g} s"
        why = "" if last is None else f"; the last attempt: {last.args[0]}"
        error = DeadlineExceededError(f"the call did not end within its deadline of {seconds}{why}")
        error.outcome = Outcome.NOT_SENT if last is None else last.outcome
        return error

    def complete(self, error: PayCollectError, call: Call, request: Request[T]) -> None:
        """Put what is known of the whole call on its error."""
        error.attempts = call.attempts
        error.elapsed = self._now() - call.started
        error.order_id = request.order_id
        if call.unsure:
            error.outcome = Outcome.UNKNOWN
        elif request.method == "GET" and error.outcome is Outcome.UNKNOWN:
            error.outcome = Outcome.REJECTED  # a read has no effect

    # --- what is told ---------------------------------------------------------------------------

    async def _observed(self, call: Call, request: Request[T], token: Token | None) -> T:
        """Make a request, and tell its beginning and its end."""
        self._tell("CallStarted", call, request, call.started)
        result: object = None
        ended: BaseException | None = None
        try:
            result = value = await self._attempts(call, request, token)
        except PayCollectError as error:
            self.complete(error, call, request)
            ended = error
            raise
        except asyncio.CancelledError as error:
            ended = error
            raise
        else:
            return value
        finally:
            self._tell_end(call, request, result, ended)

    def _tell(
        self, kind: RecordKind, call: Call, request: Request[Any], began: float, **more: Any
    ) -> None:
        from paycollect import observe  # noqa: PLC0415  few programs observe, and all would wait

        call.number = call.number or _number_of_next_call()
        record: dict[str, Any] = {
            "call": call.number,
            "method": request.method,
            "template": request.template or request.path,
            "url": self._base_url + request.path.partition("?")[0],
            "order_id": request.order_id,
            "collection_id": request.collection_id,
            "started": self._clock.time() - (self._now() - began),
        }
        self.observers.tell(getattr(observe, kind)(**(record | more)))

    def _tell_attempt(
        self,
        call: Call,
        request: Request[Any],
        secrets: tuple[str, ...],
        error: PayCollectError | None,
    ) -> None:
        told: dict[str, Any] = {}
        if error is not None:
            told = {
                "error_type": type(error).__name__,
                "problem": error.args[0],
                "is_retryable": error.is_retryable,
            }
        self._tell(
            "AttemptEnded",
            call,
            request,
            call.sent_at,
            attempt=call.attempts,
            elapsed=self._now() - call.sent_at,
            **_of_answer(call, secrets),
            **told,
        )

    def _tell_end(
        self, call: Call, request: Request[Any], result: object, error: BaseException | None
    ) -> None:
        told: dict[str, Any] = {}
        if error is not None:
            told = {"error_type": type(error).__name__, "outcome": getattr(error, "outcome", None)}
        elif request.collection_id is None:
            told = {"collection_id": getattr(result, "collection_id", None)}
        self._tell(
            "CallEnded",
            call,
            request,
            call.started,
            attempts=call.attempts,
            elapsed=self._now() - call.started,
            **_of_answer(call, (self._secret_key,)),
            **told,
        )

    # --- life -----------------------------------------------------------------------------------

    def _enter(self) -> Task:
        loop = asyncio.get_running_loop()
        if self.closed:
            raise ClosedError("the session manager is closed; create a new one")
        if loop is not self._loop:
            self._check_loop(loop)
            self._transport.open()
            self._loop = loop
        task = asyncio.current_task(loop)
        if task is None:  # pragma: no cover  asyncio runs every coroutine in a task
            raise EventLoopError("the session manager needs to be awaited in an asyncio task")
        return task

    def _check_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._process != os.getpid():
            self._after_fork()
        if self._loop is not None and self._loop is not loop:
            raise EventLoopError(
                "the session manager belongs to the event loop that it was first used on, and this"
                " is another one: create one manager per event loop"
            )

    def _after_fork(self) -> None:
        """Start anew: the parent's loop, sockets and tasks are not the child's."""
        self._process = os.getpid()
        self._transport.abandon()
        self._keeper.after_fork()
        self._loop = None
        self._interrupter = Interrupter()

    async def aclose(self, *, revoke: bool) -> None:
        """End the calls under way with ClosedError, and close what is our own."""
        if self._closing is not None and self._closing.done():
            return None
        loop = asyncio.get_running_loop()
        self._check_loop(loop)
        if self._closing is not None:
            return await asyncio.shield(self._closing)  # the first to close has not ended yet
        self.closed, self._closing = True, loop.create_future()
        self._interrupter.interrupt_all()
        try:
            await self._keeper.aclose()
            if revoke:
                run = self._observed if self._is_observed else self._attempts
                await self._revoke(run, self.begin(timeout=5.0, deadline=5.0))
        except PayCollectError as error:
            log.warning("the access token was not revoked at close: %s", error)
        finally:
            try:
                await self._transport.aclose()
            finally:
                self._closing.set_result(None)

    def server_time(self) -> datetime:
        """Give the present by the server's clock, as its last answer told it; else by our own."""
        own = datetime.fromtimestamp(self._clock.time(), UTC)
        headers, at = self._last_answer
        told = parse_http_date(headers.get("Date", ""))
        with suppress(OverflowError):
            if told is not None:
                present = told.astimezone(UTC) + timedelta(seconds=self._now() - at)
                if abs(present - own) <= _FURTHEST_CLOCK:
                    return present
        return own

    # --- tokens ---------------------------------------------------------------------------------

    async def _ask_token(
        self, request: Request[dict[str, JsonValue]], token: Token | None
    ) -> Grant:
        """Ask for a token; tried again only where no answer came."""
        call = self.begin()
        try:
            run = self._observed if self._is_observed else self._attempts
            document = await run(call, request, token)
            return self._read_grant(document, asked_at=call.sent_at)
        except PayCollectError as error:
            self.complete(error, call, request)
            # Whatever became of the token, what it was needed for was not sent.
            error.outcome = Outcome.NOT_SENT
            raise

    async def revoke(self, call: Call) -> None:
        """Make the token at hand invalid, here and at the provider; nothing to do without one.

        Raises:
            PayCollectError: as in `run`.

        """
        self._enter()
        await self._revoke(self.run, call)

    async def _revoke(self, run: Callable[..., Awaitable[object]], call: Call) -> None:
        token = self._keeper.token
        if token is not None:
            with suppress(
                AuthenticationError
            ):  # it is invalid already (provider docs: auth/revoke)
                await run(call, endpoints.revoke(), token)
            await self._keeper.forget(token)


def _of_answer(call: Call, secrets: tuple[str, ...]) -> dict[str, Any]:
    answer = call.answer
    if answer is None:
        return {"status": None, "request_id": None}
    return {"status": answer.status, "request_id": answers.request_id(answer, secrets)}
