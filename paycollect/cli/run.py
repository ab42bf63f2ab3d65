"""Running a command: an event loop around it, and an exit code for whatever comes of it."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from typing import TYPE_CHECKING, Final

from paycollect.cli.exits import About, Exit, Trouble, trouble
from paycollect.cli.streams import OutputError
from paycollect.cli.terminal import notices, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

_NOTHING: Final = About()


def run(start: Callable[[], Coroutine[None, None, Exit]], about: About = _NOTHING) -> Exit:
    """Carry out a command, and say what is to be said if it fails.

    `start` may ask questions before it returns the coroutine: inside of asyncio.run, Ctrl-C does
    not interrupt a prompt.
    """
    return guarded(lambda: asyncio.run(start()), about)


def guarded(work: Callable[[], Exit], about: About = _NOTHING) -> Exit:
    """Do what needs no event loop, and say what is to be said if it fails."""
    try:
        code = work()
        sys.stdout.flush()
    except KeyboardInterrupt:
        notices().text(
            f"Stopped. {about.look} shows what was done." if about.writes else "Stopped."
        )
        return Exit.INTERRUPTED
    except OutputError as lost:
        return not_written(lost, about)
    except Exception as error:
        found = trouble(error, about)
        if sys.flags.dev_mode and found.code is Exit.BUG:
            raise
        return fail(found, as_json=about.as_json)
    return code


def fail(problem: Trouble, *, as_json: bool = False) -> Exit:
    """Write on stderr what happened, whose fault it is and what to do next."""
    if as_json:
        what, fault, advice, code = problem
        document = {"error": {"what": what, "fault": fault, "next": advice, "exit_code": code}}
        sys.stderr.write(json.dumps(document) + "\n")
    else:
        screen = notices()
        screen.failed(problem.what)
        screen.fact("fault", problem.fault)
        screen.fact("next", problem.advice)
    return problem.code


def not_written(lost: OutputError, about: About = _NOTHING) -> Exit:
    """Say that the output could not be written, and whether something was made all the same."""
    if lost.made:
        what = f"{lost.made}, but this could not be written: {lost.reason}"
        advice, code = f"do not repeat it; {about.look} shows it", Exit.MADE_NOT_WRITTEN
    elif lost.reader_has_gone:
        return Exit.PIPE_CLOSED
    else:
        what = f"the output could not be written: {lost.reason}"
        advice, code = "make room on the disk, or write it somewhere else", Exit.NOT_WRITTEN
    return fail(Trouble(what, "of this machine", advice, code), as_json=about.as_json)


class _Handler(logging.Handler):
    """Writes the log of the SDK to standard error; `logging`'s own keeps the stream of its time."""

    def emit(self, record: logging.LogRecord) -> None:
        sys.stderr.write(f"{printable(self.format(record))}\n")


def log_to_stderr(wanted: bool) -> None:
    """Show what the SDK logs, or keep it quiet: the message at the end says what matters."""
    logger = logging.getLogger("paycollect")
    for handler in [h for h in logger.handlers if isinstance(h, _Handler)]:
        logger.removeHandler(handler)
    logger.addHandler(logging.NullHandler())
    if wanted:
        handler = _Handler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
