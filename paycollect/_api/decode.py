"""Between wire and values: the one cattrs converter, and the provider's names.

Invariants: what is required must be there and be of the right type, with no silent
conversion (`"5"` is not a count, `true` is not 1); what is unknown is ignored; a failure is a
`DecodeError` that names the place but not the value, as that may be personal data.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple, TypeVar, get_args, get_origin

import attrs
from cattrs import Converter

from paycollect import _json, models
from paycollect.errors import DecodeError
from paycollect.models import JsonValue, Page, ReadOnlyDict
from paycollect.status import PaymentStatus, RefundStatus

T = TypeVar("T")
JsonObject = dict[str, JsonValue]
Reader = Callable[[Any], Any]


class _MisfitError(Exception):
    """A value is not of the documented form: where, and what was expected there."""

    def __init__(self, where: str, problem: str) -> None:
        super().__init__(where, problem)
        self.where = where
        self.problem = problem

    def within(self, place: str) -> _MisfitError:
        """Give the same problem as it is seen from further outside."""
        return _MisfitError(place + self.where, self.problem)


def _count(value: object) -> int:
    if type(value) is not int:
        raise ValueError("expected a whole number")
    return value


def _flag(value: object) -> bool:
    if type(value) is not bool:
        raise ValueError("expected true or false")
    return value


_LONGEST_ID: Final = 128
_ID: Final = re.compile(rf"(?!.*\.\.)[^\s/?#\\]{{1,{_LONGEST_ID}}}")


def _id(value: object) -> str:
    """Take an id that could stand in a path: a later call with another one might go astray."""
    if type(value) is str and value.isalnum() and value.isascii() and len(value) <= _LONGEST_ID:
        return value
    value = _json.text(value)
    if not _ID.fullmatch(value) or not value.isprintable():
        raise ValueError("expected an id without white space, '/', '?', '#' and '..'")
    return value


def _object(value: object) -> JsonObject:
    """Take a JSON object; PHP writes an empty one as an empty array."""
    if type(value) is dict:
        return value
    if value == []:
        return {}
    raise ValueError("expected an object")


_STATUSES: Final[Mapping[object, PaymentStatus]] = {s.value: s for s in PaymentStatus}


def _status(value: object) -> PaymentStatus:
    if type(value) is str and value in _STATUSES:
        return _STATUSES[value]
    return PaymentStatus(_json.text(value))


def _refund_status(value: object) -> RefundStatus:
    return RefundStatus(_json.text(value))


def _read_only(value: object) -> ReadOnlyDict:
    return ReadOnlyDict(_object(value or []))


_SCALARS: Final[dict[Any, Reader]] = {
    Decimal: _json.money,
    datetime: _json.instant,
    str: _json.text,
    int: _count,
    bool: _flag,
    PaymentStatus: _status,
    RefundStatus: _refund_status,
}


class _Field(NamedTuple):
    """How a field of a model is read."""

    put: Callable[[object, object], None]
    wire_name: object
    read: Reader
    is_text: bool
    default: object
    may_be_null: bool


def _collection(given: object) -> JsonObject:
    """Bring the payer of a list entry (payerName, payerEmail, payerClientId) to the form of Get."""
    value = _object(given)
    flat = {
        name: value[wire]
        for name, wire in (
            ("name", "payerName"),
            ("email", "payerEmail"),
            ("clientId", "payerClientId"),
        )
        if value.get(wire) is not None
    }
    if flat and not value.get("payer"):
        value = {**value, "payer": flat}
    elif "payer" in value and not value["payer"]:
        value = {**value, "payer": None}
    return value


# Where the provider's name is not simply the camelCase of ours.
_RENAMED: Final[dict[tuple[type, str], str]] = {(models.WebhookTest, "data"): "testData"}
_PREPARED: Final[dict[type, Callable[[object], JsonObject]]] = {models.Collection: _collection}
_IDS: Final = frozenset({"collection_id", "refund_id"})
# Facts about our own call, which no answer may set: no JSON object has the name that they get.
_NOT_ON_THE_WIRE: Final = frozenset({"recovered"})
_NO_NAME: Final = object()
_MISSING: Final = object()
# What a reader raises; its text is ours only where it is a ValueError itself.
_MISFITS: Final = (ValueError, KeyError, TypeError, AttributeError, ArithmeticError)


def _wire_name(cls: type, name: str) -> object:
    if name in _NOT_ON_THE_WIRE:
        return _NO_NAME
    words = _RENAMED.get((cls, name)) or name
    return re.sub(r"_(\w)", lambda match: match[1].upper(), words)


def _read_field(cls: type, attribute: attrs.Attribute[Any]) -> _Field:
    kind = attribute.type
    of = get_args(kind)
    may_be_null = type(None) in of
    if may_be_null:
        kind = of[0]
    name = attribute.name
    read = _id if name in _IDS else _reader(kind)
    return _Field(
        _putter(cls, name),
        _wire_name(cls, name),
        read,
        read is _json.text,
        attribute.default,
        may_be_null,
    )


def _putter(cls: type, name: str) -> Callable[[object, object], None]:
    """Give what fills a slot of a model; `__init__` of a frozen class does it far more slowly."""
    put: Callable[[object, object], None] = getattr(cls, name).__set__
    return put


def _reader(kind: Any) -> Reader:
    if kind in _SCALARS:
        return _SCALARS[kind]
    if get_origin(kind) is Mapping:
        return _read_only
    if get_origin(kind) is tuple:
        return _make_array_reader(get_args(kind)[0])
    hook = _converter.get_structure_hook(kind)
    return lambda value: hook(value, kind)


def _make_array_reader(kind: Any) -> Reader:
    read = _reader(kind)

    def read_array(value: object) -> tuple[Any, ...]:
        if type(value) is not list:  # anything else that can be iterated is none
            raise ValueError("expected an array")
        items: list[Any] = []
        problem: _MisfitError | None = None
        try:
            for item in value:
                items.append(read(item))  # noqa: PERF401  its length tells which one was wrong
        except _MisfitError as error:
            problem = error
        except _MISFITS as error:
            problem = _MisfitError("", _problem(error))
        if problem is not None:
            raise problem.within(f"[{len(items)}]")
        return tuple(items)

    return read_array


def _make_hook(cls: type) -> Callable[[Any, Any], Any]:
    """Make the structure hook of a model: one pass, which knows at which field it is."""
    attrs.resolve_types(cls)
    fields = tuple(_read_field(cls, attribute) for attribute in attrs.fields(cls))
    prepare = _PREPARED.get(cls, _object)
    is_plain = prepare is _object

    def hook(value: object, _: object) -> Any:
        document: Any = value if is_plain and type(value) is dict else prepare(value)
        made: Any = object.__new__(cls)
        wire_name: object = ""
        problem: _MisfitError | None = None
        try:
            for put, wire_name, read, is_text, default, may_be_null in fields:
                found = document.get(wire_name, _MISSING)
                if is_text and type(found) is str:
                    put(made, found)
                elif found is None and may_be_null:
                    put(made, None)
                elif found is not _MISSING:
                    put(made, read(found))
                elif default is not attrs.NOTHING:
                    put(made, default)
                else:
                    raise ValueError("missing")
        except _MisfitError as error:
            problem = error
        except _MISFITS as error:
            problem = _MisfitError("", _problem(error))
        if problem is not None:  # outside of the except blocks: the first error carries the value
            raise problem.within(f".{wire_name}")
        return made

    return hook


def _problem(error: Exception) -> str:
    return str(error.args[0]) if type(error) is ValueError and error.args else "unexpected type"


_converter: Final = Converter()
# Each model's hook is made when the first answer of its kind is read: few programs read all kinds.
_converter.register_structure_hook_factory(attrs.has, _make_hook)


def structure(value: object, cls: type[T], *, path: str = "data") -> T:
    """Make a value of `cls` of a parsed JSON value.

    Raises:
        DecodeError: the value is not of the documented form; `path` says where.

    """
    try:
        return _converter.structure(value, cls)
    except _MisfitError as error:
        where, problem = error.where, error.problem
    except _MISFITS as error:
        where, problem = "", _problem(error)
    raise _undocumented(path + where, problem)


def _undocumented(path: str, problem: str) -> DecodeError:
    return DecodeError(f"the provider's answer is not as documented: {path}: {problem}", path=path)


def structure_page(value: object, key: str, cls: type[T]) -> Page[T]:
    """Make a page of a list answer; both published forms of its pagination are read.

    Raises:
        DecodeError: the value is not of the documented form.

    """
    document = structure_object(value)
    counts = structure_object(document.get("pagination"), path="data.pagination")
    return Page(
        items=structure_items(document, key, cls),
        page=_first_count(counts, "page", "currentPage"),
        per_page=_first_count(counts, "perPage", "itemsPerPage"),
        total_items=_first_count(counts, "totalItems"),
        total_pages=_first_count(counts, "totalPages"),
    )


def structure_items(document: JsonObject, key: str, cls: type[T]) -> tuple[T, ...]:
    """Make the values of the array at `key`.

    Raises:
        DecodeError: it is not an array, or an entry is not of the documented form.

    """
    try:
        items: tuple[T, ...] = _make_array_reader(cls)(document.get(key))
    except _MisfitError as error:
        where, problem = error.where, error.problem
    except _MISFITS as error:
        where, problem = "", _problem(error)
    else:
        return items
    raise _undocumented(f"data.{key}{where}", problem)


def structure_object(value: object, *, path: str = "data") -> JsonObject:
    """Take a JSON object as it is.

    Raises:
        DecodeError: it is something else.

    """
    if type(value) is dict:
        return value
    raise _undocumented(path, "expected an object")


def _first_count(counts: JsonObject, *names: str) -> int:
    for name in names:
        if type(count := counts.get(name)) is int:
            return count
    raise _undocumented(f"data.pagination.{names[0]}", "expected a whole number")
