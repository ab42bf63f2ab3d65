"""paycollect: an async-first SDK for a hosted-checkout payment API.

Create a checkout with `SessionManager`, prove a webhook with `paycollect.ipn`, try both against
`paycollect.sandbox`, and catch `PayCollectError`; its tree is drawn in `paycollect.errors`.

Every name is loaded when it is first used: `import paycollect.ipn` does not load aiohttp.
"""

# ruff: noqa: I001  a name with an alias is what type checkers take for exported; one import a room

from importlib import import_module
from typing import TYPE_CHECKING, Final

from paycollect.version import __version__ as __version__

if TYPE_CHECKING:  # what type checkers see; at run time `_ROOMS` says the same, as a test proves
    from paycollect.clock import (
        Clock as Clock,
    )
    from paycollect.errors import (
        AlreadyRefundedError as AlreadyRefundedError,
        ApiError as ApiError,
        AuthenticationError as AuthenticationError,
        CallbackError as CallbackError,
        ClosedError as ClosedError,
        ConflictError as ConflictError,
        ConnectError as ConnectError,
        DeadlineExceededError as DeadlineExceededError,
        DecodeError as DecodeError,
        DuplicateOrderError as DuplicateOrderError,
        EventLoopError as EventLoopError,
        InsufficientBalanceError as InsufficientBalanceError,
        InvalidRequestError as InvalidRequestError,
        IpnError as IpnError,
        NotConfirmedReason as NotConfirmedReason,
        NotFoundError as NotFoundError,
        Outcome as Outcome,
        PayCollectError as PayCollectError,
        PayloadError as PayloadError,
        PaymentNotConfirmedError as PaymentNotConfirmedError,
        PermissionDeniedError as PermissionDeniedError,
        RateLimitError as RateLimitError,
        RequestTimeoutError as RequestTimeoutError,
        ResponseLostError as ResponseLostError,
        ServerError as ServerError,
        SignatureError as SignatureError,
        TestEventError as TestEventError,
        TransportError as TransportError,
    )
    from paycollect.ipn.callback import (
        Callback as Callback,
    )
    from paycollect.ipn.event import (
        WebhookEvent as WebhookEvent,
    )
    from paycollect.ipn.receiver import (
        Receiver as Receiver,
    )
    from paycollect.models import (
        Checkout as Checkout,
        Collection as Collection,
        Fee as Fee,
        Page as Page,
        Payer as Payer,
        Pricing as Pricing,
        Refund as Refund,
        RefundReason as RefundReason,
        RefundSummary as RefundSummary,
        Token as Token,
        WebhookConfig as WebhookConfig,
        WebhookSecret as WebhookSecret,
        WebhookTest as WebhookTest,
    )
    from paycollect.retry import (
        RetryPolicy as RetryPolicy,
        Timeout as Timeout,
    )
    from paycollect.session import (
        CallOptions as CallOptions,
        CollectionFilters as CollectionFilters,
        RefundFilters as RefundFilters,
        SessionManager as SessionManager,
    )
    from paycollect.status import (
        PaymentStatus as PaymentStatus,
        RefundStatus as RefundStatus,
    )
    from paycollect.tokens.file import (
        FileTokenStore as FileTokenStore,
    )
    from paycollect.tokens.redis import (
        RedisTokenStore as RedisTokenStore,
    )
    from paycollect.tokens.store import (
        LockingTokenStore as LockingTokenStore,
        MemoryTokenStore as MemoryTokenStore,
        TokenStore as TokenStore,
    )

_ROOMS: Final = {
    "AlreadyRefundedError": "errors",
    "ApiError": "errors",
    "AuthenticationError": "errors",
    "CallOptions": "session",
    "Callback": "ipn.callback",
    "CallbackError": "errors",
    "Checkout": "models",
    "Clock": "clock",
    "ClosedError": "errors",
    "Collection": "models",
    "CollectionFilters": "session",
    "ConflictError": "errors",
    "ConnectError": "errors",
    "DeadlineExceededError": "errors",
    "DecodeError": "errors",
    "DuplicateOrderError": "errors",
    "EventLoopError": "errors",
    "Fee": "models",
    "FileTokenStore": "tokens.file",
    "InsufficientBalanceError": "errors",
    "InvalidRequestError": "errors",
    "IpnError": "errors",
    "LockingTokenStore": "tokens.store",
    "MemoryTokenStore": "tokens.store",
    "NotConfirmedReason": "errors",
    "NotFoundError": "errors",
    "Outcome": "errors",
    "Page": "models",
    "PayCollectError": "errors",
    "Payer": "models",
    "PayloadError": "errors",
    "PaymentNotConfirmedError": "errors",
    "PaymentStatus": "status",
    "PermissionDeniedError": "errors",
    "Pricing": "models",
    "RateLimitError": "errors",
    "Receiver": "ipn.receiver",
    "RedisTokenStore": "tokens.redis",
    "Refund": "models",
    "RefundFilters": "session",
    "RefundReason": "models",
    "RefundStatus": "status",
    "RefundSummary": "models",
    "RequestTimeoutError": "errors",
    "ResponseLostError": "errors",
    "RetryPolicy": "retry",
    "ServerError": "errors",
    "SessionManager": "session",
    "SignatureError": "errors",
    "TestEventError": "errors",
    "Timeout": "retry",
    "Token": "models",
    "TokenStore": "tokens.store",
    "TransportError": "errors",
    "WebhookConfig": "models",
    "WebhookEvent": "ipn.event",
    "WebhookSecret": "models",
    "WebhookTest": "models",
}
"""Each name that users import, and the module that it is in."""

__all__ = [*_ROOMS, "__version__"]  # noqa: PLE0604  # pyright: ignore  # the table's keys


def __getattr__(name: str) -> object:
    if name in _ROOMS:
        value: object = getattr(import_module(f"{__name__}.{_ROOMS[name]}"), name)
        globals()[name] = value
        return value
    room = f"{__name__}.{name}"
    if not name.startswith("_"):
        try:
            return import_module(room)
        except ModuleNotFoundError as error:
            if error.name != room:
                raise  # it is there, and lacks an optional library
    raise AttributeError(f"module 'paycollect' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
