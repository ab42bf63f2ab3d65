"""How the demo can fail."""

from __future__ import annotations

from paycollect.cli.exits import NOBODY, CommandError, Exit


class StepFailedError(CommandError):
    """Something that should have been so was not."""

    fault = "of paycollect itself, or of this machine"
    advice = "run it again; if it stays so, report it with this output"
    code = Exit.NO


class NotPaidError(StepFailedError):
    """The person who was to pay did not."""

    fault = NOBODY
    advice = "run it again, and press Pay"
