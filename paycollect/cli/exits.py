"""How a command ends: its exit code, and what is said about an error.

Invariants: pure, and no text but those of the SDK's own errors, which may be logged.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from enum import IntEnum
from typing import ClassVar, Final, NamedTuple

from attrs import frozen

from paycollect import errors
from paycollect.errors import Outcome, PayCollectError


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
    MADE_NOT_WRITTEN = 5
    """It was done at the provider, but the result could not be written."""
    NOT_SENT = 6
    """Nothing was sent: the provider was not reached, or gave no token. Nothing happened there."""
    BUG = 70
    """An error in paycollect itself."""
    NOT_WRITTEN = 74
    """The output could not be written; nothing was changed at the provider."""
    INTERRUPTED = 130
    """Ctrl-C."""
    PIPE_CLOSED = 141
    """The reader of its output went away: how it ended is not known."""


_YOURS: Final = "yours"
_PROVIDER: Final = "the provider's"
_NETWORK: Final = "the network's, or the provider's"
NOBODY: Final = "nobody's: this is the answer"


class CommandError(Exception):
    """A command cannot go on; the error itself says what is to be said about it."""

    fault: ClassVar[str] = _YOURS
    advice: str = "{help}"
    code: ClassVar[Exit] = Exit.USAGE


class UsageError(CommandError):
    """The command cannot be carried out as it was given."""


@frozen(kw_only=True)
class About:
    """What a command is about, so that a message can name it.

    Attributes:
        order: an order id.
        collection: a collection id.
        writes: whether it changes something at the provider.
        as_json: whether a message is for machines.
        shows: the command that shows how things stand, where it is about neither.
        later: what to do where it is not known whether it took effect; "" for the usual.
        names: what a person calls an argument of the SDK, such as "--amount".
        command: the command itself, such as "paycollect checkout get".

    """

    order: str = ""
    collection: str = ""
    writes: bool = False
    as_json: bool = False
    shows: str = "`paycollect checkout list`"
    later: str = ""
    names: Mapping[str, str] = {}
    command: str = "paycollect"

    @property
    def help(self) -> str:
        """Where it stands how the command is used."""
        return f"`{self.command} --help` shows how it is used"

    @property
    def look(self) -> str:
        """The command that shows how things stand."""
        if self.collection:
            return f"`paycollect checkout get {shlex.quote(self.collection)}`"
        if self.order:
            return f"`paycollect checkout find {shlex.quote(self.order)}`"
        return self.shows


class Trouble(NamedTuple):
    """What happened, whose fault it is, what to do next, and the exit code."""

    what: str
    fault: str
    advice: str
    code: Exit


# {look} is the command that shows how things stand, {later} what to do where nothing is known.
_ANSWERS: Final[Mapping[type[Exception], tuple[str, str, Exit]]] = {
    errors.PaymentNotConfirmedError: (NOBODY, "do not fulfil the order; {look} shows it", Exit.NO),
    errors.SignatureError: (
        "the sender's, or the secret is not the one that it was signed with",
        "do not act on it; `paycollect webhook explain FILE` says what does not fit",
        Exit.NO,
    ),
    errors.IpnError: ("the sender's", "do not act on it", Exit.NO),
    errors.AuthenticationError: (
        _YOURS,
        "check PAYCOLLECT_APP_ID and PAYCOLLECT_SECRET_KEY; a new key kills the old one at once",
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
        "{look} shows the order that has it; a new one needs a new order id",
        Exit.REFUSED,
    ),
    errors.AlreadyRefundedError: (
        _YOURS,
        "a collection can be refunded once, ever; {look} shows it",
        Exit.REFUSED,
    ),
    errors.NotFoundError: (
        _YOURS,
        "check the id, and that it belongs to this app and PAYCOLLECT_BASE_URL",
        Exit.REFUSED,
    ),
    errors.RateLimitError: (_YOURS, "wait, then repeat", Exit.REFUSED),
    errors.ApiError: (_YOURS, "correct what is named, then repeat", Exit.REFUSED),
    errors.ServerError: (
        _PROVIDER,
        "{later}; quote the request id to the provider's support",
        Exit.UNKNOWN,
    ),
    errors.RequestTimeoutError: (_NETWORK, "{later}", Exit.UNKNOWN),
    errors.ConnectError: (
        _NETWORK,
        "check PAYCOLLECT_BASE_URL and the network; `paycollect doctor` looks closer",
        Exit.UNKNOWN,
    ),
    errors.DecodeError: (
        "the provider's, or of paycollect: the answer is not of the documented form",
        "check PAYCOLLECT_BASE_URL, which ends with /api/v3; if it is right, report this",
        Exit.UNKNOWN,
    ),
    errors.DeadlineExceededError: (
        "nobody's, or the network's: it took too long",
        "{look} shows how it stands",
        Exit.UNKNOWN,
    ),
    PayCollectError: (_NETWORK, "{later}", Exit.UNKNOWN),
}
_SETTINGS: Final = {
    "app_id": "PAYCOLLECT_APP_ID",
    "secret_key": "PAYCOLLECT_SECRET_KEY",
    "base_url": "PAYCOLLECT_BASE_URL",
    "secret": "PAYCOLLECT_WEBHOOK_SECRET",
}


def trouble(error: Exception, about: About = About()) -> Trouble:
    """Tell what is to be said about an error."""
    if isinstance(error, CommandError):
        advice = error.advice.format(help=about.help)
        return Trouble(str(error), error.fault, advice, error.code)
    if isinstance(error, PayCollectError):
        return _of_the_call(error, about)
    if isinstance(error, ValueError):
        return Trouble(in_your_words(str(error), about.names), _YOURS, about.help, Exit.USAGE)
    return Trouble(
        f"{type(error).__name__} in {_place(error)}",
        "of paycollect itself",
        "report it with this line; `python -X dev -m paycollect` shows the traceback",
        Exit.BUG,
    )


def _of_the_call(error: PayCollectError, about: About) -> Trouble:
    fault, advice, code = next(_ANSWERS[kind] for kind in type(error).__mro__ if kind in _ANSWERS)
    if code is Exit.UNKNOWN and error.outcome is Outcome.NOT_SENT:
        code = Exit.NOT_SENT
    return Trouble(str(error), fault, advice.format(look=about.look, later=_later(about)), code)


def _later(about: About) -> str:
    if not about.writes:
        return "repeat it later"
    return about.later or f"{about.look} shows whether it took effect: look before you repeat it"


def in_your_words(text: str, names: Mapping[str, str]) -> str:
    """Put the name of an option or a variable in place of that of an argument of the SDK."""
    name, colon, rest = text.partition(":")
    return {**_SETTINGS, **names}.get(name, name) + colon + rest


def _place(error: Exception) -> str:
    """Name where it was raised, and not what it says, which may be anything."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "an unknown place"
    name = trace.tb_frame.f_globals.get("__name__", "?")
    return f"{name}, line {trace.tb_lineno}"
