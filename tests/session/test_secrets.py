"""Nothing secret or personal is shown: not in repr, text, log, warning or traceback."""

from __future__ import annotations

import asyncio
import inspect
import logging
import re
import traceback
from collections.abc import Awaitable, Iterator
from typing import Any

import attrs
import pytest

from paycollect import PayCollectError, RetryPolicy, SessionManager, models
from paycollect.errors import ApiError, DecodeError
from tests.provider import faults
from tests.provider.fixtures import MakeManager
from tests.provider.messages import SECRET_KEY, Json, failure, success
from tests.provider.server import Exchange, Fault, Provider

EMAIL = "alice.payer@example.com"
NOTE = "private-metadata-value"
DESCRIPTION = "private-description"
GET = "GET /collections/{id}"
LIST = "GET /collections"
CREATE = "POST /collections"
ONCE = RetryPolicy(max_retries=0)


def chain(error: BaseException | None, seen: set[int] | None = None) -> Iterator[BaseException]:
    """Go through an error and all errors behind it."""
    seen = set() if seen is None else seen
    if error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        yield from chain(error.__cause__, seen)
        yield from chain(error.__context__, seen)


def shown(error: BaseException) -> str:
    """Give all that an error can show of itself, and of the errors behind it."""
    parts = ["".join(traceback.format_exception(error))]
    for one in chain(error):
        parts += [str(one), repr(one), repr(one.args), repr(vars(one))]
    return "\n".join(parts)


def secrets(provider: Provider) -> list[str]:
    """Give all that must not be shown."""
    tokens = [f"tok-{provider.port}-{number:04}" for number in range(1, provider.issued + 1)]
    return [SECRET_KEY, EMAIL, NOTE, DESCRIPTION, *tokens]


def echo(status: int, place: str = "message") -> Fault:
    """Answer with an error that repeats what was sent in confidence, at some place of it."""

    async def fault(exchange: Exchange) -> None:
        secret = exchange.request.bearer or SECRET_KEY
        told = f"{exchange.request.headers} {secret} {SECRET_KEY} {EMAIL}"
        reply = failure(status)
        assert isinstance(reply.document, dict)
        places: dict[str, Json] = {
            "message": {"message": told, "error": {"code": told, "detail": told}},
            "value": {"errors": {"amount": [told, secret], "orderId": secret}},
            "field": {"errors": [{"field": secret, "message": told}]},
            "mapping": {"errors": {secret: ["No."], told: "No."}},
            "code": {"code": secret, "error": None},
            "id": {"meta": {"requestId": secret}},
            "header": {"meta": None},
        }
        reply.document |= places[place]
        if place == "header":
            reply.headers["X-Request-Id"] = secret
        await exchange.send(reply)

    return fault


TROUBLE: dict[str, Fault] = {
    **{f"echo {status}": echo(status) for status in (200, 400, 401, 404, 409, 429, 500, 503)},
    "echo as value": echo(422, "value"),
    "echo as code": echo(422, "code"),
    "echo as field": echo(422, "field"),
    "echo as mapping": echo(422, "mapping"),
    "echo as id": echo(422, "id"),
    "echo in header": echo(422, "header"),
    "HTML with an address": faults.text(200, f"<p>{EMAIL}</p>".encode()),
    "personal data of a wrong type": faults.answers(success({"amount": EMAIL, "payer": EMAIL})),
    "missing fields": faults.answers(success({"payer": {"email": EMAIL}})),
    "truncated": faults.answers(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n" + EMAIL.encode()),
    "not HTTP": faults.answers(EMAIL.encode() + b"\r\n\r\n"),
    "bad header": faults.answers(b"HTTP/1.1 200 OK\r\n" + EMAIL.encode() + b"\r\n\r\n"),
    "reset": faults.dropped_before_commit,
    "silent": faults.silent,
    "redirect": faults.text(307, b"", Location="http://127.0.0.1:1/"),
}


@pytest.mark.parametrize("fault", TROUBLE.values(), ids=TROUBLE)
@pytest.mark.parametrize("key", ["POST /auth/token", LIST, CREATE])
async def test_no_failure_shows_a_secret(
    make: MakeManager,
    provider: Provider,
    caplog: pytest.LogCaptureFixture,
    fault: Fault,
    key: str,
) -> None:
    """However a call fails, its error with all behind it, and the log, show nothing secret."""
    caplog.set_level(logging.DEBUG)
    pay = make(timeout=0.05, retry=ONCE)
    provider.always(key, fault)
    call: Awaitable[object] = (
        pay.list_collections()
        if key == LIST
        else pay.create_checkout(
            amount=5, order_id="INV-1", description=DESCRIPTION, metadata={"n": NOTE}
        )
    )
    with pytest.raises(PayCollectError) as caught:
        await call
    text = shown(caught.value) + caplog.text + repr(pay)
    for secret in secrets(provider):
        assert secret not in text


@pytest.mark.parametrize("fault", TROUBLE.values(), ids=TROUBLE)
async def test_no_foreign_error_is_behind_ours(
    make: MakeManager, provider: Provider, fault: Fault
) -> None:
    """No error of another library hangs behind ours, as theirs carry headers and bodies."""
    provider.always(LIST, fault)
    with pytest.raises(PayCollectError) as caught:
        await make(timeout=0.05, retry=ONCE).list_collections()
    assert {type(one).__module__ for one in chain(caught.value)} == {"paycollect.errors"}


async def test_a_full_flow_logs_nothing_secret(
    make: MakeManager, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    """A full flow with failures, logged at DEBUG, shows nothing secret, and its values neither."""
    caplog.set_level(logging.DEBUG)
    pay = make(revoke_on_close=True)
    values: list[Any] = [pay]
    provider.script(CREATE, faults.lost_after_commit)
    values.append(
        await pay.create_checkout(
            amount=5, order_id="INV-1", description=DESCRIPTION, metadata={"note": NOTE}
        )
    )
    provider.orders["INV-1"] |= {
        "payer": {"name": "Alice Payer", "email": EMAIL},
        "metadata": {"note": NOTE},
        "description": DESCRIPTION,
        "status": "COMPLETED",
    }
    provider.script(GET, faults.says(503, message=f"no {EMAIL}"), faults.says(401))
    values.append(await pay.get_collection("SCI0001"))
    values.append(await pay.list_collections())
    values.append(await pay.confirm("SCI0001", expected_amount=5))
    values.append(await pay.create_refund("SCI0001"))
    with pytest.raises(PayCollectError) as caught:
        await pay.create_refund("SCI0001")
    await pay.aclose()
    text = "\n".join([caplog.text, shown(caught.value), *map(repr, values)])
    for secret in (*secrets(provider), "Alice"):
        assert secret not in text
    assert len(caplog.records) > 10


LINE = re.compile(
    r"(GET|POST|PUT) (/[a-z/{}]*): (HTTP \d{3}|\w+Error), request (\S+), \d+ ms, attempt (\d+)(: .*)?"
)


async def test_one_line_for_each_attempt(
    make: MakeManager, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    """Each attempt is one line: method, path template, status, request id, duration, number."""
    caplog.set_level(logging.DEBUG, "paycollect")
    report = faults.answers(success({"event": "x", "delivered": True}))
    provider.script("POST /webhooks/test", faults.says(503), faults.dropped_before_commit, report)
    pay = make()
    await pay.list_collections()
    await pay.send_test_webhook("x")
    lines = [match for record in caplog.records if (match := LINE.fullmatch(record.getMessage()))]
    assert [line.groups()[:5] for line in lines] == [
        ("POST", "/auth/token", "HTTP 200", "req_ok1", "1"),
        ("GET", "/collections", "HTTP 200", "req_ok1", "1"),
        ("POST", "/webhooks/test", "HTTP 503", "req_bad1", "1"),
        ("POST", "/webhooks/test", "ResponseLostError", "None", "2"),
        ("POST", "/webhooks/test", "HTTP 200", "req_ok1", "3"),
    ]


async def test_ids_are_not_in_the_log(
    make: MakeManager, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    """The log shows the template of a path, and neither ids nor filters."""
    caplog.set_level(logging.DEBUG, "paycollect")
    provider.add_order("INV-PRIVATE", status="COMPLETED")
    pay = make()
    await pay.get_collection("SCI0001")
    await pay.create_refund("SCI0001")
    await pay.list_refunds(collection_id="SCI0001")
    await pay.find_by_order_id("INV-PRIVATE")
    assert "GET /collections/{id}: HTTP 200" in caplog.text
    assert "POST /collections/{id}/refund: HTTP 201" in caplog.text
    assert "SCI0001" not in caplog.text
    assert "INV-PRIVATE" not in caplog.text


async def test_levels_of_the_log(
    make: MakeManager, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    """What went well is DEBUG, what may pass is WARNING; nothing is on another logger."""
    caplog.set_level(logging.DEBUG)
    provider.script(LIST, faults.says(503))
    pay = make()
    await pay.list_collections()
    mine = [record for record in caplog.records if record.name == "paycollect"]
    assert [record.levelname for record in mine] == ["DEBUG", "WARNING", "DEBUG"]
    assert all(record.name in ("paycollect", "asyncio") for record in caplog.records)


async def test_the_request_id_of_a_header(pay: SessionManager, provider: Provider) -> None:
    """Where the body has no request id, that of the header is on the error."""
    provider.always(LIST, faults.text(404, b"<p>", X_Request_Id="req_from_header"))
    with pytest.raises(ApiError) as caught:
        await pay.list_collections()
    assert caught.value.request_id == "req_from_header"


async def test_the_request_id_of_an_odd_answer(pay: SessionManager, provider: Provider) -> None:
    """An answer that cannot be read still has its request id on the error."""
    provider.always(LIST, faults.answers(success({})))
    with pytest.raises(DecodeError) as caught:
        await pay.list_collections()
    assert caught.value.request_id == "req_ok1"
    assert "request req_ok1" in str(caught.value)


async def test_values_may_be_logged(make: MakeManager, provider: Provider) -> None:
    """The repr of every value is short and shows no personal data."""
    provider.add_order(
        "INV-1",
        status="COMPLETED",
        description=DESCRIPTION,
        metadata={"a": NOTE},
        payer={"name": "Alice", "email": EMAIL, "phone": "+12025550100", "clientId": "C-PRIVATE"},
        callbackUrl=f"https://shop.example/?mail={EMAIL}",
    )
    pay = make()
    values = [
        await pay.get_collection("SCI0001"),
        (await pay.get_collection("SCI0001")).payer,
        (await pay.get_collection("SCI0001")).metadata,
        await pay.list_collections(),
        await pay.create_refund("SCI0001"),
        await pay.list_refunds(),
    ]
    for value in values:
        assert len(repr(value)) < 220
        for private in (EMAIL, "Alice", NOTE, DESCRIPTION, "+1202", "C-PRIVATE"):
            assert private not in repr(value)


def test_values_are_frozen() -> None:
    """No value can be changed after it was made, nor given a new attribute."""
    for kind in vars(models).values():
        if inspect.isclass(kind) and attrs.has(kind):
            one = kind.__new__(kind)
            for name in (attrs.fields(kind)[0].name, "brand_new"):
                with pytest.raises((attrs.exceptions.FrozenInstanceError, AttributeError)):
                    setattr(one, name, 0)


async def test_a_warning_of_a_lost_task_is_never_needed(
    make: MakeManager, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    """A request for a token that nobody waits for any more fails without a word of asyncio's."""
    pay = make(clock=None)
    provider.script("POST /auth/token", faults.says(503))
    call = asyncio.create_task(pay.list_collections())
    await asyncio.sleep(0)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    await provider.received("POST /auth/token", 1)
    await asyncio.sleep(0.01)
    assert not [record for record in caplog.records if record.name == "asyncio"]
