"""The life of a token, counted in the token requests that the provider saw."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from paycollect import (
    AuthenticationError,
    ConnectError,
    DecodeError,
    NotFoundError,
    Outcome,
    PayCollectError,
    ResponseLostError,
    ServerError,
    SessionManager,
)
from tests.session import faults
from tests.session.clocks import FakeClock
from tests.session.conftest import MakeManager
from tests.session.messages import Json, success
from tests.session.provider import Exchange, Fault, Provider

TOKEN = "POST /auth/token"
REFRESH = "POST /auth/refresh"
LIST = "GET /collections"
DAY = 86400.0


async def many(pay: SessionManager, number: int) -> list[object]:
    """Make many calls at once, and give their results or errors."""
    calls = (pay.list_collections() for _ in range(number))
    return await asyncio.gather(*calls, return_exceptions=True)


async def idle(provider: Provider, key: str, number: int) -> None:
    """Wait until the provider has had a number of requests, and their answers have arrived."""
    await provider.received(key, number)
    flights = [task for task in asyncio.all_tasks() if task.get_name() == "paycollect-token"]
    await asyncio.gather(*flights, return_exceptions=True)


def grant(**changes: object) -> Fault:
    """Answer a request for a token with some fields changed; None takes a field away."""

    async def fault(exchange: Exchange) -> None:
        document: Any = exchange.provider.issue().document
        data: Json = {**document["data"], **changes}
        kept = {name: value for name, value in data.items() if value is not None}
        await exchange.send(success(kept))

    return fault


async def test_one_token_serves_all_calls(pay: SessionManager, provider: Provider) -> None:
    """A token is asked for with the first call and kept for the next ones."""
    for _ in range(3):
        await pay.list_collections()
    assert provider.token_requests == 1


async def test_nothing_is_asked_before_the_first_call(
    pay: SessionManager, provider: Provider
) -> None:
    """A manager that is not used sends nothing."""
    async with pay:
        pass
    assert provider.requests == []


async def test_a_thousand_calls_on_an_expired_token(
    pay: SessionManager, provider: Provider, clock: FakeClock
) -> None:
    """A thousand calls at once on an expired token make one token request."""
    await pay.list_collections()
    clock.advance(DAY + 1000)
    assert not any(isinstance(result, Exception) for result in await many(pay, 1000))
    assert provider.token_requests == 2


async def test_fifty_calls_after_a_revocation(pay: SessionManager, provider: Provider) -> None:
    """Fifty calls whose 401s arrive one after the other make one token request."""
    await pay.list_collections()
    provider.tokens.clear()
    gates = [asyncio.Event() for _ in range(50)]
    provider.script(LIST, *(faults.when(gate, faults.says(401)) for gate in gates))
    calls = asyncio.create_task(many(pay, 50))
    await provider.received(LIST, 51)
    for gate in gates:
        gate.set()
        await asyncio.sleep(0.001)
    assert not any(isinstance(result, Exception) for result in await calls)
    assert provider.token_requests == 2
    assert provider.count(LIST) == 1 + 50 + 50


@pytest.mark.parametrize("status", [500, 503])
async def test_an_outage_is_shared_by_all_who_wait(
    pay: SessionManager, provider: Provider, status: int
) -> None:
    """Twenty calls while the token endpoint fails make one request, and each has its own error."""
    provider.script(TOKEN, faults.says(status))
    results = await many(pay, 20)
    assert all(isinstance(result, ServerError) for result in results)
    assert len({id(result) for result in results}) == 20
    assert provider.count(TOKEN) == 1


async def test_an_outage_is_not_remembered(pay: SessionManager, provider: Provider) -> None:
    """The call after an outage of the token endpoint asks again."""
    provider.script(TOKEN, faults.says(503))
    with pytest.raises(ServerError) as caught:
        await pay.list_collections()
    assert (caught.value.outcome, caught.value.attempts) == (Outcome.NOT_SENT, 0)
    await pay.list_collections()


@pytest.mark.parametrize(
    ("fault", "kind"),
    [(faults.dropped_before_commit, ResponseLostError), (faults.text(200, b"<p>"), DecodeError)],
    ids=["lost", "HTML"],
)
async def test_a_token_that_never_arrives_means_not_sent(
    pay: SessionManager, provider: Provider, fault: Fault, kind: type[PayCollectError]
) -> None:
    """Whatever becomes of the request for a token, the call that needs it was not sent."""
    provider.always(TOKEN, fault)
    with pytest.raises(kind) as caught:
        await pay.list_collections()
    assert caught.value.outcome is Outcome.NOT_SENT


async def test_a_lost_token_answer_is_asked_for_again(
    pay: SessionManager, provider: Provider, clock: FakeClock
) -> None:
    """Where no answer comes from the token endpoint, it is asked again, for all who wait."""
    provider.script(TOKEN, faults.dropped_before_commit)
    assert not any(isinstance(result, Exception) for result in await many(pay, 20))
    assert (provider.count(TOKEN), len(clock.sleeps)) == (2, 1)


async def test_nobody_listens(pay: SessionManager, provider: Provider) -> None:
    """Where the token endpoint cannot be reached, the error is one of connecting."""
    await provider.stop()
    with pytest.raises(ConnectError) as caught:
        await pay.list_collections()
    assert caught.value.outcome is Outcome.NOT_SENT


async def test_refused_credentials_are_raised(pay: SessionManager, provider: Provider) -> None:
    """A refused secret key is told, not tried again, and not remembered."""
    provider.script(TOKEN, faults.says(401, "AUTH_INVALID_CREDENTIALS"))
    with pytest.raises(AuthenticationError) as caught:
        await pay.list_collections()
    assert caught.value.code == "AUTH_INVALID_CREDENTIALS"
    assert provider.count(TOKEN) == 1
    await pay.list_collections()


@pytest.mark.parametrize("status", [400, 401, 403])
async def test_an_inactive_app_is_told(
    pay: SessionManager, provider: Provider, status: int
) -> None:
    """An app that was switched off is a matter of its credentials, under whatever HTTP status."""
    provider.script(TOKEN, faults.says(status, "AUTH_APP_INACTIVE"))
    with pytest.raises(AuthenticationError, match="AUTH_APP_INACTIVE"):
        await pay.list_collections()
    assert provider.count(TOKEN) == 1


@pytest.mark.parametrize("who", ["leader", "waiter"])
async def test_a_cancelled_call_harms_no_other(
    pay: SessionManager, provider: Provider, who: str
) -> None:
    """Cancelling the call that asks for a token, or one that waits for it, harms no other."""
    gate = asyncio.Event()
    provider.script(TOKEN, faults.when(gate, grant()))
    calls = [asyncio.create_task(pay.list_collections()) for _ in range(10)]
    await provider.received(TOKEN, 1)
    victim = calls.pop(0 if who == "leader" else 5)
    victim.cancel()
    with pytest.raises(asyncio.CancelledError):
        await victim
    gate.set()
    await asyncio.gather(*calls)
    assert provider.token_requests == 1


async def test_all_may_be_cancelled(pay: SessionManager, provider: Provider) -> None:
    """Where all who wait for a token are cancelled, the next call finds it there."""
    gate = asyncio.Event()
    provider.script(TOKEN, faults.when(gate, grant()))
    call = asyncio.create_task(pay.list_collections())
    await provider.received(TOKEN, 1)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    gate.set()
    await pay.list_collections()
    assert provider.token_requests == 1


@pytest.mark.parametrize(("left", "renewed"), [(301, 0), (299, 1), (1, 1)])
async def test_renewed_in_the_background(
    pay: SessionManager, provider: Provider, clock: FakeClock, left: float, renewed: int
) -> None:
    """With fewer than five minutes left a token is renewed, once, while it serves on."""
    await pay.list_collections()
    clock.advance(DAY - left)
    gate = asyncio.Event()
    provider.script(REFRESH, faults.when(gate, grant()))
    await many(pay, 20)  # which none of them could end if they waited for the renewal
    assert {request.bearer for request in provider.requests if request.key == LIST} == {
        f"tok-{provider.port}-0001"
    }
    gate.set()
    await idle(provider, REFRESH, renewed)
    await pay.list_collections()
    assert provider.requests[-1].bearer == f"tok-{provider.port}-{1 + renewed:04}"
    assert (provider.count(REFRESH), provider.count(TOKEN)) == (renewed, 1)


async def test_a_background_failure_is_nobodys(
    pay: SessionManager, provider: Provider, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """While a token is valid, no call sees that it could not be renewed; a warning tells it."""
    await pay.list_collections()
    clock.advance(DAY - 200)
    provider.always(REFRESH, faults.says(503))
    provider.always(TOKEN, faults.says(503))
    await pay.list_collections()
    await idle(provider, TOKEN, 2)
    assert not any(isinstance(result, Exception) for result in await many(pay, 20))
    assert (provider.count(REFRESH), provider.count(TOKEN)) == (1, 2)
    assert "not renewed yet, it serves on for 200 s" in caplog.text


async def test_a_failed_renewal_is_tried_again_later(
    pay: SessionManager, provider: Provider, clock: FakeClock
) -> None:
    """Half a minute after a failed renewal the next call starts another one."""
    await pay.list_collections()
    clock.advance(DAY - 200)
    provider.script(REFRESH, faults.says(503))
    provider.script(TOKEN, faults.says(503))
    await pay.list_collections()
    await idle(provider, TOKEN, 2)
    clock.advance(31)
    await pay.list_collections()
    await idle(provider, REFRESH, 2)
    assert provider.count(TOKEN) == 2


@pytest.mark.parametrize(
    "fault",
    [
        faults.says(401, "AUTH_TOKEN_REFRESH_FAILED"),
        faults.says(503),
        faults.text(200, b"<p>"),
        grant(scopes=[]),
        grant(scopes=["collect:read"]),
        grant(scopes=None),
        grant(scopes="collect:write"),
        grant(accessToken=None),
        grant(accessToken="two\r\nlines"),
        grant(expiresIn="86400"),
        grant(expiresIn=True),
        grant(expiresIn=0),
        grant(expiresIn=10**9),
    ],
    ids=[
        "401",
        "503",
        "HTML",
        "no scopes",
        "fewer",
        "absent",
        "text",
        "no token",
        "two lines",
        "life as text",
        "as bool",
        "no life",
        "endless",
    ],
)
async def test_a_bad_renewal_means_authentication(
    pay: SessionManager, provider: Provider, clock: FakeClock, fault: Fault
) -> None:
    """Where renewing fails, or loses scopes, or gives nothing usable, a full token is asked for."""
    await pay.list_collections()
    clock.advance(DAY + 10)
    provider.script(REFRESH, fault)
    await pay.list_collections()
    assert (provider.count(REFRESH), provider.count(TOKEN)) == (1, 2)
    assert provider.requests[-2].key == TOKEN


async def test_more_scopes_are_welcome(
    pay: SessionManager, provider: Provider, clock: FakeClock
) -> None:
    """A renewed token with more scopes than before is kept."""
    await pay.list_collections()
    clock.advance(DAY + 10)
    provider.scopes.append("report:read")
    await pay.list_collections()
    assert (provider.count(REFRESH), provider.count(TOKEN)) == (1, 1)


@pytest.mark.parametrize(
    ("after", "first"), [(1, REFRESH), (299, REFRESH), (301, TOKEN), (9999, TOKEN)]
)
async def test_the_window_for_renewal(
    pay: SessionManager, provider: Provider, clock: FakeClock, after: float, first: str
) -> None:
    """A token is renewed by itself until five minutes after its end, and replaced later."""
    await pay.list_collections()
    clock.advance(DAY + after)
    await pay.list_collections()
    assert [request.key for request in provider.requests[2:]] == [first, LIST]


async def test_a_renewal_carries_the_token_only(
    pay: SessionManager, provider: Provider, clock: FakeClock
) -> None:
    """A renewal sends the present token and no secret key."""
    await pay.list_collections()
    clock.advance(DAY + 10)
    await pay.list_collections()
    request = next(request for request in provider.requests if request.key == REFRESH)
    assert (request.bearer, request.body) == (f"tok-{provider.port}-0001", b"")


async def test_time_counts_from_the_asking(
    pay: SessionManager, provider: Provider, clock: FakeClock
) -> None:
    """The life of a token counts from the moment that it was asked for."""

    async def slow(exchange: Exchange) -> None:
        clock.advance(20)
        await exchange.send(exchange.commit())

    provider.script(TOKEN, slow)
    await pay.list_collections()
    clock.advance(DAY - 10)
    await pay.list_collections()
    assert provider.count(REFRESH) == 1


async def test_the_wall_clock_does_not_matter(
    pay: SessionManager, provider: Provider, clock: FakeClock
) -> None:
    """A wall clock that jumps makes no token older or younger."""
    await pay.list_collections()
    clock.wall += 10 * DAY
    await pay.list_collections()
    clock.wall -= 20 * DAY
    await pay.list_collections()
    assert provider.token_requests == 1


async def test_short_lived_tokens_are_not_renewed_with_every_call(
    pay: SessionManager, provider: Provider, clock: FakeClock
) -> None:
    """A token that lives for two minutes serves for one before it is renewed."""
    provider.lifetime = 120
    await pay.list_collections()
    await pay.list_collections()
    await idle(provider, REFRESH, 1)
    for _ in range(5):
        clock.advance(10)
        await pay.list_collections()
    assert provider.count(REFRESH) == 1
    clock.advance(15)
    await pay.list_collections()
    await idle(provider, REFRESH, 2)


async def test_a_401_is_replayed_at_once(
    pay: SessionManager, provider: Provider, clock: FakeClock
) -> None:
    """A call that a revoked token failed is made again with a new one, without a wait."""
    await pay.list_collections()
    provider.tokens.clear()
    await pay.list_collections()
    assert [request.key for request in provider.requests] == [TOKEN, LIST, LIST, TOKEN, LIST]
    assert clock.sleeps == []


async def test_a_second_401_is_raised(pay: SessionManager, provider: Provider) -> None:
    """A call that is refused with a new token too is refused."""
    provider.always(LIST, faults.says(401, "AUTH_TOKEN_INVALID"))
    with pytest.raises(AuthenticationError) as caught:
        await pay.list_collections()
    assert (caught.value.attempts, caught.value.outcome) == (2, Outcome.REJECTED)
    assert (provider.count(LIST), provider.count(TOKEN)) == (2, 2)


async def test_a_401_does_not_use_up_a_retry(
    pay: SessionManager, provider: Provider, clock: FakeClock
) -> None:
    """The replay after a 401 leaves all retries for other failures."""
    busy = faults.says(503)
    provider.script(LIST, busy, faults.says(401), busy, busy)
    await pay.list_collections()
    assert (provider.count(LIST), len(clock.sleeps)) == (5, 3)


async def test_a_refused_renewal_after_revocation(pay: SessionManager, provider: Provider) -> None:
    """A refused token is never used to renew itself."""
    await pay.list_collections()
    provider.tokens.clear()
    await pay.list_collections()
    assert provider.count(REFRESH) == 0


async def test_revoke_token(pay: SessionManager, provider: Provider) -> None:
    """A revoked token is dead at the provider, and the next call gets another."""
    await pay.list_collections()
    await pay.revoke_token()
    assert provider.tokens == set()
    await pay.list_collections()
    assert [request.key for request in provider.requests[2:]] == ["POST /auth/revoke", TOKEN, LIST]


async def test_nothing_to_revoke(pay: SessionManager, provider: Provider) -> None:
    """Without a token there is nothing to revoke, and nothing is sent."""
    await pay.revoke_token()
    assert provider.requests == []


async def test_revoking_a_dead_token_is_no_error(pay: SessionManager, provider: Provider) -> None:
    """A token that the provider knows no more is as good as revoked."""
    await pay.list_collections()
    provider.tokens.clear()
    await pay.revoke_token()
    await pay.list_collections()
    assert provider.count(TOKEN) == 2


async def test_a_revocation_is_tried_again(
    pay: SessionManager, provider: Provider, clock: FakeClock
) -> None:
    """A revocation whose answer is lost is repeated."""
    await pay.list_collections()
    provider.script("POST /auth/revoke", faults.lost_after_commit)
    await pay.revoke_token()
    assert (provider.count("POST /auth/revoke"), len(clock.sleeps)) == (2, 1)


async def test_a_failed_revocation_keeps_the_token(pay: SessionManager, provider: Provider) -> None:
    """Where a token cannot be revoked, the error tells, and the token serves on."""
    await pay.list_collections()
    provider.always("POST /auth/revoke", faults.says(404))
    with pytest.raises(NotFoundError) as caught:
        await pay.revoke_token()
    assert caught.value.attempts == 1
    await pay.list_collections()
    assert provider.count(TOKEN) == 1


async def test_revoke_on_close(make: MakeManager, provider: Provider) -> None:
    """A manager can be told to make its token invalid when it is closed."""
    async with make(revoke_on_close=True) as pay:
        await pay.list_collections()
    assert provider.tokens == set()


async def test_no_revocation_on_close_by_default(make: MakeManager, provider: Provider) -> None:
    """By default a token outlives its manager."""
    async with make() as pay:
        await pay.list_collections()
    assert len(provider.tokens) == 1


async def test_closing_survives_a_failed_revocation(
    make: MakeManager, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    """A revocation that fails at close is a warning, and the manager is closed."""
    provider.always("POST /auth/revoke", faults.says(404))
    async with make(revoke_on_close=True) as pay:
        await pay.list_collections()
    assert "not revoked at close" in caplog.text


async def test_closing_without_a_token_revokes_nothing(
    make: MakeManager, provider: Provider
) -> None:
    """A manager that never had a token sends nothing at close."""
    async with make(revoke_on_close=True):
        pass
    assert provider.requests == []
