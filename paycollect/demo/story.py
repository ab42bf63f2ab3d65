"""The story of one payment, told while it happens.

The law of this room: a line says "proven" only after the comparison that proves it was made here,
on what really came over the wire; a comparison that fails ends the demo.
"""

from __future__ import annotations

import json
import secrets
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from paycollect.demo.payer import read_form
from paycollect.demo.shop import Order
from paycollect.demo.teller import NotPaidError, StepFailedError, Teller, fate, members, told
from paycollect.errors import PaymentNotConfirmedError
from paycollect.status import PaymentStatus
from paycollect.testing import sign_webhook

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from paycollect.demo.shop import Delivery
    from paycollect.demo.teller import Stage
    from paycollect.models import Checkout, Collection

_PRICE: Final = Decimal("25.00")


class Story(Teller):
    """The chapters, in their order."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self._order = _new_order()

    async def tell(self, *, lost_answer: bool) -> None:
        """Tell it all.

        Raises:
            StepFailedError: a step did not do what it should.
            PayCollectError: a call failed.

        """
        self._introduce()
        checkout = await (self._create_with_lost_answer() if lost_answer else self._create())
        return_url = await self._let_pay(checkout)
        await self._receive_webhook()
        await self._refuse_forgeries()
        await self._confirm()
        await self._come_back(return_url)
        await self._refuse_typed_url()
        self._sum_up()

    def _introduce(self) -> None:
        screen = self._screen
        screen.title("paycollect demo: one payment, from the order to the proof")
        screen.text("Everything runs on this machine: no network, no account, no real money.")
        screen.text()
        screen.fact("provider", f"{self._sandbox.url}  the sandbox, in place of the real API")
        screen.fact("merchant", f"{self._shop.url}  a small service, as you would write it")

    async def _create(self) -> Checkout:
        self._step("The merchant creates a checkout")
        self._screen.fact(
            "code",
            'checkout = await pay.create_checkout(amount="25.00", order_id=..., description=...,'
            " callback_url=..., webhook_url=...)",
        )
        checkout = await self._shop.sell(self._order)
        self._show_create(checkout)
        self._prove(
            "the answer is for this very order, amount and currency",
            (checkout.order_id, checkout.amount, checkout.currency)
            == (self._order.order_id, _PRICE, "USD"),
        )
        return checkout

    def _show_create(self, checkout: Checkout) -> None:
        sent = self._last_request("POST /collections")
        self._screen.fact("sent", f"{sent.name}  {members(sent, 'amount', 'currency', 'orderId')}")
        self._screen.fact("", members(sent, "description", "callbackUrl", "webhookUrl"))
        self._screen.fact("received", f"HTTP {sent.status}  {told(checkout)}")
        self._screen.fact("", f"fee {checkout.fee}, so that {checkout.net_amount} will be yours")
        self._screen.fact("", f"send the customer to {checkout.checkout_url}")

    async def _create_with_lost_answer(self) -> Checkout:
        self._step("The merchant creates a checkout, and the answer gets lost")
        self._screen.fact("fault", "the provider does what is asked, then cuts the connection")
        self._screen.fact("code", "checkout = await pay.create_checkout(...)    # as always")
        before = len(self._sandbox.requests)
        async with self._screen.waiting("trying again"):
            checkout = await self._shop.sell(self._order)
        for request in self._sandbox.requests[before:]:
            if not request.path.startswith("/auth"):
                self._screen.fact("sent", f"{request.name}  {fate(request)}")
        self._screen.fact("received", f"{told(checkout)}, recovered={checkout.recovered}")
        self._screen.fact("", f"send the customer to {checkout.checkout_url}")
        self._prove(
            "a lost answer costs no order: it was found by its order id, and compared",
            checkout.recovered and checkout.order_id == self._order.order_id,
        )
        self._prove(
            "it exists once: the repeat made no second checkout",
            [c.order.order_id for c in self._sandbox.collections] == [self._order.order_id],
        )
        return checkout

    async def _let_pay(self, checkout: Checkout) -> str | None:
        """Have the checkout paid; give the URL the browser is sent to, unless a person's did it."""
        if self._open_page is None:
            return await self._pay_over_http(checkout)
        await self._pay_by_hand(checkout, self._open_page)
        return None

    async def _pay_over_http(self, checkout: Checkout) -> str:
        self._step("The customer pays on the hosted page")
        page = await self._browser.get(checkout.checkout_url)
        form = read_form(page.page)
        self._screen.fact("sent", f"GET {checkout.checkout_url}")
        self._screen.fact(
            "received",
            f"HTTP {page.status}  a page {form.title!r} with the buttons "
            + ", ".join(f"[{label}]" for _, label in form.buttons.values()),
        )
        answer = await self._browser.press(form, "pay", checkout.checkout_url)
        self._screen.fact("sent", f"POST  the button [{form.buttons['pay'][1]}]")
        self._screen.fact(
            "received", f"HTTP {answer.status}  go to {self._at_shop(answer.location)}"
        )
        self._prove(
            "the page sends the browser back to the merchant's callback URL",
            (answer.location or "").startswith(f"{self._shop.url}/return?"),
        )
        return answer.location or ""

    async def _pay_by_hand(
        self, checkout: Checkout, open_page: Callable[[str], Awaitable[bool]]
    ) -> None:
        self._step("You pay on the hosted page")
        opened = await open_page(checkout.checkout_url)
        self._screen.fact("open" if not opened else "opened", checkout.checkout_url)
        self._screen.fact("", "press Pay there; no real money moves. Ctrl-C ends the demo.")
        async with self._screen.waiting("waiting for you"):
            await self._shop.until(lambda: bool(self._shop.visits))
        callback = self._shop.visits[0].callback
        status = None if callback is None else callback.status
        self._screen.fact("received", f"your browser came back, and says {status}")
        if status != PaymentStatus.COMPLETED:
            raise NotPaidError(f"the checkout was not paid: it ended as {status}")

    async def _receive_webhook(self) -> None:
        self._step("The provider tells the merchant: a signed webhook")
        self._screen.fact("code", "event = ipn.parse_webhook(body, secret=...)")
        async with self._screen.waiting("waiting for the webhook"):
            await self._shop.until(lambda: bool(self._shop.deliveries))
        delivery = self._shop.deliveries[0]
        event = delivery.event
        if event is None:
            raise StepFailedError(f"the webhook was refused: {delivery.refusal}")
        sign = json.loads(delivery.body)["sign"]
        self._screen.fact(
            "received", f"POST /webhook  {len(delivery.body)} bytes, sign {sign[:8]}..."
        )
        self._screen.fact(
            "",
            f"{event.event}: {event.status}, {event.amount} {event.currency},"
            f" order {event.order_id}",
        )
        self._prove(
            "the webhook was signed with the webhook secret, and not altered on its way",
            event.verified and event.order_id == self._order.order_id,
        )
        self._screen.fact("answered", f"HTTP {delivery.answer}, so that it is not sent again")

    async def _refuse_forgeries(self) -> None:
        self._step("Others try it, too: forged and repeated webhooks")
        genuine = self._shop.deliveries[0]
        altered = genuine.body.replace(b"25.00", b"99.00")
        foreign = sign_webhook(json.loads(genuine.body)["data"], "whsec_guessed")
        unsigned = genuine.body.replace(b'"sign"', b'"nosign"')
        for what, body in (
            ("the amount altered", altered),
            ("signed with a guessed secret", foreign),
            ("not signed at all", unsigned),
        ):
            received = await self._deliver(body)
            self._screen.fact("forged", f"{what}: HTTP {received.answer}, {received.refusal}")
            if received.answer != 401 or body == genuine.body:  # noqa: PLR2004  refused as forged
                raise StepFailedError(f"a forged webhook was not refused: {what}")
        self._prove("a forged webhook is refused, whichever way it was forged", True)
        received = await self._deliver(genuine.body)
        self._screen.fact("repeated", f"the genuine one once more: HTTP {received.answer}")
        self._prove("a repeated webhook is recognised by its dedup_key", received.repeated)

    async def _confirm(self) -> None:
        self._step("The merchant asks the provider: was it paid?")
        self._screen.fact(
            "code", "collection = await pay.confirm(event, expected_amount=..., order_id=...)"
        )
        collection = await self._shop.fulfil(await self._shop.inbox.get())
        self._show_record(collection)
        self._prove(
            "it is paid: the provider's own record says COMPLETED, for this order and amount",
            _is_paid(collection, self._order),
        )
        self._screen.fact("shipped", f"order {self._order.order_id}")

    async def _come_back(self, return_url: str | None) -> None:
        self._step("The browser comes back: the callback URL")
        self._screen.fact("code", "callback = ipn.parse_callback(url)")
        if return_url is not None:
            await self._browser.get(return_url)
        visit = self._shop.visits[0]
        if visit.callback is None or visit.collection is None:
            raise StepFailedError(f"the return URL was not understood: {visit.refusal}")
        self._screen.fact("received", f"GET {self._at_shop(visit.url)}")
        self._screen.fact("says", f"collection {visit.callback.batch}, {visit.callback.status}")
        self._screen.fact("", "nobody signed it: it says which page to show, not what to ship")
        self._prove(
            "the page says thank you because the provider confirmed it, not because of the URL",
            _is_paid(visit.collection, self._order),
        )
        self._prove(
            "webhook, repeat and browser together shipped the order exactly once",
            self._shop.shipments == [self._order.order_id] and self._shop.inbox.empty(),
        )

    async def _refuse_typed_url(self) -> None:
        self._step("Somebody types that URL for an order that is not paid")
        order = _new_order()
        checkout = await self._shop.sell(order)
        url = f"{self._shop.url}/return?batch={checkout.collection_id}&status=COMPLETED"
        await self._browser.get(url)
        visit = self._shop.visits[-1]
        self._screen.fact("received", f"GET {self._at_shop(url)}")
        self._screen.fact("confirm", f"{type(visit.refusal).__name__}: {visit.refusal}")
        self._prove(
            "a typed URL ships nothing",
            isinstance(visit.refusal, PaymentNotConfirmedError)
            and order.order_id not in self._shop.shipments,
        )

    async def _deliver(self, body: bytes) -> Delivery:
        await self._browser.post(f"{self._shop.url}/webhook", body)
        return self._shop.deliveries[-1]


def _new_order() -> Order:
    order_id = f"INV-{secrets.token_hex(3).upper()}"
    return Order(order_id=order_id, amount=_PRICE, description="Premium plan")


def _is_paid(collection: Collection, order: Order) -> bool:
    return (
        collection.status is PaymentStatus.COMPLETED
        and collection.collection_id == order.collection_id
        and collection.order_id == order.order_id
        and collection.amount == order.amount
    )
