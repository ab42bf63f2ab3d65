"""The life of an access token: kept, renewed in time, replaced when refused. Knows no HTTP.

Invariants: whoever has a valid token is never made to wait; whoever must wait shares one
renewal with all others who do; and no one's cancellation harms another.

Provider docs: auth/token, auth/refresh: a token lives 24 hours; renew it when fewer than 5 minutes
remain; it can be renewed with itself until 5 minutes after its end.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import Final, TypeGuard, TypeVar

from attrs import frozen

from paycollect._observers import Observers, log
from paycollect.clock import Clock
from paycollect.errors import ClosedError, DecodeError, PayCollectError
from paycollect.models import JsonValue, Token
from paycollect.tokens.store import LockingTokenStore, TokenStore
from paycollect.tokens.thread import in_thread

T = TypeVar("T")

RENEW_BEFORE: Final = 300.0
RENEWABLE_AFTER: Final = 300.0
_PAUSE_AFTER_FAILURE: Final = 30.0
LONGEST_STORE_CALL: Final = 10.0
"""Seconds after which a store that does not answer counts as broken."""
LONGEST_LOCK_CALL: Final = 75.0
"""The same for its lock, which may be held by another process that asks for a token."""


@frozen(eq=False, repr=False)
class Grant:
    """A token as it was just issued, with its life in seconds from that moment."""

    token: Token
    lifetime: float
    source: str = "issued"


class TokenKeeper:
    """Keeps one token alive.

    Args:
        authenticate: asks for a token by client credentials.
        refresh: asks for a token by a present one.
        store: where tokens outlive the process.
        clock: its monotonic time decides on expiry; its wall time only on tokens from the store.
        app_id: a stored token of another app is never used: it would collect for that app.
        base_url: nor is one that another API issued.
        observers: are told of each new token.

    """

    def __init__(
        self,
        *,
        authenticate: Callable[[], Awaitable[Grant]],
        refresh: Callable[[Token], Awaitable[Grant]],
        store: TokenStore,
        clock: Clock,
        app_id: str,
        base_url: str,
        observers: Observers | None = None,
    ) -> None:
        self._observers = observers or Observers()
        self._authenticate = authenticate
        self._refresh = refresh
        self._store = store
        self._store_blocks = getattr(store, "blocks", False) is True
        self._clock = clock
        self._now = clock.monotonic
        self._owner = (app_id, base_url)
        self._token: Token | None = None
        self._expires_at = self._fresh_until = float("-inf")
        self._refused: str | None = None
        self._renewal: asyncio.Task[Token] | None = None

    @property
    def token(self) -> Token | None:
        """The token at hand, valid or not."""
        return self._token

    def fresh(self, now: float) -> Token | None:
        """Give the token while it needs no attention; None sends the caller to `acquire`.

        Args:
            now: the present, by the monotonic clock: the caller has just read it.

        """
        return self._token if now < self._fresh_until else None

    async def acquire(self) -> Token:
        """Give a valid token, and see to its renewal.

        Raises:
            PayCollectError: no token could be had; each waiter gets an error of its own.

        """
        token = self._token
        if token is not None and self._now() < self._expires_at:
            if self._now() >= self._fresh_until and self._renewal is None:
                self._start_renewal()
            return token
        renewal = self._renewal or self._start_renewal()
        try:
            return await asyncio.shield(renewal)
        except PayCollectError as error:
            shared = error
        except asyncio.CancelledError:
            waiter = asyncio.current_task()
            if not renewal.cancelled() or (waiter is not None and waiter.cancelling()):
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
        """End a renewal that is under way."""
        renewal, self._renewal = self._renewal, None
        if renewal is not None:
            renewal.cancel()
            await asyncio.wait([renewal])

    def after_fork(self) -> None:
        """Let go of what belongs to the parent process's event loop."""
        self._renewal = None

    def _drop(self) -> None:
        self._token = None
        self._expires_at = self._fresh_until = float("-inf")

    def _start_renewal(self) -> asyncio.Task[Token]:
        renewal = asyncio.get_running_loop().create_task(self._renew(), name="paycollect-token")
        self._renewal = renewal
        renewal.add_done_callback(self._end_renewal)
        return renewal

    def _end_renewal(self, renewal: asyncio.Task[Token]) -> None:
        if self._renewal is renewal:
            self._renewal = None
        if renewal.cancelled() or (error := renewal.exception()) is None:
            return
        left = self._expires_at - self._now()
        if left > 0:  # the present token serves on; do not ask again with every call
            self._fresh_until = self._now() + min(_PAUSE_AFTER_FAILURE, left / 4)
            log.warning("access token not renewed yet, it serves on for %.0f s: %s", left, error)

    async def _renew(self) -> Token:
        async with self._locked_store() as store:
            token = await self._from_store()
            if token is None:
                grant = await self._obtain()
                token = grant.token
                self._adopt(token, grant.lifetime, grant.source)
                await self._ask_store(lambda: store.save(token), None)
            return token

    @asynccontextmanager
    async def _locked_store(self) -> AsyncIterator[TokenStore]:
        """Hold the lock of the store, where it has one that works."""
        store, stack = self._store, AsyncExitStack()
        if isinstance(store, LockingTokenStore):
            await self._ask_store(
                lambda: stack.enter_async_context(store.lock()), None, LONGEST_LOCK_CALL
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
        self._adopt(token, left, "stored")
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
                grant = await self._refresh(present)
            except PayCollectError as error:
                log.info("access token not renewed, authenticating anew: %s", error)
            else:
                # Before April 2026 a renewed token lost its scopes (provider docs: auth/refresh).
                if grant.token.scopes >= present.scopes:
                    return Grant(grant.token, grant.lifetime, "refreshed")
                log.info("renewed access token has lost scopes, authenticating anew")
        return await self._authenticate()

    def _adopt(self, token: Token, lifetime: float, source: str) -> None:
        now = self._now()
        renewed = self._token is not None
        self._token = token
        self._expires_at = now + lifetime
        self._fresh_until = self._expires_at - RENEW_BEFORE
        if renewed:  # tokens that live for minutes only are not renewed with every call
            self._fresh_until = max(self._fresh_until, now + lifetime / 2)
        if self._observers:
            from paycollect.observe import TokenRenewed  # noqa: PLC0415  few programs observe

            self._observers.tell(TokenRenewed(source=source, lifetime=lifetime))

    async def _ask_store(
        self,
        method: Callable[[], T | Awaitable[T]],
        default: T,
        longest: float = LONGEST_STORE_CALL,
    ) -> T:
        try:
            async with asyncio.timeout(longest):
                answer = await in_thread(method) if self._store_blocks else method()
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
