"""The merchant's handlers: what they are called for, and how.

Invariants: a mistake in registering one is an error when the service starts, not when somebody
pays. Of what a handler raises only the type and the place are kept, as the text may hold personal
data.
"""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Awaitable, Callable
from pathlib import PurePath
from typing import Any, Final, Generic, TypeVar, overload

from paycollect.cashier.errors import BrokenHandlerError, CashierError
from paycollect.cashier.store import Reach, Tx
from paycollect.cashier.values import Closed, Held, Payment, Refunded

R = TypeVar("R")

TRANSACTIONAL: Final = ("on_paid", "on_closed", "on_refunded")
OUTSIDE: Final = ("after_paid", "on_held")
KINDS: Final = TRANSACTIONAL + OUTSIDE
_NOT_AWAITED: Final = (
    "it gave an awaitable, which nobody awaits with this store: make it a plain function, without"
    " `async` inside; what must be awaited belongs into after_paid"
)


class HandlerFailedError(CashierError):
    """A handler has raised; `problem` is the type and the place of what it raised.

    Where it has not raised but failed in another way, `words` of our own say how.
    """

    def __init__(self, kind: str, error: BaseException, words: str = "") -> None:
        self.problem: str = f"{kind}: {words or type(error).__name__ + _place(error)}"
        super().__init__(f"a handler has failed: {self.problem}")


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f" at {PurePath(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""


class Handlers(Generic[Tx]):
    """What is to be done when an order is paid, closed, refunded or held: one function each.

    They stand apart from the cashier, as tests and services make several cashiers with the same
    handlers. `on_paid`, `on_closed` and `on_refunded` run in the transaction that marks the order;
    they take `(tx, payment)` or only `(payment)`. `after_paid` and `on_held` run outside of it, at
    least once, until they return.

    Example::

        from paycollect.cashier import Handlers

        shop = Handlers()

        @shop.on_paid
        def ship(tx, payment):
            tx.execute("INSERT INTO parcels (order_id) VALUES (?)", [payment.order_id])

    """

    def __init__(self: Handlers[Any]) -> None:
        self._handlers: dict[str, Callable[..., object]] = {}
        self._takes_tx: dict[str, bool] = {}
        self._checks: list[Callable[[str, Callable[..., object]], None]] = []

    @overload
    def on_paid(self, handler: Callable[[Tx, Payment], R]) -> Callable[[Tx, Payment], R]: ...
    @overload
    def on_paid(self, handler: Callable[[Payment], R]) -> Callable[[Payment], R]: ...
    def on_paid(self, handler: Callable[..., R]) -> Callable[..., R]:
        """Deliver, in the transaction that marks the order as fulfilled: exactly once.

        It must not commit or roll back; what it raises rolls back both, and it is called again
        later.
        """
        return self._add("on_paid", handler)

    @overload
    def on_closed(self, handler: Callable[[Tx, Closed], R]) -> Callable[[Tx, Closed], R]: ...
    @overload
    def on_closed(self, handler: Callable[[Closed], R]) -> Callable[[Closed], R]: ...
    def on_closed(self, handler: Callable[..., R]) -> Callable[..., R]:
        """Give the stock back, in the transaction that closes the order.

        Also for an order whose checkout was never created.
        """
        return self._add("on_closed", handler)

    @overload
    def on_refunded(self, handler: Callable[[Tx, Refunded], R]) -> Callable[[Tx, Refunded], R]: ...
    @overload
    def on_refunded(self, handler: Callable[[Refunded], R]) -> Callable[[Refunded], R]: ...
    def on_refunded(self, handler: Callable[..., R]) -> Callable[..., R]:
        """Take back, in the transaction that marks a delivered order as refunded: exactly once."""
        return self._add("on_refunded", handler)

    def after_paid(self, handler: Callable[[Payment], R]) -> Callable[[Payment], R]:
        """Have outside effects, after the delivery is committed: at least once.

        `payment.key` is the same for all calls of one order.
        """
        return self._add("after_paid", handler)

    def on_held(self, handler: Callable[[Held], R]) -> Callable[[Held], R]:
        """Tell a person that something waits for them: at least once; see `Held.key`."""
        return self._add("on_held", handler)

    def has(self, kind: str) -> bool:
        """Tell whether there is a handler of a kind."""
        return kind in self._handlers

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds that there are handlers of."""
        return tuple(self._handlers)

    def bind(self, check: Callable[[str, Callable[..., object]], None]) -> None:
        """Have all handlers checked, those that are still to come, too."""
        for kind, handler in self._handlers.items():
            check(kind, handler)
        self._checks.append(check)

    def call(
        self, kind: str, tx: Any, value: object, reach: Reach, *, awaits: bool = True
    ) -> Awaitable[object] | None:
        """Call a handler, if there is one; what it returns is awaited by the caller if it can be.

        Args:
            kind: which one.
            tx: the transaction, for those that want it.
            value: what has happened.
            reach: is told that it begins and has ended.
            awaits: whether the caller awaits what it is given.

        Raises:
            HandlerFailedError: it has raised, or has only begun what nobody awaits.
            BrokenHandlerError: it has tried to end its transaction.

        """
        handler = self._handlers.get(kind)
        if handler is None:
            return None
        reach(f"handler:{kind}:start")
        try:
            given = handler(tx, value) if self._takes_tx[kind] else handler(value)
        except BrokenHandlerError:
            raise
        except Exception as error:
            raise HandlerFailedError(kind, error) from error
        if not inspect.isawaitable(given):
            reach(f"handler:{kind}:end")
            return None
        if awaits:
            return self._awaited(kind, given, reach)
        if inspect.iscoroutine(given):
            given.close()  # else Python warns that it was never awaited
        raise HandlerFailedError(kind, TypeError(), _NOT_AWAITED)

    async def _awaited(self, kind: str, given: Awaitable[object], reach: Reach) -> None:
        try:
            await given
        except BrokenHandlerError:
            raise
        except Exception as error:
            raise HandlerFailedError(kind, error) from error
        reach(f"handler:{kind}:end")

    def is_async(self, kind: str) -> bool:
        """Tell whether a handler is a coroutine function."""
        return is_async(self._handlers[kind])

    def _add(self, kind: str, handler: Callable[..., R]) -> Callable[..., R]:
        if not callable(handler):
            raise TypeError(f"{kind}: a function is needed, not {type(handler).__name__}")
        if kind in self._handlers:
            raise ValueError(f"{kind}: there is a handler already; call both from one function")
        if inspect.isgeneratorfunction(handler) or inspect.isasyncgenfunction(handler):
            raise TypeError(
                f"{kind}: a function with `yield` does nothing when it is called: remove it"
            )
        wanted = _parameters(handler)
        most = 2 if kind in TRANSACTIONAL else 1
        if not 1 <= wanted <= most:
            what = "(tx, value) or (value)" if most > 1 else "one value"
            raise TypeError(f"{kind}: a handler that takes {what} is needed")
        for check in self._checks:
            check(kind, handler)
        self._handlers[kind] = handler
        self._takes_tx[kind] = wanted > 1
        return handler


def is_async(handler: Callable[..., object]) -> bool:
    """Tell whether a function, or an object with `__call__`, is a coroutine function."""
    called = getattr(handler, "__call__", None)  # noqa: B004  # what it is, not whether it is there
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(called)


def takes_tx(handler: Callable[..., object]) -> bool:
    """Tell whether a handler wants the transaction, too."""
    return _parameters(handler) > 1


def _parameters(handler: Callable[..., object]) -> int:
    """Count the positional parameters that must be given."""
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(
        parameter.kind in positional and parameter.default is inspect.Parameter.empty
        for parameter in inspect.signature(handler).parameters.values()
    )
