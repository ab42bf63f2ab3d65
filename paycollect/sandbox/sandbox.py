"""The sandbox as one object: all there is in it, and all that can be done with it."""

from __future__ import annotations

import asyncio
import functools
import re
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar
from urllib.parse import urlsplit

from paycollect.sandbox.clock import Clock
from paycollect.sandbox.faults import Faults
from paycollect.sandbox.http.asgi import AsgiApp
from paycollect.sandbox.http.delivery import Dispatcher
from paycollect.sandbox.http.guard import LOOPBACK
from paycollect.sandbox.http.parts import BASE_PATH, Parts
from paycollect.sandbox.http.server import Server
from paycollect.sandbox.http.state_file import StateFile, plant
from paycollect.sandbox.options import SandboxOptions, takes
from paycollect.sandbox.provider import requests
from paycollect.sandbox.provider.endpoints import Provider
from paycollect.sandbox.provider.ledger import CUSTOMER, Ledger
from paycollect.sandbox.request_log import RequestLog
from paycollect.sandbox.thread import LoopThread, loop_is_running
from paycollect.sandbox.wakeup import Wakeup

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from decimal import Decimal
    from types import TracebackType
    from typing import Self

    from aiohttp import web

    from paycollect.models import Payer
    from paycollect.sandbox.http.asgi import App
    from paycollect.sandbox.http.delivery import Attempt, Delivery
    from paycollect.sandbox.provider.records import CollectionRecord, RefundRecord
    from paycollect.sandbox.provider.tokens import Activity
    from paycollect.sandbox.request_log import RecordedRequest


P = ParamSpec("P")
T = TypeVar("T")


class Sandbox:
    """The provider on your desk: its API, its checkout page and its webhooks, on loopback.

    Use it as `async with Sandbox() as sandbox`, or without an event loop as
    `with Sandbox() as sandbox`, which gives a `SyncSandbox`: the same names, blocking. Nothing
    leaves the machine, except for webhooks to the URLs that you give. The arguments are those of
    `SandboxOptions`.

    Attributes:
        options: what was chosen.
        clock: the sandbox's time.
        faults: what shall go wrong.
        provider: the provider itself, which also answers without HTTP.

    """

    @takes(SandboxOptions)
    def __init__(self, options: SandboxOptions) -> None:
        self.options = options
        scale = options.time_scale
        self.clock: Clock = options.clock or Clock(time_scale=scale)
        self.faults: Faults = Faults()
        self.provider: Provider = Provider(options, self.clock.now, origin=lambda: self.url)
        self._dispatcher = Dispatcher(self.clock, self.faults, self.provider)
        self.provider.send = self._dispatcher.send
        self._requests = RequestLog()
        self._parts = Parts(
            options=options,
            clock=self.clock,
            faults=self.faults,
            requests=self._requests,
            provider=self.provider,
            dispatcher=self._dispatcher,
            changes=Wakeup(),
        )
        for listeners in (self.provider.listeners, self._dispatcher.listeners):
            listeners.append(self._note)
        self._requests.listeners.append(self._note)
        self._state = StateFile(self._parts, Path(options.state)) if options.state else None
        self._is_new = True
        self._server = Server(self._parts)
        self._at = ""
        self._is_mounted = False
        self._starting = asyncio.Lock()
        self._timekeeper: asyncio.Task[None] | None = None
        self._thread: LoopThread | None = None

    async def start(self) -> None:
        """Open the port.

        Raises:
            OSError: the port is taken, or the host is none of this machine's.
            RuntimeError: it is open already.
            ValueError: the file for `state` or `seed` cannot be used; the message says why.

        """
        if self._server.is_open or self._timekeeper is not None:
            raise RuntimeError("the sandbox is running already")
        if not self._is_mounted:
            await self._server.start()
        await self._dispatcher.start()
        try:
            self._begin()
            if self._state is not None:
                self._state.start()
        except BaseException:
            await self.aclose()
            raise
        self._timekeeper = asyncio.create_task(self._keep_time())

    async def aclose(self) -> None:
        """Close the port and drop whatever is under way; harmless when closed."""
        if self._timekeeper is not None:
            self._timekeeper.cancel()
            await asyncio.gather(self._timekeeper, return_exceptions=True)
            self._timekeeper = None
        await self._server.close()
        if self._state is not None:
            await self._state.close()
        await self._dispatcher.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __enter__(self) -> SyncSandbox:
        """Open the port and serve from a thread of its own.

        Raises:
            OSError: as `start`.
            RuntimeError: it is open already, or an event loop is running in this thread.

        """
        if loop_is_running():
            raise RuntimeError("an event loop is running here: use `async with Sandbox()`")
        thread = LoopThread()
        try:
            thread.run(self.start())
        except BaseException:
            thread.stop()
            raise
        self._thread = thread
        return SyncSandbox(self, thread)

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.run(self.aclose())
            thread.stop()

    def mount(self, app: web.Application, at: str, *, allow_public: bool = False) -> None:
        """Be a part of an aiohttp application, which starts and ends the sandbox with itself.

        Args:
            app: the application, not yet running.
            at: where the sandbox is in it, as browsers say it: "http://localhost:8080/sandbox".
            allow_public: take an address that others may reach, too; they can pay without money.

        Raises:
            RuntimeError: the sandbox is running already.
            ValueError: `at` is no such address, or not on loopback without `allow_public`.

        """
        path = self._settle_at(at, allow_public=allow_public)
        self._is_mounted = True
        app.add_subapp(path, self._server.application())
        app.cleanup_ctx.append(self._live_with)

    def asgi(self, at: str, otherwise: App | None = None, *, allow_public: bool = False) -> AsgiApp:
        """Give an ASGI application to mount into another one, or to put in front of it.

        It starts the sandbox at the first request, unless it is running by then.

        Args:
            at: where the sandbox is, as browsers say it: "http://localhost:8000/sandbox".
            otherwise: the application that gets what is not for the sandbox.
            allow_public: take an address that others may reach, too; they can pay without money.

        Raises:
            RuntimeError: the sandbox is running already.
            ValueError: `at` is no such address, or not on loopback without `allow_public`.

        """
        return AsgiApp(self._ready, self._settle_at(at, allow_public=allow_public), otherwise)

    def _settle_at(self, at: str, *, allow_public: bool) -> str:
        if self._at or self._timekeeper is not None:
            raise RuntimeError("the sandbox has its place already")
        parts = urlsplit(at.rstrip("/"))
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query:
            raise ValueError("at: an address such as http://localhost:8080/sandbox is needed")
        if not re.fullmatch(r"(/[A-Za-z0-9_.~-]+)+", parts.path):
            raise ValueError("at: a path such as /sandbox is needed in it")
        if parts.hostname not in LOOPBACK and not allow_public:
            raise ValueError(
                f"at: others may reach {parts.hostname}, and could pay there without money. "
                "If that is wanted, say allow_public=True"
            )
        self._at = at.rstrip("/")
        self._server.further_hosts.add(parts.hostname)
        return parts.path

    async def _live_with(self, _: web.Application) -> AsyncIterator[None]:
        await self.start()
        yield
        await self.aclose()

    async def _ready(self) -> str:
        async with self._starting:
            if self._timekeeper is None:
                await self.start()
        return self._server.url

    @property
    def url(self) -> str:
        """Where it listens; the console is at "/"."""
        return self._at or self._server.url

    @property
    def base_url(self) -> str:
        """What to give to a client as the base URL."""
        return self.url + BASE_PATH

    @property
    def app_id(self) -> str:
        """The first half of the credentials; the default is always the same."""
        return self.options.app_id

    @property
    def secret_key(self) -> str:
        """The other half of the credentials."""
        return self.options.secret_key

    @property
    def webhook_secret(self) -> str:
        """The secret that signs webhooks now."""
        return self.provider.webhooks.secret

    @property
    def balance(self) -> Decimal:
        """The merchant's balance in USD, from which refunds are taken."""
        return self._ledger.balance

    @balance.setter
    def balance(self, balance: Decimal) -> None:
        self._ledger.balance = balance

    @property
    def collections(self) -> list[CollectionRecord]:
        """All collections as they are now, newest first."""
        return list(self._ledger)

    @property
    def requests(self) -> list[RecordedRequest]:
        """What the API was asked, oldest first."""
        return self._requests.entries

    @property
    def deliveries(self) -> list[Delivery]:
        """All deliveries of webhooks, oldest first."""
        return list(self._dispatcher.log)

    @property
    def token_activity(self) -> list[Activity]:
        """What happened to tokens, oldest first."""
        return list(self.provider.tokens.activity)

    def collection(self, collection_id: str) -> CollectionRecord:
        """Give a collection as it is now.

        Raises:
            RefusedError: no such collection.

        """
        return self._ledger[collection_id]

    def checkout_url(self, collection_id: str) -> str:
        """Tell where the payer of a collection goes."""
        return self.provider.checkout_url(collection_id)

    async def create(self, body: Mapping[str, object]) -> CollectionRecord:
        """Open a checkout session for the body of a `POST /collections`, without a token.

        The amount must be an int or a Decimal.

        Raises:
            RefusedError: as the API's own create.

        """
        return self._ledger.create(requests.order(body))

    async def pay(self, collection_id: str, *, payer: Payer = CUSTOMER) -> CollectionRecord:
        """Pay a collection, as the payer would on the hosted page.

        Raises:
            RefusedError: no such collection, or it is no longer PENDING.

        """
        return self._ledger.pay(collection_id, payer)

    async def decline(self, collection_id: str) -> CollectionRecord:
        """Let the payment of a collection fail; raises as `pay`."""
        return self._ledger.decline(collection_id)

    async def cancel(self, collection_id: str) -> CollectionRecord:
        """Let the payer of a collection cancel; raises as `pay`."""
        return self._ledger.cancel(collection_id)

    async def expire(self, collection_id: str) -> CollectionRecord:
        """End the session of a collection now; raises as `pay`."""
        return self._ledger.expire(collection_id)

    async def refund(
        self,
        collection_id: str,
        amount: Decimal | None = None,
        *,
        reason: str = "CUSTOMER_REQUEST",
    ) -> RefundRecord:
        """Refund a collection from the merchant's side; without an amount, all that can be.

        Raises:
            RefusedError: as the API's own refund.

        """
        return self._ledger.refund(collection_id, amount, reason)

    async def redeliver(self, delivery_id: int) -> Delivery:
        """Start the delivery of a webhook anew.

        Raises:
            RefusedError: no such delivery, or it is being sent at this moment.

        """
        return self._dispatcher.redeliver(delivery_id)

    async def send_test(self, event: str = "collection.received", url: str | None = None) -> bool:
        """Make a test delivery, to the configured webhook URL or to another one.

        Returns whether it was taken: answered with a 2xx in time.

        Raises:
            RefusedError: no URL is configured, and none is given.

        """
        return await self._dispatcher.send_once(self.provider.test_webhook(event, url))

    def on_request(self, listener: Callable[[RecordedRequest], None]) -> None:
        """Call `listener` with each request to the API, once it is answered or cut off."""
        self._requests.listeners.append(listener)

    def on_attempt(self, listener: Callable[[Delivery, Attempt], None]) -> None:
        """Call `listener` with each attempt to deliver a webhook, once it is over."""
        self._dispatcher.listeners.append(listener)

    async def drained(self) -> None:
        """Wait until every webhook that is due on the sandbox's clock was tried."""
        self._ledger.settle()
        await self._dispatcher.drained()

    def _begin(self) -> None:
        if not self._is_new:
            return
        restored = self._state is not None and self._state.load()
        if self.options.seed and not restored:
            plant(self._parts, Path(self.options.seed))
        self._is_new = False

    def _note(self, *_: object) -> None:
        self._parts.changes.wake_all()

    @property
    def _ledger(self) -> Ledger:
        return self.provider.ledger

    async def _keep_time(self) -> None:
        """Let sessions expire and refunds complete when nobody asks for them."""
        while True:
            await self.clock.sleep_until(self._ledger.look_again())
            self._ledger.settle()


class _Value(Generic[T]):
    """A property of the sandbox, read in its own thread."""

    def __init__(self, read: Callable[[Sandbox], T]) -> None:
        self._read = read

    def __get__(self, sync: SyncSandbox, _: type[SyncSandbox]) -> T:
        return sync._thread.call(lambda: self._read(sync._sandbox))  # noqa: SLF001 - its own class


def _blocking(
    method: Callable[Concatenate[Sandbox, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[SyncSandbox, P], T]:
    @functools.wraps(method)
    def call(self: SyncSandbox, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._thread.run(method(self._sandbox, *args, **kwargs))

    return call


class SyncSandbox:
    """A running sandbox for code without an event loop: as `Sandbox`, and every method blocks.

    Attributes:
        options: what was chosen.
        clock: the sandbox's time; may be moved from any thread.
        faults: what shall go wrong; may be armed from any thread.

    """

    def __init__(self, sandbox: Sandbox, thread: LoopThread) -> None:
        self._sandbox = sandbox
        self._thread = thread
        self.options: SandboxOptions = sandbox.options
        self.clock: Clock = sandbox.clock
        self.faults: Faults = sandbox.faults

    url = _Value(lambda sandbox: sandbox.url)
    base_url = _Value(lambda sandbox: sandbox.base_url)
    app_id = _Value(lambda sandbox: sandbox.app_id)
    secret_key = _Value(lambda sandbox: sandbox.secret_key)
    webhook_secret = _Value(lambda sandbox: sandbox.webhook_secret)
    collections = _Value(lambda sandbox: sandbox.collections)
    requests = _Value(lambda sandbox: list(sandbox.requests))
    deliveries = _Value(lambda sandbox: sandbox.deliveries)
    token_activity = _Value(lambda sandbox: sandbox.token_activity)

    create = _blocking(Sandbox.create)
    pay = _blocking(Sandbox.pay)
    decline = _blocking(Sandbox.decline)
    cancel = _blocking(Sandbox.cancel)
    expire = _blocking(Sandbox.expire)
    refund = _blocking(Sandbox.refund)
    redeliver = _blocking(Sandbox.redeliver)
    send_test = _blocking(Sandbox.send_test)
    drained = _blocking(Sandbox.drained)

    @property
    def balance(self) -> Decimal:
        """The merchant's balance in USD, from which refunds are taken."""
        return self._thread.call(lambda: self._sandbox.balance)

    @balance.setter
    def balance(self, balance: Decimal) -> None:
        self._thread.call(lambda: setattr(self._sandbox, "balance", balance))

    def collection(self, collection_id: str) -> CollectionRecord:
        """Give a collection as it is now; raises as `Sandbox.collection`."""
        return self._thread.call(lambda: self._sandbox.collection(collection_id))

    def checkout_url(self, collection_id: str) -> str:
        """Tell where the payer of a collection goes."""
        return self._sandbox.checkout_url(collection_id)

    def advance(self, seconds: float) -> None:
        """Move the clock, and wait until every webhook that fell due was tried."""
        self.clock.advance(seconds)
        self.drained()
