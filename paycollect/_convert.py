"""Between wire and values: the one cattrs converter, and the provider's names.

The law of this room: what is required must be there and be of the right type, with no silent
conversion (`"5"` is not a count, `true` is not 1); what is unknown is ignored; a failure is a
`DecodeError` that names the place but not the value, as that may be personal data.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, TypeVar, get_args

import attrs
from cattrs import ClassValidationError, Converter, IterableValidationError
from cattrs.cols import homogenous_tuple_structure_factory
from cattrs.gen import make_dict_structure_fn, override

from paycollect import _scalars, models
from paycollect.errors import DecodeError
from paycollect.models import JsonValue, Page, ReadOnlyDict
from paycollect.status import PaymentStatus, RefundStatus

T = TypeVar("T")
JsonObject = dict[str, JsonValue]


# cattrs passes the type as a second argument, which these need not look at: to take it and let it
# be spares a call for every field.


def _count(value: object, _: object = None) -> int:
    if type(value) is not int:
        raise ValueError("expected a whole number")
    return value


def _flag(value: object, _: object = None) -> bool:
    if type(value) is not bool:
        raise ValueError("expected true or false")
    return value


def _object(value: object) -> JsonObject:
    """Take a JSON object; PHP writes an empty one as an empty array."""
    if type(value) is dict:
        return value
    if value == []:
        return {}
    raise ValueError("expected an object")


def _collection(value: JsonObject) -> JsonObject:
    """Bring the payer of a list entry (payerName, payerEmail, payerClientId) to the form of Get."""
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


_STATUSES: Final = {status.value: status for status in PaymentStatus}


def _status(value: object, _: object = None) -> PaymentStatus:
    name = _scalars.text(value)
    return _STATUSES.get(name) or PaymentStatus(name)


def _refund_status(value: object, _: object = None) -> RefundStatus:
    return RefundStatus(_scalars.text(value))


def _array(value: object) -> list[JsonValue]:
    """Take a JSON array; anything else that can be iterated is none."""
    if type(value) is not list:
        raise ValueError("expected an array")
    return value


_READ: Final[dict[Any, Callable[..., Any]]] = {
    Decimal: _scalars.money,
    datetime: _scalars.instant,
    str: _scalars.text,
    int: _count,
    bool: _flag,
    PaymentStatus: _status,
    RefundStatus: _refund_status,
}
# Where the provider's name is not simply the camelCase of ours.
_RENAMED: Final[dict[tuple[type, str], str]] = {(models.WebhookTest, "data"): "testData"}
_PREPARED: Final[dict[type, Callable[[JsonObject], JsonObject]]] = {models.Collection: _collection}
_MODELS: Final = (
    models.Payer,
    models.RefundSummary,
    models.Checkout,
    models.Collection,
    models.Refund,
    models.RefundReason,
    models.Fee,
    models.Pricing,
    models.WebhookConfig,
    models.WebhookSecret,
    models.WebhookTest,
)
# Facts about our own call, which no answer may set.
_NOT_ON_THE_WIRE: Final = frozenset({"recovered"})


def _wire_name(cls: type, name: str) -> str:
    words = _RENAMED.get((cls, name)) or name
    return re.sub(r"_(\w)", lambda match: match[1].upper(), words)


def _make_optional(kind: Any) -> Callable[[Any, Any], Any]:
    """Make the hook of `X | None` for a scalar X: one call less for each field that has it."""
    read = _READ[_optional(kind)]
    return lambda value, _: None if value is None else read(value)


def _optional(kind: Any) -> Any:
    """Give X for the type `X | None`; None for any other."""
    of = get_args(kind)
    return of[0] if len(of) == 2 and of[1] is type(None) else None  # noqa: PLR2004  X and None


def _has_origin(kind: Any, origin: type) -> bool:
    return getattr(kind, "__origin__", None) is origin


def _make_converter(*, detailed: bool) -> Converter:
    converter = Converter(detailed_validation=detailed)
    for scalar, read in _READ.items():
        converter.register_structure_hook(scalar, read)
    converter.register_structure_hook_factory(lambda kind: _optional(kind) in _READ, _make_optional)
    converter.register_structure_hook_func(
        lambda kind: _has_origin(kind, Mapping),
        lambda value, _: ReadOnlyDict(_object(value or [])),
    )
    converter.register_structure_hook_factory(
        lambda kind: _has_origin(kind, tuple), lambda kind: _make_array_hook(kind, converter)
    )
    for cls in _MODELS:
        converter.register_structure_hook(cls, _make_hook(cls, converter))
    return converter


def _make_array_hook(kind: Any, converter: Converter) -> Callable[[Any, Any], Any]:
    build = homogenous_tuple_structure_factory(kind, converter)
    return lambda value, _: build(_array(value), kind)


def _make_hook(cls: type, converter: Converter) -> Callable[[Any, Any], Any]:
    attrs.resolve_types(cls)
    names: Any = {
        attribute.name: override(
            rename=_wire_name(cls, attribute.name), omit=attribute.name in _NOT_ON_THE_WIRE
        )
        for attribute in attrs.fields(cls)
    }
    build: Callable[[JsonObject, type], Any] = make_dict_structure_fn(
        cls, converter, _cattrs_detailed_validation=converter.detailed_validation, **names
    )
    prepare = _PREPARED.get(cls)

    def hook(value: object, _: object) -> Any:
        document = _object(value)
        return build(document if prepare is None else prepare(document), cls)

    return hook


_FAST: Final = _make_converter(detailed=False)
_DETAILED: Final = _make_converter(detailed=True)


def structure(value: object, cls: type[T], *, path: str = "data") -> T:
    """Make a value of `cls` of a parsed JSON value.

    Raises:
        DecodeError: the value is not of the documented form; `path` says where.

    """
    try:
        return _FAST.structure(value, cls)
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError):
        pass  # the fast pass does not know the place; and its error would carry the value
    raise _explain(value, cls, path)


def _explain(value: object, cls: type, path: str) -> DecodeError:
    try:
        _DETAILED.structure(value, cls)
    except Exception as error:  # noqa: BLE001  cattrs wraps whatever a hook raises
        where, problem = _first_problem(error)
    else:
        where, problem = "", "could not be read"  # pragma: no cover  both passes read alike
    path += where
    return DecodeError(f"the provider's answer is not as documented: {path}: {problem}", path=path)


def _first_problem(error: BaseException) -> tuple[str, str]:
    if isinstance(error, ClassValidationError):
        inner = error.exceptions[0]
        name = next((note.name for note in _notes(inner)), "")
        where, problem = _first_problem(inner)
        return f".{_wire_name(error.cl, name)}{where}", problem
    if isinstance(error, IterableValidationError):
        inner = error.exceptions[0]
        where, problem = _first_problem(inner)
        return f"[{next((note.index for note in _notes(inner)), 0)}]{where}", problem
    if isinstance(error, KeyError):
        return "", "missing"
    return "", str(error.args[0]) if type(error) is ValueError and error.args else "unexpected type"


def _notes(error: BaseException) -> list[Any]:
    return [note for note in getattr(error, "__notes__", ()) if type(note) is not str]


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
    return structure(document.get(key), tuple[cls, ...], path=f"data.{key}")  # type: ignore[valid-type]  # a type that is known at run time only


def structure_object(value: object, *, path: str = "data") -> JsonObject:
    """Take a JSON object as it is.

    Raises:
        DecodeError: it is something else.

    """
    if type(value) is dict:
        return value
    raise DecodeError(
        f"the provider's answer is not as documented: {path}: expected an object", path=path
    )


def _first_count(counts: JsonObject, *names: str) -> int:
    for name in names:
        if type(count := counts.get(name)) is int:
            return count
    path = f"data.pagination.{names[0]}"
    raise DecodeError(
        f"the provider's answer is not as documented: {path}: expected a whole number", path=path
    )
