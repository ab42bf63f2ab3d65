"""Standard output and standard error, which may be closed, full, or a pipe that nobody reads.

Invariants: output that cannot be written is an `OutputError`, whichever library wrote it (rich
turns a closed pipe into SystemExit(1), which would say "no"); what cannot be written to standard
error is given up, as the exit code says the same. Neither fails again when Python flushes at exit.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO


class OutputError(Exception):
    """The output cannot be written.

    Attributes:
        reason: why, in the words of the operating system.
        reader_has_gone: whether it is a pipe whose reader has gone: `| head` does this.
        made: what the command had already done at the provider; "" for nothing.

    """

    def __init__(self, reason: str, *, reader_has_gone: bool = False, made: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.reader_has_gone = reader_has_gone
        self.made = made


class _Stream:
    """A text stream whose failures have one form."""

    def __init__(self, stream: TextIO | None) -> None:
        self._is_closed = stream is None  # Python's form of `>&-`
        self._is_lost = False
        self._stream = io.StringIO() if stream is None else stream

    def write(self, text: str) -> int:
        if self._is_lost:
            return 0
        if self._is_closed:
            return self._failed(OSError(errno.EBADF, "it is closed"))
        try:
            return self._stream.write(text)
        except UnicodeEncodeError as error:
            return self.write(
                text.encode(error.encoding, "backslashreplace").decode(error.encoding)
            )
        except OSError as error:
            return self._failed(error)

    def flush(self) -> None:
        try:
            if not self._is_lost:
                self._stream.flush()
        except OSError as error:
            self._failed(error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _failed(self, error: OSError) -> int:  # noqa: ARG002  a subclass tells it
        """Write no more: what is still buffered would fail again at exit, with Python's code."""
        self._is_lost = True
        with suppress(OSError), Path(os.devnull).open("wb") as sink:
            os.dup2(sink.fileno(), self._stream.fileno())
        return 0


class _Output(_Stream):
    def _failed(self, error: OSError) -> int:
        super()._failed(error)
        raise OutputError(
            error.strerror or type(error).__name__,
            reader_has_gone=isinstance(error, BrokenPipeError),
        ) from None


@contextmanager
def guarded() -> Iterator[None]:
    """Put the standard streams behind these, for the time of a command."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (
        cast("TextIO", _Output(sys.stdout)),
        cast("TextIO", _Stream(sys.stderr)),
    )
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
