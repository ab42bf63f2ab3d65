"""The parts of the console that change: collections, deliveries, requests, tokens, faults, time.

The law of this room: pure functions from the sandbox to HTML; texts reach it through `tag` only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from paycollect.sandbox.html import Html, join, tag
from paycollect.sandbox.pages import dollars
from paycollect.sandbox.wire import loads, pretty
from paycollect.status import PaymentStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from paycollect.sandbox.delivery import Attempt, Delivery
    from paycollect.sandbox.server import Sandbox
    from paycollect.sandbox.state import CollectionRecord
    from paycollect.sandbox.traffic import RecordedRequest

_SHOWN: Final = 50
_MINUTE: Final = 60
_FIRST_ERROR: Final = 400
_MOODS: Final = {
    "PENDING": "wait",
    "waiting": "wait",
    "sending": "wait",
    "COMPLETED": "good",
    "delivered": "good",
    "FAILED": "bad",
    "failed": "bad",
}


def button(
    label: str, action: str, csrf: str, *, mood: str = "", about: str = "", **fields: str
) -> Html:
    """Build a button that posts; `about` tells people who cannot see the row what it is for."""
    spoken = tag("span", f" {about}", class_="unseen") if about else None
    return tag(
        "form",
        *(hidden(name, value) for name, value in {"csrf": csrf, **fields}.items()),
        tag("button", label, spoken, class_=mood or None),
        method="post",
        action=f"/_sandbox{action}",
    )


def hidden(name: str, value: str) -> Html:
    """Build a field that nobody sees."""
    return tag("input", type="hidden", name=name, value=value)


def pill(text: str, mood: str = "") -> Html:
    """Build a small coloured label."""
    return tag("span", text, class_=f"pill {mood or _MOODS.get(text, '')}".strip())


def clock(sandbox: Sandbox, _: str) -> Html:
    """Show the time, how fast it goes, and the balance."""
    now, scale = sandbox.clock.now(), sandbox.clock.time_scale
    speed = tag("span", f"{scale:g} times as fast", class_="soft") if scale != 1 else None
    return join(
        tag("time", f"{now:%Y-%m-%d %H:%M:%S}", datetime=now.isoformat(timespec="seconds")),
        tag("span", "UTC", class_="soft"),
        speed,
        tag("span", "Balance ", tag("b", dollars(sandbox.balance)), class_="balance"),
    )


def connect(sandbox: Sandbox, _: str) -> Html:
    """Show the settings that a service needs."""
    lines = (
        f"PAYCOLLECT_BASE_URL={sandbox.base_url}",
        f"PAYCOLLECT_APP_ID={sandbox.app_id}",
        f"PAYCOLLECT_SECRET_KEY={sandbox.secret_key}",
        f"PAYCOLLECT_WEBHOOK_SECRET={sandbox.webhook_secret}",
    )
    label = "Environment for your service"
    return tag("pre", "\n".join(lines), tabindex="0", aria_label=label, class_="plain")


def collections(sandbox: Sandbox, csrf: str) -> Html:
    """List the collections, newest first."""
    records = sandbox.collections
    if not records:
        return _empty("No checkouts yet. Create one through the API, or with the form above.")
    rows = [_collection(record, sandbox, csrf) for record in records[:_SHOWN]]
    return join(*rows, _more(len(records)))


def deliveries(sandbox: Sandbox, csrf: str) -> Html:
    """List the deliveries with all their attempts, newest first."""
    entries = sandbox.deliveries[::-1]
    if not entries:
        return _empty("No webhooks yet. They go out when a checkout with a webhookUrl is paid.")
    now = sandbox.clock.now()
    return join(*(_delivery(entry, now, csrf) for entry in entries[:_SHOWN]), _more(len(entries)))


def requests(sandbox: Sandbox, _: str) -> Html:
    """List the requests to the API, newest first."""
    entries = sandbox.requests[::-1]
    if not entries:
        return _empty("Nobody has called the API yet.")
    return join(*map(_request, entries[:_SHOWN]), _more(len(entries)))


def tokens(sandbox: Sandbox, _: str) -> Html:
    """List what happened to tokens, newest first."""
    entries = sandbox.token_activity[::-1]
    if not entries:
        return _empty("No token was issued yet.")
    return join(
        *(
            tag("li", _time(entry.at), tag("span", entry.what), tag("code", entry.hint))
            for entry in entries[:_SHOWN]
        )
    )


def faults(sandbox: Sandbox, csrf: str) -> Html:
    """List the faults that are armed."""
    armed = sandbox.faults.armed
    if not armed:
        return _empty("No fault is armed: everything works.")
    rows = [
        tag(
            "li",
            tag("span", tag("b", entry.target), tag("span", str(entry.fault), class_="soft")),
            pill("once" if entry.once else "always", "wait"),
            button(
                "Disarm",
                "/faults/clear",
                csrf,
                about=f"{entry.fault.kind} on {entry.target}",
                number=str(entry.number),
            ),
        )
        for entry in armed
    ]
    return join(*rows)


PANELS: Final[Mapping[str, Callable[[Sandbox, str], Html]]] = {
    "clock": clock,
    "connect": connect,
    "collections": collections,
    "deliveries": deliveries,
    "faults": faults,
    "tokens": tokens,
    "requests": requests,
}
"""Each panel by the id of its element."""


def _collection(record: CollectionRecord, sandbox: Sandbox, csrf: str) -> Html:
    order = record.order
    left = "" if record.status.is_final else _left(record.expires_at, sandbox.clock.now())
    refunded = f"{dollars(record.refunded)} refunded" if record.refund else ""
    return tag(
        "article",
        tag("div", pill(record.status.value), tag("span", left or refunded, class_="soft")),
        tag(
            "div",
            tag("b", order.order_id),
            tag("span", order.description, class_="soft"),
            tag("code", record.collection_id),
            class_="what",
        ),
        tag("div", tag("b", dollars(record.amount)), class_="money"),
        tag("div", *_steps(record, sandbox, csrf), class_="steps"),
        class_="row",
    )


def _steps(record: CollectionRecord, sandbox: Sandbox, csrf: str) -> list[Html]:
    path, order = f"/collections/{record.collection_id}", record.order.order_id
    if record.status is PaymentStatus.PENDING:
        url = sandbox.checkout_url(record.collection_id)
        page = tag("a", "Open", href=url, target="_blank", rel="noopener", class_="button")
        pay = button("Pay", f"{path}/pay", csrf, mood="primary", about=order)
        return [
            page,
            pay,
            button("Decline", f"{path}/decline", csrf, about=order),
            button("Expire", f"{path}/expire", csrf, about=order),
        ]
    if record.status is PaymentStatus.COMPLETED:
        return [button("Refund", f"{path}/refund", csrf, about=order)]
    return []


def _delivery(entry: Delivery, now: datetime, csrf: str) -> Html:
    next_ = entry.next_attempt_at
    waits = next_ is not None and entry.state == "waiting"
    soon = f"next in {_left(next_, now)}" if waits and next_ is not None else ""
    count = len(entry.attempts)
    tries = f"{count} attempt{'' if count == 1 else 's'}"
    summary = tag(
        "summary",
        pill(entry.state),
        tag("span", tag("b", entry.notice.event), tag("code", entry.url), class_="what"),
        tag("span", tag("span", tries), tag("span", soon), class_="soft money"),
    )
    again = button(
        "Redeliver",
        f"/deliveries/{entry.delivery_id}/redeliver",
        csrf,
        about=f"{entry.notice.event} number {entry.delivery_id}",
    )
    attempts = [_attempt(attempt) for attempt in reversed(entry.attempts)]
    details = tag("details", summary, *attempts, id=f"delivery-{entry.delivery_id}")
    return tag("article", details, tag("div", again, class_="steps"), class_="row delivery")


def _attempt(attempt: Attempt) -> Html:
    outcome = attempt.error or f"HTTP {attempt.status}" if attempt.answered else "under way"
    mood = "good" if attempt.succeeded else "bad" if attempt.answered else "wait"
    return tag(
        "div",
        tag(
            "p",
            _time(attempt.at),
            pill(outcome, mood),
            pill(attempt.fault, "wait") if attempt.fault else None,
            tag("span", f"{attempt.seconds * 1000:.0f} ms", class_="soft"),
        ),
        tag("h3", "Sent"),
        tag("pre", pretty(loads(attempt.body.encode())), tabindex="0"),
        tag("h3", "Answered") if attempt.answer else None,
        tag("pre", attempt.answer, tabindex="0") if attempt.answer else None,
        class_="attempt",
    )


def _request(entry: RecordedRequest) -> Html:
    if entry.status is None:
        status = pill("no answer", "bad")
    else:
        status = pill(str(entry.status), "bad" if entry.status >= _FIRST_ERROR else "good")
    return tag(
        "li",
        _time(entry.at),
        tag("span", tag("b", entry.method), f" {entry.path}", class_="path"),
        pill(entry.fault, "wait") if entry.fault else None,
        status,
    )


def _left(moment: datetime, now: datetime) -> str:
    seconds = max(0, round((moment - now).total_seconds()))
    minutes, seconds = divmod(seconds, _MINUTE)
    return f"{minutes} min {seconds:02} s" if minutes else f"{seconds} s"


def _time(moment: datetime) -> Html:
    return tag("time", f"{moment:%H:%M:%S}", datetime=moment.isoformat(timespec="seconds"))


def _empty(sentence: str) -> Html:
    return tag("p", sentence, class_="empty")


def _more(count: int) -> Html | None:
    return _empty(f"and {count - _SHOWN} older ones") if count > _SHOWN else None
