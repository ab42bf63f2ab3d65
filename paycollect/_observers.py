"""Who listens, and the logger, which is a listener: what every program loads; the records are not.

Invariants: a listener that fails harms nobody.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Final

from attrs import frozen

log: Final = logging.getLogger("paycollect")
log.addHandler(logging.NullHandler())  # silent until the application sets logging up

_EXTRA: Final = ("order_id", "collection_id", "request_id", "path")


def _complete(line: logging.LogRecord) -> bool:
    """Give every line all of what a format of the application may name."""
    for name in _EXTRA:
        line.__dict__.setdefault(name, None)
    return True


log.addFilter(_complete)
LogLine = tuple[int, str, tuple[object, ...]]


@frozen(kw_only=True, eq=False)
class Record:
    """Something that happened: the base of all records.

    Attributes:
        order_id: the merchant's order id, where it is about one order.
        collection_id: the provider's id, where it is about one collection.

    """

    order_id: str | None = None
    collection_id: str | None = None

    def log_line(self) -> LogLine | None:
        """Give level, format and arguments of its line in the log; None where it has none."""
        return None


Observer = Callable[[Record], object]
"""Is called with each record, in the task that it is about; it must not wait.

One that traces may have a method `traceparent()`: it gives the W3C trace context of what the
present task does, or "". The cashier keeps that with an order.
"""


class Observers:
    """Those who listen.

    Args:
        observers: each is called with every record, in this order.

    Raises:
        TypeError: one of them cannot be called.

    """

    __slots__ = ("_observers",)

    def __init__(self, observers: Iterable[Observer] = ()) -> None:
        self._observers = tuple(observers)
        for observer in self._observers:
            if not callable(observer):
                raise TypeError(f"observers: {type(observer).__name__} cannot be called")

    def __bool__(self) -> bool:
        return bool(self._observers)

    def tell(self, record: Record) -> None:
        """Log a record, and call each observer; one that raises is logged and passed over."""
        line = record.log_line()
        if line is not None:
            level, text, values = line
            log.log(level, text, *values, extra=_extra(record))
        for observer in self._observers:
            try:
                observer(record)
            except Exception as error:  # noqa: BLE001  an observer is the user's code
                _passed_over(observer, type(record).__name__, error)

    def traceparent(self) -> str:
        """Give the trace context of the present task, as the first one knows it that traces."""
        for observer in self._observers:
            tells = getattr(observer, "traceparent", None)
            if tells is None:
                continue
            try:
                return str(tells())
            except Exception as error:  # noqa: BLE001  an observer is the user's code
                _passed_over(observer, "traceparent", error)
        return ""


def _passed_over(observer: Observer, at: str, error: Exception) -> None:
    name = getattr(observer, "__qualname__", type(observer).__qualname__)
    log.warning("observer %s failed at %s: %s", name, at, type(error).__name__)


def _extra(record: Record) -> dict[str, object]:
    names = {"path": "template"}
    return {name: getattr(record, names.get(name, name), None) for name in _EXTRA}
