"""The life of a token, counted in the token requests that the provider saw."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from paycollect import (
    AuthenticationError,
    ConnectError,
    DecodeError,
    Outcome,
    PayCollectError,
    ResponseLostError,
    ServerError,
    SessionManager,
)
from tests.provider import faults
from tests.provider.clocks import FakeClock
from tests.provider.messages import Json, success
from tests.provider.server import Exchange, Fault, Provider

TOKEN = "POST /auth/token"
LIST = "GET /collections"
DAY = 86400.0


async def many(pay: SessionManager, number: int) -> list[object]:
    """Make many calls at once, and give their results or errors."""
    calls = (pay.list_collections() for _ in range(number))
    return await asyncio.gather(*calls, return_exceptions=True)


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


@pytest.mark.no_cover
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
