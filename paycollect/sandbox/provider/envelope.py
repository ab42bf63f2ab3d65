"""JSON as the provider writes and reads it: envelopes, exact numbers, instants.

Invariants: money never becomes a float on its way.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NamedTuple

from paycollect._json import write
from paycollect.sandbox.provider.errors import RefusedError, invalid

if TYPE_CHECKING:
    from datetime import datetime

    from paycollect.models import JsonValue

_JSON: Final = {"Content-Type": "application/json"}


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


# json.loads would make a new one at each call.
_DECODER: Final = json.JSONDecoder(parse_float=Decimal, parse_constant=_no_constant)


class Reply(NamedTuple):
    """An answer over HTTP."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Result:
    """What an endpoint has to say, before it is put into its envelope."""

    data: Mapping[str, JsonValue]
    message: str
    status: int = HTTPStatus.OK


def pretty(value: JsonValue, margin: str = "\n") -> str:
    """Write JSON for people, each member of an object on its own line."""
    if not isinstance(value, dict):
        return write(value)
    deeper = f"{margin}  "
    members = [f"{deeper}{write(key)}: {pretty(item, deeper)}" for key, item in value.items()]
    return "{" + ",".join(members) + margin + "}"


def loads(body: bytes) -> JsonValue:
    """Read JSON, numbers with a point as Decimals.

    Raises:
        ValueError: anything that is not strict JSON in UTF-8, has half of a surrogate pair, or is
            nested too deeply. PHP, in which the provider's examples are written, refuses the same.

    """
    try:
        value: JsonValue = _DECODER.decode(body.decode())
        if b"\\u" in body:
            write(value).encode()
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return value


def read_object(body: bytes) -> dict[str, JsonValue]:
    """Read the body of a request; an empty one counts as an empty object.

    Raises:
        RefusedError: VALIDATION_ERROR, not a JSON object.

    """
    try:
        value = loads(body) if body else {}
    except ValueError:
        raise invalid({"body": "must be valid JSON"}) from None
    if not isinstance(value, dict):
        raise invalid({"body": "must be a JSON object"})
    return value


def instant(moment: datetime) -> str:
    """Write a moment as the provider does: ISO 8601 to the second, "+00:00"."""
    return moment.isoformat(timespec="seconds")


def maybe_instant(moment: datetime | None) -> str | None:
    """Write a moment that may not have come."""
    return None if moment is None else instant(moment)


def success(result: Result, now: datetime) -> Reply:
    """Put a result into the envelope of success (provider docs: conventions)."""
    envelope: dict[str, JsonValue] = {
        "success": True,
        "status": int(result.status),
        "message": result.message,
        "data": dict(result.data),
        "meta": _meta(now),
    }
    return _reply(result.status, envelope)


def failure(refusal: RefusedError, now: datetime) -> Reply:
    """Put a refusal into the envelope of errors, its code in `error.code`.

    That place is not published for v3; it is the one in the sister API's samples.
    """
    error: dict[str, JsonValue] = {"code": refusal.code, "detail": refusal.message}
    if refusal.fields:
        error["fields"] = [
            {"field": field, "message": f"{field} {problem}"}
            for field, problem in refusal.fields.items()
        ]
    envelope: dict[str, JsonValue] = {
        "success": False,
        "status": refusal.status,
        "message": refusal.message,
        "error": error,
        "meta": _meta(now),
    }
    return _reply(refusal.status, envelope)


def _reply(status: int, envelope: dict[str, JsonValue]) -> Reply:
    return Reply(int(status), _JSON, write(envelope).encode())


def _meta(now: datetime) -> dict[str, JsonValue]:
    return {"requestId": f"req_{secrets.token_hex(8)}", "timestamp": instant(now)}
