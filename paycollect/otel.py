"""OpenTelemetry listens: spans and metrics of calls, and of what a cashier does.

    a span per call, INTERNAL, and under it a CLIENT span per attempt
    a PRODUCER span per intent of a cashier, a CONSUMER span per order that a webhook has woken

Names and attributes are those of the stable conventions for HTTP, beside them `paycollect.*`.

Invariants: needs opentelemetry-api only. No query, no body, no text of an error and nothing about
a payer becomes an attribute; ids stand in spans only, as each would be a time series of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import monotonic
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from attrs import define
from opentelemetry import context, metrics, trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from paycollect.observe import (
    AttemptEnded,
    AttemptStarted,
    CallEnded,
    CallStarted,
    Record,
    Recovered,
    TokenRenewed,
    Waiting,
)
from paycollect.version import __version__

if TYPE_CHECKING:  # who has no cashier need not import it
    from contextvars import Token

    from paycollect.cashier.records import (
        LeaseLost,
        OrderRecord,
        SlowHandler,
        StatsTaken,
        WebhookReceived,
        WebhookRefused,
        WorkEnded,
        WorkStarted,
    )

Attributes = Mapping[str, str | int | float]

BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
"""Upper bounds in seconds (semantic conventions: http.client.request.duration)."""
LAG_BUCKETS: Final = (0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)
_PORTS: Final = {"https": 443, "http": 80}
_PROPAGATOR: Final = TraceContextTextMapPropagator()
_KINDS: Final = {"create": SpanKind.PRODUCER, "webhook": SpanKind.CONSUMER}
_BY_A_WORKER: Final = ("webhook", "sweep")


@define(eq=False)
class _Open:
    """A span that has begun, and is the present one of its task."""

    span: Span
    token: Token[Context]
    began: float
    attributes: Attributes

    def end(self, error_type: str | None, more: Attributes) -> float:
        """End the span; gives how many seconds it took."""
        self.span.set_attributes(more)
        if error_type is not None:
            self.span.set_attribute("error.type", error_type)
            self.span.set_status(StatusCode.ERROR)
        context.detach(self.token)
        self.span.end()
        return monotonic() - self.began


@define(eq=False)
class _Call:
    """A call under way, and its attempt, while there is one."""

    open: _Open
    attempts: int = 0
    attempt: _Open | None = None


class Telemetry:
    """An observer for `SessionManager(observers=...)` and `Cashier(observers=...)`.

    One can serve them all. Its spans are the present ones of their tasks meanwhile, so that lines
    of a log and spans of other instruments are seen below them.

    Example::

        from paycollect.otel import Telemetry

        telemetry = Telemetry()
        pay = SessionManager(
            app_id=app_id, secret_key=secret_key, base_url=base_url, observers=[telemetry]
        )

    Args:
        tracer_provider: who makes the spans (default: the application's global one).
        meter_provider: who makes the instruments (default: the application's global one).

    """

    def __init__(
        self,
        *,
        tracer_provider: trace.TracerProvider | None = None,
        meter_provider: metrics.MeterProvider | None = None,
    ) -> None:
        self._tracer = trace.get_tracer("paycollect", __version__, tracer_provider)
        meter = metrics.get_meter("paycollect", __version__, meter_provider)
        self._duration = meter.create_histogram(
            "http.client.request.duration",
            unit="s",
            description="Duration of HTTP client requests.",
            explicit_bucket_boundaries_advisory=BUCKETS,
        )
        self._cashier = _CashierMetrics(meter)
        self._calls: dict[int, _Call] = {}
        self._works: dict[int, _Open] = {}
        self._listeners: dict[str, Callable[[Any], None]] = {
            "CallStarted": self._call_started,
            "CallEnded": self._call_ended,
            "AttemptStarted": self._attempt_started,
            "AttemptEnded": self._attempt_ended,
            "Waiting": self._waiting,
            "TokenRenewed": self._token_renewed,
            "Recovered": self._recovered,
            "WorkStarted": self._work_started,
            "WorkEnded": self._work_ended,
            **self._cashier.listeners,
        }

    def __call__(self, record: Record) -> None:
        """Take a record."""
        listener = self._listeners.get(type(record).__name__)
        if listener is not None:
            listener(record)

    def traceparent(self) -> str:
        """Give the trace context of the present span, as W3C writes it; "" where there is none."""
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier)
        return carrier.get("traceparent", "")

    # --- calls

    def _call_started(self, record: CallStarted) -> None:
        name = f"paycollect {record.method} {record.template}"
        self._calls[record.call] = _Call(self._begin(name, SpanKind.INTERNAL, _ids(record)))

    def _call_ended(self, record: CallEnded) -> None:
        call = self._calls.pop(record.call, None)
        if call is None:
            return
        if call.attempt is not None:  # the caller has cancelled it
            self._end_attempt(call.attempt, record.error_type, {})
        more: dict[str, str | int | float] = {"paycollect.attempts": call.attempts, **_ids(record)}
        if record.outcome is not None:
            more["paycollect.outcome"] = str(record.outcome)
        call.open.end(record.error_type, more)

    def _attempt_started(self, record: AttemptStarted) -> None:
        call = self._calls.get(record.call)
        if call is None:
            return
        attributes = _of_request(record)
        more: dict[str, str | int] = {"url.full": record.url}
        if call.attempts:
            more["http.request.resend_count"] = call.attempts
        call.attempts += 1
        name = f"{record.method} {record.template}"
        call.attempt = self._begin(name, SpanKind.CLIENT, {**attributes, **more})
        call.attempt.attributes = attributes

    def _attempt_ended(self, record: AttemptEnded) -> None:
        call = self._calls.get(record.call)
        if call is None or call.attempt is None:
            return
        attempt, call.attempt = call.attempt, None
        if record.request_id is not None:
            attempt.span.set_attribute("paycollect.request_id", record.request_id)
        status = {} if record.status is None else {"http.response.status_code": record.status}
        self._end_attempt(attempt, record.error_type, status)

    def _end_attempt(self, attempt: _Open, error_type: str | None, status: Attributes) -> None:
        seconds = attempt.end(error_type, status)
        failed = {} if error_type is None else {"error.type": error_type}
        self._duration.record(seconds, {**attempt.attributes, **status, **failed})

    def _waiting(self, record: Waiting) -> None:
        _event("waiting", {"paycollect.seconds": record.seconds, "error.type": record.error_type})

    def _token_renewed(self, record: TokenRenewed) -> None:
        _event("token renewed", {"paycollect.source": record.source})

    def _recovered(self, record: Recovered) -> None:
        _event("recovered", {"paycollect.what": record.what})

    # --- what a cashier does

    def _work_started(self, record: WorkStarted) -> None:
        carrier = {"traceparent": record.traceparent}
        created = _PROPAGATOR.extract(carrier, Context()) if record.traceparent else Context()
        origin = trace.get_current_span(created).get_span_context()
        self._works[record.number] = self._begin(
            f"paycollect {record.what}",
            _KINDS.get(record.what, SpanKind.INTERNAL),
            _ids(record),
            # A worker has no request of its own: with this, one trace spans the hosted page.
            parent=created if record.what in _BY_A_WORKER else None,
            links=[Link(origin)] if origin.is_valid else [],
        )

    def _work_ended(self, record: WorkEnded) -> None:
        work = self._works.pop(record.number, None)
        if work is not None:
            work.end(record.error_type, {})

    def _begin(
        self,
        name: str,
        kind: SpanKind,
        attributes: Attributes,
        *,
        parent: Context | None = None,
        links: list[Link] | None = None,
    ) -> _Open:
        span = self._tracer.start_span(name, parent, kind, dict(attributes), links)
        token = context.attach(trace.set_span_in_context(span, parent))
        return _Open(span, token, monotonic(), attributes)


class _CashierMetrics:
    """The instruments of a cashier."""

    def __init__(self, meter: metrics.Meter) -> None:
        def counter(name: str, unit: str, description: str) -> metrics.Counter:
            return meter.create_counter(f"paycollect.cashier.{name}", unit, description)

        self._orders = counter("orders", "{order}", "What became of orders.")
        self._webhooks = counter("webhooks", "{webhook}", "Webhooks, by the status they got.")
        self._lost = counter("leases_lost", "{lease}", "Work that came too late.")
        self._slow = counter("slow_handlers", "{call}", "Handlers that took too long.")
        self._lag = meter.create_histogram(
            "paycollect.cashier.webhook.lag",
            unit="s",
            description="Time from what a webhook tells of until it is stored.",
            explicit_bucket_boundaries_advisory=LAG_BUCKETS,
        )
        self._gauges = {
            name: meter.create_gauge(f"paycollect.cashier.{name}", unit, description)
            for name, unit, description in _GAUGES
        }
        self.listeners: dict[str, Callable[[Any], None]] = {
            "OrderRecord": self._order,
            "WebhookReceived": self._received,
            "WebhookRefused": self._refused,
            "LeaseLost": self._lease_lost,
            "SlowHandler": self._slow_handler,
            "StatsTaken": self._stats,
        }

    def _order(self, record: OrderRecord) -> None:
        found = {"paycollect.found_by": record.found_by} if record.found_by else {}
        self._orders.add(1, {"paycollect.what": record.what, **found})
        _event(f"order {record.what}", {**_ids(record), **found})

    def _received(self, record: WebhookReceived) -> None:
        self._webhooks.add(1, {"http.response.status_code": 200})
        if record.lag is not None:
            self._lag.record(record.lag)
        _event("webhook received", _ids(record))

    def _refused(self, record: WebhookRefused) -> None:
        why: dict[str, str | int] = {
            "http.response.status_code": record.status,
            "error.type": record.error_type,
        }
        self._webhooks.add(1, why)
        _event("webhook refused", why)

    def _lease_lost(self, record: LeaseLost) -> None:
        self._lost.add(1)
        _event("lease lost", _ids(record))

    def _slow_handler(self, record: SlowHandler) -> None:
        self._slow.add(1, {"paycollect.handler": record.handler})

    def _stats(self, record: StatsTaken) -> None:
        for name, gauge in self._gauges.items():
            value = getattr(record.stats, name)
            if value is not None:
                gauge.set(value)
        if record.stats.oldest_undone is None:
            self._gauges["oldest_undone"].set(0)


_GAUGES: Final = (
    ("open", "{order}", "Orders that can be paid."),
    ("held", "{order}", "Orders and payments that wait for a person."),
    ("mismatches", "{order}", "Held, as the amount, the currency or the order id is another."),
    ("webhooks_due", "{webhook}", "Webhooks that are not handled yet."),
    ("after_due", "{order}", "Delivered orders whose outside effects are due."),
    ("oldest_undone", "s", "How long the oldest of all that is not done has waited."),
    ("deliveries", "{order}", "Orders that were found to be paid within a day."),
    ("found_by_sweep", "1", "The share of them that no webhook and no customer told of."),
    ("webhook_lag", "s", "From a payment to its webhook, on average within a day."),
)
"""Each is named as in `paycollect.cashier.Stats`."""


def _of_request(record: AttemptStarted) -> dict[str, str | int]:
    parts = urlsplit(record.url)
    return {
        "http.request.method": record.method,
        "server.address": parts.hostname or "",
        "server.port": parts.port or _PORTS.get(parts.scheme, 0),
        "url.scheme": parts.scheme,
        "url.template": record.template,
    }


def _ids(record: Record) -> dict[str, str]:
    found = {
        "paycollect.order_id": record.order_id,
        "paycollect.collection_id": record.collection_id,
    }
    return {name: value for name, value in found.items() if value is not None}


def _event(name: str, attributes: Mapping[str, str | int | float]) -> None:
    trace.get_current_span().add_event(name, attributes)
