"""The sandbox's own routes, below /_sandbox: everything that the console and other languages do.

A request is JSON, which no foreign page can send without the browser's asking first, or a form of
the console with its token. JSON is answered with JSON, a form with the way back to the console.
"""

from __future__ import annotations

import functools
import hmac
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, TypeAlias

from aiohttp import web

from paycollect.models import JsonValue
from paycollect.sandbox import checks, console, snapshot
from paycollect.sandbox.faults import OPTIONS, build
from paycollect.sandbox.guard import read_form
from paycollect.sandbox.refusals import RefusedError, invalid, not_found
from paycollect.sandbox.wire import dumps, read_object

if TYPE_CHECKING:
    from paycollect.sandbox.server import Sandbox

Json: TypeAlias = dict[str, JsonValue]
Action: TypeAlias = Callable[["Sandbox", Mapping[str, str], Json], Awaitable[Json]]

CONTROL_PATH: Final = "/_sandbox"

_CSRF_FIELD: Final = "csrf"
_NUMBERS: Final = frozenset({"advance", "amount", "number", "seconds", "status", "times"})
_PLAIN_NUMBER: Final = re.compile(r"[0-9]{1,12}(\.[0-9]{1,6})?")


async def create(sandbox: Sandbox, _: Mapping[str, str], body: Json) -> Json:
    """Open a checkout session, as the merchant would through the API."""
    return snapshot.collection(sandbox, await sandbox.create(body))


async def move(sandbox: Sandbox, params: Mapping[str, str], body: Json) -> Json:
    """Pay, decline, cancel, expire or refund a collection."""
    collection_id, action = params["collectionId"], params["action"]
    steps = {
        "pay": sandbox.pay,
        "decline": sandbox.decline,
        "cancel": sandbox.cancel,
        "expire": sandbox.expire,
    }
    if action == "refund":
        asked = checks.refund({"mode": "PARTIAL"} | body if "amount" in body else body)
        await sandbox.refund(collection_id, asked.amount, reason=asked.reason)
    elif action in steps:
        await steps[action](collection_id)
    else:
        raise not_found("Action")
    return snapshot.collection(sandbox, sandbox.collection(collection_id))


async def redeliver(sandbox: Sandbox, params: Mapping[str, str], _: Json) -> Json:
    """Start a delivery anew."""
    return snapshot.delivery(await sandbox.redeliver(int(params["number"])))


async def send_test(sandbox: Sandbox, _: Mapping[str, str], body: Json) -> Json:
    """Send a test delivery, to the configured URL or to one that is given."""
    event, url = checks.test_delivery(body)
    return {"delivered": await sandbox.send_test(event, url)}


async def clock(sandbox: Sandbox, _: Mapping[str, str], body: Json) -> Json:
    """Move the clock forward by `advance` seconds."""
    sandbox.clock.advance(float(checks.number(body, "advance")))
    return {"now": snapshot.state(sandbox)["now"]}


async def arm(sandbox: Sandbox, _: Mapping[str, str], body: Json) -> Json:
    """Arm a fault for a target, once, `times` times, or always."""
    options = dict(body)
    target, name = str(options.pop("target", "")), str(options.pop("fault", ""))
    always, times = options.pop("always", False), options.pop("times", 1)
    fault = build(name, options)
    if always:
        sandbox.faults.always(target, fault)
    else:
        many = int(checks.number({"times": times}, "times"))
        sandbox.faults.next(target, *[fault] * many)
    return {"faults": [snapshot.fault(armed) for armed in sandbox.faults.armed]}


async def disarm(sandbox: Sandbox, _: Mapping[str, str], body: Json) -> Json:
    """Disarm the fault of a `number`, or all."""
    number = int(checks.number(body, "number")) if "number" in body else None
    sandbox.faults.clear(number)
    return {"faults": [snapshot.fault(armed) for armed in sandbox.faults.armed]}


async def drain(sandbox: Sandbox, _: Mapping[str, str], __: Json) -> Json:
    """Wait until every delivery that is due was tried."""
    await sandbox.drained()
    return {"drained": True}


ACTIONS: Final[Mapping[str, Action]] = {
    "/collections": create,
    "/collections/{collectionId}/{action}": move,
    "/deliveries/{number:[0-9]{1,9}}/redeliver": redeliver,
    "/webhooks/test": send_test,
    "/clock": clock,
    "/faults": arm,
    "/faults/clear": disarm,
    "/drain": drain,
}
"""What a POST does, by its path."""


class Control:
    """The console and its routes."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._csrf = secrets.token_urlsafe(24)

    def add_to(self, app: web.Application) -> None:
        """Add the routes."""
        app.router.add_get("/", self._page, allow_head=False)
        app.router.add_get(f"{CONTROL_PATH}/state", self._state, allow_head=False)
        app.router.add_get(f"{CONTROL_PATH}/panels", self._panels, allow_head=False)
        for path, action in ACTIONS.items():
            app.router.add_post(CONTROL_PATH + path, functools.partial(self._act, action))

    async def _page(self, _: web.Request) -> web.Response:
        return _html(console.page(self._sandbox, self._csrf))

    async def _state(self, _: web.Request) -> web.Response:
        return _json(HTTPStatus.OK, snapshot.state(self._sandbox))

    async def _panels(self, _: web.Request) -> web.Response:
        panels: Json = dict(console.panels(self._sandbox, self._csrf))
        return _json(HTTPStatus.OK, panels)

    async def _act(self, action: Action, request: web.Request) -> web.Response:
        by_form = request.content_type == "application/x-www-form-urlencoded"
        try:
            body = await (self._form(request) if by_form else _object(request))
            answer = await action(self._sandbox, request.match_info, body)
        except RefusedError as refusal:
            return _refusal(refusal, by_form=by_form)
        except ValueError as problem:
            return _refusal(invalid({"request": str(problem)}), by_form=by_form)
        if by_form:
            return web.Response(status=HTTPStatus.SEE_OTHER, headers={"Location": "/"})
        return _json(HTTPStatus.OK, answer)

    async def _form(self, request: web.Request) -> Json:
        form = await read_form(request)
        if not hmac.compare_digest(form.pop(_CSRF_FIELD, "").encode(), self._csrf.encode()):
            raise RefusedError(HTTPStatus.FORBIDDEN, "CSRF", "The page is too old: reload it")
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
        wanted = {"target", "fault", "times", "always"} | options
        return {key: value for key, value in body.items() if key in wanted}
    return body


def _refusal(refusal: RefusedError, *, by_form: bool) -> web.Response:
    if by_form:
        return _html(console.problem(refusal), refusal.status)
    fields: Json = dict(refusal.fields)
    error: Json = {"code": refusal.code, "message": refusal.message, "fields": fields}
    return _json(refusal.status, {"error": error})


def _json(status: int, value: Json) -> web.Response:
    return web.Response(
        status=status,
        text=dumps(value),
        content_type="application/json",
        headers={"Cache-Control": "no-store"},
    )


def _html(page: str, status: int = HTTPStatus.OK) -> web.Response:
    headers = {"Content-Security-Policy": console.security_policy(), "Cache-Control": "no-store"}
    return web.Response(status=status, text=page, content_type="text/html", headers=headers)
