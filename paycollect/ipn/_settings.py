"""The settings of a receiver, checked before the first webhook arrives.

Invariants: a setting that would accept too much, or nothing at all, is refused with
TypeError or ValueError when the service starts. No message shows a secret.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol, TypeAlias

from paycollect._signing import SCHEMES

_SECRET_NAME: Final = "PAYCOLLECT_WEBHOOK_SECRET"  # noqa: S105  # the name of a variable
_OLD_SECRET_NAME: Final = "PAYCOLLECT_WEBHOOK_SECRET_OLD"  # noqa: S105  # the name of a variable


class TellsTime(Protocol):
    """The part of `paycollect.clock.Clock` that a receiver needs."""

    def time(self) -> float:
        """Seconds since 1970-01-01 in UTC."""
        ...


ClockLike: TypeAlias = TellsTime | Callable[[], datetime]


def secrets_from_env() -> list[str]:
    """Read the present secret and, while one replaces another, the old one."""
    if not os.environ.get(_SECRET_NAME, "").strip():
        raise ValueError(
            f"{_SECRET_NAME}: set it in the environment to the webhook secret that the provider's"
            " dashboard shows"
        )
    found = [os.environ[_SECRET_NAME]]
    if os.environ.get(_OLD_SECRET_NAME, "").strip():
        found.append(os.environ[_OLD_SECRET_NAME])
    for name, secret in zip((_SECRET_NAME, _OLD_SECRET_NAME), found, strict=False):
        if secret != secret.strip():
            raise ValueError(f"{name}: has white space around it, often a line end: remove it")
        _read_secret(secret, name)
    return found


def read_secrets(secrets: object) -> tuple[bytes, ...]:
    """Read the secrets into keys: the text itself in UTF-8 (`whsec_` included)."""
    if isinstance(secrets, str):
        secrets = (secrets,)
    elif not isinstance(secrets, Sequence):
        raise TypeError("secret: expected a text, or a list of texts")
    if not secrets:
        raise ValueError("secret: at least one is needed")
    return tuple(map(_read_secret, secrets))


def _read_secret(secret: object, name: str = "secret") -> bytes:
    """Threat: with a blank key, which a forgotten setting gives, everybody can sign."""
    if not isinstance(secret, str):
        raise TypeError(f"{name}: expected a text, or a list of texts")
    if not secret.strip():
        raise ValueError(f"{name}: must not be blank")
    try:
        return secret.encode()
    except UnicodeEncodeError:
        pass  # this error holds the secret: what is raised must not hang on to it
    raise ValueError(f"{name}: not Unicode text")


def read_schemes(schemes: object) -> tuple[str, ...]:
    if isinstance(schemes, str) or not isinstance(schemes, Sequence):
        raise TypeError("schemes: expected a list of schemes")
    chosen = tuple(schemes)
    if not chosen or not all(scheme in SCHEMES for scheme in chosen):
        raise ValueError(f"schemes: one or more of {', '.join(SCHEMES)} are needed")
    return chosen


def read_app_id(app_id: object) -> str | None:
    if app_id is not None and not isinstance(app_id, str):
        raise TypeError("app_id: expected a text")
    if app_id is not None and not app_id.strip():
        raise ValueError("app_id: must not be blank")
    return app_id


def read_require_app_id(require_app_id: object, app_id: str | None) -> bool:
    if not isinstance(require_app_id, bool):
        raise TypeError("require_app_id: expected True or False")
    if require_app_id and app_id is None:
        raise ValueError("require_app_id: needs app_id, the app to compare with")
    return require_app_id


def read_clock(clock: ClockLike | None) -> Callable[[], datetime]:
    """Make of a clock, or of a function that gives an aware datetime, such a function."""
    if clock is None:
        return _now
    tell: Callable[[], float] | None = getattr(clock, "time", None)
    if tell is not None:
        return lambda: datetime.fromtimestamp(tell(), UTC)
    if callable(clock):
        return clock
    raise TypeError("clock: expected an object with time(), or a function that gives a datetime")


def _now() -> datetime:
    return datetime.now(UTC)


def read_max_age(max_age: object) -> timedelta | None:
    if max_age is None:
        return None
    if isinstance(max_age, bool) or not isinstance(max_age, timedelta | int | float):
        raise TypeError("max_age: expected a timedelta, or seconds")
    try:
        age = max_age if isinstance(max_age, timedelta) else timedelta(seconds=max_age)
    except (OverflowError, ValueError):  # infinity and NaN
        raise ValueError("max_age: too large, or too many digits") from None
    if age <= timedelta(0):
        raise ValueError("max_age: must be positive")
    return age


def read_max_size(max_size: object) -> int:
    if isinstance(max_size, bool) or not isinstance(max_size, int):
        raise TypeError("max_size: expected a number of bytes")
    if max_size <= 0:
        raise ValueError("max_size: must be positive")
    return max_size
