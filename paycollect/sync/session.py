"""The SessionManager that blocks: each method waits in the thread that calls."""

# ruff: noqa: D102  the docstrings are those of the async methods

from __future__ import annotations

import atexit
import inspect
import warnings
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import suppress
from decimal import Decimal
from functools import wraps
from types import TracebackType
from typing import Any, Concatenate, Final, NoReturn, ParamSpec, Self, TypeVar, Unpack, overload
from weakref import WeakSet

from paycollect._portal import portal
from paycollect.ipn import Callback, WebhookEvent
from paycollect.models import Collection
from paycollect.session import CallOptions
from paycollect.session import SessionManager as AsyncSessionManager

P = ParamSpec("P")
T = TypeVar("T")
X = TypeVar("X")


def run(function: Callable[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a coroutine function on the event loop of this module, and wait for its result.

    It is the way to make what must live on that loop, such as an aiohttp session for the argument
    `http` of `SessionManager`, or a client for a token store.

    Raises:
        EventLoopError: this thread runs an event loop: await the function there.

    """
    return portal.call(lambda: function(*args, **kwargs), "await the function instead")


def _instead(name: str) -> str:
    return f"use paycollect.SessionManager here, and `await pay.{name}(...)`"


def _blocking(
    method: Callable[Concatenate[AsyncSessionManager, P], Coroutine[Any, Any, T]],
) -> Callable[[object], Callable[Concatenate[SessionManager, P], T]]:
    """Make the blocking form of a method; it takes the place of the one that is decorated."""
    instead = _instead(method.__name__)

    @wraps(method)
    def call(self: SessionManager, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return portal.call(lambda: method(self._pay, *args, **kwargs), instead)

    return lambda _: call


def _iterating(
    method: Callable[Concatenate[AsyncSessionManager, P], AsyncIterator[T]],
) -> Callable[[object], Callable[Concatenate[SessionManager, P], Iterator[T]]]:
    """Make the blocking form of a method that gives an async iterator."""
    name = method.__name__
    instead = f"use paycollect.SessionManager here, and `async for ... in pay.{name}(...)`"

    @wraps(method)
    def iterate(self: SessionManager, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        portal.check(instead)
        return _entries(method(self._pay, *args, **kwargs), instead)

    signature = inspect.signature(method)
    returned = str(signature.return_annotation).removeprefix("Async")
    vars(iterate)["__signature__"] = signature.replace(return_annotation=returned)
    return lambda _: iterate


_END: Final = object()


def _entries(entries: AsyncIterator[T], instead: str) -> Iterator[T]:
    async def following() -> T | object:
        return await anext(entries, _END)

    while (entry := portal.call(following, instead)) is not _END:
        yield entry  # type: ignore[misc]  # pyright: ignore[reportReturnType]  # all but _END are T


def _like(
    model: Callable[P, object],
) -> Callable[[Callable[Concatenate[X, ...], T]], Callable[Concatenate[X, P], T]]:
    """Give a function the arguments of another."""

    def dress(function: Callable[Concatenate[X, ...], T]) -> Callable[Concatenate[X, P], T]:
        signature = inspect.signature(model)
        own = next(iter(inspect.signature(function).parameters.values()))
        parameters = [own, *signature.parameters.values()]
        vars(function)["__signature__"] = signature.replace(
            parameters=parameters, return_annotation=inspect.signature(function).return_annotation
        )
        return function

    return dress


class SessionManager:
    """Speaks to the API for one app, as `paycollect.SessionManager` does, and blocks.

    Arguments, methods, results and errors are the same; instead of awaiting, each method waits in
    the thread that calls. Use one for as long as the process runs, from as many threads as you
    like, as a context manager or with `close()`::

        with SessionManager.from_env() as pay:
            checkout = pay.create_checkout(amount=25, order_id="INV-001", description="Plan")

    It may be made before a fork (gunicorn with `--preload`, Celery's worker processes): each
    process has connections of its own. An exception that interrupts the wait, such as the time
    limit of a task queue, gives the call up like a cancellation: what became of it is unknown.

    Args:
        options: as `paycollect.SessionManager`. `http` must have been made by `run`.

    Raises:
        EventLoopError: by each method, in a thread that runs an event loop; it says what to await.
        TypeError, ValueError: an argument is wrong.

    """

    @_like(AsyncSessionManager)
    def __init__(self, **options: Any) -> None:
        self._wrap(AsyncSessionManager(**options))

    @classmethod
    @_like(AsyncSessionManager.from_env)
    def from_env(cls, **options: Any) -> SessionManager:  # mypy loses Self on this way
        """Make a manager of the environment, as `paycollect.SessionManager.from_env` does.

        Raises:
            ValueError: a variable is not set, or its value is wrong.

        """
        manager = cls.__new__(cls)
        manager._wrap(AsyncSessionManager.from_env(**options))  # noqa: SLF001  our own class
        return manager

    def _wrap(self, pay: AsyncSessionManager) -> None:
        self._pay = pay
        _managers.add(self)

    @_blocking(AsyncSessionManager.create_checkout)
    def create_checkout(self) -> None: ...

    @_blocking(AsyncSessionManager.wait_for_payment)
    def wait_for_payment(self) -> None: ...

    @_blocking(AsyncSessionManager.get_collection)
    def get_collection(self) -> None: ...

    @_blocking(AsyncSessionManager.list_collections)
    def list_collections(self) -> None: ...

    @_iterating(AsyncSessionManager.iter_collections)
    def iter_collections(self) -> None: ...

    @_blocking(AsyncSessionManager.find_by_order_id)
    def find_by_order_id(self) -> None: ...

    @_blocking(AsyncSessionManager.create_refund)
    def create_refund(self) -> None: ...

    @_blocking(AsyncSessionManager.list_refunds)
    def list_refunds(self) -> None: ...

    @_iterating(AsyncSessionManager.iter_refunds)
    def iter_refunds(self) -> None: ...

    @_blocking(AsyncSessionManager.list_refund_reasons)
    def list_refund_reasons(self) -> None: ...

    @_blocking(AsyncSessionManager.get_pricing)
    def get_pricing(self) -> None: ...

    @_blocking(AsyncSessionManager.get_webhook_config)
    def get_webhook_config(self) -> None: ...

    @_blocking(AsyncSessionManager.update_webhook_config)
    def update_webhook_config(self) -> None: ...

    @_blocking(AsyncSessionManager.regenerate_webhook_secret)
    def regenerate_webhook_secret(self) -> None: ...

    @_blocking(AsyncSessionManager.send_test_webhook)
    def send_test_webhook(self) -> None: ...

    @_blocking(AsyncSessionManager.ping)
    def ping(self) -> None: ...

    @_blocking(AsyncSessionManager.revoke_token)
    def revoke_token(self) -> None: ...

    @_blocking(AsyncSessionManager.request)
    def request(self) -> None: ...

    # By hand, as no checker carries two forms over.
    @overload
    def confirm(
        self,
        payment: Callback,
        *,
        expected_amount: Decimal | int | str,
        order_id: str,
        currency: str = "USD",
        **options: Unpack[CallOptions],
    ) -> Collection: ...

    @overload
    def confirm(
        self,
        payment: WebhookEvent | str,
        *,
        expected_amount: Decimal | int | str,
        order_id: str | None = None,
        currency: str = "USD",
        **options: Unpack[CallOptions],
    ) -> Collection: ...

    @wraps(AsyncSessionManager.confirm)
    def confirm(self, payment: Any, **options: Any) -> Collection:
        return portal.call(lambda: self._pay.confirm(payment, **options), _instead("confirm"))

    def close(self) -> None:
        """Close what the manager opened; calls under way end with ClosedError. Idempotent.

        Raises:
            EventLoopError: as by each method.

        """
        portal.call(self._pay.aclose, _instead("aclose"))
        _managers.discard(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<sync.{repr(self._pay)[1:]}"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a SessionManager holds connections and a secret: it cannot be pickled")

    def __del__(self) -> None:
        pay = getattr(self, "_pay", None)  # absent where __init__ refused an argument
        if pay is not None and _is_open(pay):
            warnings.warn(
                f"{self!r} was never closed: use it as a context manager, or close() it",
                ResourceWarning,
                source=self,
                stacklevel=2,
            )
            portal.spawn(pay.aclose)


_managers: Final[WeakSet[SessionManager]] = WeakSet()


def _is_open(pay: AsyncSessionManager) -> bool:
    return pay._engine.is_open  # noqa: SLF001  the class that this room wraps


def _close_all() -> None:
    for manager in list(_managers):
        if _is_open(manager._pay):  # noqa: SLF001  else a thread would start, to close nothing
            with suppress(Exception):  # there is nobody left to tell
                manager.close()


# Exit handlers run in reverse order: this one before that of the portal.
atexit.register(_close_all)
