"""The life of an access token: kept, renewed in time, replaced when refused. Knows no HTTP.

The law of this room: whoever has a valid token is never made to wait; whoever must wait shares one
flight with all others who do; and no one's cancellation harms another.

Provider docs: auth/token, auth/refresh: a token lives 24 hours; renew it when fewer than 5 minutes
remain; it can be renewed with itself until 5 minutes after its end.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import Final, Protocol, TypeGuard, TypeVar, runtime_checkable

from attrs import frozen

from paycollect._log import log
from paycollect.clock import Clock
from paycollect.errors import ClosedError, DecodeError, PayCollectError
from paycollect.models import JsonValue, Token

T = TypeVar("T")

RENEW_BEFORE: Final = 300.0
RENEWABLE_AFTER: Final = 300.0
_PAUSE_AFTER_FAILURE: Final = 30.0
STORE_PATIENCE: Final = 10.0
"""Seconds after which a store that does not answer counts as broken."""
LOCK_PATIENCE: Final = 75.0
"""The same for its lock, which may be held by another process that asks for a token."""


class TokenStore(Protocol):
    """Where a token outlives the process. Each method may be async.

    A store that fails costs a token request, never a call: its errors are logged and passed over.
    """

    def load(self) -> Awaitable[Token | None] | Token | None:
        """Give the token that was saved last, or None."""
        ...

    def save(self, token: Token) -> Awaitable[None] | None:
        """Keep a token in place of the present one."""
        ...

    def clear(self) -> Awaitable[None] | None:
        """Forget the token."""
        ...


@runtime_checkable
class LockingTokenStore(Protocol):
    """A token store that several processes share: they ask for a token one at a time."""

    def lock(self) -> AbstractAsyncContextManager[None]:
        """Give a context in which no other process asks for a token."""
        ...


class MemoryTokenStore:
    """Keeps the token in this object only. Share it to let several managers use one token."""

    def __init__(self) -> None:
        self._token: Token | None = None

    def load(self) -> Token | None:
        """Give the token that was saved last, or None."""
        return self._token

    def save(self, token: Token) -> None:
        """Keep a token."""
        self._token = token

    def clear(self) -> None:
        """Forget the token."""
        self._token = None

    def __repr__(self) -> str:
        return f"MemoryTokenStore({'full' if self._token else 'empty'})"


@frozen
class Grant:
    """A token as it was just issued, with its life in seconds from that moment."""

    token: Token
    lifetime: float


class TokenKeeper:
    """Keeps one token alive.

    Args:
        authenticate: asks for a token by client credentials.
        renew: asks for a token by a present one.
        store: where tokens outlive the process.
        clock: its monotonic time decides on expiry; its wall time only on tokens from the store.
        app_id: a stored token of another app is never used: it would collect for that app.
        base_url: nor is one that another API issued.

    """

    def __init__(
        self,
        *,
        authenticate: Callable[[], Awaitable[Grant]],
        renew: Callable[[Token], Awaitable[Grant]],
        store: TokenStore,
        clock: Clock,
        app_id: str,
        base_url: str,
    ) -> None:
        self._authenticate = authenticate
        self._renew = renew
        self._store = store
        self._clock = clock
        self._now = clock.monotonic
        self._owner = (app_id, base_url)
        self._token: Token | None = None
        self._expires_at = self._fresh_until = float("-inf")
        self._refused: str | None = None
        self._flight: asyncio.Task[Token] | None = None

    @property
    def token(self) -> Token | None:
        """The token at hand, valid or not."""
        return self._token

    def peek(self) -> Token | None:
        """Give the token while it needs no attention; None sends the caller to `acquire`."""
        return self._token if self._now() < self._fresh_until else None

    async def acquire(self) -> Token:
        """Give a valid token, and see to its renewal.

        Raises:
            PayCollectError: no token could be had; each waiter gets an error of its own.

        """
        token = self._token
        if token is not None and self._now() < self._expires_at:
            if self._now() >= self._fresh_until and self._flight is None:
                self._launch()
            return token
        flight = self._flight or self._launch()
        try:
            return await asyncio.shield(flight)
        except PayCollectError as error:
            shared = error
        except asyncio.CancelledError:
            waiter = asyncio.current_task()
            if not flight.cancelled() or (waiter is not None and waiter.cancelling()):
                raise
            shared = ClosedError("the session manager was closed while a token was asked for")
        # A copy: one error raised in many tasks would collect all their tracebacks.
        raise copy.copy(shared)

    def invalidate(self, token: Token) -> None:
        """Drop a token that the provider refused; no effect if it was replaced in the meantime."""
        if self._token is token:
            self._refused = token.access_token
            self._drop()

    async def forget(self, token: Token) -> None:
        """Drop a token here and in the store, as it was revoked; one that replaced it stays."""
        if self._token is not token:
            return
        self.invalidate(token)
        await self._ask_store(self._store.clear, None)

    async def aclose(self) -> None:
        """End a flight that is under way."""
        flight, self._flight = self._flight, None
        if flight is not None:
            flight.cancel()
            await asyncio.wait([flight])

    def after_fork(self) -> None:
        """Let go of what belongs to the parent process's event loop."""
        self._flight = None

    def _drop(self) -> None:
        self._token = None
        self._expires_at = self._fresh_until = float("-inf")

    def _launch(self) -> asyncio.Task[Token]:
        flight = asyncio.get_running_loop().create_task(self._fly(), name="paycollect-token")
        self._flight = flight
        flight.add_done_callback(self._land)
        return flight

    def _land(self, flight: asyncio.Task[Token]) -> None:
        if self._flight is flight:
            self._flight = None
        if flight.cancelled() or (error := flight.exception()) is None:
            return
        left = self._expires_at - self._now()
        if left > 0:  # the present token serves on; do not ask again with every call
            self._fresh_until = self._now() + min(_PAUSE_AFTER_FAILURE, left / 4)
            log.warning("access token not renewed yet, it serves on for %.0f s: %s", left, error)

    async def _fly(self) -> Token:
        async with self._locked_store() as store:
            token = await self._from_store()
            if token is None:
                grant = await self._obtain()
                token = grant.token
                self._adopt(token, grant.lifetime)
                await self._ask_store(lambda: store.save(token), None)
            return token

    @asynccontextmanager
    async def _locked_store(self) -> AsyncIterator[TokenStore]:
        """Hold the lock of the store, where it has one that works."""
        store, stack = self._store, AsyncExitStack()
        if isinstance(store, LockingTokenStore):
            await self._ask_store(
                lambda: stack.enter_async_context(store.lock()), None, LOCK_PATIENCE
            )
        try:
            yield store
        finally:
            await self._ask_store(stack.aclose, None)

    async def _from_store(self) -> Token | None:
        """Adopt a token that another process, or an earlier life of this one, has left."""
        token = await self._ask_store(self._store.load, None)
        # Inside the same guard, as what a user's store gives may be anything.
        left = await self._ask_store(lambda: 0.0 if token is None else self._life_of(token), 0.0)
        if token is None or left <= 0:
            return None
        self._adopt(token, left)
        return token

    def _life_of(self, token: Token) -> float:
        """Tell for how many seconds a stored token is of use; 0 or less where it is of none."""
        if not _is_sendable(token.access_token):
            raise ValueError("not an access token")
        if (token.app_id, token.base_url) != self._owner or token.access_token in (
            self._refused,
            self._token and self._token.access_token,
        ):
            return 0.0
        now = datetime.fromtimestamp(self._clock.time(), UTC)
        return (token.expires_at - now).total_seconds()

    async def _obtain(self) -> Grant:
        present = self._token
        if present is not None and self._now() < self._expires_at + RENEWABLE_AFTER:
            try:
                grant = await self._renew(present)
            except PayCollectError as error:
                log.info("access token not renewed, authenticating anew: %s", error)
            else:
                # Before April 2026 a renewed token lost its scopes (provider docs: auth/refresh).
                if grant.token.scopes >= present.scopes:
                    return Grant(grant.token, grant.lifetime)
                log.info("renewed access token has lost scopes, authenticating anew")
        return await self._authenticate()

    def _adopt(self, token: Token, lifetime: float) -> None:
        now = self._now()
        renewed = self._token is not None
        self._token = token
        self._expires_at = now + lifetime
        self._fresh_until = self._expires_at - RENEW_BEFORE
        if renewed:  # tokens that live for minutes only are not renewed with every call
            self._fresh_until = max(self._fresh_until, now + lifetime / 2)

    async def _ask_store(
        self,
        method: Callable[[], T | Awaitable[T]],
        default: T,
        patience: float = STORE_PATIENCE,
    ) -> T:
        try:
            async with asyncio.timeout(patience):
                answer = method()
                return await answer if isinstance(answer, Awaitable) else answer  # pyright: ignore[reportReturnType]  # for all it knows, T may be awaitable
        except Exception as error:  # noqa: BLE001  a store is the user's code
            name = type(self._store).__name__
            log.warning("token store %s failed: %s", name, type(error).__name__)
            return default


def read_grant(
    document: Mapping[str, JsonValue], *, clock: Clock, asked_at: float, app_id: str, base_url: str
) -> Grant:
    """Make a token of the `data` of an answer (provider docs: auth/token).

    Time counts from the moment of asking, so that a slow answer never makes a token look younger.
    The token's own claims and `expiresAt` are not trusted: the published samples contradict each
    other by a year.

    Raises:
        DecodeError: accessToken or expiresIn is missing or unusable.

    """
    token, seconds = document.get("accessToken"), document.get("expiresIn")
    if not _is_sendable(token):
        raise _undocumented("accessToken", "expected a text of printable ASCII")
    if type(seconds) is not int or not 0 < seconds < 10**9:
        raise _undocumented("expiresIn", "expected seconds")
    scopes = document.get("scopes")
    scopes = scopes if type(scopes) is list else []
    lifetime = seconds - (clock.monotonic() - asked_at)
    return Grant(
        Token(
            access_token=token,
            expires_at=datetime.fromtimestamp(clock.time() + lifetime, UTC),
            scopes=frozenset(scope for scope in scopes if type(scope) is str),
            app_id=app_id,
            base_url=base_url,
        ),
        lifetime,
    )


def _is_sendable(token: object) -> TypeGuard[str]:
    """Tell whether a text can stand in a header."""
    return type(token) is str and token != "" and token.isascii() and token.isprintable()


def _undocumented(name: str, problem: str) -> DecodeError:
    path = f"data.{name}"
    return DecodeError(f"the provider's answer is not as documented: {path}: {problem}", path=path)
