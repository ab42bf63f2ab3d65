"""The tables that a store has, compared with those of this release."""

from __future__ import annotations

from contextlib import closing
from typing import Any, Final

from attrs import frozen

from paycollect.cashier import schema
from paycollect.cli import stores

_VERSION: Final = "SELECT version, min_compatible FROM paycollect_schema WHERE id = 'paycollect'"


@frozen(kw_only=True)
class Seen:
    """What a store has: for each table its columns with their types, and the names of indexes."""

    columns: dict[str, dict[str, str]]
    indexes: frozenset[str]
    version: tuple[int, int] | None


async def compare(store: str) -> list[str]:
    """Say how the tables of a store differ from those of this release; nothing if they do not.

    Raises:
        UsageError: there is no such store.
        StoreError: it cannot be read.

    """
    return differences(await look(store))


async def look(store: str) -> Seen:
    """Read what a store has, without changing it."""
    if "://" not in store:
        stores.look_for_tables(store)
        return _look_into_file(store)
    engine = stores.engine_of(store)
    try:
        async with stores.asking(), engine.connect() as conn:
            return await conn.run_sync(_inspect)  # type: ignore[no-any-return]  # of an optional library
    finally:
        await engine.dispose()


def _look_into_file(path: str) -> Seen:
    with closing(stores.read_only(path)) as db:
        names = [
            (kind, name)
            for kind, name in db.execute("SELECT type, name FROM sqlite_master")
            if name.startswith(schema.PREFIX)
        ]
        columns = {
            name: {row[1]: row[2] for row in db.execute(f"PRAGMA table_info({name})")}
            for kind, name in names
            if kind == "table"
        }
        return Seen(
            columns=columns,
            indexes=frozenset(name for kind, name in names if kind == "index"),
            version=db.execute(_VERSION).fetchone(),
        )


def _inspect(conn: Any) -> Seen:
    from sqlalchemy import inspect, text  # noqa: PLC0415  # an extra

    seen = inspect(conn)
    names = [name for name in seen.get_table_names() if name.startswith(schema.PREFIX)]
    version = None
    if f"{schema.PREFIX}schema" in names:
        row = conn.execute(text(_VERSION)).first()
        version = None if row is None else (row[0], row[1])
    return Seen(
        columns={
            name: {column["name"]: str(column["type"]) for column in seen.get_columns(name)}
            for name in names
        },
        indexes=frozenset(index["name"] for name in names for index in seen.get_indexes(name)),
        version=version,
    )


def differences(seen: Seen) -> list[str]:
    """Say what is missing, or of another kind."""
    found = []
    for table in schema.TABLES:
        name = schema.PREFIX + table.name
        columns = seen.columns.get(name)
        if columns is None:
            found.append(f"table {name} is missing")
            continue
        for column in table.columns:
            kind = columns.get(column.name, "").upper()
            if not kind:
                found.append(f"column {name}.{column.name} is missing")
            elif kind != column.type:
                found.append(f"column {name}.{column.name} is {kind}, not {column.type}")
        found += [
            f"index {schema.PREFIX}{index.name} is missing: what it is for will be slow"
            for index in table.indexes
            if schema.PREFIX + index.name not in seen.indexes
        ]
    if seen.version is not None and seen.version[1] > schema.VERSION:
        found.append(
            f"the tables are of version {seen.version[0]}, which this release (version"
            f" {schema.VERSION}) cannot work with: install a newer release"
        )
    return found
