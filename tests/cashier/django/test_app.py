"""The app: the admin, the system checks, the command, and how they find the cashier."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import Callable
from functools import partial, wraps
from io import StringIO
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import connections
from django.test import Client, override_settings
from django.urls import include, path

from paycollect import SessionManager, sync
from paycollect.cashier import Cashier, DjangoStore, Done, Handlers, HeldReason, StoreError
from paycollect.ipn import Receiver
from paycollect.sandbox import Sandbox
from paycollect.web import Webhook
from paycollect.web.django import webhook_view
from tests.cashier.django.world import (
    Parcel,
    Permission,
    User,
    checks,
    configured,
    models,
    named,
)

WHERE = "payments_of_these_tests"
LIST = "/admin/paycollect/order/"
STRAYS = "/admin/paycollect/stray/"


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module in which the shop has its cashier, and PAYCOLLECT_CASHIER names it."""
    made: Any = ModuleType(WHERE)
    monkeypatch.setitem(sys.modules, WHERE, made)
    monkeypatch.setenv("PAYCOLLECT_CASHIER", f"{WHERE}:cashier")
    return made


# --- finding the cashier


class FakeCashier:
    """Has what a blocking cashier has."""

    def __init__(self) -> None:
        self.rounds = 0
        self.is_closed = False

    def run_until_idle(self) -> Done:
        """Fail at first, and be ended in the second round."""
        self.rounds += 1
        if self.rounds == 1:
            raise StoreError("the database is away")
        os.kill(os.getpid(), signal.SIGTERM)
        return Done(confirmed=2, delivered=1)

    def aclose(self) -> None:
        """Close."""
        self.is_closed = True


def test_the_cashier_is_named_by_the_environment_or_a_setting(
    django: None, module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An attribute of an attribute, too; the environment counts first."""
    module.cashier = FakeCashier()
    module.shop = SimpleNamespace(cashier=FakeCashier())
    assert named.named() is module.cashier
    with override_settings(PAYCOLLECT_CASHIER=f"{WHERE}:shop.cashier"):
        assert named.named() is module.cashier
        monkeypatch.delenv("PAYCOLLECT_CASHIER")
        assert named.named() is module.shop.cashier
    with pytest.raises(ImproperlyConfigured, match="PAYCOLLECT_CASHIER is not set"):
        named.named()
    assert checks.check_cashier() == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("nowhere.at.all:cashier", "a module that can be imported"),
        (WHERE, "module:cashier"),
        (f"{WHERE}:other", "module:cashier"),
        (f"{WHERE}:number", "is a int, not a Cashier"),
    ],
)
def test_a_name_that_leads_nowhere_is_an_error_of_the_check(
    django: None, module: Any, monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    """Before somebody pays."""
    module.number = 1
    monkeypatch.setenv("PAYCOLLECT_CASHIER", name)
    (error,) = run_checks()
    assert (error.id, text in error.msg) == ("paycollect.E001", True)


# --- checks


def found(urls: list[Any] | None = None, **options: Any) -> list[str]:
    """Run the system checks, and give the ids of what they find."""
    urlconf: Any = ModuleType("urls_of_these_tests")
    urlconf.urlpatterns = urls or []
    with override_settings(ROOT_URLCONF=urlconf):
        ids = [message.id for message in run_checks(**options)]
    return [name for name in ids if name.startswith("paycollect.")]


def with_database(place: str, **change: Any) -> dict[str, Any]:
    """Make the settings of a changed database."""
    from tests.cashier.django.project.settings import database  # noqa: PLC0415  needs settings

    return {"default": {**database(place), **change}}


def test_a_shop_as_it_should_be_has_nothing_to_be_told(django: None) -> None:
    """With the view in the URLs, also below an include."""
    DjangoStore()
    urls = [path("pay/", include([path("webhook", webhook_view(endpoint()))]))]
    assert found(urls, databases=["default"]) == []


def endpoint() -> Webhook:
    """An endpoint that blocks."""

    def nothing(_event: object) -> None: ...

    return Webhook(Receiver(secrets="whsec_of_these_tests"), nothing)


def careless(view: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate, and lose the marks of the view."""

    def wrapper(request: Any) -> Any:
        return view(request)

    return wrapper


def careful(view: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate, and keep them."""

    @wraps(view)
    def wrapper(request: Any) -> Any:
        return view(request)

    return wrapper


def test_a_view_that_has_lost_its_marks_is_found(sqlite: str) -> None:
    """Under decorators and partials; of other views nothing is said."""
    databases = with_database(sqlite, ATOMIC_REQUESTS=True)
    with configured(sqlite, DATABASES=databases):
        view = webhook_view(endpoint())
        assert found([path("a", careful(view)), path("b", careless(lambda _: None))]) == []
        lost = ["paycollect.E004", "paycollect.E005"]
        assert found([path("a", careless(view))]) == lost
        assert found([path("a", partial(careless(careful(view))))]) == lost
    middleware = ["django.middleware.common.CommonMiddleware"]
    with configured(sqlite, MIDDLEWARE=middleware):
        assert found([path("a", careless(webhook_view(endpoint())))]) == []


def test_a_database_that_will_not_do_is_found(sqlite: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite that begins late, a database without autocommit, and another than the two."""
    checked = {"databases": ["default"]}
    with configured(sqlite, DATABASES=with_database(sqlite, OPTIONS={})):
        assert found() == found(**checked) == ["paycollect.W001"]
        assert checks.check_databases(databases=["archive"]) == []
        base: Any = type(connections["default"])
        own = type("DatabaseWrapper", (base,), {"_start_transaction_under_autocommit": print})
        monkeypatch.setattr(connections["default"], "__class__", own)
        assert found(**checked) == []
    with configured(sqlite, DATABASES=with_database(sqlite, AUTOCOMMIT=False)):
        assert found(**checked) == ["paycollect.E003"]
    with configured(sqlite):
        monkeypatch.setattr(type(connections["default"]), "vendor", "mysql")
        assert found(**checked) == ["paycollect.E002"]


def test_each_version_of_django_gets_its_advice() -> None:
    """`transaction_mode` came with 5.1."""
    assert "transaction_mode" in checks._advice((5, 1))
    assert "Upgrade" in checks._advice((4, 2))


def test_a_store_of_another_project_is_not_looked_at(
    sqlite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An alias that is not there cannot be checked."""
    with configured(sqlite, DATABASES=with_database(sqlite, OPTIONS={})):
        monkeypatch.setattr(checks, "aliases_in_use", lambda: frozenset({"archive"}))
        assert checks.check_databases() == []


# --- the admin


class Desk:
    """A person at the admin, and the cashier behind it."""

    def __init__(self, client: Any, cashier: Any) -> None:
        self.client = client
        self.cashier = cashier

    def act(self, action: str, order_id: str = "INV-1", page: str = LIST, **more: str) -> str:
        """Choose an action for a row of a page that was just shown; give the messages."""
        shown = self.client.get(page).content.decode()
        hidden = dict(re.findall(r'name="(hold:[^"]*)" value="([^"]*)"', shown))
        return self.post(action, order_id, page, **{**hidden, **more})

    def post(self, action: str, order_id: str, page: str = LIST, **more: str) -> str:
        """Post an action."""
        data = {"action": action, "_selected_action": order_id, **more}
        text = self.client.post(page, data, follow=True).content.decode()
        return " ".join(re.findall(r'<li class="(?:success|error|warning)">(.*?)</li>', text))


@pytest.fixture(params=["async", "blocking"])
def desk(request: pytest.FixtureRequest, store: DjangoStore, module: Any) -> Desk:
    """The admin, with a cashier that is awaited or blocks, and no provider."""
    nothing = SessionManager(app_id="A", secret_key="S", base_url="http://127.0.0.1:1")
    return desk_of(store, module, blocking=request.param == "blocking", pay=nothing)


def desk_of(store: DjangoStore, module: Any, *, blocking: bool, pay: Any) -> Desk:
    """Make a desk, and what is held."""
    handlers: Handlers[None] = Handlers()
    handlers.on_paid(lambda payment: Parcel.objects.create(order_id=payment.order_id))
    receiver = Receiver(secrets="whsec_of_these_tests")
    made = sync.Cashier if blocking else Cashier
    cashier = module.cashier = made(pay, receiver, store, handlers=handlers)
    User.objects.all().delete()
    client: Any = Client()
    client.force_login(User.objects.create_superuser("mary", "", "secret"))
    for order_id in ("INV-1", "INV-2"):
        with connections["default"].cursor() as cursor:
            cursor.execute(
                "INSERT INTO paycollect_order (order_id, state, amount, currency, created_at,"
                " held_reason, held_at, hold_id) VALUES (%s, 'open', '25.00', 'USD', 1000,"
                " %s, 2000, %s)",
                [order_id, HeldReason.STUCK, f"hold-of-{order_id}"],
            )
    with connections["default"].cursor() as cursor:
        cursor.execute(
            "INSERT INTO paycollect_stray (id, reason, held_at, hold_id)"
            " VALUES ('SCI-1', 'unknown_order', 2000, 'hold-of-SCI-1')"
        )
    return Desk(client, cashier)


def held() -> list[str]:
    """The orders that wait for a person."""
    every = models.Order.objects.filter(held_at__isnull=False)
    return sorted(every.values_list("pk", flat=True))


def who_did_what(order_id: str = "INV-1") -> list[tuple[str, str, str]]:
    """Read the timeline."""
    lines = models.TimelineEntry.objects.filter(order_id=order_id)
    return list(lines.values_list("what", "detail", "done_by"))


def test_release_and_dismiss_are_the_cashiers(desk: Desk) -> None:
    """Under the name of who decides."""
    assert desk.act("release") == "Released: 1"
    assert held() == ["INV-2"]
    assert who_did_what() == [("released", "", "mary")]
    assert desk.act("dismiss", "INV-2") == "Write into the note why."
    assert desk.act("dismiss", "INV-2", note="a test") == "Dismissed: 1"
    assert who_did_what("INV-2") == [("dismissed", "a test", "mary")]
    assert held() == []
    assert desk.act("dismiss", "SCI-1", page=STRAYS, note="not ours") == "Dismissed: 1"
    assert models.Stray.objects.get(pk="SCI-1").held_at is None


def test_nothing_is_decided_that_was_not_seen(desk: Desk) -> None:
    """The page names the hold; another one, or none, is refused."""
    assert "somebody else" in desk.act("release", **{"hold:INV-1": "older"})
    assert "somebody else" in desk.post("release", "INV-1")
    assert "cannot be accepted" in desk.act("release_and_accept")
    assert held() == ["INV-1", "INV-2"]


def test_replay_asks_the_provider_and_delivers(store: DjangoStore, module: Any) -> None:
    """An order whose webhook was lost."""
    with (
        Sandbox(time_scale=0) as sandbox,
        sync.SessionManager(
            app_id=sandbox.app_id, secret_key=sandbox.secret_key, base_url=sandbox.base_url
        ) as pay,
    ):
        desk = desk_of(store, module, blocking=True, pay=pay)
        checkout = desk.cashier.create_checkout(
            amount="25.00", order_id="INV-3", description="Premium plan"
        )
        sandbox.pay(checkout.collection_id)
        assert desk.act("replay", "INV-3") == "Replayed: 1"
        assert models.Order.objects.get(pk="INV-3").state == "fulfilled"
        assert work("--once").startswith("confirmed 0, delivered 0")
        assert Parcel.objects.count() == 1


def test_the_pages_show_what_is_and_change_nothing(desk: Desk) -> None:
    """Filters, search, and the timeline of an order."""
    desk.act("release")
    page = desk.client.get(f"{LIST}INV-1/change/").content.decode()
    assert "Jan. 1, 1970" in page
    assert "Nonce" not in page
    assert "released" in page
    assert "mary" in page
    assert "Save" not in page
    for query, expected in (("held=1", 1), ("held=0", 1), ("state=open", 2), ("q=INV-2", 1)):
        page = desk.client.get(f"{LIST}?{query}").content.decode()
        assert page.count('name="_selected_action"') == expected, query
    assert desk.client.get(f"{LIST}add/").status_code == 403
    assert desk.client.post(f"{LIST}INV-1/delete/").status_code == 403
    assert desk.client.post(f"{LIST}INV-1/change/", {"state": "paid"}).status_code == 403


def test_who_may_only_look_may_not_decide(desk: Desk) -> None:
    """To decide is a permission of its own."""
    permission = Permission.objects
    person = User.objects.create_user("john", is_staff=True)
    person.user_permissions.add(permission.get(codename="view_order"))
    desk.client.force_login(person)
    assert desk.client.get(LIST).status_code == 200
    desk.act("release")
    assert held() == ["INV-1", "INV-2"]
    person.user_permissions.add(permission.get(codename="decide_order"))
    assert desk.act("release") == "Released: 1"


def test_the_lists_are_outside_of_atomic_requests(
    sqlite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A decision commits by itself."""
    from django.contrib import admin  # noqa: PLC0415  # needs settings

    with configured(sqlite):
        for model in (models.Order, models.Stray):
            view: Any = admin.site._registry[model].changelist_view
            assert view._non_atomic_requests == {"default"}
        user: Any = admin.site._registry[User].changelist_view
        assert not hasattr(user, "_non_atomic_requests")


# --- the command


def work(*args: str) -> str:
    """Run the command."""
    output = StringIO()
    call_command("paycollect_worker", *args, stdout=output, stderr=output)
    return output.getvalue()


def test_a_blocking_cashier_works_until_it_is_ended(
    django: None, module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that is away for a moment does not end it; SIGTERM does."""
    from paycollect.cashier.django.management.commands import (  # noqa: PLC0415  needs settings
        paycollect_worker,
    )

    monkeypatch.setattr(paycollect_worker, "POLL_SECONDS", 0)
    module.cashier = FakeCashier()
    before = signal.getsignal(signal.SIGTERM)
    text = work()
    assert "the database is away; the worker goes on" in text
    assert "Ended" in text
    assert (module.cashier.rounds, module.cashier.is_closed) == (2, True)
    assert signal.getsignal(signal.SIGTERM) is before


def test_once_does_what_is_due(django: None, module: Any) -> None:
    """And tells what it was."""
    module.cashier = FakeCashier()
    module.cashier.run_until_idle = lambda: Done(confirmed=2, delivered=1)
    assert work("--once") == "confirmed 2, delivered 1, held 0, closed 0\n"


def test_an_async_cashier_is_worked_for_and_closed(store: DjangoStore, module: Any) -> None:
    """Until SIGTERM; and its session is closed, as nobody else in the process will."""
    with Sandbox(time_scale=0) as sandbox:
        shipped: list[str] = []

        def ship(payment: Any) -> None:
            Parcel.objects.create(order_id=payment.order_id)
            shipped.append(payment.order_id)
            os.kill(os.getpid(), signal.SIGTERM)

        def make() -> Any:
            handlers: Handlers[None] = Handlers()
            handlers.on_paid(ship)
            handlers.on_closed(lambda _closed: None)
            handlers.on_refunded(lambda _refunded: None)
            pay = SessionManager(
                app_id=sandbox.app_id, secret_key=sandbox.secret_key, base_url=sandbox.base_url
            )
            receiver = Receiver(secrets=sandbox.webhook_secret)
            return Cashier(pay, receiver, store, handlers=handlers)

        async def buy() -> str:
            cashier = make()
            checkout = await cashier.create_checkout(
                amount="25.00", order_id="INV-1", description="Premium plan"
            )
            await cashier.aclose()
            await cashier._context.session.aclose()
            return str(checkout.collection_id)

        sandbox.pay(asyncio.run(buy()))
        with connections["default"].cursor() as cursor:
            cursor.execute("UPDATE paycollect_order SET due_at = 1")
        module.cashier = make()
        assert "Ended" in work()
        assert shipped == ["INV-1"]
        module.cashier = make()
        assert work("--once").startswith("confirmed 0, delivered 0")


# --- threads that nobody looks after


async def test_a_function_in_a_thread_leaves_no_connection(store: DjangoStore) -> None:
    """`after_paid` and `on_held` run in threads of the loop: one that is dead would stay."""
    seen: list[Any] = []

    def tell() -> None:
        models.Order.objects.count()
        seen.append(connections["default"].connection is not None)

    def look() -> None:
        seen.append(connections["default"].connection is not None)

    around = store.around_outside(tell)

    def in_a_thread() -> None:
        around()
        look()

    await asyncio.to_thread(in_a_thread)
    assert seen == [True, False]
    await sync_to_async(look)()
