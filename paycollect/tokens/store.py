"""Where tokens outlive the process: the protocols that a store fulfils, and the one in memory."""

from __future__ import annotations

import json
from collections.abc import Awaitable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import Protocol, runtime_checkable

from paycollect.models import Token


class TokenStore(Protocol):
    """Where a token outlives the process. Each method may be async.

    A store that fails costs a token request, never a call: its errors are logged and passed over.
    One whose methods may block says so by an attribute `blocks = True`: it is called in a thread.
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


def write_token(token: Token) -> str:
    """Write a token down for a store outside the process."""
    return json.dumps(
        {
            "access_token": token.access_token,
            "expires_at": token.expires_at.isoformat(),
            "scopes": sorted(token.scopes),
            "app_id": token.app_id,
            "base_url": token.base_url,
        }
    )


def read_token(text: str | bytes) -> Token:
    """Read what `write_token` wrote.

    Raises:
        ValueError: it is something else.

    """
    try:
        document = json.loads(text)
        return Token(
            access_token=str(document["access_token"]),
            expires_at=datetime.fromisoformat(document["expires_at"]).astimezone(UTC),
            scopes=frozenset(map(str, document["scopes"])),
            app_id=str(document["app_id"]),
            base_url=str(document["base_url"]),
        )
    except (KeyError, TypeError, OverflowError, RecursionError) as error:
        raise ValueError(type(error).__name__) from None


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
