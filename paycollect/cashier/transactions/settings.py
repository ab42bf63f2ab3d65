"""What the processes on one store tell each other: when it began, who sweeps, which handlers are.

Invariants: nothing here is needed for an order to be delivered once; it is about who does it when.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, cast

from paycollect.cashier import schema
from paycollect.cashier.errors import StoreVersionError
from paycollect.cashier.orders import DAY
from paycollect.cashier.store import Steps

HANDLERS_KEPT: Final = 7 * DAY
"""How long a kind of handler counts as being there after it was seen last."""


def born() -> Steps[int]:
    """Note when this store began, unless it is noted; give it."""
    yield (
        (
            "INSERT INTO paycollect_setting (name, value, at) VALUES ('born', '', {now})"
            " ON CONFLICT (name) DO NOTHING"
        ),
        {},
    )
    rows = yield "SELECT at FROM paycollect_setting WHERE name = 'born'", {}
    return cast("int", rows[0][0])


def meet(kinds: Sequence[str]) -> Steps[frozenset[str]]:
    """Note which handlers this process has; give the kinds that any process has."""
    for kind in kinds:
        yield (
            (
                "INSERT INTO paycollect_setting (name, value, at) VALUES (:name, '', {now})"
                " ON CONFLICT (name) DO UPDATE SET at = {now}"
            ),
            {"name": f"handler:{kind}"},
        )
    rows = yield (
        "SELECT name FROM paycollect_setting WHERE name LIKE 'handler:%' AND at > {now} - :kept",
        {"kept": HANDLERS_KEPT},
    )
    return frozenset(str(name).partition(":")[2] for (name,) in rows)


def take_turn(name: str, token: str, lease: int) -> Steps[bool]:
    """Be, or stay, the only one to do something, for so many milliseconds."""
    yield (
        (
            "INSERT INTO paycollect_setting (name, value, at) VALUES (:name, '', 0)"
            " ON CONFLICT (name) DO NOTHING"
        ),
        {"name": name},
    )
    rows = yield (
        (
            "UPDATE paycollect_setting SET value = :token, at = {now} + :lease WHERE name = :name"
            " AND (value = :token OR at <= {now} OR at > {now} + 2 * :lease) RETURNING name"
        ),
        {"name": name, "token": token, "lease": lease},
    )
    return bool(rows)


def end_turn(name: str, token: str) -> Steps[None]:
    """Let somebody else do it."""
    yield (
        "UPDATE paycollect_setting SET at = 0 WHERE name = :name AND value = :token",
        {"name": name, "token": token},
    )


def get(name: str) -> Steps[tuple[str, int] | None]:
    """Read what is noted under a name, and when it was."""
    rows = yield "SELECT value, at FROM paycollect_setting WHERE name = :name", {"name": name}
    return cast("tuple[str, int]", rows[0]) if rows else None


def put(name: str, value: str = "") -> Steps[None]:
    """Note something under a name, with the time."""
    yield (
        (
            "INSERT INTO paycollect_setting (name, value, at) VALUES (:name, :value, {now})"
            " ON CONFLICT (name) DO UPDATE SET value = :value, at = {now}"
        ),
        {"name": name, "value": value},
    )


def check_version() -> Steps[None]:
    """Note the version of the tables where it is not noted, and compare it with ours."""
    yield (
        (
            "INSERT INTO paycollect_schema (id, version, min_compatible)"
            " VALUES ('paycollect', :version, :compatible) ON CONFLICT (id) DO NOTHING"
        ),
        {"version": schema.VERSION, "compatible": schema.MIN_COMPATIBLE},
    )
    rows = yield "SELECT version, min_compatible FROM paycollect_schema WHERE id = 'paycollect'", {}
    version, compatible = rows[0]
    if int(str(compatible)) > schema.VERSION:
        raise StoreVersionError(
            f"the cashier's tables are of version {version}, which this release (version"
            f" {schema.VERSION}) cannot work with: install a newer release of paycollect"
        )
