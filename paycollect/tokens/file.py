"""A token store in a file, for the processes of one machine.

Invariants: the file is readable by its owner only from the moment it exists, a reader
sees an old or a new token but never half of one, and a bad file costs a token request, not a call.
A token that somebody else may have put there is not used: money would be collected with it.
"""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from paycollect._observers import log
from paycollect.clock import Clock, MachineClock
from paycollect.models import Token
from paycollect.tokens.store import read_token, write_token
from paycollect.tokens.thread import in_thread

if sys.platform != "win32":  # pragma: no branch  the tests run where there is one
    import fcntl

_POLL: Final = 0.02
_LONGEST_LOCK: Final = 60.0
_LARGEST_FILE: Final = 64 * 1024
# Neither exists on Windows. Without the second, opening a FIFO waits for a writer.
_SAFELY: Final = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


class _UnfitError(ValueError):
    """The file may not be trusted; the text says why."""


class FileTokenStore:
    """Keeps the token in a file (mode 0600), so that restarts and sibling processes reuse it.

    A file that is not the user's own, or that others may write to, is ignored; so is a symbolic
    link, and whatever is no regular file. The wall-clock expiry is stored. Writing replaces the
    file in one step. While one process asks for a token the others wait, for 60 seconds at most,
    and then find the token in the file; the lock is a second file beside it, `<name>.lock`. Use a
    local disk.

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

    blocks = True
    """The session manager calls it in a thread: a file system may hang."""

    def __init__(self, path: str | os.PathLike[str], *, clock: Clock | None = None) -> None:
        self._path = Path(path)
        self._is_locked = False
        self._clock: Clock = MachineClock() if clock is None else clock

    def load(self) -> Token | None:
        """Give the token in the file; None, with a warning, where the file is of no use."""
        try:
            return read_token(self._read())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            log.warning(
                "token file %s is of no use (%s): ignored, and replaced with the next token",
                self._path,
                error if isinstance(error, _UnfitError) else type(error).__name__,
            )
            return None

    def _read(self) -> bytes:
        handle = os.open(self._path, os.O_RDONLY | _SAFELY)
        try:
            found = os.fstat(handle)
            if not stat.S_ISREG(found.st_mode):
                raise _UnfitError("no regular file")
            if hasattr(os, "geteuid"):  # pragma: no branch  not on Windows
                if found.st_uid != os.geteuid():
                    raise _UnfitError("of another owner")
                if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                    raise _UnfitError("others may write to it")
            return os.read(handle, _LARGEST_FILE)
        finally:
            os.close(handle)

    def save(self, token: Token) -> None:
        """Replace the file in one step.

        Raises:
            OSError: the folder is missing, full or not writable.

        """
        handle, draft = self._open_draft()
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(write_token(token))
            draft.replace(self._path)
        except BaseException:
            with suppress(OSError):
                draft.unlink()
            raise

    def _open_draft(self) -> tuple[int, Path]:
        """Make a file of mode 0600; under the lock of one name, so that kills leave one."""
        if not self._is_locked:
            handle, name = tempfile.mkstemp(dir=self._path.parent, prefix=f".{self._path.name}.")
            return handle, Path(name)
        draft = self._path.with_name(f".{self._path.name}.draft")
        draft.unlink(missing_ok=True)
        return os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _SAFELY, 0o600), draft

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
        self._is_locked = handle is not None
        try:
            yield
        finally:
            self._is_locked = False
            if handle is not None:
                os.close(handle)  # which gives the lock up

    async def _locked(self) -> int | None:
        if sys.platform == "win32":  # pragma: no cover  no flock: processes do not take turns there
            return None
        try:
            handle = await in_thread(
                lambda: os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT | _SAFELY, 0o600),
                undo=os.close,
            )
        except OSError as error:
            log.warning("token file %s cannot be locked (%s)", self._path, type(error).__name__)
            return None
        try:
            give_up_at = self._clock.monotonic() + _LONGEST_LOCK
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
