"""What happens during a call, as told to those who listen."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import attrs
import pytest

from paycollect import NotFoundError, PayCollectError, RetryPolicy, SessionManager
from paycollect.observe import (
    AttemptEnded,
    AttemptStarted,
    CallEnded,
    CallStarted,
    Observers,
    Record,
    Recovered,
    RequestRecord,
    TokenRenewed,
    Waiting,
    log,
)
from tests.provider import faults
from tests.provider.clocks import WALL, FakeClock
from tests.provider.fixtures import MakeManager
from tests.provider.messages import SECRET_KEY
from tests.provider.server import Provider

CREATE = "POST /collections"
GET = "GET /collections/{id}"


@pytest.fixture
def told() -> list[Record]:
    """Give the list of what was told."""
    return []


@pytest.fixture
def watched(make: MakeManager, told: list[Record]) -> SessionManager:
    """Give a manager whose records are noted."""
    return make(observers=[told.append])


def names(told: list[Record], path: str) -> list[str]:
    """Give the kinds of what was told of a path."""
    return [type(r).__name__ for r in told if isinstance(r, RequestRecord) and r.template == path]


async def test_the_story_of_a_call(
    watched: SessionManager, provider: Provider, told: list[Record], clock: FakeClock
) -> None:
    """A call, its attempts and its waits are told in order, with all that tells them apart."""
    provider.script(CREATE, faults.says(503, Retry_After="2"))
    await watched.create_checkout(amount=5, order_id="INV-1", description="d")
    assert names(told, "/collections") == [
        "CallStarted", "AttemptStarted", "AttemptEnded", "Waiting",
        "AttemptStarted", "AttemptEnded", "CallEnded",
    ]  # fmt: skip
    mine = [r for r in told if isinstance(r, RequestRecord) and r.template == "/collections"]
    assert len({record.call for record in mine}) == 1
    assert {record.order_id for record in mine} == {"INV-1"}
    assert {record.method for record in mine} == {"POST"}
    assert {record.url for record in mine} == {provider.base_url + "/collections"}
    started, first, failed, waiting, second, done, ended = mine
    assert isinstance(started, CallStarted)
    assert started.started == WALL
    assert isinstance(first, AttemptStarted)
    assert isinstance(second, AttemptStarted)
    assert (first.attempt, second.attempt, second.started) == (1, 2, WALL + 2)
    assert isinstance(failed, AttemptEnded)
    assert (failed.status, failed.error_type, failed.request_id) == (503, "ServerError", "req_bad1")
    assert failed.is_retryable
    assert isinstance(waiting, Waiting)
    assert (waiting.seconds, waiting.attempt, waiting.error_type) == (2, 1, "ServerError")
    assert isinstance(done, AttemptEnded)
    assert (done.status, done.error_type, done.request_id) == (201, None, "req_ok1")
    assert isinstance(ended, CallEnded)
    assert (ended.attempts, ended.elapsed, ended.status, ended.error_type) == (2, 2, 201, None)
    assert (ended.collection_id, ended.outcome) == ("SCI0001", None)


async def test_tokens_are_told(
    watched: SessionManager, provider: Provider, told: list[Record], clock: FakeClock
) -> None:
    """The request for a token is a call of its own; the new token is told, but not shown."""
    await watched.list_collections()
    clock.advance(86_400 - 100)
    await watched.list_collections()
    await asyncio.sleep(0.05)
    await watched.list_collections()
    assert names(told, "/auth/token") == [
        "CallStarted",
        "AttemptStarted",
        "AttemptEnded",
        "CallEnded",
    ]
    renewed = [record for record in told if isinstance(record, TokenRenewed)]
    assert [record.source for record in renewed] == ["issued", "refreshed"]
    assert [record.lifetime for record in renewed] == [86_400, 86_400]


async def test_failures_are_told(
    watched: SessionManager, provider: Provider, told: list[Record]
) -> None:
    """A call that fails, gets no answer, or is cancelled, ends all the same."""
    with pytest.raises(NotFoundError):
        await watched.get_collection("SCI1")
    end = told[-1]
    assert isinstance(end, CallEnded)
    assert (end.error_type, end.outcome, end.collection_id) == ("NotFoundError", "rejected", "SCI1")
    provider.always(GET, faults.dropped_before_commit)
    with pytest.raises(PayCollectError):
        await watched.get_collection("SCI1")
    end = told[-1]
    assert isinstance(end, CallEnded)
    assert (end.status, end.request_id, end.attempts) == (None, None, 4)
    provider.always(GET, faults.silent)
    before = provider.count(GET)
    call = asyncio.create_task(watched.get_collection("SCI2"))
    await provider.received(GET, before + 1)
    call.cancel()
    await asyncio.wait([call])
    end = told[-1]
    assert isinstance(end, CallEnded)
    assert (end.error_type, end.outcome, end.collection_id) == ("CancelledError", None, "SCI2")


async def test_nothing_private_is_told(
    watched: SessionManager, provider: Provider, told: list[Record]
) -> None:
    """No record holds a query, a token or a secret; each is frozen."""
    await watched.list_collections(order_id="PRIVATE")
    shown = repr(told)
    assert len(told) > 5
    for secret in (SECRET_KEY, "PRIVATE", "?", *provider.tokens):
        assert secret not in shown
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        told[0].order_id = "x"  # type: ignore[misc]  # the point of the test


async def test_an_observer_that_fails_harms_nobody(
    make: MakeManager, told: list[Record], caplog: pytest.LogCaptureFixture
) -> None:
    """An observer that raises is logged by name, without its text, and the next one is called."""

    def failing(_: Record) -> None:
        raise KeyError("PRIVATE")

    pay = make(observers=(failing, told.append))
    assert (await pay.list_collections()).items == ()
    assert names(told, "/collections")[-1] == "CallEnded"
    assert "failing failed at CallStarted: KeyError" in caplog.text
    assert "PRIVATE" not in caplog.text


def test_what_cannot_be_called_is_no_observer(make: MakeManager) -> None:
    """A mistake in the list of observers is named at once."""
    with pytest.raises(TypeError, match=r"^observers: int cannot be called$"):
        Observers([5])  # type: ignore[list-item]  # the point of the test
    with pytest.raises(TypeError, match=r"^observers: "):
        make(observers=["x"])


async def test_nothing_is_built_while_nobody_listens(
    pay: SessionManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without observers, and with a log above DEBUG, a good call builds no record."""
    built: list[object] = []

    def note(self: object) -> None:
        built.append(self)

    monkeypatch.setattr(log, "level", logging.WARNING)
    log.manager._clear_cache()  # type: ignore[attr-defined]  # the logger remembers its levels
    for kind in (CallStarted, AttemptStarted, AttemptEnded, CallEnded, TokenRenewed):
        monkeypatch.setattr(kind, "__attrs_post_init__", note, raising=False)
        init = kind.__init__

        def counted(self: object, *args: Any, _init: Any = init, **more: Any) -> None:
            built.append(self)
            _init(self, *args, **more)

        monkeypatch.setattr(kind, "__init__", counted)
    await pay.list_collections()
    monkeypatch.undo()
    log.manager._clear_cache()  # type: ignore[attr-defined]  # the logger remembers its levels
    assert built == []


async def test_a_line_of_the_log_can_be_searched(
    pay: SessionManager, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    """Lines carry order id, collection id, request id and path as fields of their own."""
    caplog.set_level(logging.DEBUG, "paycollect")
    provider.script(CREATE, faults.says(503))
    await pay.create_checkout(amount=5, order_id="INV-1", description="d")
    await pay.get_collection("SCI0001")
    log.info("something else")
    fields = [
        tuple(getattr(line, name) for name in ("path", "order_id", "collection_id", "request_id"))
        for line in caplog.records
        if line.name == "paycollect"
    ]
    assert fields == [
        ("/auth/token", None, None, "req_ok1"),
        ("/collections", "INV-1", None, "req_bad1"),
        ("/collections", "INV-1", None, "req_ok1"),
        ("/collections/{id}", None, "SCI0001", "req_ok1"),
        (None, None, None, None),
    ]


def test_a_record_without_a_line() -> None:
    """Of what has no line of its own, the log says nothing."""
    assert Record(order_id="INV-1").log_line() is None


async def test_a_call_about_one_collection_names_it(
    watched: SessionManager, told: list[Record], provider: Provider
) -> None:
    """The end of a call about one collection names that, whatever the answer holds."""
    provider.add_order("INV-1", batch="B1")
    provider.aliases["B1"] = "SCI0001"
    await watched.get_collection("B1", retry=RetryPolicy(max_retries=0))
    end = told[-1]
    assert isinstance(end, CallEnded)
    assert (end.collection_id, end.error_type) == ("B1", None)


async def test_a_recovery_is_told(
    watched: SessionManager,
    provider: Provider,
    told: list[Record],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What was found after a lost answer is told, and logged with its order."""
    caplog.set_level(logging.INFO, "paycollect")
    provider.script(CREATE, faults.lost_after_commit)
    await watched.create_checkout(amount=5, order_id="INV-1", description="d")
    provider.orders["INV-1"]["status"] = "COMPLETED"
    provider.script("POST /collections/{id}/refund", faults.lost_after_commit)
    await watched.create_refund("SCI0001")
    found = [record for record in told if isinstance(record, Recovered)]
    assert [(r.what, r.order_id, r.collection_id) for r in found] == [
        ("checkout", "INV-1", "SCI0001"),
        ("refund", None, "SCI0001"),
    ]
    lines = [line for line in caplog.records if "recovered" in line.getMessage()]
    assert [line.__dict__["order_id"] for line in lines] == ["INV-1", None]
