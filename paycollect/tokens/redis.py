"""A token store in Redis or Valkey, for processes on many machines.

Invariants: the token and nothing else goes there, never the secret key; it is gone when it is over;
a Redis that is down costs a token request, not a call.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from paycollect._observers import log
from paycollect.clock import Clock, MachineClock
from paycollect.models import Token
from paycollect.tokens.store import read_token, write_token

if TYPE_CHECKING:
    from redis.asyncio import Redis

_CONNECT_PATIENCE: Final = 2.0
_ANSWER_PATIENCE: Final = 5.0
_LOCK_LIFE: Final = 15.0
"""Seconds until the lock of a process that died is free; a token request takes less."""
_LOCK_PATIENCE: Final = 20.0
_LOCK_POLL: Final = 0.05


class RedisTokenStore:
    """Keeps the token in Redis, so that processes and machines share it.

    While one process asks for a token the others wait, and then find it in Redis. The entry ends
    with the token. It says for which app and base URL the token is: a manager of another never uses
    it. Whoever can read that Redis can act with the token until it is over.

    Example::

        from paycollect import RedisTokenStore

        store = RedisTokenStore("redis://redis.example:6379/0", key="shop:paycollect")
        assert repr(store) == "RedisTokenStore(key='shop:paycollect')"

    Args:
        redis: the URL of a Redis, from which a connection is made for each use (a token is asked
            for about once a day), so that it serves any event loop and also after a fork; its
            options can stand in its query. Or a client of `redis.asyncio`, which is lent: it
            belongs to one event loop and one process, and whoever made it closes it.
        key: where in Redis; each app has to have its own. The lock is `<key>:lock`.
        clock: the wall time by which the token ends.

    Raises:
        ImportError: redis-py is not installed (the extra `redis` of this package).
        TypeError: neither a URL nor an asyncio client.
        ValueError: not a URL of Redis.

    """

    def __init__(
        self,
        redis: str | Redis,
        *,
        key: str = "paycollect:token",
        clock: Clock | None = None,
    ) -> None:
        try:
            import redis.asyncio as library  # noqa: PLC0415  optional: loaded with the first store
        except ImportError as error:
            raise ImportError(
                "RedisTokenStore needs redis-py: install `redis`, the extra of that name"
            ) from error
        self._library = library
        self._key = key
        self._clock = MachineClock() if clock is None else clock
        self._redis = redis
        if isinstance(redis, str):
            self._make_client(redis)
        elif not hasattr(redis, "connection_pool") or not hasattr(redis, "__aenter__"):
            raise TypeError(
                "redis: a URL or a client of redis.asyncio is needed, not"
                f" {type(redis).__module__}.{type(redis).__name__}"
            )

    async def load(self) -> Token | None:
        """Give the token in Redis; None, with a warning, where the entry is of no use.

        Raises:
            redis.RedisError: Redis does not answer.

        """
        async with self._client() as client:
            text = await client.get(self._key)
        try:
            return None if text is None else read_token(text)
        except ValueError:
            log.warning("the token in Redis is of no use: ignored, and replaced with the next one")
            return None

    async def save(self, token: Token) -> None:
        """Keep a token in place of the present one, until it is over.

        Raises:
            redis.RedisError: Redis does not answer.

        """
        left = round(1000 * (token.expires_at.timestamp() - self._clock.time()))
        if left > 0:
            async with self._client() as client:
                await client.set(self._key, write_token(token), px=left)

    async def clear(self) -> None:
        """Forget the token.

        Raises:
            redis.RedisError: Redis does not answer.

        """
        async with self._client() as client:
            await client.delete(self._key)

    @asynccontextmanager
    async def lock(self) -> AsyncIterator[None]:
        """Wait until no other process asks for a token, then keep others from it.

        Raises:
            redis.RedisError: Redis does not answer, or the lock is not to be had in time.

        """
        async with (
            self._client() as client,
            client.lock(
                f"{self._key}:lock",
                timeout=_LOCK_LIFE,
                blocking_timeout=_LOCK_PATIENCE,
                sleep=_LOCK_POLL,
            ),
        ):
            yield

    @asynccontextmanager
    async def _client(self) -> AsyncIterator[Redis]:
        if not isinstance(self._redis, str):
            yield self._redis
            return
        async with self._make_client(self._redis) as client:
            yield client

    def _make_client(self, url: str) -> Any:
        from redis.asyncio.retry import Retry  # noqa: PLC0415  see above
        from redis.backoff import NoBackoff  # noqa: PLC0415  see above

        return self._library.Redis.from_url(
            url,
            socket_connect_timeout=_CONNECT_PATIENCE,
            socket_timeout=_ANSWER_PATIENCE,
            retry=Retry(NoBackoff(), 0),  # who waits here has a customer who waits
        )

    def __repr__(self) -> str:
        return f"RedisTokenStore(key={self._key!r})"
