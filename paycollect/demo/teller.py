"""How the demo's story is told: chapters, what came over the wire, proofs and their summary.

The law of this room: what is shown as sent and answered is what the sandbox recorded, not what the
client says that it did.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from paycollect.demo.payer import Browser
    from paycollect.demo.screen import Screen
    from paycollect.demo.shop import Shop
    from paycollect.models import Checkout, Collection
    from paycollect.sandbox import RecordedRequest, Sandbox


class StepFailedError(Exception):
    """Something that should have been so was not."""


class NotPaidError(StepFailedError):
    """The person who was to pay did not."""


@frozen(kw_only=True)
class Stage:
    """Who takes part. `open_page` shows the checkout to a person, where one is to pay by hand."""

    screen: Screen
    sandbox: Sandbox
    shop: Shop
    browser: Browser
    open_page: Callable[[str], Awaitable[bool]] | None = None


class Teller:
    """What every chapter needs."""

    def __init__(self, stage: Stage) -> None:
        self._screen, self._sandbox = stage.screen, stage.sandbox
        self._shop, self._browser = stage.shop, stage.browser
        self._open_page = stage.open_page
        self._proofs: list[str] = []
        self._chapter = 0
        self._started = time.monotonic()

    def _show_record(self, collection: Collection) -> None:
        sent = self._last_request(f"GET /collections/{collection.collection_id}")
        self._screen.fact("sent", sent.name)
        self._screen.fact(
            "received",
            f"HTTP {sent.status}  {collection.status}, {collection.amount} {collection.currency},"
            f" order {collection.order_id}",
        )

    def _at_shop(self, url: str | None) -> str:
        """Leave out the merchant's own address, which everybody knows by now."""
        return (url or "nowhere").removeprefix(self._shop.url)

    def _last_request(self, name: str) -> RecordedRequest:
        return next(r for r in reversed(self._sandbox.requests) if r.name == name)

    def _step(self, text: str) -> None:
        self._chapter += 1
        self._screen.step(self._chapter, text)

    def _prove(self, text: str, holds: bool) -> None:
        if not holds:
            raise StepFailedError(f"not so: {text}")
        self._screen.proven(text)
        self._proofs.append(text)

    def _sum_up(self) -> None:
        seconds = time.monotonic() - self._started
        self._screen.heading(f"What was proven, in {seconds:.2f} s")
        for proof in self._proofs:
            self._screen.check(proof)
        self._screen.text()
        self._screen.text(
            "Next: `paycollect demo --open` to pay by hand, `paycollect demo --fault lost-answer`"
            " to lose an answer, `paycollect sandbox` to try your own service."
        )


def members(request: RecordedRequest, *names: str) -> str:
    """Show some members of a request's body, as they were received."""
    body = request.json if isinstance(request.json, dict) else {}
    return ", ".join(f"{name} {body[name]}" for name in names if name in body)


def told(checkout: Checkout) -> str:
    """Say what a checkout is."""
    expires_at = checkout.expires_at
    until = "" if expires_at is None else f", to be paid until {expires_at:%H:%M} UTC"
    return f"collection {checkout.collection_id}, {checkout.status}{until}"


def fate(request: RecordedRequest) -> str:
    """Say what became of a request."""
    return "done, but no answer" if request.status is None else f"HTTP {request.status}"
