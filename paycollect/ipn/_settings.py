"""The settings of a receiver, checked before the first webhook arrives.

The law of this room: a setting that would accept too much, or nothing at all, is refused with
TypeError or ValueError when the service starts. No message shows a secret.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from paycollect._signing import SCHEMES


def read_secrets(secrets: object) -> tuple[bytes, ...]:
    """Read the secrets into keys: the text itself in UTF-8 (`whsec_` included)."""
    if isinstance(secrets, str):
        secrets = (secrets,)
    elif not isinstance(secrets, Sequence):
        raise TypeError("secret: expected a text, or a list of texts")
    if not secrets:
        raise ValueError("secret: at least one is needed")
    return tuple(map(_read_secret, secrets))


def _read_secret(secret: object) -> bytes:
    """Threat: with a blank key, which a forgotten setting gives, everybody can sign."""
    if not isinstance(secret, str):
        raise TypeError("secret: expected a text, or a list of texts")
    if not secret.strip():
        raise ValueError("secret: must not be blank")
    try:
        return secret.encode()
    except UnicodeEncodeError:
        pass  # this error holds the secret: what is raised must not hang on to it
    raise ValueError("secret: not Unicode text")


def read_schemes(schemes: object) -> tuple[str, ...]:
    if isinstance(schemes, str) or not isinstance(schemes, Sequence):
        raise TypeError("schemes: expected a list of recipes")
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


def read_max_age(max_age: object) -> timedelta | None:
    if max_age is None:
        return None
    if isinstance(max_age, bool) or not isinstance(max_age, timedelta | int | float):
        raise TypeError("max_age: expected a timedelta, or seconds")
    try:
        age = max_age if isinstance(max_age, timedelta) else timedelta(seconds=max_age)
    except (OverflowError, ValueError):  # infinity and NaN
        raise ValueError("max_age: out of all proportion") from None
    if age <= timedelta(0):
        raise ValueError("max_age: must be positive")
    return age


def read_max_size(max_size: object) -> int:
    if isinstance(max_size, bool) or not isinstance(max_size, int):
        raise TypeError("max_size: expected a number of bytes")
    if max_size <= 0:
        raise ValueError("max_size: must be positive")
    return max_size
