"""Answers that no provider should give: each ends in one of our errors, in time, without a leak."""

from __future__ import annotations

import asyncio
import resource
import time

import pytest

from paycollect import (
    ApiError,
    AuthenticationError,
    Checkout,
    DecodeError,
    Outcome,
    PayCollectError,
    ResponseLostError,
    RetryPolicy,
    ServerError,
    SessionManager,
)
from tests.provider import faults
from tests.provider.fixtures import MakeManager
from tests.provider.messages import Reply, success
from tests.provider.server import Exchange, Fault, Provider

ONCE = RetryPolicy(max_retries=0)
GET = "GET /collections/{id}"
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
JSON = "application/json"
NAN = b'{"success":true,"data":{"collectionId":"SCI1","amount":%s,"currency":"USD","status":"X"}}'


def json(body: bytes) -> Fault:
    """Answer 200 with this body."""
    return faults.text(200, body, JSON)


def told(document: object, status: int = 200) -> Fault:
    """Answer with this document."""
    return faults.answers(Reply(status, document))


HOSTILE: dict[str, tuple[Fault, type[PayCollectError]]] = {
    # bodies
    "HTML": (faults.text(200, b"<html><body>Maintenance</body></html>"), DecodeError),
    "empty": (json(b""), DecodeError),
    "204": (faults.text(204, b""), DecodeError),
    "invalid JSON": (json(b'{"success": tru'), DecodeError),
    "two documents": (json(b'{"success":true,"data":{}}{"x":1}'), DecodeError),
    "BOM": (json(b"\xef\xbb\xbf" + b'{"success":true,"data":{}}'), DecodeError),
    "UTF-16": (json('{"success":true,"data":{}}'.encode("utf-16")), DecodeError),
    "not UTF-8": (json(b'{"success":true,"data":"\xff"}'), DecodeError),
    "NaN": (json(NAN % b"NaN"), DecodeError),
    "Infinity": (json(NAN % b"-Infinity"), DecodeError),
    "1e999999": (json(NAN % b"1e999999"), DecodeError),
    "1e(20 digits)": (json(NAN % b"1e99999999999999999999"), DecodeError),
    "a million digits": (json(NAN % (b"9" * 1_000_000)), DecodeError),
    "a million decimals": (json(NAN % (b"1." + b"9" * 1_000_000)), DecodeError),
    "deep": (
        json(b'{"success":true,"data":' + b"[" * 200_000 + b"]" * 200_000 + b"}"),
        DecodeError,
    ),
    "an array": (json(b"[]"), DecodeError),
    "a number": (json(b"5"), DecodeError),
    "no data": (json(b'{"success":true}'), DecodeError),
    "data as text": (json(b'{"success":true,"data":"x"}'), DecodeError),
    "data as array": (json(b'{"success":true,"data":[1]}'), DecodeError),
    "missing fields": (told({"success": True, "data": {"collectionId": "SCI1"}}), DecodeError),
    # what the envelope says against the HTTP status
    "success: false": (told({"success": False, "message": "No."}), ApiError),
    "success: false, 401": (told({"success": False, "status": 401}), AuthenticationError),
    "success: false, 503": (told({"success": False, "status": 503}), ServerError),
    "success: false, odd": (told({"success": False, "status": "x", "error": 5}), ApiError),
    "500 with success": (told({"success": True, "data": {}}, 500), ServerError),
    "500 with HTML": (faults.text(500, b"<html>"), ServerError),
    "502 empty": (faults.text(502, b""), ServerError),
    "418 with array": (told([1, 2], 418), ApiError),
    "300": (told({}, 300), ApiError),
    # the connection
    "hangs up": (faults.answers(b""), ResponseLostError),
    "resets": (faults.dropped_before_commit, ResponseLostError),
    "not HTTP": (faults.answers(b"220 mail.example ESMTP\r\n\r\n"), ResponseLostError),
    "binary": (faults.answers(bytes(range(256)) * 8), ResponseLostError),
    "half a head": (faults.answers(OK + b"Content-Le"), ResponseLostError),
    "short body": (faults.answers(OK + b"Content-Length: 99\r\n\r\n{"), ResponseLostError),
    "bad length": (faults.answers(OK + b"Content-Length: -5\r\n\r\n{}"), ResponseLostError),
    "two lengths": (
        faults.answers(OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}"),
        ResponseLostError,
    ),
    "garbage chunks": (faults.answers(CHUNKED + b"zz\r\ngarbage\r\n"), ResponseLostError),
    "chunk too short": (faults.answers(CHUNKED + b"ff\r\n{}"), ResponseLostError),
    "no last chunk": (faults.answers(CHUNKED + b"2\r\n{}\r\n"), ResponseLostError),
    "huge header": (faults.answers(OK + b"X: " + b"a" * 70_000 + b"\r\n\r\n"), ResponseLostError),
    "bad gzip": (
        faults.text(200, b"not gzip at all", JSON, Content_Encoding="gzip"),
        ResponseLostError,
    ),
    "cut gzip": (
        faults.text(200, faults.packed(b'{"success":true}')[:-12], JSON, Content_Encoding="gzip"),
        DecodeError,  # aiohttp gives what it could unpack
    ),
}
SLOW: dict[str, tuple[Fault, type[PayCollectError]]] = {
    "never answers": (faults.silent, ResponseLostError),
    "slow head": (faults.drip(OK, b"X-Drip: y\r\n"), ResponseLostError),
    "slow byte by byte": (faults.drip(b"HTTP/1.1 ", b"2"), ResponseLostError),
    "slow body": (faults.drip(OK + b"Content-Length: 100000\r\n\r\n", b" "), ResponseLostError),
    "slow chunks": (faults.drip(CHUNKED, b"1\r\n \r\n"), ResponseLostError),
    "endless 100s": (faults.drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), ResponseLostError),
    "upgrade": (
        faults.answers(b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"),
        PayCollectError,
    ),
}


@pytest.mark.parametrize("name", [*HOSTILE, *SLOW])
async def test_a_hostile_answer(make: MakeManager, provider: Provider, name: str) -> None:
    """An answer that makes no sense is an error of ours in time; the next call is fine."""
    fault, kind = (HOSTILE | SLOW)[name]
    limit = 0.05 if name in SLOW else 5
    provider.add_order("INV-001")
    pay = make(clock=None)
    await pay.list_collections()
    provider.always(GET, fault)
    began = time.monotonic()
    with pytest.raises(kind) as caught:
        await asyncio.wait_for(pay.get_collection("SCI0001", timeout=limit, retry=ONCE), 5)
    assert time.monotonic() - began < 1
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    provider.always(GET, None)
    assert (await pay.get_collection("SCI0001")).order_id == "INV-001"


@pytest.mark.parametrize(("fault", "kind"), HOSTILE.values(), ids=HOSTILE)
async def test_a_hostile_answer_to_a_token_request(
    make: MakeManager, provider: Provider, fault: Fault, kind: type[PayCollectError]
) -> None:
    """The same answers to the request for a token are errors of ours too, and not remembered."""
    pay = make(timeout=5, retry=ONCE)
    provider.script("POST /auth/token", fault)
    with pytest.raises(kind) as caught:
        await asyncio.wait_for(pay.list_collections(), 5)
    assert caught.value.outcome is Outcome.NOT_SENT
    await pay.list_collections()


@pytest.mark.parametrize(("fault", "kind"), SLOW.values(), ids=SLOW)
async def test_a_slow_answer_to_a_token_request(
    make: MakeManager, provider: Provider, fault: Fault, kind: type[PayCollectError]
) -> None:
    """A token endpoint that takes too long holds nobody up for longer than the limit."""
    pay = make(timeout=0.05, retry=ONCE)
    provider.script("POST /auth/token", fault)
    with pytest.raises(kind) as caught:
        await asyncio.wait_for(pay.list_collections(), 5)
    assert caught.value.outcome is Outcome.NOT_SENT


async def test_hostile_answers_leave_no_connection(make: MakeManager, provider: Provider) -> None:
    """After many hostile answers no more connections are open than are of use."""
    pay = make()
    for fault, _ in (HOSTILE | SLOW).values():
        provider.always(GET, fault)
        with pytest.raises(PayCollectError):
            await pay.get_collection("SCI0001", timeout=0.02, retry=ONCE)
    await provider.hung_up(left=1)
    await pay.aclose()
    await provider.hung_up()


async def test_a_hundred_megabytes(make: MakeManager, provider: Provider) -> None:
    """A body beyond all measure is not read to its end."""
    written: list[int] = []
    provider.script(GET, faults.flood(100, written))
    with pytest.raises(DecodeError, match="larger than"):
        await make().get_collection("SCI0001", retry=ONCE)
    await asyncio.sleep(0.01)
    assert sum(written) < 20 * 1024 * 1024


@pytest.mark.parametrize("megabytes", [9, 20, 100])
async def test_a_gzip_bomb(make: MakeManager, provider: Provider, megabytes: int) -> None:
    """A small gzip that unpacks to many megabytes is not unpacked to its end."""
    pay = make()
    await pay.list_collections()
    provider.script(GET, faults.gzip_bomb(megabytes))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DecodeError, match="larger than"):
        await pay.get_collection("SCI0001", retry=ONCE)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024


async def test_a_large_answer_is_read(make: MakeManager, provider: Provider) -> None:
    """An answer of several megabytes, in many pieces, is read whole."""
    pad = "x" * (7 * 1024 * 1024)
    provider.script("GET /account/balance", faults.answers(success(pad)))
    assert await make().request("GET", "/account/balance") == pad


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("key", [GET, "POST /collections", "POST /auth/token"])
async def test_a_redirect_is_never_followed(
    make: MakeManager, provider: Provider, status: int, key: str
) -> None:
    """A redirect to another host is an error: neither token nor secret key is sent there."""
    async with Provider() as elsewhere:
        target = elsewhere.base_url + "/collections/SCI0001"
        provider.script(key, faults.text(status, b"", Location=target))
        pay = make()
        call = (
            pay.get_collection("SCI0001")
            if key == GET
            else pay.create_checkout(amount=5, order_id="INV-001", description="d")
        )
        with pytest.raises(ApiError) as caught:
            await call
        assert caught.value.status == status
        assert not caught.value.is_retryable
        assert elsewhere.connections == 0
        assert (provider.count(key), provider.orders) == (1, {})


async def test_a_stray_answer_on_an_idle_connection(make: MakeManager, provider: Provider) -> None:
    """An answer that nobody asked for, on an idle connection, is not taken for the next one."""
    provider.add_order("INV-001")
    provider.add_order("INV-002")
    pay = make()

    async def twice(exchange: Exchange) -> None:
        reply = exchange.commit().encode()
        await exchange.send(reply + reply)

    provider.script(GET, twice)
    assert (await pay.get_collection("SCI0001")).order_id == "INV-001"
    assert (await pay.get_collection("SCI0002")).order_id == "INV-002"


async def test_a_stray_answer_to_a_create(make: MakeManager, provider: Provider) -> None:
    """A create that reads a stray answer of another create still ends with its own checkout."""
    pay = make()

    async def twice(exchange: Exchange) -> None:
        reply = exchange.commit().encode()
        await exchange.send(reply + reply)

    async def create(order_id: str) -> Checkout:
        return await pay.create_checkout(amount=5, order_id=order_id, description="d")

    provider.script("POST /collections", twice)
    assert (await create("INV-001")).order_id == "INV-001"
    assert (await create("INV-002")).order_id == "INV-002"
    assert list(provider.orders) == ["INV-001", "INV-002"]


@pytest.mark.parametrize(
    "url",
    ["http://checkout.fyatu.com/x", "javascript:alert(1)", "//evil.example", "", "ftp://x/", "https://"],
)  # fmt: skip
async def test_no_customer_is_sent_to_an_insecure_page(
    pay: SessionManager, provider: Provider, url: str
) -> None:
    """A checkout whose URL is not https is refused."""

    async def fault(exchange: Exchange) -> None:
        reply = exchange.commit()
        assert isinstance(reply.document, dict)
        reply.document["data"]["checkoutUrl"] = url
        await exchange.send(reply)

    provider.always("POST /collections", fault)
    with pytest.raises(DecodeError) as caught:
        await pay.create_checkout(amount=5, order_id="INV-001", description="d", retry=ONCE)
    assert caught.value.path == "data.checkoutUrl"
    assert caught.value.outcome is Outcome.UNKNOWN


async def test_unknown_fields_and_states_are_welcome(
    pay: SessionManager, provider: Provider
) -> None:
    """What the provider may add tomorrow breaks nothing today."""
    provider.add_order("INV-001", status="ON_HOLD", risk={"score": 5}, tags=["a"])
    collection = await pay.get_collection("SCI0001")
    assert collection.status == "ON_HOLD"
    assert not collection.status.is_known
    assert not collection.status.is_final


@pytest.mark.parametrize("more", [0, 1])
async def test_the_largest_answer(make: MakeManager, provider: Provider, more: int) -> None:
    """An answer of 8 MiB is read; one byte more, and it is refused."""
    start, end = b'{"success":true,"data":"', b'"}'
    body = start + b"x" * (8 * 1024 * 1024 + more - len(start) - len(end)) + end
    provider.script("GET /x", faults.text(200, body, JSON))
    call = make(retry=ONCE).request("GET", "/x")
    if more:
        with pytest.raises(DecodeError, match="larger than 8388608 bytes"):
            await call
    else:
        assert isinstance(await call, str)
