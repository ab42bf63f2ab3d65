"""paycollect: an async-first SDK for a hosted-checkout payment API.

Create a checkout with `SessionManager`, prove a webhook with `paycollect.ipn`, try both against
`paycollect.sandbox`, and catch `PayCollectError`; its tree is drawn in `paycollect.errors`.

Every name is loaded when it is first used: `import paycollect.ipn` does not load aiohttp.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from paycollect.version import __version__

if TYPE_CHECKING:
    from paycollect.errors import (
        ApiError,
        AuthenticationError,
        ClosedError,
        ConflictError,
        ConnectError,
        DeadlineExceededError,
        DecodeError,
        DuplicateOrderError,
        InsufficientBalanceError,
        InvalidRequestError,
        NotFoundError,
        Outcome,
        PayCollectError,
        PaymentNotConfirmedError,
        PermissionDeniedError,
        RateLimitError,
        ResponseLostError,
        ServerError,
        TransportError,
    )
    from paycollect.models import Checkout, Collection
    from paycollect.retry import RetryPolicy, Timeout
    from paycollect.session import SessionManager
    from paycollect.status import PaymentStatus, RefundStatus
    from paycollect.token_file import FileTokenStore
    from paycollect.tokens import MemoryTokenStore

__all__ = [
    "ApiError",
    "AuthenticationError",
    "Checkout",
    "ClosedError",
    "Collection",
    "ConflictError",
    "ConnectError",
    "DeadlineExceededError",
    "DecodeError",
    "DuplicateOrderError",
    "FileTokenStore",
    "InsufficientBalanceError",
    "InvalidRequestError",
    "MemoryTokenStore",
    "NotFoundError",
    "Outcome",
    "PayCollectError",
    "PaymentNotConfirmedError",
    "PaymentStatus",
    "PermissionDeniedError",
    "RateLimitError",
    "RefundStatus",
    "ResponseLostError",
    "RetryPolicy",
    "ServerError",
    "SessionManager",
    "Timeout",
    "TransportError",
    "__version__",
]

_ROOMS = {
    "Checkout": "models",
    "Collection": "models",
    "FileTokenStore": "token_file",
    "MemoryTokenStore": "tokens",
    "PaymentStatus": "status",
    "RefundStatus": "status",
    "RetryPolicy": "retry",
    "SessionManager": "session",
    "Timeout": "retry",
}


_SUBMODULES = frozenset({"errors", "ipn", "models", "sandbox", "testing"})


def __getattr__(name: str) -> object:
    if name in _SUBMODULES:
        return import_module(f"paycollect.{name}")
    if name not in __all__:
        raise AttributeError(f"module 'paycollect' has no attribute {name!r}")
    value: object = getattr(import_module(f"paycollect.{_ROOMS.get(name, 'errors')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
