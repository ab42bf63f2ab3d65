"""Renewing a token: in time, in the background, and nobody waits for it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from paycollect import (
    SessionManager,
)
from tests.provider import faults
from tests.provider.clocks import FakeClock
from tests.provider.messages import Json, success
from tests.provider.server import Exchange, Fault, Provider

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


@pytest.mark.parametrize(("left", "renewed"), [(301, 0), (300, 1), (1, 1)])
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


@pytest.mark.parametrize(("left", "pause"), [(200, 30), (100, 25), (1, 0.25)])
async def test_a_failed_renewal_is_tried_again_later(
    pay: SessionManager, provider: Provider, clock: FakeClock, left: float, pause: float
) -> None:
    """Half a minute after a failed renewal, or a quarter of the time left, there is another one."""
    await pay.list_collections()
    clock.advance(DAY - left)
    provider.script(REFRESH, faults.says(503))
    provider.script(TOKEN, faults.says(503))
    await pay.list_collections()
    await idle(provider, TOKEN, 2)
    clock.advance(pause * 7 / 8)
    await pay.list_collections()
    await idle(provider, REFRESH, 1)
    assert provider.count(REFRESH) == 1
    clock.advance(pause / 8)
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
    ("after", "first"), [(0, REFRESH), (299, REFRESH), (300, TOKEN), (9999, TOKEN)]
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


async def test_a_token_for_one_second(pay: SessionManager, provider: Provider) -> None:
    """The shortest life that can be told is one."""
    provider.lifetime = 1
    await pay.list_collections()
    assert provider.count(LIST) == 1


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
