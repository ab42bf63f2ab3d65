"""SessionManager: the provider's API for one app, on one event loop.

The law of this room: whatever takes money says for certain what became of it.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from decimal import Decimal
from types import TracebackType
from typing import TYPE_CHECKING, Final, NoReturn, Self, Unpack

from paycollect import _certainty, _recovery, _wire
from paycollect import _validate as check
from paycollect._endpoints import CallOptions, Endpoints
from paycollect._engine import Engine
from paycollect._recovery import IfExists
from paycollect._transport import to_limits
from paycollect.clock import Clock
from paycollect.ipn import Callback, WebhookEvent
from paycollect.models import Checkout, Collection
from paycollect.retry import RetryPolicy, Timeout
from paycollect.tokens import MemoryTokenStore, TokenStore

if TYPE_CHECKING:
    import aiohttp

BASE_URL: Final = "https://api.fyatu.com/api/v3"


class SessionManager(Endpoints):
    """Speaks to the API for one app: keeps its token, creates checkouts, answers what became of it.

    Use one per app and event loop, for as long as the service runs, as an async context manager or
    with `aclose()`. Nothing is opened before the first call.

    Args:
        app_id: the app's id.
        secret_key: the app's secret key.
        base_url: where the API is: https, or http on loopback.
        http: an aiohttp session to use; it is borrowed: never closed and never reconfigured. This
            is also the way through a proxy: `aiohttp.ClientSession(proxy=...)`.
        timeout: limits of one attempt: seconds in total, or a `Timeout`
            (default: connect 5 s, read 20 s, total 30 s).
        deadline: seconds for a whole call, with its token, attempts and waits (default 90).
        retry: what is tried again, and after how long (default: 3 retries, 1 s to 30 s).
        token_store: where tokens are kept (default: in memory).
        clock: the time to live by, for tests and simulations.
        revoke_on_close: whether `aclose` makes the token invalid; not for a shared token store.
        checkout_url_form: how a checkout URL is rebuilt for a recovered checkout whose record
            lacks it (default: the provider's documented form).

    Example::

        pay = SessionManager(
            app_id=app_id,
            secret_key=secret_key,
            base_url=base_url,
            timeout=Timeout(connect=2, read=5, total=8),
            deadline=20,
            retry=RetryPolicy(max_retries=1, backoff_base=0.5),
        )
        async with pay:
            await pay.get_pricing()

    Every method that awaits raises, beside the errors that it names:

        AuthenticationError: app id or secret key were refused.
        PermissionDeniedError: the app lacks the scope.
        RateLimitError, ServerError, ConnectError, ResponseLostError: still so after all retries.
        DecodeError: the answer is not of the documented form.
        DeadlineExceededError: the deadline has passed.
        ClosedError: the manager is closed, or was closed meanwhile.
        EventLoopError: the manager was first used on another event loop.
        TypeError, ValueError: an argument is wrong; nothing was sent.

    """

    def __init__(
        self,
        *,
        app_id: str,
        secret_key: str,
        base_url: str = BASE_URL,
        http: aiohttp.ClientSession | None = None,
        timeout: Timeout | aiohttp.ClientTimeout | float | None = None,
        deadline: float = 90.0,
        retry: RetryPolicy | None = None,
        token_store: TokenStore | None = None,
        clock: Clock | None = None,
        revoke_on_close: bool = False,
        checkout_url_form: str = _recovery.CHECKOUT_URL_FORM,
    ) -> None:
        self._app_id = check.credential(app_id, "app_id")
        self._base_url = check.base_url(base_url)
        self._revoke_on_close = revoke_on_close
        self._checkout_url_form = _check_form(checkout_url_form)
        self._clock = Clock() if clock is None else check.instance(clock, Clock, "clock")
        self._engine = Engine(
            app_id=self._app_id,
            secret_key=check.credential(secret_key, "secret_key"),
            base_url=self._base_url,
            http=http,
            limits=to_limits(Timeout() if timeout is None else timeout),
            deadline=check.seconds(deadline, "deadline"),
            retry=RetryPolicy() if retry is None else check.instance(retry, RetryPolicy, "retry"),
            token_store=MemoryTokenStore()
            if token_store is None
            else check.methods(token_store, ("load", "save", "clear"), "token_store"),
            clock=self._clock,
        )
        self._pacer = _certainty.Pacer(self._engine.sleep, self._clock)

    @classmethod
    def from_env(
        cls,
        *,
        http: aiohttp.ClientSession | None = None,
        timeout: Timeout | aiohttp.ClientTimeout | float | None = None,
        deadline: float = 90.0,
        retry: RetryPolicy | None = None,
        token_store: TokenStore | None = None,
    ) -> Self:
        """Make a manager of PAYCOLLECT_APP_ID, PAYCOLLECT_SECRET_KEY and PAYCOLLECT_BASE_URL.

        Raises:
            ValueError: one of the first two is not set, or a value is wrong.

        """
        names = ("PAYCOLLECT_APP_ID", "PAYCOLLECT_SECRET_KEY")
        missing = [name for name in names if not os.environ.get(name)]
        if missing:
            raise ValueError(f"set {' and '.join(missing)} in the environment")
        return cls(
            app_id=os.environ["PAYCOLLECT_APP_ID"],
            secret_key=os.environ["PAYCOLLECT_SECRET_KEY"],
            base_url=os.environ.get("PAYCOLLECT_BASE_URL") or BASE_URL,
            http=http,
            timeout=timeout,
            deadline=deadline,
            retry=retry,
            token_store=token_store,
        )

    async def create_checkout(
        self,
        *,
        amount: Decimal | int | str,
        order_id: str,
        description: str,
        currency: str = "USD",
        callback_url: str | None = None,
        webhook_url: str | None = None,
        metadata: Mapping[str, object] | None = None,
        if_exists: IfExists = "raise",
        **options: Unpack[CallOptions],
    ) -> Checkout:
        """Create a checkout session (provider docs: collections/create).

        Safe to repeat: the order id is unique per app. When the answer to an attempt is lost, the
        attempt is repeated, and where that finds the order taken, the order is looked up and
        compared: the result is then `recovered`.

        Example::

            checkout = await pay.create_checkout(
                amount="25.00", order_id="INV-001", description="Premium plan"
            )
            again = await pay.create_checkout(
                amount="25.00", order_id="INV-001", description="...", if_exists="return"
            )
            assert again.recovered and again.collection_id == checkout.collection_id

        Args:
            amount: in USD, at least 1, at most 2 decimals; no floats.
            order_id: your unique id of the order, 1 to 100 characters.
            description: shown to the customer, 1 to 100 characters.
            currency: only "USD"; the provider would silently ignore any other.
            callback_url: where the browser returns to after payment.
            webhook_url: where the provider posts the signed notice.
            metadata: a JSON-serialisable object, kept with the collection.
            if_exists: "return" gives the existing checkout of this order id, whatever its state,
                if amount and currency are the same.
            options: `timeout`, `deadline`, `retry` for this call.

        Raises:
            DuplicateOrderError: the order id is taken; `existing`, where it was looked up.
            InvalidRequestError: the provider found a field wrong.
            PayCollectError: any other; where `outcome` is UNKNOWN the checkout may exist: repeat
                the call with `if_exists="return"` to find out.

        """
        order = _wire.Order(
            order_id=check.text(order_id, "order_id"),
            amount=check.amount(amount),
            currency=check.usd(currency),
        )
        request = _wire.create_collection(
            order,
            description=description,
            callback_url=callback_url,
            webhook_url=webhook_url,
            metadata=metadata,
        )
        if if_exists not in ("raise", "return"):
            raise ValueError("if_exists: 'raise' or 'return' is needed")
        return await _recovery.create_checkout(
            self._engine,
            self._engine.begin(**options),
            order,
            request,
            if_exists=if_exists,
            checkout_url_form=self._checkout_url_form,
        )

    async def confirm(
        self,
        payment: WebhookEvent | Callback | str,
        *,
        expected_amount: Decimal | int | str,
        order_id: str | None = None,
        currency: str = "USD",
        **options: Unpack[CallOptions],
    ) -> Collection:
        """Ask the provider whether a payment was made, before anything is fulfilled.

        A signed webhook proves who sent it, not that it is fresh; a callback proves nothing.

        Example::

            checkout = await pay.create_checkout(
                amount=25, order_id="INV-001", description="Premium plan"
            )
            try:
                await pay.confirm(checkout.collection_id, expected_amount=25, order_id="INV-001")
            except PaymentNotConfirmedError as error:
                assert error.reason == "not_completed"

        Args:
            payment: a webhook event, a callback, or a collection id.
            expected_amount: what the order costs, from your own records.
            order_id: your order id; where the event carries one, that must be the same too.
            currency: what the order is in.
            options: `timeout`, `deadline`, `retry` for this call.

        Returns:
            The collection: COMPLETED, with exactly this amount, currency and order.

        Raises:
            PaymentNotConfirmedError: the record says otherwise; see `reason` and `collection`.
            PayCollectError: any other: the payment is unknown, which is not "not paid".

        """
        expected = _certainty.expect(
            payment, expected_amount=expected_amount, order_id=order_id, currency=currency
        )
        return await _certainty.confirm(self._engine, self._engine.begin(**options), expected)

    async def wait_for_payment(
        self,
        collection_id: str,
        *,
        timeout: float | None = None,  # noqa: ASYNC109  counts on the injected clock
    ) -> Collection:
        """Poll until the customer has paid, has failed to, or can no longer pay.

        The intervals grow from 2 s to 30 s; all waits of one manager together make at most 20
        requests a second. Webhooks are faster and cheaper: wait where none can reach you.

        Args:
            collection_id: what to wait for.
            timeout: seconds to wait; None: as long as a customer can pay, 62 minutes at most.

        Returns:
            The collection as it was seen last. Look at its `status`: it is final, or the session
            has been over for 2 minutes by the provider's clock. Only COMPLETED means paid.

        Raises:
            DeadlineExceededError: no end was seen in time; `collection` is the last state.
            NotFoundError: no such collection.

        """
        seconds = _certainty.LONGEST_WAIT if timeout is None else check.seconds(timeout, "timeout")
        return await _certainty.wait_for_payment(
            self._engine, self._pacer, self._clock, collection_id, seconds
        )

    async def aclose(self) -> None:
        """Close what the manager opened; calls under way end with ClosedError. Idempotent.

        Raises:
            EventLoopError: this is not the event loop that the manager was used on.

        """
        await self._engine.aclose(revoke=self._revoke_on_close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        state = "closed" if self._engine.closed else "open"
        return f"<SessionManager {self._app_id} at {self._base_url}, {state}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a SessionManager holds connections and a secret: it cannot be pickled")

    def __del__(self) -> None:
        engine = getattr(self, "_engine", None)  # absent where __init__ refused an argument
        if engine is not None and engine.is_open:
            warnings.warn(
                f"{self!r} was never closed: use it as an async context manager, or aclose() it",
                ResourceWarning,
                source=self,
                stacklevel=2,
            )


def _check_form(form: object) -> str:
    if not isinstance(form, str):
        raise TypeError(f"checkout_url_form: a str is needed, not {type(form).__name__}")
    try:
        example = form.format(collection_id="SCI0")
    except (LookupError, ValueError, AttributeError):
        example = ""
    if "SCI0" not in example:
        raise ValueError("checkout_url_form: '{collection_id}' is needed in it, and nothing else")
    check.secure_url(example, "checkout_url_form")
    return form
