"""Answers that are not the provider's "yes" or "no": nothing is learnt from them."""

from __future__ import annotations

from typing import Any

import pytest

from paycollect import (
    ApiError,
    AuthenticationError,
    DecodeError,
    NotFoundError,
    Outcome,
    PayCollectError,
    PermissionDeniedError,
    RateLimitError,
    RetryPolicy,
    SessionManager,
)
from tests.provider import faults
from tests.provider.clocks import FakeClock
from tests.provider.fixtures import MakeManager
from tests.provider.messages import Reply, failure, success
from tests.provider.server import Exchange, Fault, Provider

ONCE = RetryPolicy(max_retries=0)
CREATE = "POST /collections"
GET = "GET /collections/{id}"
TOKEN = "POST /auth/token"
PAGE = b"<html><title>nginx</title></html>"
FOREIGN: dict[str, Fault] = {
    "404 as HTML": faults.text(404, PAGE),
    "404, empty": faults.text(404, b""),
    "404 of another API": faults.answers(Reply(404, {"message": "no Route matched"})),
    "403 of a firewall": faults.text(403, PAGE),
    "400": faults.text(400, b"Bad Request"),
    "402": faults.text(402, b""),
    "409": faults.answers(Reply(409, {"error": "conflict"})),
    "422": faults.answers(Reply(422, {"detail": []})),
    "429": faults.text(429, PAGE),
    "499": faults.text(499, b""),
    "maintenance": faults.text(200, PAGE),
    "success null": faults.answers(Reply(200, {"success": None, "data": {}})),
    "success 0": faults.answers(Reply(200, {"success": 0, "data": {}})),
    "success 1": faults.answers(Reply(200, {"success": 1, "data": {}})),
    "success as text": faults.answers(Reply(201, {"success": "false", "data": {}})),
    "success missing": faults.answers(Reply(201, {"data": {}})),
    "success under 404": faults.answers(Reply(404, {"success": True, "data": {}})),
}


async def create(pay: SessionManager, **options: Any) -> object:
    """Create the order of this file."""
    return await pay.create_checkout(amount=5, order_id="INV-1", description="d", **options)


@pytest.mark.parametrize("fault", FOREIGN.values(), ids=FOREIGN)
async def test_a_foreign_answer_tells_nothing(
    pay: SessionManager, provider: Provider, fault: Fault
) -> None:
    """What a gateway says to a create leaves open what became of it, and may be tried again."""
    provider.always(CREATE, fault)
    with pytest.raises(PayCollectError) as caught:
        await create(pay)
    assert (caught.value.outcome, caught.value.is_retryable) == (Outcome.UNKNOWN, True)
    assert provider.count(CREATE) == 4


@pytest.mark.parametrize("fault", FOREIGN.values(), ids=FOREIGN)
async def test_a_foreign_answer_is_not_not_found(
    pay: SessionManager, provider: Provider, fault: Fault
) -> None:
    """What a gateway says to a read is never "there is no such collection", and is asked again."""
    provider.always(GET, fault)
    with pytest.raises((ApiError, DecodeError)) as caught:
        await pay.get_collection("SCI1")
    assert not isinstance(caught.value, (NotFoundError, PermissionDeniedError))
    assert caught.value.is_retryable
    provider.always(GET, None)
    provider.add_order("INV-1")
    provider.script(GET, fault)
    assert (await pay.get_collection("SCI0001")).order_id == "INV-1"


async def test_a_foreign_answer_keeps_its_status(pay: SessionManager, provider: Provider) -> None:
    """The error of a gateway's page tells the status, and where to look for the cause."""
    provider.always(GET, faults.text(404, PAGE, X_Request_Id="gw-1"))
    with pytest.raises(ApiError, match="base_url") as caught:
        await pay.get_collection("SCI1", retry=ONCE)
    assert (caught.value.status, caught.value.request_id) == (404, "gw-1")
    assert "nginx" not in str(caught.value)


async def test_a_foreign_wait_is_kept(
    pay: SessionManager, provider: Provider, clock: FakeClock
) -> None:
    """A gateway that asks for a pause gets it."""
    provider.script(GET, faults.text(429, PAGE, Retry_After="9"))
    provider.add_order("INV-1")
    await pay.get_collection("SCI0001")
    assert clock.sleeps == [9.0]
    provider.always(GET, faults.text(429, PAGE, Retry_After="40"))
    with pytest.raises(RateLimitError) as caught:
        await pay.get_collection("SCI0001")
    assert caught.value.retry_after == 40


@pytest.mark.parametrize("code", ["", "ROUTE_NOT_FOUND"])
async def test_only_the_resource_is_not_found(
    pay: SessionManager, provider: Provider, code: str
) -> None:
    """A 404 of the provider's own without RESOURCE_NOT_FOUND is about the path, not the record."""
    provider.always(GET, faults.says(404, code))
    with pytest.raises(ApiError) as caught:
        await pay.get_collection("SCI1")
    assert not isinstance(caught.value, NotFoundError)
    assert caught.value.status == 404


async def test_not_found_is_said_by_the_provider(pay: SessionManager, provider: Provider) -> None:
    """The provider's own 404 with RESOURCE_NOT_FOUND is a NotFoundError, at once."""
    with pytest.raises(NotFoundError):
        await pay.get_collection("SCI1")
    assert provider.count(GET) == 1


@pytest.mark.parametrize(
    "fault", [faults.text(404, PAGE), faults.says(404, "RESOURCE_NOT_FOUND")], ids=["HTML", "own"]
)
async def test_a_404_of_the_token_is_not_about_the_record(
    pay: SessionManager, provider: Provider, fault: Fault
) -> None:
    """Where the token endpoint is not found, nothing is known of the collection that was asked for."""
    provider.always(TOKEN, fault)
    with pytest.raises(ApiError) as caught:
        await pay.get_collection("SCI1")
    assert not isinstance(caught.value, NotFoundError)
    assert (caught.value.is_retryable, caught.value.outcome) == (True, Outcome.NOT_SENT)
    assert provider.count(TOKEN) == 1


async def test_a_401_of_a_gateway(pay: SessionManager, provider: Provider) -> None:
    """A gateway's 401 may be about the token: it is replaced once, and then nothing is known."""
    await pay.list_collections()
    provider.always(CREATE, faults.text(401, PAGE))
    with pytest.raises(AuthenticationError) as caught:
        await create(pay)
    assert (caught.value.outcome, caught.value.is_retryable) == (Outcome.UNKNOWN, True)
    assert (provider.count(TOKEN), provider.count(CREATE)) == (2, 2)


async def test_a_401_of_a_gateway_repeats_no_payout(
    pay: SessionManager, provider: Provider
) -> None:
    """A request that must not be repeated blindly is not repeated after a gateway's 401."""
    provider.always("POST /payouts", faults.text(401, PAGE))
    with pytest.raises(AuthenticationError) as caught:
        await pay.request("POST", "/payouts")
    assert (caught.value.outcome, provider.count("POST /payouts")) == (Outcome.UNKNOWN, 1)


@pytest.mark.parametrize("status", [301, 302, 303, 307])
@pytest.mark.parametrize("own", [False, True], ids=["foreign", "own"])
async def test_a_redirected_create_may_have_taken_effect(
    pay: SessionManager, provider: Provider, status: int, own: bool
) -> None:
    """What is neither a yes nor a no leaves the outcome open; a redirect is not asked again."""
    reply = failure(status, "VALIDATION_ERROR")
    fault = faults.answers(reply) if own else faults.text(status, b"", Location="/x")
    provider.always(CREATE, fault)
    with pytest.raises(ApiError) as caught:
        await create(pay)
    assert (caught.value.outcome, provider.count(CREATE)) == (Outcome.UNKNOWN, 1)


async def test_a_refusal_is_the_providers(pay: SessionManager, provider: Provider) -> None:
    """A 4xx in the provider's own form is a refusal: nothing happened."""
    provider.always(CREATE, faults.says(499))
    with pytest.raises(ApiError) as caught:
        await create(pay)
    assert (caught.value.outcome, provider.count(CREATE)) == (Outcome.REJECTED, 1)


@pytest.mark.parametrize(
    "id_",
    ["", " ", "../../auth/revoke", "a/b", "a?b", "a#b", "a b", "a\r\nb", "a\x00", "..", "a\\b", "x" * 129, "a\u202eb"],
)  # fmt: skip
async def test_an_id_that_could_not_stand_in_a_path(
    make: MakeManager, provider: Provider, id_: str
) -> None:
    """A checkout under an id that could not be asked for later is no checkout."""

    async def renamed(exchange: Exchange) -> None:
        reply = exchange.commit()
        assert isinstance(reply.document, dict)
        reply.document["data"]["collectionId"] = id_
        await exchange.send(reply)

    provider.script(CREATE, renamed)
    with pytest.raises(DecodeError) as caught:
        await create(make(), retry=ONCE)
    assert (caught.value.path, caught.value.outcome) == ("data.collectionId", Outcome.UNKNOWN)


async def test_a_read_has_no_effect(pay: SessionManager, provider: Provider) -> None:
    """However a read fails, its error does not say that it may have taken effect."""
    for fault in (faults.silent, faults.dropped_before_commit, faults.text(200, PAGE)):
        provider.always(GET, fault)
        with pytest.raises(PayCollectError) as caught:
            await pay.get_collection("SCI1", timeout=0.05)
        assert "taken effect" not in str(caught.value)
        assert caught.value.outcome is not Outcome.UNKNOWN
        assert caught.value.attempts == 4


async def test_the_look_up_of_a_lost_create_is_part_of_it(
    pay: SessionManager, provider: Provider
) -> None:
    """Where a create may have taken effect, the failing look-up says so, too."""
    provider.script(CREATE, faults.lost_after_commit)
    provider.always("GET /collections", faults.says(403, "AUTH_SCOPE_DENIED"))
    with pytest.raises(PermissionDeniedError) as caught:
        await create(pay)
    assert caught.value.outcome is Outcome.UNKNOWN


@pytest.mark.parametrize(
    "order_id", [" A", "A ", "\tA", "A\n", "A\u00a0", "A\u200bB", "A\x00B", " "]
)
async def test_an_order_id_that_may_be_trimmed(
    pay: SessionManager, provider: Provider, order_id: str
) -> None:
    """An order id that the provider might trim or clean is refused, and nothing is sent."""
    for call in (
        lambda: pay.create_checkout(amount=5, order_id=order_id, description="d"),
        lambda: pay.find_by_order_id(order_id),
    ):
        with pytest.raises(ValueError, match=r"^order_id: "):
            await call()
    assert provider.requests == []


async def test_ping(pay: SessionManager, provider: Provider) -> None:
    """A health check needs a token and an answer, whatever the answer holds."""
    provider.script("GET /refunds/reasons", faults.answers(success("anything")))
    assert await pay.ping() is None  # type: ignore[func-returns-value]  # that there is none
    assert [request.key for request in provider.requests] == [TOKEN, "GET /refunds/reasons"]
    provider.always("GET /refunds/reasons", faults.says(500))
    with pytest.raises(ApiError):
        await pay.ping(retry=ONCE)
