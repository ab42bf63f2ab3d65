"""The sandbox as an object: opening, closing, addresses."""

import socket
from typing import Any

import aiohttp
import pytest

from paycollect import sandbox as front_door
from paycollect.sandbox import Clock, RefusedError, Sandbox
from tests.sandbox.conftest import ORDER, Caller, Merchant


def test_the_front_door_keeps_its_promises() -> None:
    """Every name of __all__ is there, in order."""
    assert list(front_door.__all__) == sorted(front_door.__all__)
    assert all(hasattr(front_door, name) for name in front_door.__all__)


async def test_it_listens_on_a_free_port_of_loopback(sandbox: Sandbox) -> None:
    """And tells where."""
    assert sandbox.url.startswith("http://127.0.0.1:")
    assert not sandbox.url.endswith(":0")
    assert sandbox.base_url == f"{sandbox.url}/api/v3"


async def test_credentials_can_be_chosen(http: aiohttp.ClientSession) -> None:
    """So that a service keeps its settings."""
    async with Sandbox(app_id="MYAPP001", secret_key="my-secret-key-16") as sandbox:
        assert (await Caller(sandbox, http).authenticate()).status == 200


async def test_a_port_that_is_taken_is_an_error() -> None:
    """And nothing is left open."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OSError, match="address already in use"):
            await Sandbox(port=taken.getsockname()[1]).start()


async def test_closing_twice_is_harmless() -> None:
    """As is closing what was never opened."""
    sandbox = Sandbox()
    await sandbox.aclose()
    async with sandbox:
        pass
    await sandbox.aclose()


async def test_it_listens_on_ipv6_too(http: aiohttp.ClientSession) -> None:
    """With brackets in its URL."""
    try:
        async with Sandbox(host="::1") as sandbox:
            assert sandbox.url.startswith("http://[::1]:")
            assert (await Caller(sandbox, http).send("GET", "/")).status == 200
    except OSError:  # pragma: no cover - depends on the machine
        pytest.skip("this machine has no IPv6 loopback")


@pytest.mark.parametrize(
    "options",
    [
        {"shapes": "event"},
        {"scheme": "json"},
        {"envelope": "1.0"},
        {"app_id": "short"},
        {"secret_key": "too-short"},
        {"webhook_secret": " "},
        {"time_scale": -1},
        {"event_ids": "col"},
        {"refund_events": "none"},
        {"stale_reads": -1},
        {"stale_reads": float("nan")},
    ],
)
def test_an_option_that_is_none_is_refused(options: dict[str, Any]) -> None:
    """With its name, rather than being ignored."""
    with pytest.raises(ValueError, match=next(iter(options))):
        Sandbox(**options)


async def test_it_is_opened_once(sandbox: Sandbox) -> None:
    """A second opening would lose the first port."""
    with pytest.raises(RuntimeError, match="running already"):
        await sandbox.start()


async def test_it_comes_back_where_it_was() -> None:
    """Closed and opened again, it has the same address and the same books."""
    sandbox = Sandbox(time_scale=0)
    async with sandbox:
        url, record = sandbox.url, await sandbox.create(ORDER)
    async with sandbox:
        assert sandbox.url == url
        assert sandbox.collection(record.collection_id) == record


@pytest.mark.parametrize("metadata", [{"half": "\ud800"}, {"when": object()}])
async def test_metadata_must_be_json(sandbox: Sandbox, metadata: dict[str, object]) -> None:
    """Also where it does not come as JSON."""
    with pytest.raises(RefusedError) as refusal:
        await sandbox.create(ORDER | {"metadata": metadata})
    assert refusal.value.fields == {"metadata": "must be JSON"}


async def test_a_text_must_be_unicode(sandbox: Sandbox) -> None:
    """Half of a surrogate pair could never be sent."""
    with pytest.raises(RefusedError) as refusal:
        await sandbox.create(ORDER | {"orderId": "\ud800"})
    assert refusal.value.fields == {"orderId": "must be well-formed Unicode"}


async def test_a_clock_can_be_shared() -> None:
    """Two sandboxes, or a sandbox and a test, on one time."""
    clock = Clock(time_scale=0)
    async with Sandbox(clock=clock) as sandbox:
        assert sandbox.clock is clock


async def test_it_tells_whoever_listens(call: Caller, merchant: Merchant) -> None:
    """Each finished request, each attempt of a webhook."""
    told: list[str] = []
    call.sandbox.on_request(lambda request: told.append(request.name))
    call.sandbox.on_attempt(
        lambda delivery, attempt: told.append(f"{delivery.url} {attempt.status}")
    )
    await call.sandbox.pay(await call.create(webhookUrl=merchant.url))
    await call.sandbox.drained()
    assert told == ["POST /auth/token", "POST /collections", f"{merchant.url} 200"]


async def test_the_balance_can_be_set(sandbox: Sandbox) -> None:
    """To try a refund without cover."""
    record = await sandbox.create(ORDER)
    await sandbox.pay(record.collection_id)
    assert str(sandbox.balance) == "24.25"
    sandbox.balance *= 0
    assert sandbox.balance == 0
