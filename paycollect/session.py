"""SessionManager: the provider's API for one app, on one event loop.

Invariants: whatever takes money says for certain what became of it.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from types import TracebackType
from typing import TYPE_CHECKING, Final, NoReturn, Self, TypedDict, TypeVar, Unpack, overload

from paycollect import _arguments as check
from paycollect import ipn
from paycollect._api import endpoints
from paycollect._api.answers import Request
from paycollect._flows import confirm as confirming
from paycollect._flows import create as creating
from paycollect._flows import refund as refunding
from paycollect._flows import wait as waiting
from paycollect._flows.create import IfExists
from paycollect._flows.pages import entries, find_by_order_id
from paycollect._http.call import Engine
from paycollect._http.transport import to_limits
from paycollect._observers import Observer, Observers
from paycollect.clock import CLOCK_METHODS, Clock, MachineClock
from paycollect.models import (
    Checkout,
    Collection,
    JsonValue,
    Page,
    Pricing,
    Refund,
    RefundReason,
    WebhookConfig,
    WebhookSecret,
    WebhookTest,
)
from paycollect.retry import RetryPolicy, Timeout
from paycollect.status import PaymentStatus, RefundStatus
from paycollect.tokens import MemoryTokenStore, TokenStore

if TYPE_CHECKING:
    import aiohttp

T = TypeVar("T")

BASE_URL: Final = "https://api.fyatu.com/api/v3"


def checkout_url_form(pay: SessionManager) -> str:
    """Tell how a manager rebuilds an address that a record lacks; "" where it does not."""
    return pay._checkout_url_form  # noqa: SLF001  no setting that users would ask for


class CallOptions(TypedDict, total=False):
    """What each method takes beside its own arguments, for this one call.

    timeout: limits of one attempt: seconds in total, or a `Timeout`.
    deadline: seconds for the whole call, with its token, attempts and waits.
    retry: a `RetryPolicy`.
    """

    timeout: Timeout | aiohttp.ClientTimeout | float
    deadline: float
    retry: RetryPolicy


class CollectionFilters(CallOptions, total=False):
    """Which collections a list shows (provider docs: collections/list).

    status: only those in this state.
    order_id, reference: only those that contain this; a partial match.
    date_from, date_to: from and up to this day; the provider does not say in which zone.
    """

    status: PaymentStatus | str
    order_id: str
    reference: str
    date_from: date | str
    date_to: date | str


class RefundFilters(CallOptions, total=False):
    """Which refunds a list shows (provider docs: refunds/list).

    status: only those in this state.
    collection_id: only that of this collection.
    date_from, date_to: from and up to this day; the provider does not say in which zone.
    """

    status: RefundStatus | str
    collection_id: str
    date_from: date | str
    date_to: date | str


class SessionManager:
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
        clock: the time to live by, for tests and simulations (`paycollect.clock.Clock`).
        revoke_on_close: whether `aclose` makes the token invalid; not for a shared token store.
        checkout_url_form: how a checkout URL is rebuilt for a recovered checkout whose record
            lacks it, with "{collection_id}" in it (default: for the provider's own base URL its
            documented form; for any other none, and such a checkout is an error).
        observers: functions that are called with a record of each step (`paycollect.observe`).

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
        checkout_url_form: str = "",
        observers: Iterable[Observer] = (),
    ) -> None:
        self._app_id = check.credential(app_id, "app_id")
        self._base_url = check.base_url(base_url)
        self._revoke_on_close = revoke_on_close
        self._checkout_url_form = _check_form(checkout_url_form, self._base_url)
        self._clock = (
            MachineClock() if clock is None else check.methods(clock, CLOCK_METHODS, "clock")
        )
        self._observers = Observers(observers)
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
            observers=self._observers,
        )
        self._pacer = waiting.Pacer(self._engine.sleep, self._clock)

    @classmethod
    def from_env(
        cls,
        *,
        http: aiohttp.ClientSession | None = None,
        timeout: Timeout | aiohttp.ClientTimeout | float | None = None,
        deadline: float = 90.0,
        retry: RetryPolicy | None = None,
        token_store: TokenStore | None = None,
        clock: Clock | None = None,
        revoke_on_close: bool = False,
        checkout_url_form: str = "",
        observers: Iterable[Observer] = (),
    ) -> Self:
        """Make a manager of PAYCOLLECT_APP_ID, PAYCOLLECT_SECRET_KEY and PAYCOLLECT_BASE_URL.

        All other options are those of the class.

        Raises:
            ValueError: one of the first two is not set, or a value is wrong: the text names the
                variable or the option.
            TypeError: an option of the wrong type.

        """
        names = ("PAYCOLLECT_APP_ID", "PAYCOLLECT_SECRET_KEY")
        missing = [name for name in names if not os.environ.get(name)]
        if missing:
            raise ValueError(f"set {' and '.join(missing)} in the environment")
        app_id, secret_key = (check.credential(os.environ[name], name) for name in names)
        address = os.environ.get("PAYCOLLECT_BASE_URL") or BASE_URL
        return cls(
            app_id=app_id,
            secret_key=secret_key,
            base_url=check.base_url(address, "PAYCOLLECT_BASE_URL"),
            http=http,
            timeout=timeout,
            deadline=deadline,
            retry=retry,
            token_store=token_store,
            clock=clock,
            revoke_on_close=revoke_on_close,
            checkout_url_form=checkout_url_form,
            observers=observers,
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
        if_exists_since: datetime | None = None,
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
            if_exists: "return" gives the existing checkout of this order id that can still be paid,
                if amount and currency are the same. Nothing else is compared: where an order id can
                come back (a restored backup, a sequence that was reset, two environments on one
                app) it may be another customer's.
            if_exists_since: an aware datetime, to the second: what was created before it is not
                returned, and what was created since is, also if it was paid or is over meanwhile.
                Pass the moment of the first attempt, less a few minutes for clocks that differ.
            options: `timeout`, `deadline`, `retry` for this call.

        Raises:
            DuplicateOrderError: the order id is taken; `existing`, where it was looked up. Where
                `outcome` is UNKNOWN, no list shows the order yet, or not when it was created.
            InvalidRequestError: the provider found a field wrong.
            PayCollectError: any other; where `outcome` is UNKNOWN the checkout may exist: repeat
                the call with `if_exists="return"` and `if_exists_since` to find out.

        """
        order = endpoints.Order(
            order_id=check.order_id(order_id),
            amount=check.amount(amount),
            currency=check.usd(currency),
        )
        request = endpoints.create_collection(
            order,
            description=description,
            callback_url=callback_url,
            webhook_url=webhook_url,
            metadata=metadata,
        )
        if if_exists not in ("raise", "return"):
            raise ValueError("if_exists: 'raise' or 'return' is needed")
        if if_exists_since is not None:
            check.moment(if_exists_since, "if_exists_since")
            if if_exists != "return":
                raise ValueError("if_exists_since: goes with if_exists='return' only")
        checkout = await creating.create_checkout(
            self._engine,
            self._engine.begin(**options),
            order,
            request,
            if_exists=if_exists,
            since=if_exists_since,
            checkout_url_form=self._checkout_url_form,
        )
        if checkout.recovered:
            self._tell_recovered("checkout", checkout.collection_id, checkout.order_id)
        return checkout

    @overload
    async def confirm(
        self,
        payment: ipn.Callback,
        *,
        expected_amount: Decimal | int | str,
        order_id: str,
        currency: str = "USD",
        **options: Unpack[CallOptions],
    ) -> Collection: ...

    @overload
    async def confirm(
        self,
        payment: ipn.WebhookEvent | str,
        *,
        expected_amount: Decimal | int | str,
        order_id: str | None = None,
        currency: str = "USD",
        **options: Unpack[CallOptions],
    ) -> Collection: ...

    async def confirm(
        self,
        payment: ipn.WebhookEvent | ipn.Callback | str,
        *,
        expected_amount: Decimal | int | str,
        order_id: str | None = None,
        currency: str = "USD",
        **options: Unpack[CallOptions],
    ) -> Collection:
        """Ask the provider whether a payment was made, before anything is fulfilled.

        A signed webhook proves who sent it, not that it is fresh; a callback proves nothing. In a
        webhook handler pass a `deadline` below the 10 s after which the provider gives up.

        Example::

            checkout = await pay.create_checkout(
                amount=25, order_id="INV-001", description="Premium plan"
            )
            try:
                await pay.confirm(checkout.collection_id, expected_amount=25, order_id="INV-001")
            except PaymentNotConfirmedError as error:
                assert error.reason == "pending" and not error.is_final

        Args:
            payment: a webhook event, a callback, or a collection id. The id must be one that you
                got from `create_checkout` for this order and kept: one that came from a customer
                may be that of another order of the same price. Then pass `order_id`, too.
            expected_amount: what the order costs, from your own records.
            order_id: your order id, needed for a callback; where the event carries one, that must
                be the same too. Where the provider does not know the collection id (its events name
                another one than its other answers), the order is looked up by it.
            currency: what the order is in.
            options: `timeout`, `deadline`, `retry` for this call.

        Returns:
            The collection: COMPLETED, with exactly this amount, currency and order.

        Raises:
            PaymentNotConfirmedError: the record says otherwise; see `reason`, `collection`, and
                `is_final`: whether it stays so. Where it is not, and the event says COMPLETED, let
                the provider deliver the event again.
            PayCollectError: any other: the payment is unknown, which is not "not paid".

        """
        expected = confirming.expect(
            payment, expected_amount=expected_amount, order_id=order_id, currency=currency
        )
        call = self._engine.begin(**options)
        return await confirming.confirm(self._engine, self._clock, call, expected)

    async def wait_for_payment(
        self,
        collection_id: str,
        *,
        order_id: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109  counts on the injected clock
    ) -> Collection:
        """Poll until the customer has paid, has failed to, or can no longer pay.

        The intervals grow from 2 s to 30 s; all waits of one manager together make at most 20
        requests a second. Webhooks are faster and cheaper: wait where none can reach you.

        Args:
            collection_id: what to wait for.
            order_id: your order id; where the provider does not know the collection id, the order
                is looked up by it.
            timeout: seconds to wait; None: as long as a customer can pay, 62 minutes at most.

        Returns:
            The collection as it was seen last. Look at its `status`: it is final, or the session
            has been over for 2 minutes by the provider's clock. Only COMPLETED means paid.

        Raises:
            DeadlineExceededError: no end was seen in time; `collection` is the last state.
            NotFoundError: no such collection.

        """
        check.path_id(collection_id, "collection_id")
        if order_id is not None:
            check.text(order_id, "order_id")
        seconds = waiting.LONGEST_WAIT if timeout is None else check.seconds(timeout, "timeout")
        return await waiting.wait_for_payment(
            self._engine,
            self._pacer,
            self._clock,
            collection_id,
            order_id=order_id,
            seconds=seconds,
        )

    async def get_collection(
        self, collection_id: str, **options: Unpack[CallOptions]
    ) -> Collection:
        """Get one collection: the provider's own record (provider docs: collections/get).

        Raises:
            NotFoundError: no such collection, or another app's.

        """
        return await self._run(endpoints.get_collection(collection_id), options)

    async def list_collections(
        self, *, page: int = 1, limit: int = 20, **filters: Unpack[CollectionFilters]
    ) -> Page[Collection]:
        """Get one page of collections (provider docs: collections/list).

        Args:
            page: from 1.
            limit: entries per page, 1 to 100.
            filters: as in `CollectionFilters`, with `timeout`, `deadline`, `retry` for this call.

        """
        options, chosen = _split(filters)
        return await self._run(endpoints.list_collections(page, limit, chosen), options)

    async def iter_collections(
        self, **filters: Unpack[CollectionFilters]
    ) -> AsyncIterator[Collection]:
        """Go through all collections, page by page; arguments as in `list_collections`.

        An entry that moves to the next page while new ones arrive is given once.
        """
        options, chosen = _split(filters)

        async def get(number: int) -> Page[Collection]:
            request = endpoints.list_collections(number, endpoints.LARGEST_PAGE, chosen)
            return await self._run(request, options)

        async for collection in entries(get, lambda collection: collection.collection_id):
            yield collection

    async def find_by_order_id(
        self, order_id: str, **options: Unpack[CallOptions]
    ) -> Collection | None:
        """Find the collection of exactly this order id; None where there is none."""
        check.order_id(order_id)
        return await find_by_order_id(self._engine, self._engine.begin(**options), order_id)

    async def create_refund(
        self,
        collection_id: str,
        *,
        amount: Decimal | int | str | None = None,
        reason: str | None = None,
        **options: Unpack[CallOptions],
    ) -> Refund:
        """Refund a completed collection (provider docs: refunds/create).

        A collection can be refunded once, ever, in part or in full; the fee is not returned. As
        with a create, a lost answer is recovered by looking the refund up.

        Args:
            collection_id: what to refund.
            amount: how much, in USD; None for all that can be refunded.
            reason: a code of `list_refund_reasons`; None for CUSTOMER_REQUEST.
            options: `timeout`, `deadline`, `retry` for this call.

        Raises:
            AlreadyRefundedError: it has its one refund, which this call did not make; `existing`,
                where it was looked up. Where `outcome` is UNKNOWN it may have made it.
            InsufficientBalanceError: the balance does not cover it.
            InvalidRequestError: the collection is not COMPLETED, or a field is wrong.
            NotFoundError: no such collection.

        """
        value = None if amount is None else check.amount(amount, least=Decimal("0.01"))
        request = endpoints.create_refund(collection_id, amount=value, reason=reason)
        refund = await refunding.create_refund(
            self._engine,
            self._clock,
            self._engine.begin(**options),
            request,
            collection_id=collection_id,
            amount=value,
        )
        if refund.recovered:
            self._tell_recovered("refund", collection_id)
        return refund

    async def list_refunds(
        self, *, page: int = 1, limit: int = 20, **filters: Unpack[RefundFilters]
    ) -> Page[Refund]:
        """Get one page of refunds; arguments as in `list_collections` (docs: refunds/list)."""
        options, chosen = _split(filters)
        return await self._run(endpoints.list_refunds(page, limit, chosen), options)

    async def iter_refunds(self, **filters: Unpack[RefundFilters]) -> AsyncIterator[Refund]:
        """Go through all refunds, page by page; arguments as in `list_refunds`."""
        options, chosen = _split(filters)

        async def get(number: int) -> Page[Refund]:
            request = endpoints.list_refunds(number, endpoints.LARGEST_PAGE, chosen)
            return await self._run(request, options)

        async for refund in entries(get, lambda refund: refund.refund_id):
            yield refund

    async def list_refund_reasons(self, **options: Unpack[CallOptions]) -> tuple[RefundReason, ...]:
        """Get the reasons that a refund can be given (provider docs: refunds/reasons)."""
        return await self._run(endpoints.list_refund_reasons(), options)

    async def get_pricing(self, **options: Unpack[CallOptions]) -> Pricing:
        """Get the price list (provider docs: account/pricing)."""
        return await self._run(endpoints.get_pricing(), options)

    async def ping(self, **options: Unpack[CallOptions]) -> None:
        """Find out whether the API answers and takes our token: for a health check.

        It reads a short list that never changes. Give it a short `deadline`, and
        `retry=RetryPolicy(max_retries=0)` where the health check has a rhythm of its own.
        """
        await self._run(endpoints.ping(), options)

    async def get_webhook_config(self, **options: Unpack[CallOptions]) -> WebhookConfig:
        """Get where webhooks go (provider docs: webhooks/configuration)."""
        return await self._run(endpoints.get_webhook_config(), options)

    async def update_webhook_config(
        self, webhook_url: str | None, **options: Unpack[CallOptions]
    ) -> WebhookConfig:
        """Set where webhooks go, by an https URL; None switches them off.

        The answer to the first URL ever set holds the webhook secret, once. Where that answer is
        lost, `regenerate_webhook_secret` gives a new one (provider docs: webhooks/configuration).
        """
        return await self._run(endpoints.update_webhook_config(webhook_url), options)

    async def regenerate_webhook_secret(self, **options: Unpack[CallOptions]) -> WebhookSecret:
        """Get a new webhook secret; the old one is dead at once (docs: webhooks/secret)."""
        return await self._run(endpoints.regenerate_webhook_secret(), options)

    async def send_test_webhook(self, event: str, **options: Unpack[CallOptions]) -> WebhookTest:
        """Have a validly signed test event delivered (provider docs: webhooks/test)."""
        return await self._run(endpoints.send_test_webhook(event), options)

    async def revoke_token(self, **options: Unpack[CallOptions]) -> None:
        """Make the present token invalid; the next call gets a new one (docs: auth/revoke)."""
        await self._engine.revoke(self._engine.begin(**options))

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int] | None = None,
        body: Mapping[str, JsonValue] | None = None,
        repeatable: bool | None = None,
        **options: Unpack[CallOptions],
    ) -> JsonValue:
        """Call a path that this release has no method for, with token, retries and errors.

        Args:
            method: GET, POST, PUT, PATCH or DELETE.
            path: below the base URL, such as "/refunds/reasons".
            query: query parameters.
            body: a JSON object.
            repeatable: whether an attempt may be repeated when its outcome is unknown; by default
                only GET, PUT and DELETE are.
            options: `timeout`, `deadline`, `retry` for this call.

        Returns:
            The answer's `data`, with Decimals for numbers that have a point or an exponent.

        """
        if repeatable is None:
            repeatable = method in ("GET", "PUT", "DELETE")
        request = endpoints.undocumented(
            method, path, query=query, body=body, repeatable=repeatable
        )
        return await self._run(request, options)

    def _tell_recovered(self, what: str, collection_id: str, order_id: str | None = None) -> None:
        from paycollect.observe import Recovered  # noqa: PLC0415  loaded where something is told

        record = Recovered(what=what, order_id=order_id, collection_id=collection_id)
        self._observers.tell(record)

    async def _run(self, request: Request[T], options: CallOptions) -> T:
        return await self._engine.run(self._engine.begin(**options), request)

    async def aclose(self) -> None:
        """Close what the manager opened; calls under way end with ClosedError.

        May be called again: a second call waits until the first has ended.

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


def _check_form(form: object, base_url: str) -> str:
    if not isinstance(form, str):
        raise TypeError(f"checkout_url_form: a str is needed, not {type(form).__name__}")
    if not form:  # the provider's own host knows nothing of another one's checkouts
        return creating.CHECKOUT_URL_FORM if base_url == BASE_URL else ""
    try:
        example = form.format(collection_id="SCI0")
    except (LookupError, ValueError, AttributeError):
        example = ""
    if "SCI0" not in example:
        raise ValueError("checkout_url_form: '{collection_id}' is needed in it, and nothing else")
    check.secure_url(example, "checkout_url_form")
    return form


def _split(filters: CollectionFilters | RefundFilters) -> tuple[CallOptions, dict[str, object]]:
    """Part the options of the call from the filters of the list."""
    options: CallOptions = {}
    if "timeout" in filters:
        options["timeout"] = filters["timeout"]
    if "deadline" in filters:
        options["deadline"] = filters["deadline"]
    if "retry" in filters:
        options["retry"] = filters["retry"]
    return options, {name: value for name, value in filters.items() if name not in options}
