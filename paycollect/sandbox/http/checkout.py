"""The hosted checkout: where the payer pays, declines or cancels, and is sent back from.

Provider docs: collections, the payer's way. A POST is taken only with the page's own token, which
another site cannot read; the redirect is not signed, as the provider's is not.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlencode, urlsplit

from aiohttp import web

from paycollect.sandbox.http import pages
from paycollect.sandbox.http.guard import read_form
from paycollect.sandbox.http.html import below
from paycollect.sandbox.provider.endpoints import CHECKOUT_PATH
from paycollect.sandbox.provider.errors import RefusedError
from paycollect.status import PaymentStatus

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from paycollect.sandbox.http.parts import Parts
    from paycollect.sandbox.provider.records import CollectionRecord

_URL_CHARACTERS: Final = "".join(map(chr, range(0x21, 0x7F)))
# The provider documents three words for the redirect; whatever else ends a session is a failure.
_REDIRECT_STATUS: Final = {
    PaymentStatus.COMPLETED: "COMPLETED",
    PaymentStatus.REFUNDED: "COMPLETED",
    PaymentStatus.PARTIALLY_REFUNDED: "COMPLETED",
    PaymentStatus.CANCELLED: "CANCELLED",
}


SLOW: Final = 10.0
"""For how many seconds of the sandbox's clock a slow payment lets the browser wait."""


class Checkout:
    """The hosted page as aiohttp routes."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._provider = parts.provider
        self._clock = parts.clock
        self._merchant = parts.options.merchant
        self._key = secrets.token_bytes(32)
        self._actions: dict[str, Callable[[str], Awaitable[CollectionRecord]]] = {
            "pay": self._pay,
            "cancel": self._cancel,
            "decline": self._decline,
            "pay-late": self._pay_late,
            "pay-twice": self._pay_twice,
            "pay-slowly": self._pay_slowly,
        }

    def add_to(self, app: web.Application) -> None:
        """Add the routes."""
        app.router.add_get(CHECKOUT_PATH, self._show, allow_head=False)
        app.router.add_post(CHECKOUT_PATH, self._act)

    async def _show(self, request: web.Request) -> web.Response:
        try:
            record = self._provider.ledger[request.query.get("batch", "")]
        except RefusedError:
            return self._html(pages.unknown(), HTTPStatus.NOT_FOUND)
        return self._page_of(record)

    async def _act(self, request: web.Request) -> web.Response:
        form = await read_form(request)
        try:
            record = self._provider.ledger[request.query.get("batch", "")]
        except RefusedError:
            return self._html(pages.unknown(), HTTPStatus.NOT_FOUND)
        given, action = form.get("csrf", ""), self._actions.get(form.get("action", ""))
        if not hmac.compare_digest(given.encode(), self._token(record).encode()) or not action:
            return self._html(
                pages.stale(f"{CHECKOUT_PATH}?{_batch(record)}"), HTTPStatus.FORBIDDEN
            )
        try:
            record = await action(record.collection_id)
        except RefusedError:
            return self._page_of(record)
        own = f"{self._parts.root}{CHECKOUT_PATH}?{_batch(record)}"
        return _redirect(return_url(record) or own)

    async def _pay(self, collection_id: str) -> CollectionRecord:
        return self._provider.ledger.pay(collection_id)

    async def _cancel(self, collection_id: str) -> CollectionRecord:
        return self._provider.ledger.cancel(collection_id)

    async def _decline(self, collection_id: str) -> CollectionRecord:
        return self._provider.ledger.decline(collection_id)

    async def _pay_late(self, collection_id: str) -> CollectionRecord:
        """Send the browser back as paid; the provider knows of it a minute later."""
        return self._provider.ledger.pay_later(collection_id)

    async def _pay_twice(self, collection_id: str) -> CollectionRecord:
        """Tell the merchant of one payment by two events."""
        record = self._provider.ledger.pay(collection_id)
        self._provider.tell(record)
        return record

    async def _pay_slowly(self, collection_id: str) -> CollectionRecord:
        """Let the browser wait."""
        await self._clock.sleep(SLOW)
        return self._provider.ledger.pay(collection_id)

    def _page_of(self, record: CollectionRecord) -> web.Response:
        now, back = self._provider.now(), return_url(record)
        if record.status is PaymentStatus.PENDING and record.pays_at is None:
            action = f"{CHECKOUT_PATH}?{_batch(record)}"
            page = pages.payable(
                record,
                self._merchant,
                now,
                action=action,
                csrf=self._token(record),
                time_scale=self._clock.time_scale,
            )
            return self._html(page, HTTPStatus.OK, _form_targets(record.order.callback_url))
        page = pages.finished(record, self._merchant, back)
        return self._html(page, HTTPStatus.GONE if record.has_expired else HTTPStatus.OK)

    def _html(self, html: str, status: int, form_action: str = "'self'") -> web.Response:
        return _page(below(self._parts.root, html), status, form_action)

    def _token(self, record: CollectionRecord) -> str:
        return hmac.new(self._key, record.collection_id.encode(), hashlib.sha256).hexdigest()


def return_url(record: CollectionRecord) -> str | None:
    """Build where the browser goes back to; None if the merchant gave no callback URL.

    How the provider keeps an existing query is not published: here it stays exactly as it is, and
    batch and status follow it.
    """
    callback = record.order.callback_url
    if callback is None:
        return None
    # A payment that is under way is told as paid, before it is.
    state = PaymentStatus.COMPLETED if record.pays_at else record.status
    status = _REDIRECT_STATUS.get(state, "FAILED")
    url, hash_, fragment = callback.partition("#")
    head, _, query = url.partition("?")
    added = urlencode({"batch": record.collection_id, "status": status})
    whole = f"{head}?{query}&{added}" if query else f"{head}?{added}"
    return quote(f"{whole}{hash_}{fragment}", safe=_URL_CHARACTERS)


def _batch(record: CollectionRecord) -> str:
    return urlencode({"batch": record.collection_id})


def _form_targets(callback: str | None) -> str:
    """Say where the form may lead.

    Browsers apply this to every redirect after it, too, and the shop may send the customer on to
    any host of its own.
    """
    return "'self'" if callback is None else f"'self' {urlsplit(callback).scheme}:"


def _redirect(location: str) -> web.Response:
    return web.Response(status=HTTPStatus.SEE_OTHER, headers={"Location": location})


def _page(html: str, status: int, form_action: str) -> web.Response:
    return web.Response(
        status=status,
        text=html,
        content_type="text/html",
        headers={
            "Content-Security-Policy": pages.security_policy(form_action),
            "Cache-Control": "no-store",
        },
    )
