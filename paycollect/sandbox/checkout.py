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

from paycollect.sandbox import pages
from paycollect.sandbox.guard import read_form
from paycollect.sandbox.refusals import RefusedError
from paycollect.status import PaymentStatus

if TYPE_CHECKING:
    from paycollect.sandbox.api import Provider
    from paycollect.sandbox.state import CollectionRecord

CHECKOUT_PATH: Final = "/sci/checkout"

_URL_CHARACTERS: Final = "".join(map(chr, range(0x21, 0x7F)))
# The provider documents three words for the redirect; whatever else ends a session is a failure.
_REDIRECT_STATUS: Final = {
    PaymentStatus.COMPLETED: "COMPLETED",
    PaymentStatus.REFUNDED: "COMPLETED",
    PaymentStatus.PARTIALLY_REFUNDED: "COMPLETED",
    PaymentStatus.CANCELLED: "CANCELLED",
}


class Checkout:
    """The hosted page as aiohttp routes."""

    def __init__(self, provider: Provider, merchant: str, time_scale: float) -> None:
        self._provider = provider
        self._time_scale = time_scale
        self._merchant = merchant
        self._key = secrets.token_bytes(32)

    def add_to(self, app: web.Application) -> None:
        """Add the routes."""
        app.router.add_get(CHECKOUT_PATH, self._show, allow_head=False)
        app.router.add_post(CHECKOUT_PATH, self._act)

    async def _show(self, request: web.Request) -> web.Response:
        try:
            record = self._provider.ledger[request.query.get("batch", "")]
        except RefusedError:
            return _page(pages.unknown(), HTTPStatus.NOT_FOUND)
        return self._page_of(record)

    async def _act(self, request: web.Request) -> web.Response:
        form = await read_form(request)
        ledger = self._provider.ledger
        actions = {"pay": ledger.pay, "decline": ledger.decline, "cancel": ledger.cancel}
        try:
            record = ledger[request.query.get("batch", "")]
        except RefusedError:
            return _page(pages.unknown(), HTTPStatus.NOT_FOUND)
        given, action = form.get("csrf", ""), actions.get(form.get("action", ""))
        if not hmac.compare_digest(given.encode(), self._token(record).encode()) or not action:
            return _page(pages.stale(f"{CHECKOUT_PATH}?{_batch(record)}"), HTTPStatus.FORBIDDEN)
        try:
            record = action(record.collection_id)
        except RefusedError:
            return self._page_of(record)
        return _redirect(return_url(record) or f"{CHECKOUT_PATH}?{_batch(record)}")

    def _page_of(self, record: CollectionRecord) -> web.Response:
        now, back = self._provider.now(), return_url(record)
        if record.status is PaymentStatus.PENDING:
            action = f"{CHECKOUT_PATH}?{_batch(record)}"
            page = pages.payable(
                record,
                self._merchant,
                now,
                action=action,
                csrf=self._token(record),
                time_scale=self._time_scale,
            )
            return _page(page, HTTPStatus.OK, _form_targets(record.order.callback_url))
        page = pages.finished(record, self._merchant, back)
        return _page(page, HTTPStatus.GONE if record.has_expired else HTTPStatus.OK)

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
    status = _REDIRECT_STATUS.get(record.status, "FAILED")
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


def _page(html: str, status: int, form_action: str = "'self'") -> web.Response:
    return web.Response(
        status=status,
        text=html,
        content_type="text/html",
        headers={
            "Content-Security-Policy": pages.security_policy(form_action),
            "Cache-Control": "no-store",
        },
    )
