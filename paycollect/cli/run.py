"""Running a command: an event loop around it, and an exit code for whatever comes of it."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from typing import TYPE_CHECKING

from paycollect.cli.exits import Exit, Trouble, trouble
from paycollect.demo.screen import Screen

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import TextIO


def run(start: Callable[[], Coroutine[None, None, Exit]], *, as_json: bool = False) -> Exit:
    """Carry out a command, and say what is to be said if it fails.

    `start` may ask questions before it returns the coroutine: inside of asyncio.run, Ctrl-C does
    not interrupt a prompt.
    """
    logging.getLogger("paycollect").addHandler(logging.NullHandler())  # the message says it all
    return guarded(lambda: asyncio.run(start()), as_json=as_json)


def guarded(work: Callable[[], Exit], *, as_json: bool = False) -> Exit:
    """Do what needs no event loop, and say what is to be said if it fails."""
    try:
        return work()
    except KeyboardInterrupt:
        _screen(sys.stderr).text("Stopped.")
        return Exit.INTERRUPTED
    except BrokenPipeError:
        return leave_pipe()
    except Exception as error:
        if sys.flags.dev_mode and trouble(error).code is Exit.BUG:
            raise
        return fail(trouble(error), as_json=as_json)


def fail(problem: Trouble, *, as_json: bool = False) -> Exit:
    """Write on stderr what happened, whose fault it is and what to do next."""
    if as_json:
        what, fault, advice, code = problem
        document = {"error": {"what": what, "fault": fault, "next": advice, "exit_code": code}}
        sys.stderr.write(json.dumps(document) + "\n")
    else:
        screen = _screen(sys.stderr)
        screen.failed(problem.what)
        screen.fact("fault", problem.fault)
        screen.fact("next", problem.advice)
    return problem.code


def leave_pipe() -> Exit:
    """End quietly when the reader of a pipe (`| head`) has gone.

    Python docs: signal, "note on SIGPIPE".
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return Exit.PIPE_CLOSED


def _screen(stream: TextIO) -> Screen:
    return Screen.on(stream, os.environ)
