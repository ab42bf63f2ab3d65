"""The blocking SessionManager: the same names, results and errors, in the thread that calls."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import inspect
import pickle
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import aiohttp
import pytest

import paycollect
from paycollect import (
    ClosedError,
    DuplicateOrderError,
    NotFoundError,
    PaymentStatus,
    sync,
)
from paycollect._portal import Portal
from paycollect.errors import EventLoopError
from paycollect.models import Pricing, Token
from paycollect.sandbox import Sandbox
from paycollect.sync import SessionManager
from paycollect.sync import session as room
from paycollect.testing import make_event
from tests.sync.conftest import asked_for

NAMES = sorted(
    name
    for name in vars(paycollect.SessionManager)
    if not name.startswith("_") and name not in ("aclose", "from_env")
)


def test_it_has_every_method() -> None:
    """What the async one can do, the blocking one can; `aclose` is called `close`.

    A method that is new needs one line in paycollect/sync/session.py.
    """
    blocking = {name for name in vars(SessionManager) if not name.startswith("_")}
    assert blocking == {*NAMES, "from_env", "close"}


@pytest.mark.parametrize("name", ["__init__", "from_env", *NAMES])
def test_the_signatures_are_the_same(name: str) -> None:
    """The same arguments, defaults and annotations; what is given comes without waiting."""
    theirs = inspect.signature(getattr(paycollect.SessionManager, name))
    ours = inspect.signature(getattr(SessionManager, name))
    assert list(ours.parameters.values()) == list(theirs.parameters.values())
    given = "SessionManager" if name == "from_env" else str(theirs.return_annotation)
    assert ours.return_annotation == given.removeprefix("Async")
    documented = inspect.getdoc(getattr(SessionManager, name))
    if name not in ("__init__", "from_env"):
        assert documented == inspect.getdoc(getattr(paycollect.SessionManager, name))


def test_the_signature_of_the_class() -> None:
    """Editors and `help` show the arguments of the constructor."""
    assert (
        inspect.signature(SessionManager).parameters
        == inspect.signature(paycollect.SessionManager).parameters
    )


@pytest.mark.parametrize("name", NAMES)
def test_no_method_is_a_coroutine_function(name: str) -> None:
    """Frameworks that look are not told to await."""
    assert not inspect.iscoroutinefunction(getattr(SessionManager, name))


def test_the_story(pay: SessionManager, sandbox: Sandbox, elsewhere: Portal) -> None:
    """From the checkout to the refund, as it reads without an event loop."""
    checkout = pay.create_checkout(amount="25.00", order_id="A", description="Plan")
    with pytest.raises(DuplicateOrderError):
        pay.create_checkout(amount="25.00", order_id="A", description="Plan")
    found = pay.find_by_order_id("A")
    assert found is not None
    assert found.collection_id == checkout.collection_id
    elsewhere.call(lambda: sandbox.pay(checkout.collection_id), "")
    paid = pay.confirm(checkout.collection_id, expected_amount=25, order_id="A")
    assert paid.status is PaymentStatus.COMPLETED
    assert pay.wait_for_payment(checkout.collection_id).status is PaymentStatus.COMPLETED
    event = make_event(amount=25, order_id="A", collection_id=checkout.collection_id)
    assert pay.confirm(event, expected_amount=25).order_id == "A"
    assert pay.get_collection(checkout.collection_id).order_id == "A"
    refund = pay.create_refund(checkout.collection_id)
    assert [one.refund_id for one in pay.iter_refunds()] == [refund.refund_id]
    assert [one.refund_id for one in pay.list_refunds().items] == [refund.refund_id]
    assert pay.list_collections(limit=1).items[0].order_id == "A"
    assert pay.list_refund_reasons()
    assert isinstance(pay.get_pricing(), Pricing)
    assert pay.request("GET", "/refunds/reasons")
    pay.ping()
    pay.update_webhook_config("https://shop.example/webhook")
    assert pay.get_webhook_config().webhook_url == "https://shop.example/webhook"
    assert pay.regenerate_webhook_secret().webhook_secret
    pay.revoke_token()
    with pytest.raises(NotFoundError):
        pay.get_collection("SCI0")


def test_lists_are_ordinary_iterators(pay: SessionManager, sandbox: Sandbox) -> None:
    """Pages are fetched as they are needed, and an iterator can be left in its midst."""
    for number in range(101):
        pay.create_checkout(amount=1, order_id=f"A{number}", description="Plan")
    before = len(sandbox.requests)
    collections = pay.iter_collections()
    assert isinstance(collections, Iterator)
    assert len(sandbox.requests) == before
    next(collections)
    assert len(sandbox.requests) == before + 1
    assert len([*collections]) == 100
    assert len(sandbox.requests) == before + 2
    for _ in pay.iter_collections():
        break


def test_threads_share_a_manager(pay: SessionManager, sandbox: Sandbox) -> None:
    """Eight threads at once: each gets its own answers, and one token serves all."""

    def buy(number: int) -> str | None:
        pay.create_checkout(amount=1, order_id=f"A{number}", description="Plan")
        found = pay.find_by_order_id(f"A{number}")
        return None if found is None else found.order_id

    with ThreadPoolExecutor(8) as threads:
        assert [*threads.map(buy, range(64))] == [f"A{number}" for number in range(64)]
    assert asked_for(sandbox, "auth/token") == 1
    assert sum(thread.name == "paycollect" for thread in threading.enumerate()) <= 2  # sandbox, SDK


CALLS: dict[str, Callable[[SessionManager], object]] = {
    "create_checkout": lambda pay: pay.create_checkout(amount=1, order_id="A", description="x"),
    "confirm": lambda pay: pay.confirm("SCI1", expected_amount=1),
    "iter_collections": lambda pay: pay.iter_collections(),
    "get_pricing": lambda pay: pay.get_pricing(),
    "aclose": lambda pay: pay.close(),
}


@pytest.mark.parametrize("name", CALLS)
def test_inside_an_event_loop(pay: SessionManager, sandbox: Sandbox, name: str) -> None:
    """Whoever would stop an event loop is told at once what to await; nothing is sent."""

    async def service() -> None:
        with pytest.raises(
            EventLoopError, match=rf"SessionManager here, .*pay\.{name}\("
        ) as caught:
            CALLS[name](pay)
        assert caught.value.outcome is paycollect.Outcome.NOT_SENT

    asyncio.run(service())
    assert not sandbox.requests
    pay.get_pricing()


def test_run_inside_an_event_loop() -> None:
    """`run` is for code without one."""

    async def service() -> None:
        with pytest.raises(EventLoopError, match="await the function instead"):
            sync.run(asyncio.sleep, 0)

    asyncio.run(service())


who = contextvars.ContextVar("who", default="nobody")


class Store:
    """A token store that notes in whose name it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def load(self) -> Token | None:
        """Note it."""
        self.asked.append(who.get())
        return None

    def save(self, token: Token) -> None:
        """Forget it."""

    def clear(self) -> None:
        """Do nothing."""


def test_context_variables_go_along(sandbox: Sandbox) -> None:
    """What the caller's context says (a trace, a request's id) is known where the call is made."""
    store = Store()
    credentials: dict[str, Any] = {"app_id": sandbox.app_id, "secret_key": sandbox.secret_key}
    with SessionManager(**credentials, base_url=sandbox.base_url, token_store=store) as pay:
        token = who.set("the checkout page")
        pay.get_pricing()
        who.reset(token)
    assert store.asked == ["the checkout page"]


def test_an_http_session_of_ones_own(sandbox: Sandbox) -> None:
    """It is made by `run`, where the calls are made; it is lent, and closed by its owner."""

    async def make_session() -> aiohttp.ClientSession:
        return aiohttp.ClientSession()

    session = sync.run(make_session)
    credentials: dict[str, Any] = {"app_id": sandbox.app_id, "secret_key": sandbox.secret_key}
    with SessionManager(**credentials, base_url=sandbox.base_url, http=session) as pay:
        pay.get_pricing()
    assert not session.closed
    sync.run(session.close)


def test_from_env(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox
) -> None:
    """The environment gives credentials and address, the arguments all else."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with SessionManager.from_env(deadline=5) as pay:
        assert type(pay) is SessionManager
        pay.get_pricing()
    assert repr(pay) == f"<sync.SessionManager {sandbox.app_id} at {sandbox.base_url}, closed>"
    monkeypatch.delenv("PAYCOLLECT_APP_ID")
    with pytest.raises(ValueError, match="PAYCOLLECT_APP_ID"):
        SessionManager.from_env()


def test_wrong_arguments() -> None:
    """They are refused as by the async one; nothing is left behind."""
    secret: Any = 5
    with pytest.raises(TypeError, match="secret_key"):
        SessionManager(app_id="A" * 16, secret_key=secret)
    with pytest.raises(TypeError, match="unexpected keyword"):
        SessionManager(app_id="A" * 16, secret_key="s" * 40, secret="x")  # type: ignore[call-arg]  # pyright: ignore
    gc.collect()


def test_after_the_end(pay: SessionManager, sandbox: Sandbox) -> None:
    """A closed manager refuses every call, and may be closed again."""
    pay.close()
    with pytest.raises(ClosedError, match="is closed"):
        pay.get_pricing()
    with pytest.raises(ClosedError, match="is closed"):
        next(pay.iter_collections())
    pay.close()
    assert not sandbox.requests


def test_a_manager_that_nobody_closed(sandbox: Sandbox) -> None:
    """It is told of when it goes, and what it opened is closed all the same."""
    credentials: dict[str, Any] = {"app_id": sandbox.app_id, "secret_key": sandbox.secret_key}
    pay = SessionManager(**credentials, base_url=sandbox.base_url)
    pay.get_pricing()
    inner = pay._pay
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del pay
        gc.collect()
    assert [str(one.message).split(": ")[-1] for one in caught] == [
        "use it as a context manager, or close() it"
    ]
    sync.run(asyncio.sleep, 0)  # lets the loop thread end what it began
    sync.run(inner.aclose)
    assert "closed" in repr(inner)


def test_what_is_open_at_the_end(
    pay: SessionManager, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All managers are closed, and one that cannot be holds up none of the others."""
    credentials: dict[str, Any] = {"app_id": sandbox.app_id, "secret_key": sandbox.secret_key}
    unused = SessionManager(**credentials)
    with (
        SessionManager(**credentials, base_url=sandbox.base_url) as broken,
        monkeypatch.context() as patch,
    ):

        def fail() -> None:
            raise RuntimeError

        patch.setattr(broken, "close", fail)
        broken.ping()
        pay.ping()
        room._close_all()
    assert repr(pay).endswith("closed>")
    assert repr(unused).endswith("open>")


def test_it_cannot_be_pickled(pay: SessionManager) -> None:
    """As the async one."""
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(pay)
