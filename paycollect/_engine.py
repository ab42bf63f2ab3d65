"""One call, made to succeed: token, attempts, waits, deadline, and a clear end.

The law of this room: every call ends, with the value, with one of our errors, or with the caller's
own cancellation; and the error knows whether any of its attempts may have taken effect.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TypeVar

import aiohttp
from attrs import define

from paycollect import _answers, _wire
from paycollect import _validate as check
from paycollect._answers import Request, Response
from paycollect._log import log
from paycollect._transport import Limits, Transport, to_limits
from paycollect._waiting import Interrupter, Task
from paycollect.clock import Clock
from paycollect.errors import (
    ApiError,
    AuthenticationError,
    ClosedError,
    DeadlineExceededError,
    EventLoopError,
    Outcome,
    PayCollectError,
)
from paycollect.models import JsonValue, Token
from paycollect.retry import RetryPolicy, Timeout, parse_http_date
from paycollect.tokens import Grant, TokenKeeper, TokenStore, read_grant

T = TypeVar("T")
R = TypeVar("R")


@define
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
    ) -> None:
        self._secret_key = secret_key
        self._limits = limits
        self._deadline = deadline
        self._retry = retry
        self._clock = clock
        self._now = clock.monotonic
        self._transport = Transport(base_url, http=http)
        self._keeper = TokenKeeper(
            authenticate=lambda: self._ask_token(_wire.authenticate(app_id, secret_key), None),
            renew=lambda token: self._ask_token(_wire.refresh(), token),
            store=token_store,
            clock=clock,
            app_id=app_id,
            base_url=base_url,
        )
        self._read_grant = partial(read_grant, clock=clock, app_id=app_id, base_url=base_url)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._process = os.getpid()
        self._interrupter = Interrupter()
        self._last_answer: tuple[Mapping[str, str], float] = ({}, 0.0)
        self.closed = False

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

    def run(self, call: Call, request: Request[T]) -> Coroutine[None, None, T]:
        """Make a request, as often as it takes and may be.

        Raises:
            PayCollectError: as the tree says; it carries attempts, elapsed time and order id.

        """
        return self._guard(self._attempts, call, request)

    async def revoke(self, call: Call) -> None:
        """Make the token at hand invalid, here and at the provider; nothing to do without one.

        Raises:
            PayCollectError: as in `run`.

        """
        await self._guard(self._revoke, call, _wire.revoke())

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
            if not self._interrupter.took(task):
                raise
        finally:
            self._interrupter.leave(task)
        raise ClosedError("the session manager was closed while the call waited")

    async def _guard(
        self,
        work: Callable[[Call, Request[T]], Awaitable[R]],
        call: Call,
        request: Request[T],
    ) -> R:
        """Do the work of a call so that `aclose` can end it, and an error knows of all of it."""
        task = self._enter()
        self._interrupter.enter(task)
        try:
            return await work(call, request)
        except PayCollectError as error:
            self.complete(error, call, request)
            raise
        except asyncio.CancelledError:
            if not self._interrupter.took(task):
                raise
        finally:
            self._interrupter.leave(task)
        closed = ClosedError("the session manager was closed while the call was under way")
        closed.outcome = Outcome.UNKNOWN if call.sending else Outcome.NOT_SENT
        self.complete(closed, call, request)
        raise closed

    async def _attempts(self, call: Call, request: Request[T]) -> T:
        replayed = False
        while True:
            token = self._keeper.peek()
            if token is None:
                token = await self._within(call, self._keeper.acquire())
            try:
                return await self._attempt(call, request, token)
            except AuthenticationError as error:
                self._keeper.invalidate(token)
                if replayed:
                    raise
                log.info("the access token was refused, the call is made again: %s", error)
                replayed = True
                continue
            except PayCollectError as error:
                failed = error
            await self._pause(call, request, failed)

    async def _attempt(self, call: Call, request: Request[T], token: Token | None) -> T:
        """Take a place in the line, send once, and read the answer."""
        if self._now() >= call.ends:
            raise self._too_late(call, None)
        gate = self._transport.gate
        if not gate.enter_nowait():
            await self._within(call, gate.enter())
        started = self._now()
        call.attempts += 1
        call.sending = True
        bearer = None if token is None else token.access_token
        try:
            response = await self._transport.send(
                request, bearer=bearer, limits=call.limits, left=call.ends - started
            )
            self._last_answer = (response.headers, started)
            hide = (self._secret_key, bearer or self._secret_key)
            value = _answers.decipher(request, response, hide=hide, wall=self._clock.time)
        except PayCollectError as error:
            self._log_failure(call, request, started, error)
            failed = error
        else:
            if log.isEnabledFor(logging.DEBUG):
                self._log_answer(call, request, started, response, hide)
            return value
        finally:
            gate.leave()
        call.sending = False
        if self._now() >= call.ends and failed.is_retryable:
            raise self._too_late(call, failed)
        raise failed

    async def _pause(self, call: Call, request: Request[T], failed: PayCollectError) -> None:
        """Wait before the next attempt, or give up and raise."""
        call.unsure = call.unsure or failed.outcome is Outcome.UNKNOWN
        wait = call.retry.next_wait(
            failed,
            retries=call.retries,
            remaining=call.ends - self._now(),
            repeatable=request.repeatable,
            recoverable=request.recoverable,
        )
        if wait is None:
            raise failed
        call.retries += 1
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
        if self.closed:
            return
        self._check_loop(asyncio.get_running_loop())
        self.closed = True
        self._interrupter.interrupt_all()
        try:
            await self._keeper.aclose()
            if revoke:
                await self._revoke(self.begin(timeout=5.0, deadline=5.0), _wire.revoke())
        except PayCollectError as error:
            log.warning("the access token was not revoked at close: %s", error)
        finally:
            await self._transport.aclose()

    def server_time(self) -> datetime:
        """Give the present by the server's clock, as its last answer told it; else by our own."""
        headers, at = self._last_answer
        told = parse_http_date(headers.get("Date", ""))
        with suppress(OverflowError):
            if told is not None:
                return told.astimezone(UTC) + timedelta(seconds=self._now() - at)
        return datetime.fromtimestamp(self._clock.time(), UTC)

    # --- tokens ---------------------------------------------------------------------------------

    async def _ask_token(
        self, request: Request[dict[str, JsonValue]], token: Token | None
    ) -> Grant:
        """Ask for a token; tried again only where no answer came.

        An answer, even a 503, is one failure for all who wait: to ask again for each of them
        would only add to the outage.
        """
        call = self.begin()
        while True:
            asked_at = self._now()
            try:
                document = await self._attempt(call, request, token)
                return self._read_grant(document, asked_at=asked_at)
            except PayCollectError as error:
                failed = error
            # Whatever became of the token, what it was needed for was not sent.
            failed.outcome = Outcome.NOT_SENT
            if isinstance(failed, ApiError):
                raise failed
            await self._pause(call, request, failed)

    async def _revoke(self, call: Call, request: Request[dict[str, JsonValue]]) -> None:
        token = self._keeper.token
        if token is None:
            return
        while True:
            try:
                await self._attempt(call, request, token)
                break
            except AuthenticationError:
                break  # it is invalid already (provider docs: auth/revoke)
            except PayCollectError as error:
                failed = error
            await self._pause(call, request, failed)
        await self._keeper.forget(token)

    # --- log ------------------------------------------------------------------------------------

    def _log_answer(
        self,
        call: Call,
        request: Request[T],
        started: float,
        response: Response,
        hide: tuple[str, ...],
    ) -> None:
        log.debug(
            "%s %s: HTTP %d, request %s, %.0f ms, attempt %d",
            request.method,
            request.template or request.path,
            response.status,
            _answers.request_id(response, hide),
            1000 * (self._now() - started),
            call.attempts,
        )

    def _log_failure(
        self, call: Call, request: Request[T], started: float, error: PayCollectError
    ) -> None:
        log.log(
            logging.WARNING if error.is_retryable else logging.DEBUG,
            "%s %s: %s, request %s, %.0f ms, attempt %d: %s",
            request.method,
            request.template or request.path,
            f"HTTP {error.status}" if isinstance(error, ApiError) else type(error).__name__,
            getattr(error, "request_id", None),
            1000 * (self._now() - started),
            call.attempts,
            error.args[0],
        )
