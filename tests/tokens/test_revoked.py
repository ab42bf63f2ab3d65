"""A token that is refused or revoked: replaced at once, never used again."""

from __future__ import annotations

import asyncio

import pytest

from paycollect import (
    AuthenticationError,
    NotFoundError,
    Outcome,
    ServerError,
    SessionManager,
)
from tests.provider import faults
from tests.provider.clocks import FakeClock
from tests.provider.fixtures import MakeManager
from tests.provider.messages import success
from tests.provider.server import Provider

TOKEN = "POST /auth/token"
REFRESH = "POST /auth/refresh"
LIST = "GET /collections"


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


async def test_no_token_after_a_refusal(
    pay: SessionManager, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    """Where no other token is to be had, the refused one is not said to serve on."""
    await pay.list_collections()
    provider.tokens.clear()
    provider.script(TOKEN, faults.says(503))
    with pytest.raises(ServerError):
        await pay.list_collections()
    assert "serves on" not in caplog.text


async def test_revoke_token(pay: SessionManager, provider: Provider) -> None:
    """A revoked token is dead at the provider, and the next call gets another."""
    await pay.list_collections()
    await pay.revoke_token()
    assert provider.tokens == set()
    await pay.list_collections()
    assert [request.key for request in provider.requests[2:]] == ["POST /auth/revoke", TOKEN, LIST]


async def test_revoking_does_not_drop_a_newer_token(
    pay: SessionManager, provider: Provider
) -> None:
    """A token that replaced the one being revoked is not thrown away with it."""
    await pay.list_collections()
    gate = asyncio.Event()
    provider.script("POST /auth/revoke", faults.when(gate, faults.answers(success({}))))
    revoking = asyncio.create_task(pay.revoke_token())
    await provider.received("POST /auth/revoke", 1)
    provider.tokens.clear()
    await pay.list_collections()
    gate.set()
    await revoking
    await pay.list_collections()
    assert provider.token_requests == 2


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
    provider.always("POST /auth/revoke", faults.says(404, "RESOURCE_NOT_FOUND"))
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
    provider.always("POST /auth/revoke", faults.says(404, "RESOURCE_NOT_FOUND"))
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
