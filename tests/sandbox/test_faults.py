"""Faults: armed, matched, acted out."""

import asyncio
import json

import aiohttp
import pytest
from aiohttp.test_utils import make_mocked_request

from paycollect.sandbox import (
    Fault,
    Faults,
    Sandbox,
    delay,
    drop_after_commit,
    drop_before_commit,
    duplicated,
    lost_scopes,
    malformed_json,
    respond,
    slow_body,
    token_expired,
    token_revoked,
    truncate,
)
from paycollect.sandbox.faults import FAULTS, build
from paycollect.sandbox.http.api import HttpExchange
from tests.sandbox.conftest import ORDER, Caller, until


@pytest.mark.parametrize(
    ("target", "name", "matches"),
    [
        ("POST /collections", "POST /collections", True),
        ("POST /collections", "GET /collections", False),
        ("POST /collections", "POST /collections/SCI1/refund", False),
        ("GET /collections/{id}", "GET /collections/SCI1", True),
        ("GET /collections/{id}", "GET /collections/SCI1/x", False),
        ("GET /collections/SCI1", "GET /collections/SCI1", True),
        ("POST /collections/{id}/refund", "POST /collections/SCI1/refund", True),
        ("* /auth/token", "POST /auth/token", True),
        ("GET *", "GET /account/pricing", True),
        ("* *", "POST /auth/revoke", True),
        ("* *", "webhook collection.received", False),
        ("webhook", "webhook collection.received", True),
        ("webhook", "POST /webhooks/test", False),
        ("webhook refund.completed", "webhook collection.received", False),
        ("webhook refund.completed", "webhook refund.completed", True),
    ],
)
def test_a_target_says_what_it_is_for(target: str, name: str, matches: bool) -> None:
    """A method and a path with placeholders, or webhooks by their event."""
    faults = Faults()
    faults.next(target, duplicated() if target.startswith("webhook") else truncate())
    assert (faults.take(name) is not None) is matches


def test_faults_are_used_up_in_order() -> None:
    """One for each request that matches."""
    faults = Faults()
    faults.next("POST /collections", respond(503), respond(500))
    assert [faults.take("POST /collections") for _ in range(3)] == [
        respond(503),
        respond(500),
        None,
    ]


def test_a_fault_can_be_there_always() -> None:
    """Until it is cleared."""
    faults = Faults()
    faults.always("* *", truncate())
    assert faults.take("GET /refunds") == faults.take("GET /refunds") == truncate()
    faults.clear()
    assert faults.take("GET /refunds") is None


def test_one_fault_can_be_disarmed() -> None:
    """By its number; the others stay."""
    faults = Faults()
    faults.next("* *", truncate(), malformed_json())
    faults.clear(faults.armed[0].number)
    assert [armed.fault for armed in faults.armed] == [malformed_json()]


@pytest.mark.parametrize("target", ["", "collections", "PATCH /collections", "POST collections"])
def test_a_target_that_is_none_is_refused(target: str) -> None:
    """Rather than never matching."""
    with pytest.raises(ValueError, match="target"):
        Faults().next(target, truncate())


@pytest.mark.parametrize(
    ("target", "fault"), [("webhook", truncate()), ("POST /collections", duplicated())]
)
def test_a_fault_must_fit_its_target(target: str, fault: Fault) -> None:
    """Requests and webhooks have their own faults."""
    with pytest.raises(ValueError, match="cannot be armed"):
        Faults().always(target, fault)


@pytest.mark.parametrize("seconds", [-1, float("nan"), 1e9])
def test_seconds_have_limits(seconds: float) -> None:
    """A fault must end some day."""
    with pytest.raises(ValueError, match="seconds"):
        delay(seconds)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("nonsense", {}),
        ("delay", {}),
        ("delay", {"seconds": "soon"}),
        ("truncate", {"seconds": 1}),
        ("respond", {"status": 99}),
        ("respond", {"status": 500, "headers": {"X": "a\r\nb"}}),
        ("respond", {"status": 500, "headers": {"bad name": "x"}}),
        ("respond", {"status": 500, "headers": ["Retry-After"]}),
        ("respond", {"status": 500, "headers": {"X": 5}}),
        ("respond", {"status": 500, "code": 5}),
        ("respond", {"status": 500, "body": {}}),
        ("stray_answer", {"status": 600}),
        ("stray_answer", {"body": 5}),
        ("gateway_page", {"status": 100}),
        ("stale_reads", {"seconds": -1}),
    ],
)
def test_wrong_options_are_refused(name: str, options: dict[str, object]) -> None:
    """With a ValueError, whatever was wrong."""
    with pytest.raises(ValueError, match=r"."):
        build(name, options)


def test_every_fault_can_be_built_by_name() -> None:
    """With the options that it needs."""
    needed = {
        "delay": {"seconds": 1},
        "slow_body": {"seconds": 1},
        "stale_reads": {"seconds": 1},
        "respond": {"status": 503},
    }
    assert [build(name, needed.get(name, {})).kind for name in FAULTS] == list(FAULTS)


def test_a_fault_describes_itself() -> None:
    """As one would have written it, about."""
    fault = respond(429, {"Retry-After": "2"}, code="RATE_LIMIT_EXCEEDED")
    assert str(fault) == "respond(429, Retry-After: 2, RATE_LIMIT_EXCEEDED)"
    assert str(delay(5)) == "delay(5 s)"
    assert len(str(respond(502, body="<p>" * 1000))) < 100


async def test_a_dropped_request_was_never_worked_on(call: Caller, sandbox: Sandbox) -> None:
    """Nothing is created, and no answer comes."""
    await call("GET", "/refunds")
    sandbox.faults.next("POST /collections", drop_before_commit())
    with pytest.raises(aiohttp.ClientError):
        await call("POST", "/collections", ORDER)
    assert sandbox.collections == []
    assert (sandbox.requests[-1].status, sandbox.requests[-1].fault) == (None, "drop_before_commit")


async def test_a_dropped_answer_hides_what_was_done(call: Caller, sandbox: Sandbox) -> None:
    """The collection is there; repeating the create is a conflict."""
    await call("GET", "/refunds")
    sandbox.faults.next("POST /collections", drop_after_commit())
    with pytest.raises(aiohttp.ClientError):
        await call("POST", "/collections", ORDER)
    assert len(sandbox.collections) == 1
    assert sandbox.requests[-1].status is None
    assert (await call("POST", "/collections", ORDER)).status == 409


async def test_an_answer_can_be_cut_short(call: Caller, sandbox: Sandbox) -> None:
    """Its head promises more than comes."""
    sandbox.faults.next("POST /collections", truncate())
    with pytest.raises(aiohttp.ClientPayloadError):
        await call("POST", "/collections", ORDER)
    assert len(sandbox.collections) == 1


async def test_an_answer_can_be_malformed(call: Caller, sandbox: Sandbox) -> None:
    """A complete answer of half a document."""
    sandbox.faults.next("POST /collections", malformed_json())
    reply = await call("POST", "/collections", ORDER)
    assert reply.status == 201
    with pytest.raises(json.JSONDecodeError):
        _ = reply.json


async def test_a_status_can_be_prescribed(call: Caller, sandbox: Sandbox) -> None:
    """With headers; nothing is done; the code is the documented one."""
    sandbox.faults.next("POST /collections", respond(429, {"Retry-After": "2"}))
    reply = await call("POST", "/collections", ORDER)
    assert (reply.status, reply.headers["Retry-After"]) == (429, "2")
    assert reply.code == "RATE_LIMIT_EXCEEDED"
    assert sandbox.collections == []
    assert sandbox.requests[-1].status == 429


async def test_a_code_and_a_body_can_be_prescribed(call: Caller, sandbox: Sandbox) -> None:
    """Such as those of a proxy in between."""
    sandbox.faults.next("* *", respond(403, code="AUTH_APP_INACTIVE"))
    assert (await call.authenticate()).code == "AUTH_APP_INACTIVE"
    page = respond(599, {"Content-Type": "text/html"}, body="<h1>Bad gateway</h1>")
    sandbox.faults.next("* *", page)
    reply = await call("GET", "/refunds", token="x")
    assert (reply.status, reply.text) == (599, "<h1>Bad gateway</h1>")
    assert reply.headers["Content-Type"] == "text/html"


async def test_a_request_can_be_delayed(call: Caller, sandbox: Sandbox) -> None:
    """On the sandbox's clock: moving it lets the request go on."""
    await call("GET", "/refunds")
    sandbox.faults.next("POST /collections", delay(30))
    request = asyncio.create_task(call("POST", "/collections", ORDER))
    await until(lambda: len(sandbox.requests) == 3)
    assert sandbox.collections == []
    sandbox.clock.advance(30)
    assert (await request).status == 201


async def test_a_body_can_trickle(call: Caller, sandbox: Sandbox) -> None:
    """It is complete in the end."""
    await call("GET", "/refunds")
    sandbox.faults.next("POST /collections", slow_body(8))
    request = asyncio.create_task(call("POST", "/collections", ORDER))
    while not request.done():
        sandbox.clock.advance(0.5)
        await asyncio.sleep(0.001)
    assert (await request).data["status"] == "PENDING"


@pytest.mark.parametrize("fault", [token_revoked(), token_expired()])
async def test_a_token_can_die_under_a_request(
    call: Caller, sandbox: Sandbox, fault: Fault
) -> None:
    """The next token is a good one."""
    await call("GET", "/refunds")
    sandbox.faults.next("POST /collections", fault)
    assert (await call("POST", "/collections", ORDER)).code == "AUTH_TOKEN_INVALID"
    call.token = None
    assert (await call("POST", "/collections", ORDER)).status == 201


async def test_an_expired_token_can_still_be_refreshed(call: Caller, sandbox: Sandbox) -> None:
    """Unlike a revoked one."""
    await call("GET", "/refunds")
    sandbox.faults.next("GET /refunds", token_expired())
    await call("GET", "/refunds")
    assert (await call("POST", "/auth/refresh")).status == 200


async def test_a_token_can_lose_its_scopes(call: Caller, sandbox: Sandbox) -> None:
    """The one that a request carries, or the one that is issued by a refresh."""
    await call("GET", "/refunds")
    sandbox.faults.next("POST /auth/refresh", lost_scopes())
    assert (await call("POST", "/auth/refresh")).data["scopes"] == []
    sandbox.faults.next("GET /refunds", lost_scopes())
    assert (await call("GET", "/refunds")).code == "AUTH_SCOPE_DENIED"


@pytest.mark.parametrize("fault", [token_revoked(), token_expired(), lost_scopes()])
async def test_a_fault_for_a_token_that_is_none_changes_nothing(
    call: Caller, sandbox: Sandbox, fault: Fault
) -> None:
    """The request is refused for its own reason."""
    sandbox.faults.next("* *", fault)
    assert (await call("GET", "/refunds", token="unknown")).code == "AUTH_TOKEN_INVALID"


async def test_a_client_that_has_gone_is_not_missed(call: Caller, sandbox: Sandbox) -> None:
    """Cutting a connection that the client has closed before is harmless."""
    await call("GET", "/refunds")
    request = make_mocked_request("GET", "/")
    request._protocol.transport = None
    assert request.transport is None
    HttpExchange(sandbox._parts, request, b"", sandbox.requests[0]).cut()
