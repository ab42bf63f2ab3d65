"""The sandbox as one object: the provider's state, its HTTP server and its deliveries."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from aiohttp import web

from paycollect.sandbox import checks
from paycollect.sandbox import shapes as _shapes
from paycollect.sandbox.access import Access
from paycollect.sandbox.api import Provider
from paycollect.sandbox.app import BASE_PATH, Api
from paycollect.sandbox.checkout import CHECKOUT_PATH, Checkout
from paycollect.sandbox.clock import Clock
from paycollect.sandbox.control import Control
from paycollect.sandbox.delivery import ANSWER_LIMIT, Courier
from paycollect.sandbox.faults import Faults
from paycollect.sandbox.guard import add_headers, guard
from paycollect.sandbox.ledger import CUSTOMER, Ledger
from paycollect.sandbox.refusals import invalid
from paycollect.sandbox.state import DEFAULT_FEES
from paycollect.sandbox.webhooks import Notice, Settings, test_notice
from paycollect.status import PaymentStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from decimal import Decimal
    from types import TracebackType
    from typing import Self

    from paycollect.models import Fee, Payer
    from paycollect.sandbox.access import Activity
    from paycollect.sandbox.delivery import Delivery
    from paycollect.sandbox.state import CollectionRecord, RefundRecord
    from paycollect.sandbox.traffic import RecordedRequest
    from paycollect.sandbox.webhooks import EnvelopeVersion, Scheme

APP_ID: Final = "SANDBOX0APP00001"
SECRET_KEY: Final = "sandbox-secret-key-not-for-production"  # noqa: S105 - opens nothing
WEBHOOK_SECRET: Final = "whsec_sandbox0000000000000000000000001"  # noqa: S105 - guards nothing

ANNOUNCED: Final = (
    PaymentStatus.COMPLETED,
    PaymentStatus.REFUNDED,
    PaymentStatus.PARTIALLY_REFUNDED,
)
"""States that are told by webhook unless asked otherwise: those that the provider documents as
told after payment. It also documents one for PENDING; for the others it documents nothing."""

REQUESTS_KEPT: Final = 100_000
"""How many requests are remembered; older ones are forgotten."""


class Sandbox:
    """The provider on your desk: its API, its checkout page and its webhooks, on loopback.

    Use it as `async with Sandbox() as sandbox`. Nothing leaves the machine, except for webhooks to
    the URLs that you give.

    Attributes:
        app_id: the credentials' first half; the default is always the same.
        secret_key: the other half.
        clock: the sandbox's time.
        faults: what shall go wrong.
        requests: what the API was asked, oldest first.

    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        app_id: str = APP_ID,
        secret_key: str = SECRET_KEY,
        webhook_secret: str = WEBHOOK_SECRET,
        shapes: _shapes.Shapes = "events",
        scheme: Scheme = "raw",
        envelope: EnvelopeVersion = "3.0",
        time_scale: float = 1.0,
        fees: Iterable[Fee] = DEFAULT_FEES,
        clock: Clock | None = None,
        merchant: str = "Sandbox Merchant",
        announce: Iterable[PaymentStatus] = ANNOUNCED,
        expired_as: PaymentStatus = PaymentStatus.EXPIRED,
        refund_delay: float = 0.0,
        refresh_revokes: bool = False,
        answer_limit: float = ANSWER_LIMIT,
        allowed_hosts: Iterable[str] = (),
    ) -> None:
        checks.option("shapes", shapes, ("events", "concept"))
        checks.option("scheme", scheme, ("raw", "compact", "php"))
        checks.option("envelope", envelope, ("3.0", "2.0"))
        checks.own_secrets(app_id, secret_key, webhook_secret)
        self.app_id: str = app_id
        self.secret_key: str = secret_key
        self.clock: Clock = Clock(time_scale=time_scale) if clock is None else clock
        self.faults: Faults = Faults()
        self.requests: list[RecordedRequest] = []
        self._host, self._port = host, port
        self._hosts = frozenset(allowed_hosts)
        self._announced = frozenset(announce)
        self._settings = Settings(secret=webhook_secret)
        self._courier = Courier(
            self.clock,
            self.faults,
            self._settings,
            scheme=scheme,
            envelope=envelope,
            answer_limit=answer_limit,
        )
        self._ledger = Ledger(
            self.clock.now,
            fees=tuple(fees),
            expired_as=expired_as,
            refund_delay=refund_delay,
            listener=self._tell,
        )
        self._provider = Provider(
            now=self.clock.now,
            access=Access(app_id, secret_key, refresh_revokes=refresh_revokes),
            ledger=self._ledger,
            webhooks=self._settings,
            shapes=shapes,
            checkout_url=self.checkout_url,
            deliver=self._courier.send_once,
        )
        self._merchant = merchant
        self._runner: web.AppRunner | None = None
        self._timekeeper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Open the port.

        Raises:
            OSError: the port is taken, or the host is none of this machine's.
            RuntimeError: it is open already.

        """
        if self._runner is not None:
            raise RuntimeError("the sandbox is running already")
        app = web.Application(middlewares=[guard({self._host, *self._hosts})])
        app.on_response_prepare.append(add_headers)
        Control(self).add_to(app)
        Api(self._provider, self.clock, self.faults, self._note).add_to(app)
        Checkout(self._provider, self._merchant, self.clock.time_scale).add_to(app)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except OSError:
            await self.aclose()
            raise
        self._port = self._runner.addresses[0][1]
        await self._courier.start()
        self._timekeeper = asyncio.create_task(self._keep_time())

    async def aclose(self) -> None:
        """Close the port and drop whatever is under way; harmless when closed."""
        if self._timekeeper is not None:
            self._timekeeper.cancel()
            await asyncio.gather(self._timekeeper, return_exceptions=True)
            self._timekeeper = None
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        await self._courier.close()

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

    @property
    def url(self) -> str:
        """Where it listens; the console is at "/"."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    @property
    def base_url(self) -> str:
        """What to give to a client as the base URL."""
        return self.url + BASE_PATH

    @property
    def webhook_secret(self) -> str:
        """The secret that signs webhooks now."""
        return self._settings.secret

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
    def deliveries(self) -> list[Delivery]:
        """All deliveries of webhooks, oldest first."""
        return list(self._courier.log)

    @property
    def token_activity(self) -> list[Activity]:
        """What happened to tokens, oldest first."""
        return list(self._provider.access.activity)

    def collection(self, collection_id: str) -> CollectionRecord:
        """Give a collection as it is now.

        Raises:
            RefusedError: no such collection.

        """
        return self._ledger[collection_id]

    def checkout_url(self, collection_id: str) -> str:
        """Tell where the payer of a collection goes."""
        return f"{self.url}{CHECKOUT_PATH}?batch={collection_id}"

    async def create(self, body: Mapping[str, object]) -> CollectionRecord:
        """Open a checkout session for the body of a `POST /collections`, without a token.

        The amount must be an int or a Decimal.

        Raises:
            RefusedError: as the API's own create.

        """
        return self._ledger.create(checks.order(body))

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
        return self._courier.redeliver(delivery_id)

    async def send_test(self, event: str = "collection.received", url: str | None = None) -> bool:
        """Make a test delivery, to the configured webhook URL or to another one.

        Returns whether it was taken: answered with a 2xx in time.

        Raises:
            RefusedError: no URL is configured, and none is given.

        """
        to = url or self._settings.url
        if to is None:
            raise invalid({"url": "is required, as no webhook URL is configured"})
        return await self._courier.send_once(test_notice(event, self.app_id, self.clock.now()), to)

    async def drained(self) -> None:
        """Wait until every webhook that is due on the sandbox's clock was tried."""
        self._ledger.settle()
        await self._courier.drained()

    def _note(self, recorded: RecordedRequest) -> None:
        self.requests.append(recorded)
        del self.requests[:-REQUESTS_KEPT]

    def _tell(self, record: CollectionRecord) -> None:
        url = record.order.webhook_url or self._settings.url
        if record.status not in self._announced or url is None:
            return
        provider = self._provider
        data = _shapes.event_data(
            record,
            provider.shapes,
            app_id=self.app_id,
            checkout_url=self.checkout_url(record.collection_id),
            now=self.clock.now(),
        )
        notice = Notice(event=_shapes.event_name(record, provider.shapes), data=data)
        self._courier.send(notice, url, record.collection_id)

    async def _keep_time(self) -> None:
        """Let sessions expire and refunds complete when nobody asks for them."""
        while True:
            await self.clock.sleep_until(self._ledger.look_again())
            self._ledger.settle()
