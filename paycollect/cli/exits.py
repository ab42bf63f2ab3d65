"""How a command ends: its exit code, and what is said about an error.

The law of this room: pure, and no text but those of the SDK's own errors, which may be logged.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from paycollect import errors
from paycollect.demo import NotPaidError, StepFailedError
from paycollect.errors import PayCollectError

if TYPE_CHECKING:
    from collections.abc import Mapping


class Exit(IntEnum):
    """The exit codes of all commands."""

    OK = 0
    NO = 1
    """It worked, and the answer is no: not paid, not genuine, not found, not in order."""
    USAGE = 2
    """The command was called wrongly, or a setting is missing: nothing was sent."""
    REFUSED = 3
    """The provider refused: nothing happened there."""
    UNKNOWN = 4
    """No answer, or none that makes sense: a write may have taken effect."""
    BUG = 70
    """An error in paycollect itself."""
    INTERRUPTED = 130
    """Ctrl-C."""
    PIPE_CLOSED = 141
    """The reader of its output went away: how it ended is not known."""


class UsageError(Exception):
    """The command cannot be carried out as it was given."""


class Trouble(NamedTuple):
    """What happened, whose fault it is, what to do next, and the exit code."""

    what: str
    fault: str
    advice: str
    code: Exit


_YOURS: Final = "yours"
_PROVIDER: Final = "the provider's"
_NETWORK: Final = "the network's, or the provider's"
_NOBODY: Final = "nobody's: this is the answer"
_LATER: Final = "repeat later; after a create or a refund look first whether it took effect"

_ANSWERS: Final[Mapping[type[Exception], tuple[str, str, Exit]]] = {
    StepFailedError: (
        "of paycollect itself, or of this machine",
        "run it again; if it stays so, report it with this output",
        Exit.NO,
    ),
    NotPaidError: (_NOBODY, "run it again, and press Pay", Exit.NO),
    UsageError: (_YOURS, "see --help", Exit.USAGE),
    errors.PaymentNotConfirmedError: (_NOBODY, "do not fulfil the order", Exit.NO),
    errors.SignatureError: (
        "the sender's, or the secret is not the one that it was signed with",
        "do not act on it; `paycollect webhook explain` says what does not fit",
        Exit.NO,
    ),
    errors.IpnError: ("the sender's", "do not act on it", Exit.NO),
    errors.AuthenticationError: (
        _YOURS,
        "check PAYCOLLECT_APP_ID, _SECRET_KEY and _BASE_URL; a new key kills the old one at once",
        Exit.REFUSED,
    ),
    errors.PermissionDeniedError: (
        _YOURS,
        "give the app the scope that this needs, in the provider's dashboard",
        Exit.REFUSED,
    ),
    errors.InsufficientBalanceError: (_YOURS, "top up the balance, then repeat", Exit.REFUSED),
    errors.DuplicateOrderError: (
        _YOURS,
        "`paycollect checkout find` shows the order; a new one needs a new order id",
        Exit.REFUSED,
    ),
    errors.AlreadyRefundedError: (
        _YOURS,
        "a collection can be refunded once, ever; `paycollect checkout get` shows it",
        Exit.REFUSED,
    ),
    errors.NotFoundError: (
        _YOURS,
        "check the id, and that it belongs to this app and base URL",
        Exit.REFUSED,
    ),
    errors.RateLimitError: (_YOURS, "wait, then repeat", Exit.REFUSED),
    errors.ApiError: (_YOURS, "correct what is named, then repeat", Exit.REFUSED),
    errors.ServerError: (_PROVIDER, f"{_LATER}; quote the request id to its support", Exit.UNKNOWN),
    errors.RequestTimeoutError: (_NETWORK, _LATER, Exit.UNKNOWN),
    errors.ConnectError: (
        _NETWORK,
        "check PAYCOLLECT_BASE_URL and the network; `paycollect doctor` looks closer",
        Exit.UNKNOWN,
    ),
    errors.DecodeError: (
        "the provider's, or of paycollect: the answer is not of the documented form",
        "check PAYCOLLECT_BASE_URL; if it is right, report this with the request id",
        Exit.UNKNOWN,
    ),
    errors.DeadlineExceededError: (
        "nobody's, or the network's: it took too long",
        "`paycollect checkout get` shows the present state",
        Exit.UNKNOWN,
    ),
    PayCollectError: (_NETWORK, _LATER, Exit.UNKNOWN),
}


def trouble(error: Exception) -> Trouble:
    """Tell what is to be said about an error."""
    for kind in type(error).__mro__:
        if kind in _ANSWERS:
            fault, advice, code = _ANSWERS[kind]
            return Trouble(str(error), fault, advice, code)
    if isinstance(error, ValueError):
        return Trouble(str(error), _YOURS, "see --help", Exit.USAGE)
    return Trouble(
        f"{type(error).__name__} in {_place(error)}",
        "of paycollect itself",
        "report it with this line; `python -X dev -m paycollect` shows the traceback",
        Exit.BUG,
    )


def _place(error: Exception) -> str:
    """Name where it was raised, and not what it says, which may be anything."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "an unknown place"
    name = trace.tb_frame.f_globals.get("__name__", "?")
    return f"{name}, line {trace.tb_lineno}"
