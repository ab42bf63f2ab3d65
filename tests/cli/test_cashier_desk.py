"""`paycollect cashier`: a store with orders that went well, and some that wait for a person."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from paycollect import SessionManager
from paycollect.cashier import Cashier, Entry, Handlers, HeldReason, Payment, StoreError, schema
from paycollect.cli import stores, timeline
from paycollect.cli.cashier_desk import _who
from paycollect.errors import Outcome
from paycollect.ipn import Receiver
from paycollect.testing import sign_webhook
from tests.cashier.postgres import Postgres, find_server, fresh_schema
from tests.cli.conftest import Provider, Terminal

SERVICE = """
import os
from paycollect import SessionManager, sync
from paycollect.cashier import Cashier, Handlers
from paycollect.ipn import Receiver

shop = Handlers()

@shop.on_paid
def ship(tx, payment):
    tx.execute("INSERT INTO parcels VALUES (?)", [payment.order_id])

@shop.after_paid
def tell(payment):
    print("told", payment.order_id, flush=True)

def make():
    return Cashier(SessionManager.from_env(), Receiver.from_env(), os.environ["SHOP"], handlers=shop)

async def make_later():
    return make()

def make_blocking():
    return sync.Cashier(
        sync.SessionManager.from_env(), Receiver.from_env(), os.environ["SHOP"], handlers=shop
    )

number = 7
"""


class Shop:
    """A store, and what the provider knows."""

    def __init__(self, provider: Provider, path: Path) -> None:
        self.provider = provider
        self.path = path
        self.fails = True
        with closing(sqlite3.connect(path)) as db, db:
            db.execute("CREATE TABLE parcels (order_id TEXT)")

    @property
    def parcels(self) -> list[str]:
        """What was delivered."""
        with closing(sqlite3.connect(self.path)) as db:
            return [row[0] for row in db.execute("SELECT order_id FROM parcels ORDER BY 1")]

    async def live(self, *orders: str, paid: bool = True, **options: Any) -> None:
        """Create orders, pay them, and work until nothing is due."""
        handlers: Handlers[sqlite3.Connection] = Handlers()

        @handlers.on_paid
        def ship(tx: sqlite3.Connection, payment: Payment) -> None:
            if self.fails and payment.order_id.startswith("BAD"):
                raise RuntimeError("out of stock")
            tx.execute("INSERT INTO parcels VALUES (?)", [payment.order_id])

        sandbox = self.provider.sandbox
        async with SessionManager.from_env() as pay:
            cashier = Cashier(
                pay,
                Receiver(secrets=sandbox.webhook_secret),
                self.path,
                handlers=handlers,
                max_deliveries=1,
                **options,
            )
            for order_id in orders:
                checkout = await cashier.create_checkout(
                    amount="25.00", order_id=order_id, description="Plan"
                )
                if paid:
                    await asyncio.wrap_future(
                        asyncio.run_coroutine_threadsafe(
                            sandbox.pay(checkout.collection_id), self.provider._loop
                        )
                    )
                    data = {"orderId": order_id, "amount": 25, "status": "COMPLETED"}
                    await cashier.receive(sign_webhook(data, sandbox.webhook_secret))
            await cashier.run_until_idle()
            await cashier.aclose()


@pytest.fixture
def shop(
    provider: Provider, terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Shop]:
    """One order is delivered, one is held, one is open."""
    found = Shop(provider, tmp_path / "shop.db")
    (tmp_path / "my_service.py").write_text(SERVICE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("SHOP", str(found.path))
    monkeypatch.setenv("PAYCOLLECT_STORE", str(found.path))
    monkeypatch.delenv("PAYCOLLECT_CASHIER", raising=False)
    asyncio.run(found.live("GOOD-1", "BAD-1"))
    asyncio.run(found.live("OPEN-1", paid=False))
    yield found
    sys.modules.pop("my_service", None)


def test_status_tells_how_it_fares(shop: Shop, terminal: Terminal) -> None:
    """And that something waits for a person, by the exit code too."""
    assert terminal("cashier", "status") == 1
    assert "waiting for a person             1" in terminal.out
    assert "`paycollect cashier list`" in terminal.out
    assert terminal("cashier", "status", "--json") == 1
    assert (terminal.json["held"], terminal.json["open"]) == (1, 1)
    assert terminal("cashier", "dismiss", "BAD-1", "--note", "refunded", "--yes") == 0
    assert terminal("cashier", "status") == 0


def test_list_shows_what_waits_for_a_person(shop: Shop, terminal: Terminal) -> None:
    """In words that need no knowledge of the code."""
    assert terminal("cashier", "list") == 0
    assert "BAD-1" in terminal.out
    assert "the delivery (on_paid) has failed too often" in terminal.out
    assert terminal("cashier", "list", "--json") == 0
    (held,) = terminal.json
    assert (held["order_id"], held["reason"], held["amount"]) == (
        "BAD-1",
        "handler_failing",
        "25.00",
    )


def test_list_shows_orders_in_a_state(shop: Shop, terminal: Terminal) -> None:
    """The newest first; none is said so."""
    assert terminal("cashier", "list", "--state", "open") == 0
    assert "OPEN-1" in terminal.out
    assert "GOOD-1" not in terminal.out
    assert terminal("cashier", "list", "--state", "fulfilled", "--json") == 0
    assert [one["order_id"] for one in terminal.json] == ["GOOD-1"]
    assert terminal("cashier", "list", "--state", "refunded") == 0
    assert terminal.out == "None.\n"


def test_show_tells_what_happened(shop: Shop, terminal: Terminal) -> None:
    """As a person tells it, from the beginning; and what can be done."""
    assert terminal("cashier", "show", "GOOD-1") == 0
    told = terminal.out
    steps = ("noted the order", "made the checkout", "A webhook arrived: COMPLETED.", "Delivered")
    assert [told.index(step) for step in steps] == sorted(told.index(step) for step in steps)
    assert terminal("cashier", "show", "BAD-1") == 0
    assert "repair on_paid, and release" in terminal.out
    assert "RuntimeError" in terminal.out
    assert "out of stock" not in terminal.out
    assert terminal("cashier", "show", "BAD-1", "--json") == 0
    assert terminal.json["timeline"][0]["what"] == "intended"
    assert terminal("cashier", "show", "NO-1") == 1
    assert "there is no order 'NO-1'" in terminal.said


def test_an_unknown_webhook_status_and_a_person_are_told() -> None:
    """Lines of a later release are shown as they stand."""
    at = Any
    for what, detail, by, told in (
        ("webhook", "PENDING", "", "A webhook arrived: PENDING; it is not handled yet."),
        ("dismissed", "refunded", "ann", "Dismissed: refunded. By ann."),
        ("teleported", "twice", "", "teleported twice"),
        ("released, too_late accepted", "", "ann", None),
    ):
        found = timeline.sentence(Entry(at=at, what=what, detail=detail, by=by))  # type: ignore[arg-type]  # not looked at
        assert told is None or found == told
    assert (
        found == "Released in spite of this: paid after the order was closed, or given up. By ann."
    )


def test_each_reason_has_words_and_advice() -> None:
    """A person is never left with a code."""
    assert set(timeline.REASONS) == set(timeline.ADVICE) == set(HeldReason)


def test_release_has_it_checked_again(shop: Shop, terminal: Terminal) -> None:
    """The worker of the service delivers it, once its handler works."""
    assert terminal("cashier", "release", "BAD-1", "--by", "ann") == 0
    assert "The worker of your service goes on" in terminal.out
    shop.fails = False
    asyncio.run(shop.live())
    assert shop.parcels == ["BAD-1", "GOOD-1"]
    assert terminal("cashier", "show", "BAD-1") == 0
    assert "Released: it is checked again. By ann." in terminal.out
    assert terminal("cashier", "release", "BAD-1") == 1
    assert "nothing is held" in terminal.said


def test_accepting_is_asked_for(
    shop: Shop, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It delivers in spite of a reason, so that a no leaves all as it was."""
    assert terminal("cashier", "release", "BAD-1", "--accept") == 2
    assert "--yes is needed" in terminal.said
    monkeypatch.setattr("paycollect.cli.settings.agreed", lambda _: False)
    assert terminal("cashier", "release", "BAD-1", "--accept") == 1
    assert "Nothing was done." in terminal.out
    assert terminal("cashier", "release", "BAD-1", "--accept", "--yes") == 1
    assert "cannot be accepted" in terminal.said


def test_dismiss_settles_with_a_note(shop: Shop, terminal: Terminal) -> None:
    """Nothing is delivered, and the timeline says why."""
    assert terminal("cashier", "dismiss", "BAD-1", "--note", "refunded", "--yes", "--json") == 0
    assert terminal.json == {"order_id": "BAD-1", "dismissed": True}
    assert terminal("cashier", "show", "BAD-1") == 0
    assert f"Dismissed: refunded. By {_who(None)}." in terminal.out
    assert terminal("cashier", "list") == 0
    assert terminal.out == "Nothing waits for a person.\n"


def test_a_user_without_a_name_is_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container."""

    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr("getpass.getuser", nameless)
    assert (_who(None), _who("ann")) == ("", "ann")


def test_a_payment_is_given_to_an_order(shop: Shop, terminal: Terminal) -> None:
    """It is confirmed; a service with handlers delivers it."""

    async def pay() -> str:
        made = await shop.provider.sandbox.create(
            {"amount": 25, "orderId": "OTHER", "description": "x", "currency": "USD"}
        )
        await shop.provider.sandbox.pay(made.collection_id)
        return made.collection_id

    collection_id = shop.provider.do(pay())
    assert terminal("cashier", "attribute", collection_id, "OPEN-1") == 0
    assert "confirmed" in terminal.out
    assert terminal("cashier", "attribute", collection_id, "NO-1") == 1


def test_replay_is_done_by_the_service(
    shop: Shop, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its handlers are needed; nothing is delivered twice."""
    assert terminal("cashier", "replay", "GOOD-1") == 2
    assert "--app module:cashier is needed" in terminal.said
    monkeypatch.setenv("PAYCOLLECT_CASHIER", "my_service:make")
    assert terminal("cashier", "replay", "GOOD-1", "--json") == 0
    assert terminal.json["delivered"] == 0
    assert terminal("cashier", "replay", "GOOD-1", "--after-paid") == 0
    assert "told GOOD-1" in terminal.out
    assert shop.parcels == ["GOOD-1"]


@pytest.mark.parametrize(
    ("app", "said"),
    [
        ("my_service", "module:cashier is needed"),
        ("my_service:nothing", "cannot be imported"),
        ("no_such_module:x", "cannot be imported"),
        ("my_service:number", "is no Cashier, but a int"),
    ],
)
def test_a_service_that_cannot_be_found(
    shop: Shop, terminal: Terminal, app: str, said: str
) -> None:
    """What is wrong with its name is told."""
    assert terminal("cashier", "work", "--once", "--app", app) == 2
    assert said in terminal.said


def test_work_does_what_is_due(shop: Shop, terminal: Terminal) -> None:
    """Once, for cron; also of a service whose cashier is made by a coroutine function."""
    assert terminal("cashier", "release", "BAD-1") == 0
    assert terminal("cashier", "work", "--once", "--app", "my_service:make_later") == 0
    assert "1 delivered" in terminal.out
    assert shop.parcels == ["BAD-1", "GOOD-1"]


def test_a_service_that_blocks_is_worked_for_too(shop: Shop, terminal: Terminal) -> None:
    """The cashier that it names may be that of paycollect.sync."""
    assert terminal("cashier", "release", "BAD-1") == 0
    assert terminal("cashier", "work", "--once", "--app", "my_service:make_blocking") == 0
    assert shop.parcels == ["BAD-1", "GOOD-1"]


DJANGO = {
    "my_settings.py": """
SECRET_KEY = "x"
INSTALLED_APPS = ["paycollect.cashier.django"]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": "django.db",
        "OPTIONS": {"transaction_mode": "IMMEDIATE"},
    }
}
USE_TZ = True
""",
    "my_django_service.py": """
from paycollect import SessionManager
from paycollect.cashier import Cashier, DjangoStore
from paycollect.ipn import Receiver

cashier = Cashier(SessionManager.from_env(), Receiver.from_env(), DjangoStore())
""",
}


def test_a_service_on_django(shop: Shop, tmp_path: Path) -> None:
    """Its apps are loaded first, as by manage.py; in a process of its own, as that is for ever."""
    for name, text in DJANGO.items():
        (tmp_path / name).write_text(text)
    environ = {**os.environ, "DJANGO_SETTINGS_MODULE": "my_settings", "PYTHONPATH": str(tmp_path)}
    for command, told in (
        (["django", "migrate", "-v0", "--skip-checks"], ""),
        (["paycollect", "cashier", "list", "--app", "my_django_service:cashier"], "Nothing waits"),
        (["paycollect", "cashier", "work", "--once", "--app", "my_django_service:cashier"], "0"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", *command],
            env=environ,
            capture_output=True,
            text=True,
            check=True,
        )
        assert told in done.stdout


def test_django_is_set_up_where_its_settings_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """As above, where it can be looked into."""
    called: list[str] = []
    monkeypatch.setattr("django.setup", lambda: called.append("setup"))
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "my_settings")
    stores._set_up_django()
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE")
    stores._set_up_django()
    assert called == ["setup"]


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGTERM")
def test_work_goes_on_until_it_is_told_to_end(shop: Shop, terminal: Terminal) -> None:
    """SIGTERM lets it come to its end: exit code 0."""
    assert terminal("cashier", "release", "BAD-1") == 0
    command = [sys.executable, "-m", "paycollect", "cashier", "work", "--app", "my_service:make"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"told BAD-1\n"
        worker.send_signal(signal.SIGTERM)
        _, errors = worker.communicate(timeout=20)
    assert (worker.returncode, b"The worker runs" in errors) == (0, True)
    assert shop.parcels == ["BAD-1", "GOOD-1"]


def test_the_worker_ends_by_a_signal_in_this_process(shop: Shop, terminal: Terminal) -> None:
    """As above, where it can be looked into."""

    def interrupt() -> None:
        # It listens to SIGTERM last; before it does, SIGINT would raise KeyboardInterrupt.
        while signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            time.sleep(0.001)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    assert terminal("cashier", "work", "--app", "my_service:make") == 0
    thread.join(5)


def test_prune_deletes_what_is_old(shop: Shop, terminal: Terminal) -> None:
    """And says how much; nothing is as old as that here."""
    assert terminal("cashier", "prune", "--older-than", "1") == 0
    assert terminal.out == "Deleted: 0 webhooks, 0 lines of timelines.\n"
    assert terminal("cashier", "prune", "--json") == 0
    assert terminal.json == {"webhooks": 0, "timeline": 0}


# --- the store


def test_looking_makes_nothing(terminal: Terminal, tmp_path: Path) -> None:
    """A name that is mistyped does not make a file, and a foreign file stays as it is."""
    missing, foreign = tmp_path / "shpo.db", tmp_path / "foreign.db"
    assert terminal("cashier", "status", "--store", str(missing)) == 2
    assert "there is no file" in terminal.said
    assert not missing.exists()
    with closing(sqlite3.connect(foreign)) as db, db:
        db.execute("CREATE TABLE mine (x)")
    assert terminal("cashier", "status", "--store", str(foreign)) == 2
    assert "has no tables of a cashier" in terminal.said
    foreign.write_text("this is no database, and it is long enough to be looked at " * 20)
    assert terminal("cashier", "status", "--store", str(foreign), "--json") == 6
    assert "SQLITE_NOTADB" in terminal.said


def test_one_cashier_is_meant(
    shop: Shop, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two on one command line are one too many; none is said so; the store is enough to look."""
    assert terminal("cashier", "status", "--store", "a", "--app", "b:c") == 2
    assert "give one of them" in terminal.said
    monkeypatch.setenv("PAYCOLLECT_CASHIER", "no_such_module:x")
    assert terminal("cashier", "list") == 0
    assert stores.named(None, None, needs_handlers=True).app == "no_such_module:x"
    monkeypatch.delenv("PAYCOLLECT_CASHIER")
    monkeypatch.delenv("PAYCOLLECT_STORE")
    assert terminal("cashier", "list") == 2
    assert "which cashier?" in terminal.said


def test_schema_prints_and_makes_the_tables(terminal: Terminal, tmp_path: Path) -> None:
    """What is printed is what any SQLite takes, and what is compared."""
    assert terminal("cashier", "schema") == 0
    by_hand, made = tmp_path / "by_hand.db", tmp_path / "made.db"
    with closing(sqlite3.connect(by_hand)) as db:
        db.executescript(terminal.out)
    assert terminal("cashier", "check", "--store", str(by_hand)) == 0
    assert terminal("cashier", "schema", "--make", "--store", str(made)) == 0
    assert terminal("cashier", "check", "--store", str(made)) == 0
    assert "as they must be" in terminal.out


def test_check_says_how_the_tables_differ(terminal: Terminal, tmp_path: Path) -> None:
    """A table, a column, a kind, an index, a version: each by its name."""
    path = tmp_path / "shop.db"
    assert terminal("cashier", "schema", "--make", "--store", str(path)) == 0
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("DROP TABLE paycollect_stray")
        db.execute("DROP INDEX paycollect_order_due")
        db.execute("ALTER TABLE paycollect_order DROP COLUMN last_error")
        db.execute("DROP TABLE paycollect_setting")
        db.execute("CREATE TABLE paycollect_setting (name TEXT, value TEXT, at TEXT)")
        db.execute("UPDATE paycollect_schema SET version = 9, min_compatible = 9")
    assert terminal("cashier", "check", "--store", str(path), "--json") == 1
    assert terminal.json["same"] is False
    told = "\n".join(terminal.json["problems"])
    for problem in (
        "table paycollect_stray is missing",
        "index paycollect_order_due is missing",
        "column paycollect_order.last_error is missing",
        "column paycollect_setting.at is TEXT, not BIGINT",
        "version 9",
    ):
        assert problem in told
    assert terminal("cashier", "check", "--store", str(path)) == 1
    assert "table paycollect_stray is missing" in terminal.out
    assert terminal("cashier", "status", "--store", str(path)) == 6
    assert "install a newer release" in terminal.said


@pytest.mark.greenlets
def test_a_sqlalchemy_url_is_a_store(terminal: Terminal, tmp_path: Path) -> None:
    """A driver for asyncio is chosen where the URL names none."""
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    assert terminal("cashier", "schema", "--make", "--store", url) == 0
    assert terminal("cashier", "check", "--store", url) == 0
    assert terminal("cashier", "status", "--store", url) == 0
    empty = f"sqlite+aiosqlite:///{tmp_path / 'empty.db'}"
    assert terminal("cashier", "check", "--store", empty) == 1
    assert "table paycollect_order is missing" in terminal.out


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://u:hunter2@h/x", "mysql is not supported"),
        ("mysql+aiomysql://u:hunter2@h/x", "no engine can be made"),
        ("postgresql+psycopg2://u:hunter2@h/x", "no engine can be made"),
        ("://hunter2", "no engine can be made"),
        ("postgres://u:hunter2@127.0.0.1:1/x", "the database could not be reached"),
    ],
)
@pytest.mark.greenlets
def test_a_url_that_is_of_no_use_is_not_shown(terminal: Terminal, url: str, said: str) -> None:
    """It may hold a password."""
    assert terminal("cashier", "check", "--store", url) in {2, 6}
    assert said in terminal.said
    assert "hunter2" not in terminal.said


def test_without_sqlalchemy_a_url_says_what_to_install(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is an extra."""
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    assert terminal("cashier", "check", "--store", "postgresql://h/x") == 2
    assert "pip install" in terminal.said


def test_a_lost_commit_is_not_told_as_nothing_done(
    shop: Shop, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 4: look before you repeat it."""

    async def lost(*_: object, **__: object) -> None:
        error = StoreError("the connection was lost")
        error.outcome = Outcome.UNKNOWN
        raise error

    monkeypatch.setattr(Cashier, "release", lost)
    assert terminal("cashier", "release", "BAD-1") == 4
    assert "look before you repeat it" in terminal.said


@pytest.fixture
def server() -> Iterator[Postgres]:
    """A PostgreSQL with a schema of its own, or a reason to skip."""
    url = find_server()
    if isinstance(url, str):
        pytest.skip(url)
    with fresh_schema(url) as found:
        yield found


def url_of(server: Postgres) -> str:
    """The URL of a test's own schema."""
    url = server.url.set(drivername="postgresql+psycopg")
    url = url.update_query_dict({"options": f"-c search_path={server.schema}"})
    return url.render_as_string(hide_password=False)


@pytest.mark.greenlets
def test_on_postgresql(server: Postgres, terminal: Terminal) -> None:
    """The same commands on a database server."""
    url = url_of(server)
    assert terminal("cashier", "check", "--store", url) == 1
    assert terminal("cashier", "status", "--store", url) == 6
    assert terminal("cashier", "schema", "--make", "--store", url) == 0
    assert terminal("cashier", "check", "--store", url) == 0
    assert terminal("cashier", "list", "--store", url) == 0
    assert terminal.out == "Nothing waits for a person.\n"
    assert len(schema.statements()) > 10
