"""DjangoStore on SQLite and PostgreSQL: what commits together, and what a handler cannot break."""

from __future__ import annotations

import logging
import threading
import unittest
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.core.management import call_command
from django.db import DatabaseError, IntegrityError, connection, connections, transaction
from django.db.migrations.loader import MigrationLoader
from django.test import TestCase

from paycollect.cashier import DjangoStore, schema
from paycollect.cashier.errors import BrokenHandlerError, StoreError, StoreVersionError
from paycollect.cashier.handlers import HandlerFailedError
from paycollect.cashier.store import HANDLER, Steps
from paycollect.cashier.transactions import claims, intents
from paycollect.errors import Outcome
from tests.cashier.django.world import (
    Parcel,
    configured,
    drive,
    empty_tables,
    models,
    rows,
)
from tests.cashier.postgres import find_server, fresh_schema

atomic: Any = transaction.atomic  # which has two forms, that no checker tells apart


def intent(order_id: str = "INV-1") -> Callable[[], Steps[Any]]:
    """Intend an order of 25 USD."""
    return lambda: intents.intend(order_id, "25.00", "USD", "{}")


def shipped(order_id: str = "INV-1") -> Callable[[], Steps[None]]:
    """Mark an order, and let the handler work in between."""

    def steps() -> Steps[None]:
        yield (
            "UPDATE paycollect_order SET state = 'fulfilled' WHERE order_id = :o",
            {"o": order_id},
        )
        yield HANDLER, {}

    return steps


def ship(_tx: object = None) -> None:
    """Deliver INV-1."""
    Parcel.objects.create(order_id="INV-1")


def called(work: Callable[[], object]) -> Callable[[None], None]:
    """Call something the way in which the cashier calls a handler."""

    def handler(_tx: None) -> None:
        try:
            work()
        except BrokenHandlerError:
            raise
        except Exception as error:
            raise HandlerFailedError("on_paid", error) from error

    return handler


def state(order_id: str = "INV-1") -> str:
    """The state of an order, read by the model."""
    return str(models.Order.objects.get(pk=order_id).state)


# --- transactions


def test_what_is_run_is_committed_in_this_thread(store: DjangoStore) -> None:
    """Without an event loop nothing waits, and the rows are there for everybody."""
    threads: list[int] = []
    store.reach = lambda _: threads.append(threading.get_ident())
    drive(store.open())
    drive(store.open())
    order = drive(store.run(intent()))
    assert (order.order_id, order.state) == ("INV-1", "intended")
    assert not connection.in_atomic_block
    connection.close()
    assert state() == "intended"
    assert set(threads) == {threading.get_ident()}
    drive(store.aclose())
    assert repr(store) == "DjangoStore('default')"


async def test_on_an_event_loop_the_work_is_where_djangos_own_is(store: DjangoStore) -> None:
    """Thus `atomic()` of code that Django's async methods run, and tests, see the same rows."""
    theirs = await sync_to_async(threading.get_ident)()
    threads: list[int] = []
    store.reach = lambda _: threads.append(threading.get_ident())
    await store.open()
    await store.run(intent())
    assert set(threads) == {theirs} != {threading.get_ident()}
    order = await models.Order.objects.aget(pk="INV-1")
    assert order.amount == "25.00"


def test_the_order_and_its_intent_are_committed_or_rolled_back_together(store: DjangoStore) -> None:
    """`join` works within the caller's `atomic()`, and commits nothing."""
    with atomic():
        ship()
        drive(store.join(None, intent()))
        assert state() == "intended"
        transaction.set_rollback(True)
    assert rows("SELECT count(*) FROM paycollect_order") == [(0,)]
    with atomic():
        ship()
        drive(store.join(connection, intent()))
    assert (state(), Parcel.objects.count()) == ("intended", 1)


def test_join_needs_the_transaction(store: DjangoStore) -> None:
    """Outside of `atomic()`, or on another database, the two would not be committed together."""
    with pytest.raises(StoreError, match=r"within transaction\.atomic"):
        drive(store.join(None, intent()))
    with atomic():
        with pytest.raises(TypeError, match="tx: None or django"):
            drive(store.join("INV-1", intent()))
        other: Any = type("Connection", (), {"alias": "archive"})
        with pytest.raises(StoreError, match="using='default'"):
            drive(store.join(other, intent()))


def test_a_joined_statement_that_fails_says_so_without_its_values(store: DjangoStore) -> None:
    """The error is the store's."""

    def wrong() -> Steps[None]:
        yield "SELECT id FROM nowhere WHERE id = :o", {"o": "secret"}

    with pytest.raises(StoreError) as raised, atomic():
        drive(store.join(None, wrong))
    assert "secret" not in str(raised.value)
    assert "migrate" in str(raised.value)


@pytest.mark.parametrize("reads", [True, False])
def test_within_a_transaction_of_the_caller_nothing_of_our_own_is_run(
    store: DjangoStore, reads: bool
) -> None:
    """It could be rolled back after it was told to be done."""
    with atomic(), pytest.raises(StoreError, match="non_atomic_requests") as raised:
        drive(store.run(intent(), reads=reads))
    assert not raised.value.is_retryable
    transaction.set_autocommit(False)
    try:
        with pytest.raises(StoreError, match="autocommit is off"):
            drive(store.run(intent(), reads=reads))
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)


def test_in_a_test_case_it_may(store: DjangoStore) -> None:
    """`TestCase` wraps each test in a transaction, which is rolled back at its end."""

    def body(_case: TestCase) -> None:
        drive(store.run(intent()))
        drive(store.deliver(shipped(), ship))
        assert (state(), Parcel.objects.count()) == ("fulfilled", 1)
        assert drive(store.run(lambda: intents.read("INV-1"), reads=True)) is not None

    made: Any = type("Shop", (TestCase,), {"test_it": body})
    result = unittest.TestResult()
    unittest.TestSuite([made("test_it")]).run(result)
    assert (result.errors, result.failures, result.testsRun) == ([], [], 1)
    assert rows("SELECT count(*) FROM paycollect_order") == [(0,)]


def test_percent_signs_are_no_parameters(store: DjangoStore) -> None:
    """With values and without."""

    def steps() -> Steps[list[Any]]:
        with_values = yield "SELECT 'a%' || CAST(:b AS TEXT)", {"b": "%s"}
        without = yield "SELECT '%(a)s %'", {}
        return [with_values[0][0], without[0][0]]

    assert drive(store.run(steps)) == ["a%%s", "%(a)s %"]


def test_the_clock_can_be_given(store: DjangoStore) -> None:
    """In place of the database's, in every statement."""
    assert 1_600_000_000_000 < drive(store.run(intents.now, reads=True)) < 5_000_000_000_000
    store.use_clock(lambda: 5)
    assert drive(store.run(intents.now, reads=True)) == 5
    assert drive(store.run(intent())).created_at == 5


def test_locked_rows_are_skipped_and_each_is_claimed_once(store: DjangoStore) -> None:
    """The claim is the same statement as everywhere."""
    store.use_clock(lambda: 10**13)
    for number in range(3):
        drive(store.run(intent(f"INV-{number}")))
    store.use_clock(lambda: 2 * 10**13)
    first = drive(store.run(lambda: claims.claim_due("me", 2, 1, 1)))
    second = drive(store.run(lambda: claims.claim_due("you", 9, 1, 1)))
    assert sorted(claim.order.order_id for claim in first + second) == ["INV-0", "INV-1", "INV-2"]
    assert len(first) == 2


def test_listeners_are_told(store: DjangoStore) -> None:
    """Until they no longer listen."""
    told: list[int] = []
    end = store.listen(lambda: told.append(1))
    store.notify()
    end()
    store.notify()
    assert told == [1]


# --- the handler


def test_the_mark_and_the_delivery_are_one(store: DjangoStore) -> None:
    """Models, savepoints and `on_commit` work as everywhere."""
    told: list[str] = []

    def handler(_tx: None) -> None:
        with atomic():
            ship()
        with suppress(ZeroDivisionError), atomic():
            ship()
            raise ZeroDivisionError
        transaction.on_commit(lambda: told.append(state()))
        assert not told

    drive(store.run(intent()))
    drive(store.deliver(shipped(), handler))
    assert (state(), Parcel.objects.count(), told) == ("fulfilled", 1, ["fulfilled"])


async def test_a_handler_runs_in_the_thread_of_the_connection(store: DjangoStore) -> None:
    """On an event loop, too: else it would be in another transaction, or none."""
    await store.run(intent())
    await store.deliver(shipped(), ship)
    assert await Parcel.objects.acount() == 1


def test_what_a_handler_raises_rolls_back_both(store: DjangoStore) -> None:
    """The mark, and what it has done so far."""

    def fail() -> None:
        ship()
        raise ZeroDivisionError

    drive(store.run(intent()))
    with pytest.raises(HandlerFailedError, match="on_paid: ZeroDivisionError"):
        drive(store.deliver(shipped(), called(fail)))
    assert (state(), Parcel.objects.count()) == ("intended", 0)


def roll_back() -> None:
    """Mark the transaction for a rollback."""
    ship()
    transaction.set_rollback(True)


def commit_with_django() -> None:
    """Django refuses it."""
    ship()
    connection.commit()


def commit_with_text() -> None:
    """Django does not see it."""
    ship()
    with connection.cursor() as cursor:
        cursor.execute("  COMMIT")


def commit_with_the_driver() -> None:
    """Nobody sees it."""
    ship()
    assert connection.connection is not None
    connection.connection.commit()


def begin_anew() -> None:
    """End the transaction, and begin another."""
    ship()
    assert connection.connection is not None
    raw = connection.connection.cursor()
    for statement in ("COMMIT", "BEGIN"):
        raw.execute(statement)
    raw.close()


def swallow() -> None:
    """Use a transaction that a database error has ended."""
    ship()
    try:
        with atomic(savepoint=False), connection.cursor() as cursor:
            cursor.execute("INSERT INTO parcel (id, order_id) VALUES (1, NULL)")
    except IntegrityError:
        pass
    ship()


def close() -> None:
    """Give the connection up."""
    ship()
    connection.close()


BREAKING = [
    roll_back,
    commit_with_django,
    commit_with_text,
    commit_with_the_driver,
    begin_anew,
    swallow,
    close,
]


@pytest.mark.parametrize("breaking", BREAKING)
def test_a_handler_that_ends_the_transaction_is_noticed(
    store: DjangoStore, breaking: Callable[[], None]
) -> None:
    """Whatever way it takes; and the connection serves on."""
    drive(store.run(intent()))
    with pytest.raises(BrokenHandlerError, match="has ended the transaction"):
        drive(store.deliver(shipped(), called(breaking)))
    if breaking not in (commit_with_the_driver, begin_anew):
        assert (state(), Parcel.objects.count()) == ("intended", 0)
    drive(store.run(intent("INV-2")))
    assert state("INV-2") == "intended"
    assert connection.get_autocommit()


def test_a_handler_that_is_refused_and_goes_on_has_done_no_harm(store: DjangoStore) -> None:
    """As with the other stores."""

    def handler() -> None:
        with pytest.raises(BrokenHandlerError):
            commit_with_text()

    drive(store.run(intent()))
    drive(store.deliver(shipped(), called(handler)))
    assert (state(), Parcel.objects.count()) == ("fulfilled", 1)


def test_what_fails_after_the_commit_undoes_nothing(
    store: DjangoStore, caplog: pytest.LogCaptureFixture
) -> None:
    """A function of the handler's that `on_commit` calls is an outside effect."""

    def handler(_tx: None) -> None:
        ship()
        transaction.on_commit(lambda: int("secret"))

    drive(store.run(intent()))
    with caplog.at_level(logging.ERROR, "paycollect.cashier"):
        drive(store.deliver(shipped(), handler))
    assert (state(), Parcel.objects.count()) == ("fulfilled", 1)
    assert "on_commit failed: ValueError" in caplog.text
    assert "secret" not in caplog.text


def test_steps_without_a_handler_pass_its_place(store: DjangoStore) -> None:
    """As in a process that has none."""
    drive(store.run(intent()))
    drive(store.run(shipped()))
    assert state() == "fulfilled"


def test_a_death_before_the_commit_leaves_nothing_and_after_it_everything(
    store: DjangoStore,
) -> None:
    """Crash tests raise from `reach` what is no Exception."""

    class Death(BaseException):
        pass

    def die_at(point: str) -> Callable[[str], None]:
        def reach(reached: str) -> None:
            if reached == point:
                raise Death

        return reach

    for point, expected in (("commit:before", ("intended", 0)), ("commit:after", ("fulfilled", 1))):
        drive(store.run(intent()))
        store.reach = die_at(point)
        with pytest.raises(Death):
            drive(store.deliver(shipped(), ship))
        store.reach = lambda _: None
        assert (state(), Parcel.objects.count()) == expected


# --- what can be wrong


def test_a_constraint_that_fails_at_the_commit_is_told_and_nothing_is_kept(
    store: DjangoStore,
) -> None:
    """Django's foreign keys are checked at the end of the transaction."""

    def handler(_tx: None) -> None:
        ship()
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO auth_user_groups (user_id, group_id) VALUES (1234567, 1234567)"
            )

    drive(store.run(intent()))
    with pytest.raises(StoreError) as raised:
        drive(store.deliver(shipped(), handler))
    assert raised.value.outcome is Outcome.NOT_SENT
    assert "1234567" not in str(raised.value)
    assert (state(), Parcel.objects.count()) == ("intended", 0)
    assert (raised.value.__cause__, raised.value.__context__) == (None, None)


def test_missing_tables_are_told(place: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """With the command that makes them."""
    if place.startswith("postgresql"):
        url = find_server()
        assert not isinstance(url, str)
        with fresh_schema(url) as found:
            where = f"{url.render_as_string(hide_password=False)}?schema={found.schema}"
            with configured(where):
                assert_migrate_is_said()
    else:
        with configured(str(tmp_path_factory.mktemp("django") / "none.db")):
            assert_migrate_is_said()


def assert_migrate_is_said() -> None:
    """Open a store on a database without tables."""
    with pytest.raises(StoreError, match=r"run manage\.py migrate --database default"):
        drive(DjangoStore().open())


def test_tables_of_a_later_release_are_refused(store: DjangoStore) -> None:
    """Where they say that this one cannot work with them."""
    drive(store.open())
    change = "UPDATE paycollect_schema SET version = {0}, min_compatible = {0}"
    with connection.cursor() as cursor:
        cursor.execute(change.format(99))
    try:
        with pytest.raises(StoreVersionError):
            drive(DjangoStore().open())
    finally:
        with connection.cursor() as cursor:
            cursor.execute(change.format(1))


def test_a_database_that_cannot_be_reached_is_told(tmp_path: Any) -> None:
    """By its alias, without a text of the driver's."""
    for place, text in (
        (str(tmp_path / "no" / "folder" / "shop.db"), "folder must exist"),
        ("postgresql://postgres@127.0.0.1:1/test?schema=public", "no connection to the database"),
    ):
        with configured(place), pytest.raises(StoreError, match=text):
            drive(DjangoStore().open())


def test_only_the_two_databases_are_supported(django: None, monkeypatch: Any) -> None:
    """Another is refused before anything is asked of it."""
    monkeypatch.setattr(type(connections["default"]), "vendor", "mysql")
    with pytest.raises(StoreError, match="PostgreSQL or SQLite is needed"):
        drive(DjangoStore().open())


def test_the_alias_is_checked_at_once(django: None) -> None:
    """So that the service does not start with it."""
    with pytest.raises(ValueError, match=r"settings\.DATABASES has no 'archive'"):
        DjangoStore(using="archive")
    wrong: Any = None
    with pytest.raises(TypeError, match="using: the alias"):
        DjangoStore(using=wrong)


def test_a_connection_that_the_server_has_closed_is_made_anew(postgres: str) -> None:
    """In a transaction and in a read; one that breaks in the middle is told."""
    with configured(postgres):
        empty_tables()
        store = DjangoStore()
        drive(store.run(intent()))
        for reads in (False, True):
            cut()
            assert drive(store.run(lambda: intents.read("INV-1"), reads=reads)) is not None

        def cut_within() -> Steps[None]:
            yield "SELECT 1", {}
            cut()
            yield "SELECT 2", {}

        with pytest.raises(StoreError, match="refused a statement: OperationalError"):
            drive(store.run(cut_within))
        assert drive(store.run(lambda: intents.read("INV-1"))) is not None


def test_a_connection_that_is_lost_at_the_commit_leaves_it_unknown(postgres: str) -> None:
    """It may have been done: the next claim sees."""
    with configured(postgres):
        empty_tables()
        store = DjangoStore()
        store.reach = lambda point: cut() if point == "commit:before" else None
        with pytest.raises(StoreError) as raised:
            drive(store.run(intent()))
        assert raised.value.outcome is Outcome.UNKNOWN


def cut() -> None:
    """Have the server end the connection of this thread."""
    assert connection.connection is not None
    pid = connection.connection.info.backend_pid
    other = connections.create_connection("default")
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s)", [pid])
    other.close()


def test_a_lock_that_is_held_for_too_long_is_told(sqlite: str) -> None:
    """The lock for writing is taken first, and waited for as long as the connection says."""
    database = {**connections_settings(sqlite)}
    database["OPTIONS"]["timeout"] = 0.01
    with configured(sqlite, DATABASES={"default": database}):
        empty_tables()
        other = connections.create_connection("default")
        with other.cursor() as cursor:
            cursor.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreError, match="another process has been writing for too long"):
                drive(DjangoStore().run(intent()))
            cursor.execute("ROLLBACK")
        other.close()


def connections_settings(place: str) -> Any:
    """Make the settings of a database."""
    from tests.cashier.django.project.settings import database  # noqa: PLC0415  needs settings

    return database(place)


def test_a_read_before_a_write_does_not_fail_where_django_begins_late(sqlite: str) -> None:
    """The default of Django, and all there is before Django 5.1."""
    database = connections_settings(sqlite)
    del database["OPTIONS"]["transaction_mode"]
    with configured(sqlite, DATABASES={"default": database}):
        empty_tables()
        store, tried = DjangoStore(), []

        def read_then_write() -> Steps[None]:
            yield "SELECT count(*) FROM paycollect_order", {}
            other = connections.create_connection("default")
            with other.cursor() as cursor:
                cursor.execute("PRAGMA busy_timeout = 1")
                try:
                    cursor.execute("INSERT INTO parcel (order_id) VALUES ('other')")
                except DatabaseError as error:
                    tried.append(str(error))
            other.close()
            yield from intents.intend("INV-1", "25.00", "USD", "{}")

        drive(store.run(read_then_write))
        assert (state(), tried) == ("intended", ["database is locked"])


# --- the tables


def test_the_migrations_make_the_tables_of_the_schema(store: DjangoStore) -> None:
    """Statement for statement, so that every store finds the same."""
    disk: Any = MigrationLoader(connection).disk_migrations
    made = [
        statement
        for (app, _), migration in sorted(disk.items())
        if app == "paycollect"
        for operation in migration.operations
        for statement in getattr(operation, "sql", [])
    ]
    assert made == schema.statements()


def test_the_models_are_the_tables_and_the_migrations_know_them(store: DjangoStore) -> None:
    """Each column, with its type; Django finds nothing to migrate."""
    kinds = {"TEXT": "text", "BIGINT": "bigint"}
    every: list[Any] = [models.Order, models.Webhook, models.Stray, models.TimelineEntry]
    for model in every:
        meta = model._meta
        table = next(one for one in schema.TABLES if f"paycollect_{one.name}" == meta.db_table)
        found = [
            (field.column, field.db_type(connection), field.null, field.primary_key)
            for field in meta.fields
        ]
        assert found == [
            (one.name, kinds[one.type], one.default is None, one is table.columns[0])
            for one in table.columns
        ]
    call_command("makemigrations", "paycollect", check=True, dry_run=True, verbosity=0)


def test_models_are_read_only(store: DjangoStore) -> None:
    """Decisions go through the cashier."""
    drive(store.run(intent()))
    order: Any = models.Order.objects.get(pk="INV-1")
    every = models.Order.objects.all()
    for write in (
        order.save,
        order.delete,
        every.delete,
        lambda: every.update(state="fulfilled"),
        lambda: models.Order.objects.create(order_id="INV-2"),
        lambda: every.bulk_create([models.Order(order_id="INV-2")]),
    ):
        with pytest.raises(TypeError, match="read only"):
            write()
    assert state() == "intended"
    assert [str(row) for row in models.TimelineEntry.objects.all()] == ["intended"]
    assert (str(order), str(models.Webhook(id="w")), str(models.Stray(id="s"))) == (
        "INV-1",
        "w",
        "s",
    )


def test_instants_are_instants(store: DjangoStore) -> None:
    """UTC, and usable in filters; one without a zone is refused."""
    store.use_clock(lambda: 1_750_000_000_123)
    drive(store.run(intent()))
    order: Any = models.Order.objects.get(pk="INV-1")
    assert order.created_at.isoformat() == "2025-06-15T15:06:40.123000+00:00"
    assert order.paid_at is None
    assert models.Order.objects.filter(created_at=order.created_at).count() == 1
    assert models.Order.objects.filter(created_at__gt=1_750_000_000_123).count() == 0
    with pytest.raises(ValueError, match="time zone"):
        models.Order.objects.filter(created_at=order.created_at.replace(tzinfo=None)).count()
