"""The sandbox's own routes, below /_sandbox: everything that the console and other languages do.

A request is JSON, which no foreign page can send without the browser's asking first, or a form of
the console with its token. JSON is answered with JSON, a form with the way back to the console.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hmac
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, TypeAlias

from aiohttp import web

from paycollect._json import write
from paycollect.models import JsonValue
from paycollect.sandbox.faults import OPTIONS, build
from paycollect.sandbox.http import console, console_panels, snapshot
from paycollect.sandbox.http.guard import read_form
from paycollect.sandbox.http.html import below
from paycollect.sandbox.http.state_file import export
from paycollect.sandbox.http.view import View
from paycollect.sandbox.provider import requests
from paycollect.sandbox.provider.envelope import instant, read_object
from paycollect.sandbox.provider.errors import RefusedError, invalid, not_found

if TYPE_CHECKING:
    from paycollect.sandbox.http.parts import Parts

Json: TypeAlias = dict[str, JsonValue]
Action: TypeAlias = Callable[["Parts", Mapping[str, str], Json], Awaitable[Json]]

CONTROL_PATH: Final = "/_sandbox"

_STREAM: Final = {"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
_EASE: Final = 0.1
"""Real seconds within which many changes are told as one."""
_TICK: Final = 0.9

_CSRF_FIELD: Final = "csrf"
_NUMBERS: Final = frozenset({"advance", "amount", "number", "seconds", "status", "times"})
_PRINTABLE: Final = re.compile("[!-~]+")
_PLAIN_NUMBER: Final = re.compile(r"[0-9]{1,12}(\.[0-9]{1,6})?")


async def create(parts: Parts, _: Mapping[str, str], body: Json) -> Json:
    """Open a checkout session, as the merchant would through the API."""
    return snapshot.collection(parts, parts.provider.ledger.create(requests.order(body)))


async def move(parts: Parts, params: Mapping[str, str], body: Json) -> Json:
    """Pay, decline, cancel, expire or refund a collection."""
    collection_id, action = params["collectionId"], params["action"]
    ledger = parts.provider.ledger
    steps = {
        "pay": ledger.pay,
        "decline": ledger.decline,
        "cancel": ledger.cancel,
        "expire": ledger.expire,
    }
    if action == "refund":
        asked = requests.refund({"mode": "PARTIAL"} | body if "amount" in body else body)
        ledger.refund(collection_id, asked.amount, asked.reason)
    elif action in steps:
        steps[action](collection_id)
    else:
        raise not_found("Action")
    return snapshot.collection(parts, ledger[collection_id])


async def redeliver(parts: Parts, params: Mapping[str, str], _: Json) -> Json:
    """Start a delivery anew."""
    return snapshot.delivery(parts.dispatcher.redeliver(int(params["number"])))


async def send_test(parts: Parts, _: Mapping[str, str], body: Json) -> Json:
    """Send a test delivery, to the configured URL or to one that is given."""
    event, url = requests.test_delivery(body)
    return {"delivered": await parts.dispatcher.send_once(parts.provider.test_webhook(event, url))}


async def clock(parts: Parts, _: Mapping[str, str], body: Json) -> Json:
    """Move the clock forward by `advance` seconds."""
    parts.clock.advance(float(requests.number(body, "advance")))
    return {"now": instant(parts.clock.now())}


async def arm(parts: Parts, _: Mapping[str, str], body: Json) -> Json:
    """Arm a fault for a target, once, `times` times, or always."""
    options = dict(body)
    target, name = str(options.pop("target", "")), str(options.pop("fault", ""))
    always, times = options.pop("always", False), options.pop("times", 1)
    fault = build(name, options)
    if always:
        parts.faults.always(target, fault)
    else:
        many = int(requests.number({"times": times}, "times"))
        parts.faults.next(target, *[fault] * many)
    return {"faults": [snapshot.fault(armed) for armed in parts.faults.armed]}


async def disarm(parts: Parts, _: Mapping[str, str], body: Json) -> Json:
    """Disarm the fault of a `number`, or all."""
    number = int(requests.number(body, "number")) if "number" in body else None
    parts.faults.clear(number)
    return {"faults": [snapshot.fault(armed) for armed in parts.faults.armed]}


async def clear(parts: Parts, _: Mapping[str, str], __: Json) -> Json:
    """Forget the requests and the webhooks that are finished; collections stay."""
    parts.requests.clear()
    parts.dispatcher.clear()
    return {"cleared": True}


async def drain(parts: Parts, _: Mapping[str, str], __: Json) -> Json:
    """Wait until every delivery that is due was tried."""
    parts.provider.ledger.settle()
    await parts.dispatcher.drained()
    return {"drained": True}


ACTIONS: Final[Mapping[str, Action]] = {
    "/collections": create,
    "/collections/{collectionId}/{action}": move,
    "/deliveries/{number:[0-9]{1,9}}/redeliver": redeliver,
    "/webhooks/test": send_test,
    "/clock": clock,
    "/faults": arm,
    "/faults/clear": disarm,
    "/clear": clear,
    "/drain": drain,
}
"""What a POST does, by its path."""


class Control:
    """The console and its routes."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._csrf = secrets.token_urlsafe(24)

    def add_to(self, app: web.Application) -> None:
        """Add the routes."""
        app.router.add_get("/", self._page, allow_head=False)
        app.router.add_get(f"{CONTROL_PATH}/events", self._events, allow_head=False)
        app.router.add_get(f"{CONTROL_PATH}/state", self._state, allow_head=False)
        app.router.add_get(f"{CONTROL_PATH}/export", self._export, allow_head=False)
        app.router.add_get(f"{CONTROL_PATH}/panels", self._panels, allow_head=False)
        for path, action in ACTIONS.items():
            app.router.add_post(CONTROL_PATH + path, functools.partial(self._act, action))
        app.router.add_route("*", r"/{path:[\s\S]*}", self._nowhere)

    async def _page(self, request: web.Request) -> web.Response:
        try:
            return self._html(console.page(self._parts, self._csrf, View.read(request.query)))
        except RefusedError as refusal:
            return self._refusal(refusal, as_page=True)

    async def _nowhere(self, request: web.Request) -> web.Response:
        in_browser = "text/html" in request.headers.get("Accept", "")
        return self._refusal(not_found("Page"), as_page=in_browser)

    async def _state(self, request: web.Request) -> web.Response:
        try:
            page, limit = requests.part(request.query)
        except RefusedError as refusal:
            return self._refusal(refusal, as_page=False)
        return _json(HTTPStatus.OK, snapshot.state(self._parts, page=page, limit=limit))

    async def _export(self, _: web.Request) -> web.Response:
        response = _json(HTTPStatus.OK, export(self._parts))
        response.headers["Content-Disposition"] = 'attachment; filename="sandbox-state.json"'
        return response

    async def _panels(self, request: web.Request) -> web.Response:
        try:
            panels = console.panels(self._parts, self._csrf, View.read(request.query))
        except RefusedError as refusal:
            return self._refusal(refusal, as_page=False)
        root = self._parts.root
        return _json(HTTPStatus.OK, {name: below(root, panel) for name, panel in panels.items()})

    async def _events(self, request: web.Request) -> web.StreamResponse:
        """Tell the number of changes so far and the time: at each change, and each second."""
        parts, changes = self._parts, self._parts.changes
        response = web.StreamResponse(headers=_STREAM)
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):  # the page was closed
            while True:
                seen = changes.count
                clock = console_panels.clock(parts, self._csrf, View())
                event = write({"changes": seen, "clock": clock})
                await response.write(f"data: {event}\n\n".encode())
                await asyncio.sleep(_EASE)
                await changes.wait(unless=lambda: changes.count != seen, seconds=_TICK)  # noqa: B023 - waited for at once
        return response

    async def _act(self, action: Action, request: web.Request) -> web.Response:
        by_form = request.content_type == "application/x-www-form-urlencoded"
        in_browser = by_form and "text/html" in request.headers.get("Accept", "")
        try:
            body = await (self._form(request) if by_form else _object(request))
            answer = await action(self._parts, request.match_info, body)
            self._parts.changes.wake_all()
        except RefusedError as refusal:
            return self._refusal(refusal, as_page=in_browser)
        except ValueError as problem:
            return self._refusal(invalid({"request": str(problem)}), as_page=in_browser)
        if by_form:
            return _back(request, self._parts.root)
        return _json(HTTPStatus.OK, answer)

    def _refusal(self, refusal: RefusedError, *, as_page: bool) -> web.Response:
        if as_page:
            return self._html(console.problem(refusal), refusal.status)
        fields: Json = dict(refusal.fields)
        error: Json = {"code": refusal.code, "message": refusal.message, "fields": fields}
        return _json(refusal.status, {"error": error})

    def _html(self, page: str, status: int = HTTPStatus.OK) -> web.Response:
        headers = {
            "Content-Security-Policy": console.security_policy(),
            "Cache-Control": "no-store",
        }
        text = below(self._parts.root, page)
        return web.Response(status=status, text=text, content_type="text/html", headers=headers)

    async def _form(self, request: web.Request) -> Json:
        form = await read_form(request)
        if not hmac.compare_digest(form.pop(_CSRF_FIELD, "").encode(), self._csrf.encode()):
            raise RefusedError(
                HTTPStatus.FORBIDDEN,
                "CSRF",
                "The page is too old: reload it. Programs send Content-Type: application/json",
            )
        return _typed({key: text for key, text in form.items() if text.strip()})


async def _object(request: web.Request) -> Json:
    if request.content_type != "application/json":
        raise RefusedError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "JSON_NEEDED", "Content-Type: application/json"
        )
    return read_object(await request.read())


def _typed(form: Mapping[str, str]) -> Json:
    """Give the fields of a form the types that JSON would have given them."""
    body: Json = {
        key: Decimal(text) if key in _NUMBERS and _PLAIN_NUMBER.fullmatch(text) else text
        for key, text in form.items()
    }
    if retry_after := body.pop("retryAfter", None):
        body["headers"] = {"Retry-After": retry_after}
    options = OPTIONS.get(form.get("fault", ""))
    if options is not None:
        # The form shows the options of every fault.
        wanted = {"target", "fault", "times", "always"} | set(options)
        return {key: value for key, value in body.items() if key in wanted}
    return body


def _back(request: web.Request, root: str) -> web.Response:
    # To the same view; only the query counts, so that it leads nowhere else.
    query = request.headers.get("Referer", "").partition("#")[0].partition("?")[2]
    location = f"{root}/?{query}" if _PRINTABLE.fullmatch(query) else f"{root}/"
    return web.Response(status=HTTPStatus.SEE_OTHER, headers={"Location": location})


def _json(status: int, value: Json) -> web.Response:
    return web.Response(
        status=status,
        text=write(value),
        content_type="application/json",
        headers={"Cache-Control": "no-store"},
    )
