"""The cashier's tables as models, to be read.

The columns are those of `paycollect.cashier.schema`; the migrations make them, as Django's own
would lack the defaults that an older release of this package needs beside a newer one.

Invariants: nothing is written through a model. A person decides through the cashier, which compares
what they have seen with what is so, and asks the provider.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar, Final, NoReturn

from django.db import models

from paycollect.cashier import schema
from paycollect.cashier.orders import SECOND

_READ_ONLY: Final = (
    "the cashier's rows are read only: use cashier.release(), dismiss(), replay() or prune()"
)


class InstantField(models.Field):
    """An instant, UTC, which is stored as milliseconds since 1970."""

    def get_internal_type(self) -> str:
        """Tell the column's type."""
        return "BigIntegerField"

    def from_db_value(self, value: int | None, *_: object) -> datetime | None:
        """Read it."""
        return None if value is None else datetime.fromtimestamp(value / SECOND, UTC)

    def get_prep_value(self, value: Any) -> Any:
        """Write it, in a query."""
        if not isinstance(value, datetime):
            return value
        if value.tzinfo is None:
            raise ValueError(f"{self.name}: an instant with a time zone is needed")
        return round(value.timestamp() * SECOND)


class ReadOnlyQuerySet(models.QuerySet):
    """Reads; whatever writes is refused."""

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise TypeError(_READ_ONLY)

    update = delete = bulk_create = bulk_update = _raw_delete = _refuse


class ReadOnly(models.Model):
    """A row that cannot be saved or deleted."""

    objects: ClassVar[Any] = models.Manager.from_queryset(ReadOnlyQuerySet)()

    class Meta:
        """An abstract one."""

        abstract = True

    def save(self, *_: object, **__: object) -> None:
        """Refuse.

        Raises:
            TypeError: always.

        """
        raise TypeError(_READ_ONLY)

    def delete(self, *_: object, **__: object) -> NoReturn:
        """Refuse.

        Raises:
            TypeError: always.

        """
        raise TypeError(_READ_ONLY)


def _field(table: schema.Table, column: schema.Column) -> models.Field:
    is_instant = column.name.endswith("_at") or column.name in ("at", "lease_until")
    if column.type == "TEXT":
        kind: Any = models.TextField
    elif is_instant:
        kind = InstantField
    else:
        kind = models.BigIntegerField
    return kind(primary_key=column is table.columns[0], null=column.default is None, editable=False)


def _fields(name: str) -> dict[str, models.Field]:
    """Make the fields of a table, for the body of a class."""
    table = next(table for table in schema.TABLES if table.name == name)
    return {column.name: _field(table, column) for column in table.columns}


class Order(ReadOnly):
    """An order, from its intent on; orders are never deleted."""

    order_id: Any
    state: Any
    amount: Any
    currency: Any
    collection_id: Any
    found_by: Any
    held_reason: Any
    hold_id: Any
    last_error: Any
    locals().update(_fields("order"))

    class Meta(ReadOnly.Meta):
        """Its table, and who may decide."""

        managed = False
        db_table = f"{schema.PREFIX}order"
        permissions = (("decide_order", "Can replay, release and dismiss orders"),)

    def __str__(self) -> str:
        return str(self.order_id)


class Webhook(ReadOnly):
    """A webhook that was proven."""

    id: Any
    locals().update(_fields("inbox"))

    class Meta(ReadOnly.Meta):
        """Its table."""

        managed = False
        db_table = f"{schema.PREFIX}inbox"

    def __str__(self) -> str:
        return str(self.id)


class Stray(ReadOnly):
    """A payment that belongs to no order here."""

    id: Any
    reason: Any
    hold_id: Any
    locals().update(_fields("stray"))

    class Meta(ReadOnly.Meta):
        """Its table."""

        managed = False
        db_table = f"{schema.PREFIX}stray"
        verbose_name = "payment without an order"
        verbose_name_plural = "payments without an order"

    def __str__(self) -> str:
        return str(self.id)


class TimelineEntry(ReadOnly):
    """Something that happened to an order."""

    order_id: Any
    at: Any
    what: Any
    detail: Any
    done_by: Any
    locals().update(_fields("timeline"))

    class Meta(ReadOnly.Meta):
        """Its table."""

        managed = False
        db_table = f"{schema.PREFIX}timeline"
        verbose_name_plural = "timeline"

    def __str__(self) -> str:
        return str(self.what)
