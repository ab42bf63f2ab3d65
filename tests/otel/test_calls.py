"""Calls, as spans and a histogram."""

from __future__ import annotations

import asyncio
import logging
from urllib.parse import urlsplit

import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode

from paycollect import NotFoundError, SessionManager
from paycollect.observe import AttemptEnded, AttemptStarted, CallEnded, CallStarted, Record
from paycollect.otel import BUCKETS, Telemetry, _of_request
from tests.otel.conftest import Seen, attributes, id_of, parent_of, trace_of
from tests.provider import faults
from tests.provider.fixtures import MakeManager
from tests.provider.messages import SECRET_KEY
from tests.provider.server import Provider

CREATE = "POST /collections"
GET = "GET /collections/{id}"


@pytest.fixture
def pay(make: MakeManager, seen: Seen) -> SessionManager:
    """Give a manager that OpenTelemetry listens to."""
    return make(observers=[seen.telemetry])


async def test_a_call_and_its_attempts(pay: SessionManager, provider: Provider, seen: Seen) -> None:
    """A span per attempt by the conventions, below one per call, below the application's own."""
    await pay.list_collections()
    provider.script(CREATE, faults.says(503, Retry_After="2"))
    with seen.tracer.start_as_current_span("checkout view") as view:
        await pay.create_checkout(amount=5, order_id="INV-1", description="d")
    call = seen.span("paycollect POST /collections")
    first, second = [span for span in seen.spans() if span.name == "POST /collections"]
    assert call.kind is SpanKind.INTERNAL
    assert {first.kind, second.kind} == {SpanKind.CLIENT}
    assert parent_of(call) == view.get_span_context().span_id
    assert parent_of(first) == parent_of(second) == id_of(call)
    where = urlsplit(provider.base_url)
    asked = {
        "http.request.method": "POST",
        "server.address": where.hostname,
        "server.port": where.port,
        "url.scheme": "http",
        "url.template": "/collections",
        "url.full": f"{provider.base_url}/collections",
    }
    assert attributes(first) == asked | {
        "http.response.status_code": 503,
        "error.type": "ServerError",
        "paycollect.request_id": "req_bad1",
    }
    assert attributes(second) == asked | {
        "http.request.resend_count": 1,
        "http.response.status_code": 201,
        "paycollect.request_id": "req_ok1",
    }
    assert first.status.status_code is StatusCode.ERROR
    assert second.status.status_code is call.status.status_code is StatusCode.UNSET
    assert attributes(call) == {
        "paycollect.attempts": 2,
        "paycollect.order_id": "INV-1",
        "paycollect.collection_id": "SCI0001",
    }
    (waiting,) = call.events
    assert (waiting.name, dict(waiting.attributes or {})) == (
        "waiting",
        {"paycollect.seconds": 2, "error.type": "ServerError"},
    )
    assert not trace.get_current_span().is_recording(), "nothing is left as the present span"


async def test_the_duration_of_requests(
    pay: SessionManager, provider: Provider, seen: Seen
) -> None:
    """By method, host, path, status and error; the conventions' buckets; no ids."""
    await pay.list_collections()
    provider.script(CREATE, faults.says(503))
    await pay.create_checkout(amount=5, order_id="INV-1", description="d")
    points = [
        point
        for point in seen.points("http.client.request.duration")
        if point.attributes["http.request.method"] == "POST"
        and point.attributes["url.template"] == "/collections"
    ]
    by_status = {point.attributes["http.response.status_code"]: point for point in points}
    assert set(by_status) == {201, 503}
    assert set(by_status[201].attributes) == {
        "http.request.method",
        "http.response.status_code",
        "server.address",
        "server.port",
        "url.scheme",
        "url.template",
    }
    assert by_status[503].attributes["error.type"] == "ServerError"
    assert by_status[201].explicit_bounds == BUCKETS
    assert by_status[201].count == 1
    assert 0 < by_status[201].sum < 10


async def test_calls_that_fail(pay: SessionManager, provider: Provider, seen: Seen) -> None:
    """A refusal, no answer, and the caller's own cancellation; ids are not in the template."""
    with pytest.raises(NotFoundError):
        await pay.get_collection("SCI404")
    call = seen.span("paycollect GET /collections/{id}")
    assert call.status.status_code is StatusCode.ERROR
    assert attributes(call) == {
        "error.type": "NotFoundError",
        "paycollect.attempts": 1,
        "paycollect.collection_id": "SCI404",
        "paycollect.outcome": "rejected",
    }
    provider.always(GET, faults.silent)
    waiting = asyncio.create_task(pay.get_collection("SCI5"))
    await provider.received(GET, 2)
    waiting.cancel()
    await asyncio.wait([waiting])
    cancelled = seen.spans("GET /collections/{id}")[-2:]
    assert [span.kind for span in cancelled] == [SpanKind.INTERNAL, SpanKind.CLIENT]
    for span in cancelled:
        assert attributes(span)["error.type"] == "CancelledError"
        assert span.status.status_code is StatusCode.ERROR
    provider.always(GET, faults.dropped_before_commit)
    with pytest.raises(Exception, match="answer"):
        await pay.get_collection("SCI6")
    lost = seen.spans("GET /collections/{id}")[-1]
    assert "http.response.status_code" not in attributes(lost)
    kinds = {
        point.attributes.get("error.type") for point in seen.points("http.client.request.duration")
    }
    assert {None, "NotFoundError", "CancelledError"} < kinds


async def test_a_token_is_asked_for_below_the_call(pay: SessionManager, seen: Seen) -> None:
    """The request for a token is a call of its own, in the same trace."""
    await pay.list_collections()
    token = seen.span("paycollect POST /auth/token")
    assert trace_of(token) == trace_of(seen.spans("paycollect ")[0])
    renewed = [event for span in seen.spans() for event in span.events]
    assert [event.name for event in renewed] == ["token renewed"]


async def test_a_recovery_is_an_event(pay: SessionManager, provider: Provider, seen: Seen) -> None:
    """It stands in the application's own span, as it is about several calls."""
    provider.script(CREATE, faults.lost_after_commit)
    with seen.tracer.start_as_current_span("view"):
        await pay.create_checkout(amount=5, order_id="INV-1", description="d")
    assert [event.name for event in seen.span("view").events] == ["recovered"]


async def test_nothing_private_is_exported(
    pay: SessionManager, provider: Provider, seen: Seen
) -> None:
    """No query, no token, no secret."""
    await pay.list_collections(order_id="PRIVATE")
    shown = "".join(span.to_json() for span in seen.spans())
    assert "/collections" in shown
    for secret in (SECRET_KEY, "PRIVATE", "?", *provider.tokens):
        assert secret not in shown


async def test_calls_at_the_same_time(pay: SessionManager, seen: Seen) -> None:
    """Each has its own spans."""
    await pay.list_collections()
    await asyncio.gather(*(pay.list_collections() for _ in range(5)))
    calls = {id_of(span) for span in seen.spans("paycollect GET /collections")}
    attempts = [parent_of(span) for span in seen.spans() if span.name == "GET /collections"]
    assert len(calls) == len(attempts) == 6
    assert set(attempts) == calls


async def test_lines_of_the_log_are_in_the_span(
    pay: SessionManager, provider: Provider, seen: Seen
) -> None:
    """So that a log that shows trace ids leads to the attempt."""
    spans: list[int] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            spans.append(trace.get_current_span().get_span_context().span_id)

    handler = Handler()
    logging.getLogger("paycollect").addHandler(handler)
    provider.script(CREATE, faults.says(503))
    await pay.create_checkout(amount=5, order_id="INV-1", description="d")
    logging.getLogger("paycollect").removeHandler(handler)
    assert id_of(next(span for span in seen.spans() if span.name == "POST /collections")) in spans


@pytest.mark.parametrize(
    ("kinds", "spans"),
    [((AttemptStarted, AttemptEnded, CallEnded), 0), ((CallStarted, AttemptEnded, CallEnded), 2)],
)
async def test_records_that_were_missed(
    make: MakeManager, seen: Seen, kinds: tuple[type[Record], ...], spans: int
) -> None:
    """Whoever passes on only some records gets fewer spans, and no error."""

    def some(record: Record) -> None:
        if isinstance(record, kinds):
            seen.telemetry(record)

    await make(observers=[some]).list_collections()
    assert len(seen.spans()) == spans  # two calls: one is for the token


async def test_a_record_that_means_nothing_to_it(seen: Seen) -> None:
    """Records of later releases are passed over."""
    seen.telemetry(Record())
    assert seen.spans() == []


async def test_without_an_sdk(make: MakeManager) -> None:
    """An application that has none set up pays nothing, and nothing fails."""
    telemetry = Telemetry()
    pay = make(observers=[telemetry])
    await pay.list_collections()
    assert telemetry.traceparent() == ""


def test_the_standard_ports(seen: Seen) -> None:
    """Where the URL names no port, that of its scheme is told."""
    record = AttemptStarted(
        call=1, method="GET", template="/x", url="https://api.example/x", started=0.0, attempt=1
    )
    assert _of_request(record)["server.port"] == 443
