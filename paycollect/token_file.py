"""A token store in a file, for the processes of one machine.

The law of this room: the file is readable by its owner only from the moment it exists, a reader
sees an old or a new token but never half of one, and a bad file costs a token request, not a call.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from paycollect._log import log
from paycollect.clock import Clock
from paycollect.models import Token

if sys.platform != "win32":  # pragma: no branch  the tests run where there is one
    import fcntl

_POLL: Final = 0.02
_PATIENCE: Final = 60.0


class FileTokenStore:
    """Keeps the token in a file (mode 0600), so that restarts and sibling processes reuse it.

    The wall-clock expiry is stored. Writing replaces the file in one step. While one process asks
    for a token the others wait, for 60 seconds at most, and then find the token in the file; the
    lock is a second file beside it, `<name>.lock`. Use a local disk.

    Example::

        store = FileTokenStore(folder / "token.json")
        async with SessionManager(
            app_id=app_id, secret_key=secret_key, base_url=base_url, token_store=store
        ) as pay:
            await pay.get_pricing()
        assert store.load() is not None

    Args:
        path: where to keep the token; its folder must exist.
        clock: whose `sleep` is used while another process holds the lock.

    """

    def __init__(self, path: str | os.PathLike[str], *, clock: Clock | None = None) -> None:
        self._path = Path(path)
        self._clock = clock or Clock()

    def load(self) -> Token | None:
        """Give the token in the file; None, with a warning, where the file is of no use."""
        try:
            document = json.loads(self._path.read_text("utf-8"))
            return Token(
                access_token=str(document["access_token"]),
                expires_at=datetime.fromisoformat(document["expires_at"]).astimezone(UTC),
                scopes=frozenset(map(str, document["scopes"])),
                app_id=str(document["app_id"]),
                base_url=str(document["base_url"]),
            )
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            log.warning(
                "token file %s is of no use (%s): ignored, and replaced with the next token",
                self._path,
                type(error).__name__,
            )
            return None

    def save(self, token: Token) -> None:
        """Replace the file in one step.

        Raises:
            OSError: the folder is missing, full or not writable.

        """
        document = {
            "access_token": token.access_token,
            "expires_at": token.expires_at.isoformat(),
            "scopes": sorted(token.scopes),
            "app_id": token.app_id,
            "base_url": token.base_url,
        }
        # mkstemp creates the file with mode 0600.
        handle, name = tempfile.mkstemp(dir=self._path.parent, prefix=f".{self._path.name}.")
        draft = Path(name)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(document, file)
            draft.replace(self._path)
        except BaseException:
            with suppress(OSError):
                draft.unlink()
            raise

    def clear(self) -> None:
        """Remove the file.

        Raises:
            OSError: the folder is not writable.

        """
        self._path.unlink(missing_ok=True)

    @asynccontextmanager
    async def lock(self) -> AsyncIterator[None]:
        """Wait until no other process asks for a token, then keep others from it."""
        handle = await self._locked()
        try:
            yield
        finally:
            if handle is not None:
                os.close(handle)  # which gives the lock up

    async def _locked(self) -> int | None:
        if sys.platform == "win32":  # pragma: no cover  no flock: processes do not take turns there
            return None
        try:
            handle = os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            log.warning("token file %s cannot be locked (%s)", self._path, type(error).__name__)
            return None
        try:
            give_up_at = self._clock.monotonic() + _PATIENCE
            while self._clock.monotonic() < give_up_at:
                with suppress(BlockingIOError):
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return handle
                await self._clock.sleep(_POLL)
            log.warning("token file %s is locked for too long: going on without", self._path)
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)
        return None

    def __repr__(self) -> str:
        return f"FileTokenStore({str(self._path)!r})"
