"""The life of a manager: opened by its first call, closed once, at home on one event loop."""

from __future__ import annotations

import asyncio
import copy
import gc
import pickle
import subprocess
import sys
import warnings
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from paycollect import ClosedError, Outcome, PayCollectError, SessionManager
from paycollect.errors import EventLoopError
from tests.provider.fixtures import MakeManager
from tests.provider.messages import APP_ID, SECRET_KEY
from tests.provider.server import Provider

LIST = "GET /collections"
TOKEN = "POST /auth/token"
Action = Callable[[SessionManager], Awaitable[Any]]


async def _first(pay: SessionManager) -> object:
    async for collection in pay.iter_collections():
        return collection
    return None


async def _first_refund(pay: SessionManager) -> object:
    async for refund in pay.iter_refunds():
        return refund
    return None


ACTIONS: dict[str, Action] = {
    "create_checkout": lambda pay: pay.create_checkout(amount=5, order_id="A", description="d"),
    "get_collection": lambda pay: pay.get_collection("SCI1"),
    "list_collections": lambda pay: pay.list_collections(),
    "iter_collections": _first,
    "find_by_order_id": lambda pay: pay.find_by_order_id("A"),
    "create_refund": lambda pay: pay.create_refund("SCI1"),
    "list_refunds": lambda pay: pay.list_refunds(),
    "iter_refunds": _first_refund,
    "list_refund_reasons": lambda pay: pay.list_refund_reasons(),
    "get_pricing": lambda pay: pay.get_pricing(),
    "ping": lambda pay: pay.ping(),
    "get_webhook_config": lambda pay: pay.get_webhook_config(),
    "update_webhook_config": lambda pay: pay.update_webhook_config(None),
    "regenerate_webhook_secret": lambda pay: pay.regenerate_webhook_secret(),
    "send_test_webhook": lambda pay: pay.send_test_webhook("x"),
    "revoke_token": lambda pay: pay.revoke_token(),
    "request": lambda pay: pay.request("GET", "/x"),
    "confirm": lambda pay: pay.confirm("SCI1", expected_amount=5),
    "wait_for_payment": lambda pay: pay.wait_for_payment("SCI1"),
}


def test_every_method_is_here() -> None:
    """The table of methods in this file is complete."""
    public = {name for name in dir(SessionManager) if not name.startswith("_")}
    assert public - {"aclose", "from_env"} == set(ACTIONS)


@pytest.mark.parametrize("action", ACTIONS.values(), ids=ACTIONS)
@pytest.mark.parametrize("used", [False, True], ids=["unused", "used"])
async def test_use_after_close(
    make: MakeManager, provider: Provider, action: Action, used: bool
) -> None:
    """A closed manager refuses every call, and sends nothing."""
    pay = make()
    if used:
        await pay.list_collections()
    await pay.aclose()
    before = len(provider.requests)
    with pytest.raises(ClosedError, match="is closed") as caught:
        await action(pay)
    assert (caught.value.outcome, caught.value.is_retryable) == (Outcome.NOT_SENT, False)
    assert len(provider.requests) == before


@pytest.mark.parametrize("action", ACTIONS.values(), ids=ACTIONS)
async def test_use_on_another_loop(make: MakeManager, provider: Provider, action: Action) -> None:
    """A manager that was used on one event loop says so on another one, and sends nothing."""
    pay = make()
    await pay.list_collections()
    before = len(provider.requests)

    async def elsewhere() -> PayCollectError:
        with pytest.raises(EventLoopError, match="one manager per event loop") as caught:
            await action(pay)
        return caught.value

    error = await asyncio.to_thread(asyncio.run, elsewhere())
    assert error.outcome is Outcome.NOT_SENT
    assert len(provider.requests) == before
    await pay.list_collections()


async def test_close_on_another_loop(make: MakeManager) -> None:
    """A manager is closed where it was used: elsewhere that is refused, and it goes on working."""
    pay = make()
    await pay.list_collections()
    with pytest.raises(EventLoopError):
        await asyncio.to_thread(asyncio.run, pay.aclose())
    await pay.list_collections()


async def test_closing_twice_is_fine(make: MakeManager) -> None:
    """A manager may be closed any number of times, used or not."""
    for used in (False, True):
        pay = make()
        if used:
            await pay.list_collections()
        for _ in range(3):
            await pay.aclose()


async def test_the_block_gives_the_manager_and_closes_it(make: MakeManager) -> None:
    """As a context manager a manager gives itself, and is closed when the block is left."""
    pay = make()
    async with pay as same:
        assert same is pay
        assert repr(pay).endswith("open>")
    assert repr(pay).endswith("closed>")


async def test_no_connection_outlives_the_manager(make: MakeManager, provider: Provider) -> None:
    """Closing a manager closes its connections."""
    async with make() as pay:
        await asyncio.gather(*(pay.list_collections() for _ in range(20)))
        assert provider.open_connections > 1
    await provider.hung_up()


async def test_an_unclosed_manager_warns(provider: Provider) -> None:
    """A used manager that nobody closes is told of when it goes."""
    pay = SessionManager(app_id=APP_ID, secret_key=SECRET_KEY, base_url=provider.base_url)
    await pay.list_collections()
    sessions = [one for one in gc.get_objects() if type(one) is aiohttp.ClientSession]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del pay
        gc.collect()
        await asyncio.sleep(0)
    for http in sessions:
        await http.close()
    texts = [str(one.message) for one in caught if one.category is ResourceWarning]
    assert any("SessionManager" in text and "never closed" in text for text in texts)
    assert SECRET_KEY not in "".join(texts)


def test_an_unused_manager_does_not_warn() -> None:
    """A manager that was never used may simply go."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        SessionManager(app_id=APP_ID, secret_key=SECRET_KEY)
        gc.collect()
    assert caught == []


@pytest.mark.parametrize("clone", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_manager_cannot_be_copied(clone: Callable[[object], object]) -> None:
    """Pickling or copying a manager is refused with the reason."""
    pay = SessionManager(app_id=APP_ID, secret_key=SECRET_KEY)
    with pytest.raises(TypeError, match="cannot be pickled"):
        clone(pay)


FORK = """
import asyncio, os, sys
from paycollect import SessionManager


async def main(app_id, secret_key, base_url, how):
    pay = SessionManager(app_id=app_id, secret_key=secret_key, base_url=base_url)
    await pay.list_collections()
    await pay.list_collections()
    child = os.fork()
    if child == 0:
        async def use():
            if how == "call":
                await asyncio.gather(*(pay.list_collections() for _ in range(3)))
            elif how == "revoke":
                await pay.revoke_token()
            await pay.aclose()
        code = 1
        try:
            asyncio.run(use())
            code = 0
        finally:
            sys.stdout.flush()
            os._exit(code)
    await asyncio.gather(*(pay.list_collections() for _ in range(3)))
    _, status = os.waitpid(child, 0)
    await asyncio.gather(*(pay.list_collections() for _ in range(3)))
    await pay.aclose()
    return os.waitstatus_to_exitcode(status)

sys.exit(asyncio.run(main(*sys.argv[1:])))
"""


@pytest.mark.parametrize("how", ["call", "revoke", "close"])
async def test_a_forked_child_has_a_life_of_its_own(provider: Provider, how: str) -> None:
    """After a fork child and parent go on with connections of their own, and one token."""
    arguments = [APP_ID, SECRET_KEY, provider.base_url, how]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-c", FORK, *arguments),
        stderr=subprocess.PIPE,
    )
    _, stderr = await process.communicate()
    assert (process.returncode, stderr.decode()) == (0, "")
    calls = {"call": 11, "revoke": 8, "close": 8}[how]
    assert provider.count(LIST) >= calls
    assert provider.count(TOKEN) == (2 if how == "revoke" else 1)
