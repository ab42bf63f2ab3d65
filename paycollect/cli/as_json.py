"""Values as JSON for machines: names as in the SDK, Decimals as strings, instants as ISO 8601."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import TypeAlias

import attrs

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


def to_json(value: object) -> Json:
    """Turn a value of the SDK into what JSON knows."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(name): to_json(member) for name, member in value.items()}
    if isinstance(value, tuple | list):
        return [to_json(member) for member in value]
    if isinstance(value, Decimal | str):
        return str(value)
    return {name: to_json(member) for name, member in members(value)}


def members(value: object) -> list[tuple[str, object]]:
    """Give the public fields of an attrs value."""
    kind = type(value)
    if not attrs.has(kind):
        raise TypeError(f"no JSON for {kind.__name__}")
    names = [field.name for field in attrs.fields(kind) if not field.name.startswith("_")]
    return [(name, getattr(value, name)) for name in names]


def dumps(value: object) -> str:
    """Write a value down; in ASCII, so that no text in it can steer a terminal."""
    return json.dumps(to_json(value), indent=2)
