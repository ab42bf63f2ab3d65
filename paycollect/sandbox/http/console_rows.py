"""The rows of the console: a checkout, a webhook, a request, each with its buttons.

Invariants: pure functions from what the sandbox holds to HTML; texts reach it through `tag` only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from paycollect.sandbox.http.html import Html, tag
from paycollect.sandbox.http.pages import dollars
from paycollect.sandbox.http.view import story_of
from paycollect.sandbox.provider.envelope import loads, pretty
from paycollect.status import PaymentStatus

if TYPE_CHECKING:
    from datetime import datetime

    from paycollect.sandbox.http.delivery import Attempt, Delivery
    from paycollect.sandbox.http.parts import Parts
    from paycollect.sandbox.provider.records import CollectionRecord
    from paycollect.sandbox.request_log import RecordedRequest

_LONGEST_BODY: Final = 4000
_FIRST_ERROR: Final = 400
_COLOURS: Final = {
    "PENDING": "wait",
    "waiting": "wait",
    "sending": "wait",
    "COMPLETED": "good",
    "delivered": "good",
    "FAILED": "bad",
    "failed": "bad",
}


def button(
    label: str, action: str, csrf: str, *, colour: str = "", about: str = "", **fields: str
) -> Html:
    """Build a button that posts; `about` tells people who cannot see the row what it is for."""
    spoken = tag("span", f" {about}", class_="unseen") if about else None
    return tag(
        "form",
        *(hidden(name, value) for name, value in {"csrf": csrf, **fields}.items()),
        tag("button", label, spoken, class_=colour or None),
        method="post",
        action=f"/_sandbox{action}",
    )


def hidden(name: str, value: str) -> Html:
    """Build a field that nobody sees."""
    return tag("input", type="hidden", name=name, value=value)


def pill(text: str, colour: str = "") -> Html:
    """Build a small coloured label."""
    return tag("span", text, class_=f"pill {colour or _COLOURS.get(text, '')}".strip())


def checkout_row(record: CollectionRecord, parts: Parts, csrf: str) -> Html:
    """Build the row of a checkout."""
    order = record.order
    left = "" if record.status.is_final else f"until {record.expires_at:%H:%M:%S}"
    refunded = f"{dollars(record.refunded)} refunded" if record.refund else ""
    return tag(
        "article",
        tag("div", pill(record.status.value), tag("span", left or refunded, class_="soft")),
        tag(
            "div",
            tag("a", order.order_id, href=story_of(record.collection_id)),
            tag("span", order.description, class_="soft"),
            tag("code", record.collection_id),
            class_="what",
        ),
        tag("div", tag("b", dollars(record.amount)), class_="money"),
        tag("div", *_steps(record, parts, csrf), class_="steps"),
        class_="row",
    )


def _steps(record: CollectionRecord, parts: Parts, csrf: str) -> list[Html]:
    path, order = f"/collections/{record.collection_id}", record.order.order_id
    if record.status is PaymentStatus.PENDING:
        url = parts.provider.checkout_url(record.collection_id)
        page = tag("a", "Open", href=url, target="_blank", rel="noopener", class_="button")
        pay = button("Pay", f"{path}/pay", csrf, colour="primary", about=order)
        return [
            page,
            pay,
            button("Decline", f"{path}/decline", csrf, about=order),
            button("Cancel", f"{path}/cancel", csrf, about=order),
            button("Expire", f"{path}/expire", csrf, about=order),
        ]
    if record.status is PaymentStatus.COMPLETED:
        return [_refund_form(f"{path}/refund", order, csrf)]
    return []


def _refund_form(action: str, order: str, csrf: str) -> Html:
    amount = tag(
        "input",
        name="amount",
        placeholder="all",
        inputmode="decimal",
        autocomplete="off",
        size="5",
        aria_label=f"Amount to refund of {order}; all if empty",
    )
    spoken = tag("span", f" {order}", class_="unseen")
    return tag(
        "form",
        hidden("csrf", csrf),
        amount,
        tag("button", "Refund", spoken),
        method="post",
        action=f"/_sandbox{action}",
        class_="refund",
    )


def delivery_row(entry: Delivery, parts: Parts, csrf: str) -> Html:
    """Build the row of a webhook, with all its attempts folded away."""
    next_ = entry.next_attempt_at if entry.state == "waiting" else None
    soon = f"next at {next_:%H:%M:%S}" if next_ is not None else ""
    count = len(entry.attempts)
    tries = f"{count} attempt{'' if count == 1 else 's'}"
    summary = tag(
        "summary",
        pill(entry.state),
        tag(
            "span",
            tag("b", entry.event.name),
            _order_of(parts, entry),
            tag("code", entry.url),
            class_="what",
        ),
        tag("span", tag("span", tries), tag("span", soon), class_="soft money"),
    )
    again = button(
        "Redeliver",
        f"/deliveries/{entry.delivery_id}/redeliver",
        csrf,
        about=f"{entry.event.name} number {entry.delivery_id}",
    )
    attempts = [_attempt(attempt) for attempt in reversed(entry.attempts)]
    details = tag("details", summary, *attempts, id=f"delivery-{entry.delivery_id}")
    return tag("article", details, tag("div", again, class_="steps"), class_="row delivery")


def request_row(entry: RecordedRequest) -> Html:
    """Build the row of a request."""
    return tag(
        "li",
        time_of(entry.at),
        tag("span", tag("b", entry.method), f" {entry.path}", class_="path"),
        pill(entry.fault, "wait") if entry.fault else None,
        duration(entry.seconds),
        pill(*status_of(entry)),
        request_details(entry),
    )


def outcome_of(attempt: Attempt) -> tuple[str, str]:
    """Say what an attempt came to, and in which colour."""
    outcome = attempt.error or f"HTTP {attempt.status}" if attempt.answered else "under way"
    return outcome, "good" if attempt.succeeded else "bad" if attempt.answered else "wait"


def status_of(entry: RecordedRequest) -> tuple[str, str]:
    """Say what a request was answered with, and in which colour."""
    if entry.status is None:
        return "no answer", "bad"
    return str(entry.status), "bad" if entry.status >= _FIRST_ERROR else "good"


def exchanged(attempt: Attempt) -> tuple[Html | None, ...]:
    """Show what an attempt sent and what came back."""
    return (
        tag("h3", "Sent"),
        tag("pre", pretty(loads(attempt.body.encode())), tabindex="0"),
        tag("h3", "Answered") if attempt.answer else None,
        tag("pre", attempt.answer, tabindex="0") if attempt.answer else None,
    )


def request_details(entry: RecordedRequest) -> Html | None:
    """Show the body of a request, folded away; None if there was none."""
    if not entry.body:
        return None
    text = pretty(entry.json) if entry.json is not None else "not JSON"
    if len(text) > _LONGEST_BODY:
        text = f"{text[:_LONGEST_BODY]}…"
    # Its id keeps it open while the panel is renewed.
    number = f"request-{entry.at.timestamp():f}-{id(entry):x}"
    return tag("details", tag("summary", "Body"), tag("pre", text, tabindex="0"), id=number)


def duration(seconds: float) -> Html:
    """Show how long something took, in real time."""
    return tag("small", f"{seconds * 1000:.0f} ms", class_="soft")


def time_of(moment: datetime) -> Html:
    """Show the time of the day, UTC."""
    return tag("time", f"{moment:%H:%M:%S}", datetime=moment.isoformat(timespec="seconds"))


def _attempt(attempt: Attempt) -> Html:
    return tag(
        "div",
        tag(
            "p",
            time_of(attempt.at),
            pill(*outcome_of(attempt)),
            pill(attempt.fault, "wait") if attempt.fault else None,
            duration(attempt.seconds),
        ),
        *exchanged(attempt),
        class_="attempt",
    )


def _order_of(parts: Parts, entry: Delivery) -> Html:
    if entry.collection_id is None:
        return tag("span", "test delivery", class_="soft")
    order = parts.provider.ledger[entry.collection_id].order.order_id
    return tag("a", order, href=story_of(entry.collection_id))
