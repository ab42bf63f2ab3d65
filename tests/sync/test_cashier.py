"""The blocking Cashier: the same names, results and errors, in the thread that calls."""

from __future__ import annotations

import asyncio
import inspect
import sqlite3
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import paycollect
from paycollect import ClosedError, sync
from paycollect._portal import Portal
from paycollect.cashier import Cashier as AsyncCashier
from paycollect.cashier import (
    CashierError,
    Done,
    Handlers,
    OrderConflictError,
    Payment,
    SqliteStore,
    Standing,
    StoreError,
    UnknownOrderError,
    schema,
)
from paycollect.cashier.store import HANDLER, Dialect, Listeners, Steps, play, reach_nothing
from paycollect.cashier.transactions.settings import check_version
from paycollect.errors import EventLoopError
from paycollect.ipn import Receiver
from paycollect.sandbox import Sandbox, respond
from paycollect.sync import Cashier, SessionManager
from paycollect.sync import cashier as room
from paycollect.testing import sign_webhook
from tests.sync.conftest import Run

NAMES = sorted(name for name in vars(AsyncCashier) if not name.startswith("_"))
METHODS = [name for name in NAMES if inspect.isfunction(getattr(AsyncCashier, name))]


def test_it_has_every_name() -> None:
    """What the async one has, the blocking one has; `handlers` is set by the constructor there."""
    blocking = {name for name in vars(Cashier) if not name.startswith("_")}
    assert blocking == {*NAMES, "handlers"}


@pytest.mark.parametrize("name", METHODS)
def test_the_signatures_are_the_same(name: str) -> None:
    """The same arguments, defaults, annotations and texts; what is given comes without waiting."""
    theirs, ours = getattr(AsyncCashier, name), getattr(Cashier, name)
    assert inspect.signature(ours) == inspect.signature(theirs)
    assert not inspect.iscoroutinefunction(ours)
    if name != "aclose":
        assert inspect.getdoc(ours) == inspect.getdoc(theirs)


def test_the_constructor() -> None:
    """The same options; the first argument may be of either kind."""
    theirs = [*inspect.signature(AsyncCashier).parameters.values()]
    ours = [*inspect.signature(Cashier).parameters.values()]
    assert ours[1:] == theirs[1:]
    assert ours[0].name == theirs[0].name


class Shop:
    """A merchant's file, and what is done when an order is paid."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.handlers: Handlers[Any] = Handlers()
        self.handlers.on_paid(self.ship)
        self.told: list[str] = []
        self.threads: list[str] = []
        self.write("CREATE TABLE parcels (order_id TEXT)")
        self.write("CREATE TABLE orders (order_id TEXT)")

    def ship(self, tx: sqlite3.Connection, payment: Payment) -> None:
        """Deliver."""
        self.threads.append(threading.current_thread().name)
        tx.execute("INSERT INTO parcels VALUES (?)", (payment.order_id,))

    def write(self, sql: str) -> None:
        """Change the file."""
        with closing(sqlite3.connect(self.path)) as db, db:
            db.execute(sql)

    @property
    def parcels(self) -> list[str]:
        """What was delivered, each time."""
        with closing(sqlite3.connect(self.path)) as db:
            return [row[0] for row in db.execute("SELECT order_id FROM parcels ORDER BY 1")]


class ThreadStore:
    """A store on one connection, which belongs to the thread that made it, as Django's do."""

    sync_handlers = True
    async_handlers = False
    passes_tx = True
    in_callers_thread = True

    def __init__(self, path: Path) -> None:
        self.reach = reach_nothing
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA synchronous = OFF")
        self._dialect = Dialect("CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)", "")
        listeners = Listeners()
        self.listen, self.notify = listeners.listen, listeners.notify
        self.use_clock = self._dialect.use_clock

    async def open(self) -> None:
        """Make the tables."""
        for statement in schema.statements():
            self._db.execute(statement)
        await self.run(check_version)

    async def aclose(self) -> None:
        """Close."""
        self._db.close()

    async def run(
        self, steps: Callable[[], Steps[Any]], *, reads: bool = False, alone: bool = False
    ) -> Any:
        """Run a transaction."""
        return await self.deliver(steps, lambda _: None)

    async def deliver(
        self, steps: Callable[[], Steps[Any]], handler: Callable[[Any], Awaitable[None] | None]
    ) -> Any:
        """Run a transaction with a handler in it."""
        with closing(self._db.cursor()) as cursor:
            cursor.execute("BEGIN IMMEDIATE")
            try:
                result = play(self._execute(handler), steps())
            except BaseException:
                cursor.execute("ROLLBACK")
                raise
            cursor.execute("COMMIT")
            return result

    async def join(self, tx: Any, steps: Callable[[], Steps[Any]]) -> Any:
        """Run statements within the caller's transaction."""
        assert tx is self.connection
        return play(self._execute(lambda _: None), steps())

    @property
    def connection(self) -> sqlite3.Connection:
        """The one that the caller's transaction is on."""
        return self._db

    def _execute(self, handler: Callable[[Any], object]) -> Callable[..., Any]:
        def execute(sql: str, args: Any) -> Any:
            if sql == HANDLER:
                handler(self._db)
                return []
            return self._db.execute(*self._dialect.write(sql, args)).fetchall()

        return execute


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """Give a shop."""
    return Shop(tmp_path / "shop.db")


@pytest.fixture(params=["SqliteStore", "ThreadStore"])
def store(request: pytest.FixtureRequest, shop: Shop) -> Any:
    """Give a store that works in a thread of its own, and one that works in the caller's."""
    return SqliteStore(shop.path) if request.param == "SqliteStore" else ThreadStore(shop.path)


@pytest.fixture
def cashier(
    pay: SessionManager, sandbox: Sandbox, shop: Shop, store: Any
) -> Iterator[Cashier[Any]]:
    """Give a cashier whose rounds are made by hand."""
    cashier = Cashier[Any](
        pay,
        Receiver(secrets=sandbox.webhook_secret),
        store,
        handlers=shop.handlers,
        clock=sandbox.clock,
    )
    yield cashier
    cashier.aclose()


ORDER: Any = {"amount": "25.00", "description": "Plan"}


def webhook(sandbox: Sandbox, collection_id: str, order_id: str = "A") -> bytes:
    """Make the body of a genuine webhook."""
    data = {"collectionId": collection_id, "orderId": order_id, "amount": 25, "currency": "USD"}
    return sign_webhook(data | {"status": "COMPLETED"}, sandbox.webhook_secret)


def test_the_story(
    cashier: Cashier[Any], sandbox: Sandbox, elsewhere: Portal, shop: Shop, store: Any
) -> None:
    """From the order to the delivery, as it reads without an event loop."""
    cashier.after_paid(lambda payment: shop.told.append(payment.key))
    checkout = cashier.create_checkout(order_id="A", **ORDER)
    assert cashier.create_checkout(order_id="A", **ORDER) == checkout
    assert cashier.checkout_for("A") == checkout
    assert (
        cashier.returned(f"batch={checkout.collection_id}&status=COMPLETED").standing
        is Standing.PENDING
    )
    elsewhere.call(lambda: sandbox.pay(checkout.collection_id), "")
    body = webhook(sandbox, checkout.collection_id)
    assert cashier.receive(body).status == 200
    assert cashier.receive(body[:-2]).status in (400, 401)
    done = cashier.run_until_idle()
    assert (done.delivered, done.held, shop.parcels) == (1, 0, ["A"])
    assert shop.told == [f"paid:{checkout.collection_id}"]
    back = cashier.returned(f"batch={checkout.collection_id}&status=COMPLETED")
    assert (back.standing, back.delivered) == (Standing.PAID, True)
    assert cashier.run_once().delivered == 0
    assert cashier.replay("A") == Done(confirmed=1)
    assert cashier.timeline("A")[0].what == "intended"
    assert cashier.stats().deliveries == 1
    assert cashier.held() == []
    cashier.prune(timedelta(days=1))
    with pytest.raises(UnknownOrderError):
        cashier.release("A")
    with pytest.raises(UnknownOrderError):
        cashier.dismiss("A", "a mistake")
    with pytest.raises(UnknownOrderError):
        cashier.attribute("SCI1", "B")
    own = isinstance(store, SqliteStore)
    assert shop.threads == ["paycollect-cashier" if own else threading.current_thread().name]


def test_who_comes_back_first_has_it_delivered(
    cashier: Cashier[Any], sandbox: Sandbox, elsewhere: Portal, shop: Shop
) -> None:
    """The return page asks the provider, without any webhook."""
    checkout = cashier.create_checkout(order_id="A", **ORDER)
    elsewhere.call(lambda: sandbox.pay(checkout.collection_id), "")
    back = cashier.returned(f"batch={checkout.collection_id}&status=COMPLETED")
    assert (back.standing, back.delivered, shop.parcels) == (Standing.PAID, True, ["A"])


@pytest.mark.parametrize("within_a_plain_one", [False, True])
def test_handlers_for_outside_effects_may_be_async(
    cashier: Cashier[Any],
    sandbox: Sandbox,
    elsewhere: Portal,
    shop: Shop,
    within_a_plain_one: bool,
) -> None:
    """They run on an event loop in any case, and may wait there."""

    async def thank(payment: Payment) -> None:
        await asyncio.sleep(0)
        shop.told.append(payment.order_id)

    def decorated(payment: Payment) -> Any:
        return thank(payment)

    cashier.after_paid(decorated if within_a_plain_one else thank)
    checkout = cashier.create_checkout(order_id="A", **ORDER)
    elsewhere.call(lambda: sandbox.pay(checkout.collection_id), "")
    cashier.receive(webhook(sandbox, checkout.collection_id))
    cashier.run_until_idle()
    assert shop.told == ["A"]


def test_handlers_by_the_short_cut(cashier: Cashier[Any]) -> None:
    """`@cashier.on_paid` and so on stand for those of `handlers`."""
    for kind in ("after_paid", "on_closed", "on_refunded", "on_held"):
        getattr(cashier, kind)(lambda _value: None)
        assert cashier.handlers.has(kind)
    with pytest.raises(ValueError, match="there is a handler already"):
        cashier.on_paid(lambda _value: None)


def test_a_provider_that_is_away(cashier: Cashier[Any], sandbox: Sandbox) -> None:
    """The intent stays, and the next call sends again."""
    sandbox.faults.next("POST /collections", respond(400))
    with pytest.raises(paycollect.PayCollectError):
        cashier.create_checkout(order_id="A", **ORDER)
    assert cashier.create_checkout(order_id="A", **ORDER).order_id == "A"
    with pytest.raises(OrderConflictError):
        cashier.create_checkout(order_id="A", amount=26, description="Plan")


# --- in the caller's own transaction


def own_connection(shop: Shop, store: Any) -> sqlite3.Connection:
    """Give the connection that the caller's transaction is on."""
    if isinstance(store, ThreadStore):
        return store.connection
    return sqlite3.connect(shop.path, isolation_level=None)


def test_intend_in_a_transaction_of_ones_own(cashier: Cashier[Any], shop: Shop, store: Any) -> None:
    """Rolled back it was never there; committed, it has a checkout."""
    cashier.stats()
    db = own_connection(shop, store)
    for end in ("ROLLBACK", "COMMIT"):
        db.execute("BEGIN IMMEDIATE")
        db.execute("INSERT INTO orders VALUES ('A')")
        cashier.intend(db, order_id="A", **ORDER)
        db.execute(end)
        if end == "ROLLBACK":
            with pytest.raises(UnknownOrderError):
                cashier.checkout_for("A")
    assert cashier.checkout_for("A").order_id == "A"
    with pytest.raises(OrderConflictError):
        cashier.intend(db, order_id="A", amount=26, description="Plan")
    for end, gave_up in (("ROLLBACK", False), ("COMMIT", True)):
        db.execute("BEGIN IMMEDIATE")
        cashier.close("A", db)
        db.execute(end)
        given_up = "given up" in str([line.what for line in cashier.timeline("A")])
        assert given_up is gave_up
    if isinstance(store, SqliteStore):
        db.close()


def test_intend_may_come_first(pay: SessionManager, sandbox: Sandbox, shop: Shop) -> None:
    """The store is opened by it, which needs an event loop, and so is done on that thread."""
    receiver = Receiver(secrets=sandbox.webhook_secret)
    cashier = Cashier[Any](pay, receiver, shop.path, handlers=shop.handlers)
    with closing(sqlite3.connect(shop.path)) as db, db:
        cashier.intend(db, order_id="A", **ORDER)
    assert cashier.checkout_for("A").order_id == "A"
    cashier.aclose()


def test_a_transaction_of_something_else(cashier: Cashier[Any], store: Any, tmp_path: Path) -> None:
    """It is refused, as nothing would be committed together."""
    if isinstance(store, SqliteStore):
        with closing(sqlite3.connect(tmp_path / "other.db")) as db, pytest.raises(StoreError):
            cashier.intend(db, order_id="A", **ORDER)
        with pytest.raises(TypeError, match=r"sqlite3\.Connection is needed"):
            cashier.intend(object(), order_id="A", **ORDER)


def test_close_without_a_transaction(cashier: Cashier[Any]) -> None:
    """It commits by itself."""
    cashier.create_checkout(order_id="A", **ORDER)
    cashier.close("A")
    with pytest.raises(paycollect.PayCollectError, match="given up"):
        cashier.checkout_for("A")
    with pytest.raises(UnknownOrderError):
        cashier.close("B")


def test_a_handler_intends_another_order(
    pay: SessionManager, sandbox: Sandbox, elsewhere: Portal, shop: Shop
) -> None:
    """In its own transaction that is possible; what would wait for the cashier is refused."""
    receiver = Receiver(secrets=sandbox.webhook_secret)
    handlers: Handlers[sqlite3.Connection] = Handlers()
    cashier = Cashier[Any](pay, receiver, shop.path, handlers=handlers, clock=sandbox.clock)
    refused: list[str] = []

    @handlers.on_paid
    def renew(tx: sqlite3.Connection, payment: Payment) -> None:
        cashier.intend(tx, order_id=f"{payment.order_id}-next", **ORDER)
        for call in (cashier.stats, lambda: cashier.close("A")):
            with pytest.raises(CashierError, match="use after_paid") as caught:
                call()
            refused.append(str(caught.value))

    checkout = cashier.create_checkout(order_id="A", **ORDER)
    elsewhere.call(lambda: sandbox.pay(checkout.collection_id), "")
    cashier.receive(webhook(sandbox, checkout.collection_id))
    assert cashier.run_until_idle().delivered == 1
    assert len(refused) == 2
    assert cashier.checkout_for("A-next").order_id == "A-next"
    cashier.aclose()


# --- the worker


def until(condition: Callable[[], bool]) -> None:
    """Wait for what happens on another thread."""
    ticks = threading.Event()
    for _ in range(2000):
        if condition():
            return
        ticks.wait(0.005)
    raise AssertionError("it did not happen")


def test_entered_it_works_by_itself(
    pay: SessionManager, sandbox: Sandbox, elsewhere: Portal, shop: Shop
) -> None:
    """The worker runs on the loop thread; an after_paid that blocks does not block that."""
    receiver = Receiver(secrets=sandbox.webhook_secret)
    cashier = Cashier[Any](pay, receiver, shop.path, handlers=shop.handlers)

    @cashier.after_paid
    def tell(payment: Payment) -> None:
        shop.told.append(f"{payment.order_id}: {cashier.stats().deliveries}")

    with cashier as same:
        assert same is cashier
        checkout = cashier.create_checkout(order_id="A", **ORDER)
        elsewhere.call(lambda: sandbox.pay(checkout.collection_id), "")
        cashier.receive(webhook(sandbox, checkout.collection_id))
        until(lambda: shop.told == ["A: 1"])
        with pytest.raises(RuntimeError, match="entered already"):
            cashier.__enter__()
    assert shop.parcels == ["A"]
    with cashier:  # it can be entered again
        assert cashier.stats().deliveries == 1
    cashier.aclose()


def test_where_the_worker_is_a_process(
    pay: SessionManager, sandbox: Sandbox, shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    """With a store of the caller's thread `with` opens and closes, and says so."""
    caplog.set_level("INFO", "paycollect.cashier")
    receiver = Receiver(secrets=sandbox.webhook_secret)
    store: Any = ThreadStore(shop.path)
    with Cashier[Any](pay, receiver, store, handlers=shop.handlers) as cashier:
        assert cashier.create_checkout(order_id="A", **ORDER).order_id == "A"
    assert "not by this one" in caplog.text


def test_what_is_open_at_the_end(
    pay: SessionManager, sandbox: Sandbox, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Entered ones are closed, and one that cannot be holds up none of the others."""
    receiver = Receiver(secrets=sandbox.webhook_secret)
    unused = Cashier[Any](pay, receiver, shop.path)
    with (
        Cashier[Any](pay, receiver, shop.path) as good,
        Cashier[Any](pay, receiver, shop.path) as broken,
    ):
        with monkeypatch.context() as patch:
            patch.setattr(broken, "aclose", lambda: 1 / 0)
            room._close_all()
        assert good._cashier._worker is None
        assert broken._cashier._worker is not None
    assert unused._cashier._worker is None


# --- threads, loops, processes


def test_threads_share_a_cashier(
    pay: SessionManager, sandbox: Sandbox, elsewhere: Portal, shop: Shop
) -> None:
    """Eight threads at once: each gets its own answers, and all is delivered once."""
    receiver = Receiver(secrets=sandbox.webhook_secret)
    cashier = Cashier[Any](pay, receiver, shop.path, handlers=shop.handlers, clock=sandbox.clock)

    def buy(number: int) -> str:
        order_id = f"A{number}"
        checkout = cashier.create_checkout(order_id=order_id, **ORDER)
        elsewhere.call(lambda: sandbox.pay(checkout.collection_id), "")
        cashier.receive(webhook(sandbox, checkout.collection_id, order_id))
        cashier.returned(f"batch={checkout.collection_id}&status=COMPLETED")
        cashier.run_once()
        return checkout.order_id

    wanted = sorted(f"A{number}" for number in range(32))
    with ThreadPoolExecutor(8) as threads:
        assert sorted(threads.map(buy, range(32))) == wanted
    cashier.run_until_idle()
    assert shop.parcels == wanted
    cashier.aclose()


CALLS: dict[str, Callable[[Cashier[Any]], object]] = {
    "create_checkout": lambda cashier: cashier.create_checkout(order_id="A", **ORDER),
    "intend": lambda cashier: cashier.intend(None, order_id="A", **ORDER),
    "close": lambda cashier: cashier.close("A"),
    "receive": lambda cashier: cashier.receive(b"{}"),
    "stats": lambda cashier: cashier.stats(),
    "aclose": lambda cashier: cashier.aclose(),
}


@pytest.mark.parametrize("name", CALLS)
def test_inside_an_event_loop(cashier: Cashier[Any], name: str) -> None:
    """Whoever would stop an event loop is told at once what to await."""

    async def service() -> None:
        with pytest.raises(
            EventLoopError, match=rf"cashier\.Cashier here, and `await cashier\.{name}\("
        ):
            CALLS[name](cashier)
        with pytest.raises(EventLoopError, match="`async with cashier:`"):
            cashier.__enter__()

    asyncio.run(service())
    assert cashier.stats().open == 0


def test_an_async_manager(sandbox: Sandbox, shop: Shop, store: Any) -> None:
    """One that nobody uses on another event loop does as well."""
    pay = paycollect.SessionManager(
        app_id=sandbox.app_id, secret_key=sandbox.secret_key, base_url=sandbox.base_url
    )
    cashier = Cashier[Any](
        pay, Receiver(secrets=sandbox.webhook_secret), store, handlers=shop.handlers
    )
    assert cashier.create_checkout(order_id="A", **ORDER).order_id == "A"
    cashier.aclose()
    sync.run(pay.aclose)


class WaitingStore(ThreadStore):
    """A store that says that it works in the caller's thread, and waits for an event loop."""

    async def open(self) -> None:
        """Wait."""
        await asyncio.sleep(0)


def test_a_store_that_waits(pay: SessionManager, sandbox: Sandbox, shop: Shop) -> None:
    """It is told of, instead of giving half a result."""
    store: Any = WaitingStore(shop.path)
    cashier = Cashier[Any](pay, Receiver(secrets=sandbox.webhook_secret), store)
    with pytest.raises(TypeError, match="waits for an event loop"):
        cashier.stats()
    cashier.aclose()


def test_after_a_fork_all_begins_anew(pay: SessionManager, sandbox: Sandbox, shop: Shop) -> None:
    """What runs is the parent's; handlers that are added later count in both."""
    cashier = Cashier[Any](pay, Receiver(secrets=sandbox.webhook_secret), shop.path)
    with cashier:
        parent, worker = cashier._cashier, cashier._cashier._worker
        room._begin_anew()
        assert worker is not None
        assert cashier._cashier._worker is None
        cashier.on_paid(shop.ship)
        assert parent.handlers.has("on_paid")
        sync.run(parent.aclose)


def test_after_the_end(pay: SessionManager, sandbox: Sandbox, shop: Shop) -> None:
    """A manager that was closed asks no more; the intent is stored all the same."""
    cashier = Cashier[Any](pay, Receiver(secrets=sandbox.webhook_secret), shop.path)
    pay.close()
    with pytest.raises(ClosedError):
        cashier.create_checkout(order_id="A", **ORDER)
    assert cashier.timeline("A")[0].what == "intended"
    cashier.aclose()


def test_the_module_has_no_other_names() -> None:
    """A name that is not there is told as usual."""
    with pytest.raises(AttributeError, match="has no attribute 'Kashier'"):
        sync.Kashier  # noqa: B018  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]


FORK = """
import os, sqlite3, warnings
from paycollect.cashier import Handlers
from paycollect.ipn import Receiver
from paycollect.sync import Cashier, SessionManager

warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
shop = Handlers()

@shop.on_paid
def ship(tx, payment):
    tx.execute("INSERT INTO parcels VALUES (?)", [payment.order_id])

def buy(order_id):
    return cashier.create_checkout(amount=25, order_id=order_id, description="Plan")

with SessionManager.from_env() as pay:
    cashier = Cashier(pay, Receiver(secrets="whsec_x"), {path!r}, handlers=shop)
    with cashier:
        buy("before")
        children = []
        for number in range(3):
            if not (child := os.fork()):
                code = 1
                try:
                    assert buy("before").order_id == "before"
                    buy(f"child-{{number}}")
                    with cashier:
                        assert cashier.stats().open >= 2
                    code = 0
                finally:
                    os._exit(code)
            children.append(child)
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        buy("after")
        print(codes, cashier.stats().open)
"""


def test_a_fork(run: Run, shop: Shop, sandbox: Sandbox) -> None:
    """Parent and children go on, each with a writer, a worker and connections of its own."""
    assert run(FORK.format(path=str(shop.path))) == "[0, 0, 0] 5"
    orders = {one.order.order_id for one in sandbox.collections}
    assert orders == {"before", "after", "child-0", "child-1", "child-2"}


END = """
from paycollect.ipn import Receiver
from paycollect.sync import Cashier, SessionManager
pay = SessionManager.from_env()
cashier = Cashier(pay, Receiver(secrets="whsec_x"), {path!r})
{enter}
cashier.create_checkout(amount=25, order_id="A", description="Plan")
print("done")
"""


@pytest.mark.parametrize("enter", ["cashier.__enter__()", ""])
def test_the_end_of_a_program(run: Run, shop: Shop, enter: str) -> None:
    """Whoever forgets to close gets no noise."""
    assert run(END.format(path=str(shop.path), enter=enter)) == "done"
