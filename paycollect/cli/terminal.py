"""Writing to a terminal: plain text, with colours and a spinner only where a person sees them.

Needs no library, as the demo and the sandbox run without any extra.

Invariants: a text reaches the terminal without control characters (`printable`).
"""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import shutil
import sys
import textwrap
import time
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from typing import TextIO

_RESET: Final = "\x1b[0m"
_CLEAR_LINE: Final = "\r\x1b[2K"
_STYLES: Final = {
    "title": "\x1b[1m",
    "step": "\x1b[1;36m",
    "label": "\x1b[2m",
    "good": "\x1b[32m",
    "bad": "\x1b[31m",
}
_FANCY: Final = {"proven": "✓", "failed": "✗", "spinner": "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"}
_ASCII: Final = {"proven": "+", "failed": "!", "spinner": "|/-\\"}
_WIDEST: Final = 100
_COMMAND: Final = re.compile(r"`[^`]*`")  # stays on one line, so that it can be copied
_JOINT: Final = "\0"  # no text has it: see `printable`
_LABEL_WIDTH: Final = 10
_MARGIN: Final = 3
_FRAME_SECONDS: Final = 0.1


class Screen:
    """A stream to write steps, facts and sentences to.

    Args:
        stream: where to write.
        colour: whether to use colours.
        live: whether a line may be written over again and again, as a spinner does.
        width: columns.

    """

    def __init__(
        self, stream: TextIO, *, colour: bool = False, live: bool = False, width: int = 80
    ) -> None:
        self._stream = stream
        self._colour = colour
        self._live = live
        self._width = min(width, _WIDEST)
        self._signs = _FANCY if _can_write(stream, "".join(_FANCY.values())) else _ASCII

    @classmethod
    def on(cls, stream: TextIO, environ: Mapping[str, str]) -> Screen:
        """Choose what suits the stream: nothing but text if it is not a terminal.

        NO_COLOR is honoured (https://no-color.org), and so is a terminal that can do nothing.
        """
        terminal = stream.isatty() and environ.get("TERM") != "dumb"
        return cls(
            stream,
            colour=terminal and not environ.get("NO_COLOR"),
            live=terminal,
            width=_columns(stream),
        )

    def title(self, text: str) -> None:
        """Write a title."""
        self._write(self._styled(self._wrapped(text, "", ""), "title"))

    def step(self, number: int, text: str) -> None:
        """Begin a numbered part."""
        self._write()
        self._write(self._styled(self._wrapped(text, f"{number}  ", " " * _MARGIN), "step"))

    def heading(self, text: str) -> None:
        """Begin a part that has no number."""
        self._write()
        self._write(self._styled(self._wrapped(text, "", ""), "step"))

    def fact(self, label: str, text: str) -> None:
        """Show a fact under its label; no label continues the one before."""
        self._labelled(label, text, "label")

    def proven(self, text: str) -> None:
        """Show what is certain now."""
        self._labelled(f"proven {self._signs['proven']}", text, "good")

    def check(self, text: str) -> None:
        """Show one line of a list of what is certain."""
        self._signed("proven", "good", text)

    def failed(self, text: str) -> None:
        """Show what did not succeed."""
        self._signed("failed", "bad", text)

    def text(self, text: str = "") -> None:
        """Show a paragraph, or an empty line."""
        self._write(self._wrapped(text, "", ""))

    def ask(self, text: str) -> None:
        """Show a question; what is answered stands on the same line."""
        self._stream.write(f"{self._wrapped(text, '', '')} ")
        self._stream.flush()

    def verbatim(self, line: str) -> None:
        """Show a line that is to be copied: neither wrapped nor coloured."""
        self._write(printable(line))

    @asynccontextmanager
    async def waiting(
        self, text: str, now: Callable[[], float] = time.monotonic
    ) -> AsyncIterator[None]:
        """Show that something is waited for."""
        if not self._live:
            yield
            return
        spinner = asyncio.create_task(self._spin(text, now))
        try:
            yield
        finally:
            spinner.cancel()
            await asyncio.gather(spinner, return_exceptions=True)
            self._stream.write(_CLEAR_LINE)
            self._stream.flush()

    async def _spin(self, text: str, now: Callable[[], float]) -> None:
        started, signs = now(), itertools.cycle(self._signs["spinner"])
        while True:
            line = f"   {next(signs)} {printable(text)} {now() - started:.0f} s"
            self._stream.write(_CLEAR_LINE + self._styled(line[: self._width - 1], "label"))
            self._stream.flush()
            await asyncio.sleep(_FRAME_SECONDS)

    def _labelled(self, label: str, text: str, style: str) -> None:
        indent = " " * _MARGIN + label.ljust(_LABEL_WIDTH)
        rest = " " * len(indent)
        wrapped = self._wrapped(text, rest, rest)
        self._write(
            " " * _MARGIN + self._styled(label.ljust(_LABEL_WIDTH), style) + wrapped[len(rest) :]
        )

    def _signed(self, sign: str, style: str, text: str) -> None:
        indent = " " * (_MARGIN + 2)
        wrapped = self._wrapped(text, indent, indent)
        self._write(
            f"{' ' * _MARGIN}{self._styled(self._signs[sign], style)} {wrapped[len(indent) :]}"
        )

    def _wrapped(self, text: str, first: str, rest: str) -> str:
        wrapped = textwrap.fill(
            _COMMAND.sub(lambda found: found[0].replace(" ", _JOINT), printable(text)),
            self._width,
            initial_indent=first,
            subsequent_indent=rest,
            break_long_words=False,
            break_on_hyphens=False,
        )
        return wrapped.replace(_JOINT, " ")

    def _styled(self, text: str, style: str) -> str:
        return f"{_STYLES[style]}{text}{_RESET}" if self._colour else text

    def _write(self, line: str = "") -> None:
        self._stream.write(f"{line}\n")
        self._stream.flush()


def results() -> Screen:
    """Give the screen for what was asked for."""
    return Screen.on(sys.stdout, os.environ)


def notices() -> Screen:
    """Give the screen for what is not the result: progress, errors and advice."""
    return Screen.on(sys.stderr, os.environ)


def printable(words: str) -> str:
    """Replace what would steer the terminal, or turn the direction of writing around."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in words)


def _columns(stream: TextIO) -> int:
    """Tell how wide a window is: that of this stream, as the others may go elsewhere."""
    if "COLUMNS" not in os.environ:
        with suppress(OSError):
            return os.get_terminal_size(stream.fileno()).columns
    return shutil.get_terminal_size().columns


def _can_write(stream: TextIO, text: str) -> bool:
    try:
        text.encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
