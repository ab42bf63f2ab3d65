"""Access tokens: where they are kept, and how one stays alive.

`store.py` has what users implement, `file.py` and `redis.py` are stores that processes share,
`keeper.py` renews and replaces the token. Nothing here knows HTTP.
"""

from __future__ import annotations

from paycollect.tokens.store import LockingTokenStore, MemoryTokenStore, TokenStore

__all__ = ["LockingTokenStore", "MemoryTokenStore", "TokenStore"]
