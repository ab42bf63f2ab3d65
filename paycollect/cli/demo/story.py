"""The story of three payments, told while it happens: one goes well, two do not.

Invariants: a line says "proven" only after the comparison that proves it was made here, on what
really came over the wire or stands in the shop's own table; a comparison that fails ends the demo.
What is shown as sent and answered is what the sandbox recorded, not what the client says it did.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Final

from paycollect.cli.demo.failures import NotPaidError, StepFailedError
from paycollect.cli.demo.payer import read_form
from paycollect.sandbox import delay, reordered
from paycollect.status import PaymentStatus
from paycollect.testing import sign_webhook

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from paycollect.cli.demo.payer import Browser
    from paycollect.cli.demo.process import ShopProcess
    from paycollect.cli.terminal import Screen
    from paycollect.sandbox import CollectionRecord, Delivery, RecordedRequest, Sandbox

_MINUTE: Final = 60.0
_LOOK_AGAIN: Final = 0.02


class Story:
    """The steps of the demo, in their order.

    Args:
        screen: where to tell them.
        sandbox: the provider.
        shop: the merchant.
        browser: what the customer and the forger use.
        open_page: shows the checkout to a person, where one is to pay by hand.

    """

    def __init__(
        self,
        screen: Screen,
        *,
        sandbox: Sandbox,
        shop: ShopProcess,
        browser: Browser,
        open_page: Callable[[str], Awaitable[bool]] | None = None,
    ) -> None:
        self._screen, self._sandbox = screen, sandbox
        self._shop, self._browser = shop, browser
        self._open_page = open_page
        self._proofs: list[str] = []
        self._number = 0
        self._started = time.monotonic()

    async def tell(self, *, lost_answer: bool) -> None:
        """Tell it all.

        Raises:
            StepFailedError: a step did not do what it should.

        """
        self._introduce()
        paid = await self._order(lost_answer=lost_answer)
        await self._let_pay(paid)
        genuine = await self._receive_webhook(paid)
        await self._come_back(paid)
        await self._refuse_forgeries(paid, genuine)
        await self._refuse_typed_url()
        await self._survive_kill()
        await self._sweep()
        self._sum_up()

    def _introduce(self) -> None:
        screen = self._screen
        screen.title("paycollect demo: from the order to the delivery, once, whatever happens")
        screen.text("Everything runs on this machine: no network, no account, no real money.")
        screen.text()
        screen.fact("provider", f"{self._sandbox.url}  the sandbox, in place of the real API")
        screen.fact(
            "merchant",
            f"{self._shop.url}  a small shop, as you would write it; process {self._shop.pid}",
        )

    async def _order(self, *, lost_answer: bool) -> CollectionRecord:
        self._step("The customer orders" + (", and an answer gets lost" if lost_answer else ""))
        if lost_answer:
            self._fact("fault", "the provider does what is asked, then cuts the connection")
        self._fact(
            "code",
            'checkout = await cashier.create_checkout(amount="25.00", order_id=...,'
            " description=..., callback_url=..., webhook_url=...)",
        )
        async with self._screen.waiting("asking the provider"):
            checkout = await self._buy()
        for sent in self._sandbox.requests:
            if sent.name == "POST /collections" or "orderId" in sent.query:
                self._fact("sent", f"{sent.name}  {_members(sent, 'amount', 'orderId')}".rstrip())
                self._fact("received", _ending(sent))
        self._fact(
            "checkout",
            f"collection {checkout.collection_id}, {checkout.status}, to be paid until"
            f" {checkout.expires_at:%H:%M} UTC; fee {checkout.fee}, so that {checkout.net_amount}"
            " will be yours",
        )
        self._fact("", f"the customer is sent to {self._url_of(checkout)}")
        self._prove(
            "there is one checkout for the order, and the customer is sent to it"
            + (": a lost answer is looked up, not repeated" if lost_answer else ""),
            [checkout] == self._sandbox.collections,
        )
        return checkout

    async def _let_pay(self, checkout: CollectionRecord) -> None:
        if self._open_page is not None:
            await self._pay_by_hand(checkout, self._open_page)
            return
        self._step("The customer pays on the hosted page")
        url = self._url_of(checkout)
        page = await self._browser.get(url)
        form = read_form(page.page)
        self._fact("sent", f"GET {url}")
        self._fact(
            "received",
            f"HTTP {page.status}  a page {form.title!r} with the buttons "
            + ", ".join(f"[{label}]" for _, label in form.buttons.values()),
        )
        answer = await self._browser.press(form, "pay", url)
        self._fact("sent", f"POST  the button [{form.buttons['pay'][1]}]")
        self._fact("received", f"HTTP {answer.status}  go to {self._at_shop(answer.location)}")
        self._prove(
            "the page sends the browser back to the merchant",
            answer.location == self._return_url(checkout),
        )

    async def _pay_by_hand(
        self, checkout: CollectionRecord, open_page: Callable[[str], Awaitable[bool]]
    ) -> None:
        self._step("You pay on the hosted page")
        url = self._url_of(checkout)
        opened = await open_page(url)
        self._fact("opened" if opened else "open", url)
        self._fact("", "press Pay there; no real money moves. Ctrl-C ends the demo.")
        async with self._screen.waiting("waiting for you"):
            await _until(lambda: self._now(checkout).status is not PaymentStatus.PENDING)
        status = self._now(checkout).status
        self._fact("received", f"the checkout has ended as {status}")
        if status is not PaymentStatus.COMPLETED:
            raise NotPaidError(f"the checkout was not paid: it ended as {status}")

    async def _receive_webhook(self, paid: CollectionRecord) -> bytes:
        self._step("The provider tells the merchant, who asks back and delivers")
        self._fact("code", 'app.add_routes(webhook_routes("/webhook", cashier))')
        self._fact("", "@shop.on_paid def ship(tx, payment): tx.execute(...)")
        delivery = await self._webhook(paid)
        body = delivery.attempts[0].body.encode()
        sign = json.loads(body)["sign"]
        self._fact("received", f"POST /webhook  {len(body)} bytes, sign {sign[:8]}...")
        self._fact("answered", f"HTTP {delivery.attempts[0].status}: proven, and stored")
        found_by = await self._delivered(paid)
        asked = self._last_request(f"GET /collections/{paid.collection_id}")
        self._fact("sent", asked.name)
        self._fact("received", f"{_ending(asked)}  {self._now(paid).status}, {paid.amount} USD")
        self._fact("delivered", f"order {paid.order.order_id}, noticed by the {found_by[0]}")
        self._prove(
            "it was delivered once, and only after the provider's own record said COMPLETED",
            len(found_by) == 1 and asked.status == 200,  # noqa: PLR2004  HTTP: all went well
        )
        return body

    async def _come_back(self, paid: CollectionRecord) -> None:
        self._step("The browser comes back")
        self._fact("code", "back = await cashier.returned(request.url)")
        page = await self._browser.get(self._return_url(paid))
        self._fact("received", f"GET {self._at_shop(page.url)}")
        self._fact("answered", _title(page.page))
        self._prove(
            "the page thanks the customer, and nothing is delivered a second time",
            "Thank you" in page.page and self._parcels(paid) == 1,
        )

    async def _refuse_forgeries(self, paid: CollectionRecord, genuine: bytes) -> None:
        self._step("Others try it, too: forged and repeated webhooks")
        url, data = f"{self._shop.url}/webhook", json.loads(genuine)["data"]
        for what, body in (
            ("the amount altered", genuine.replace(b"25.00", b"99.00")),
            ("signed with a guessed secret", sign_webhook(data, "whsec_guessed")),
            ("not signed at all", genuine.replace(b'"sign"', b'"nosign"')),
        ):
            answer = await self._browser.post(url, body)
            self._fact("forged", f"{what}: HTTP {answer.status}")
            if answer.status != 401 or body == genuine:  # noqa: PLR2004  refused as forged
                raise StepFailedError(f"a forged webhook was not refused: {what}")
        self._prove("a forged webhook is refused, whichever way it was forged", True)
        answer = await self._browser.post(url, genuine)
        self._fact("repeated", f"the genuine one once more: HTTP {answer.status}")
        self._prove(
            "a repeated webhook is taken, and delivers nothing again",
            answer.status == 200 and self._parcels(paid) == 1,  # noqa: PLR2004  HTTP: all went well
        )

    async def _refuse_typed_url(self) -> None:
        self._step("Somebody types that URL for an order that is not paid")
        unpaid = await self._buy()
        page = await self._browser.get(self._return_url(unpaid))
        self._fact("received", f"GET {self._at_shop(page.url)}")
        self._fact("answered", _title(page.page))
        self._prove(
            "a typed URL delivers nothing: the provider was asked, and says PENDING",
            "no payment" in page.page and self._parcels(unpaid) == 0,
        )

    async def _survive_kill(self) -> None:
        self._step("The shop is killed between the webhook and the delivery")
        self._sandbox.faults.next("GET /collections/{id}", delay(_MINUTE))
        paid = await self._paid()
        webhook = await self._webhook(paid)
        self._fact("answered", f"the webhook: HTTP {webhook.attempts[-1].status}")
        await _until(lambda: self._last_request("GET /collections/").fault == "delay")
        killed = self._shop.pid
        await self._shop.kill()
        self._fact("killed", f"process {killed} (kill -9), while it asked the provider")
        self._prove(
            "the provider will not tell again, and nothing was delivered yet",
            webhook.state == "delivered" and self._parcels(paid) == 0,
        )
        async with self._screen.waiting("starting the shop again"):
            await self._shop.start()
        self._fact("started", f"process {self._shop.pid}, with nothing but the same file")
        self._advance(2)
        await self._delivered(paid)
        self._fact("delivered", f"order {paid.order.order_id}")
        self._prove("the order was delivered once, although the shop had died", self._once(paid))

    async def _sweep(self) -> None:
        self._step("A webhook never arrives")
        self._sandbox.faults.always("webhook", reordered())
        self._fact("fault", "webhooks are held back on their way, for ever")
        paid = await self._paid()
        self._advance(3)
        (found_by,) = await self._delivered(paid)
        self._fact("delivered", f"order {paid.order.order_id}, noticed by the {found_by}")
        self._prove(
            "the cashier looks for itself, within three minutes of the payment",
            found_by == "sweep" and not self._delivery_of(paid).attempts,
        )

    # --- what several steps do

    async def _buy(self) -> CollectionRecord:
        """Order something, as a browser would; give the record of its checkout."""
        answer = await self._browser.post(f"{self._shop.url}/buy", b"")
        if answer.location is None:
            raise StepFailedError(f"HTTP {answer.status} from the shop: {_title(answer.page)}")
        return self._sandbox.collection(answer.location.rpartition("=")[2])

    async def _paid(self) -> CollectionRecord:
        """Order and pay, and close the browser."""
        record = await self._buy()
        paid = await self._sandbox.pay(record.collection_id)
        self._fact(
            "paid", f"order {paid.order.order_id}; the customer does not come back to the shop"
        )
        return paid

    async def _webhook(self, paid: CollectionRecord) -> Delivery:
        """Wait until a webhook was sent; it must have been taken."""
        async with self._screen.waiting("waiting for the webhook"):
            await self._sandbox.drained()
        delivery = self._delivery_of(paid)
        if delivery.state != "delivered":
            raise StepFailedError(f"the webhook was not taken: HTTP {delivery.attempts[-1].status}")
        return delivery

    def _delivery_of(self, paid: CollectionRecord) -> Delivery:
        return next(d for d in self._sandbox.deliveries if d.collection_id == paid.collection_id)

    async def _delivered(self, paid: CollectionRecord) -> list[str]:
        async with self._screen.waiting("waiting for the delivery"):
            return await self._shop.delivered(paid.order.order_id)

    def _advance(self, minutes: int) -> None:
        self._shop.advance(minutes * _MINUTE)
        self._fact("clock", f"moved forward by {minutes} minutes, the provider's and the shop's")

    def _parcels(self, record: CollectionRecord) -> int:
        return len(self._shop.parcels(record.order.order_id))

    def _once(self, record: CollectionRecord) -> bool:
        return self._parcels(record) == 1

    def _now(self, record: CollectionRecord) -> CollectionRecord:
        return self._sandbox.collection(record.collection_id)

    def _url_of(self, record: CollectionRecord) -> str:
        return self._sandbox.checkout_url(record.collection_id)

    def _return_url(self, record: CollectionRecord) -> str:
        return f"{self._shop.url}/return?batch={record.collection_id}&status=COMPLETED"

    def _at_shop(self, url: str | None) -> str:
        """Leave out the merchant's own address, which everybody knows by now."""
        return (url or "nowhere").removeprefix(self._shop.url)

    def _last_request(self, name: str) -> RecordedRequest:
        return next(r for r in reversed(self._sandbox.requests) if r.name.startswith(name))

    # --- telling

    def _step(self, text: str) -> None:
        self._number += 1
        self._screen.step(self._number, text)

    def _fact(self, label: str, text: str) -> None:
        self._screen.fact(label, text)

    def _prove(self, text: str, holds: bool) -> None:
        if not holds:
            raise StepFailedError(f"not so: {text}")
        self._screen.proven(text)
        self._proofs.append(text)

    def _sum_up(self) -> None:
        seconds = time.monotonic() - self._started
        self._screen.heading(f"What was proven, in {seconds:.1f} s")
        for proof in self._proofs:
            self._screen.check(proof)
        self._screen.text()
        self._screen.text(
            "Next: `paycollect demo --open` to pay by hand, `paycollect demo --fault lost-answer`"
            " to lose an answer, `paycollect sandbox` to try your own service."
        )


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110  # a person, or another process, makes it true
        await asyncio.sleep(_LOOK_AGAIN)


def _title(page: str) -> str:
    """Give the title of a page of the shop."""
    return page.partition("<title>")[2].partition("</title>")[0]


def _members(request: RecordedRequest, *names: str) -> str:
    """Show some members of a request's body, as they were received."""
    body = request.json if isinstance(request.json, dict) else {}
    return ", ".join(f"{name} {body[name]}" for name in names if name in body)


def _ending(request: RecordedRequest) -> str:
    """Say what became of a request."""
    return "done, but no answer" if request.status is None else f"HTTP {request.status}"
