"""The pages that the payer sees, as functions from a record to HTML.

They work without JavaScript; the script only lets the remaining time run. Invariants:
pure, and no text reaches a page except through `tag`, which escapes it.
"""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

from paycollect.sandbox.http.html import Html, content_security_policy, document, join, tag
from paycollect.status import PaymentStatus

if TYPE_CHECKING:
    from datetime import datetime
    from decimal import Decimal

    from paycollect.sandbox.provider.records import CollectionRecord

_CSS: Final = (files("paycollect.sandbox.http") / "assets" / "checkout.css").read_text("utf-8")
_SCRIPT: Final = (files("paycollect.sandbox.http") / "assets" / "checkout.js").read_text("utf-8")

_TICK: Final = "M5 12.5l4.5 4.5L19 7.5"
_CROSS: Final = "M6.5 6.5l11 11m0-11l-11 11"
_CLOCK: Final = "M12 7v5.2l3.4 2M21 12a9 9 0 1 1-18 0a9 9 0 0 1 18 0z"
_BACK: Final = "M9.5 6L4.5 11l5 5M5 11h9a5 5 0 0 1 5 5v1.5"
_QUESTION: Final = "M9 9.2a3 3 0 1 1 4.4 2.7c-.9.5-1.4 1.1-1.4 2.1M12 17.6v.1"


class _Outcome(NamedTuple):
    """How a finished session is told: a heading, a sentence, an icon and its colour."""

    heading: str
    sentence: str
    icon: str
    colour: str = ""


_OUTCOMES: Final = {
    PaymentStatus.COMPLETED: _Outcome(
        "Payment complete", "{merchant} has received your payment.", _TICK, "good"
    ),
    PaymentStatus.REFUNDED: _Outcome(
        "Payment refunded", "{merchant} has refunded this payment.", _BACK
    ),
    PaymentStatus.PARTIALLY_REFUNDED: _Outcome(
        "Payment partly refunded", "{merchant} has refunded a part of this payment.", _BACK
    ),
    PaymentStatus.FAILED: _Outcome(
        "Payment declined",
        "You were not charged. Return to {merchant} to try again.",
        _CROSS,
        "bad",
    ),
    PaymentStatus.CANCELLED: _Outcome("Payment cancelled", "You were not charged.", _BACK),
    PaymentStatus.EXPIRED: _Outcome(
        "This checkout has expired",
        "You were not charged. Return to {merchant} to start again.",
        _CLOCK,
    ),
}
_UNDER_WAY: Final = _Outcome(
    "Payment under way", "{merchant} will be told when it is through.", _CLOCK
)
_TEST_OUTCOMES: Final = (
    ("decline", "Decline", "the payment fails, as at a bank"),
    ("pay-late", "Pay late", "you go back at once; a minute later it is paid and told"),
    ("pay-twice", "Pay twice", "paid once, told by two webhooks"),
    ("pay-slowly", "Pay slowly", "the page needs 10 seconds"),
)
_SECONDS_TO_READ: Final = 8
"""How long a page tells the outcome before the browser goes back."""
_UNKNOWN: Final = _Outcome(
    "Checkout not found",
    "This link belongs to no checkout. Return to the shop and start again.",
    _QUESTION,
)
_STALE: Final = _Outcome(
    "Nothing was done",
    "This request did not come from the checkout page itself, or the page was too old.",
    _QUESTION,
)


def security_policy(form_action: str = "'self'") -> str:
    """Give the Content-Security-Policy that belongs to these pages."""
    return content_security_policy(css=_CSS, script=_SCRIPT, form_action=form_action)


def payable(
    record: CollectionRecord,
    merchant: str,
    now: datetime,
    *,
    action: str,
    csrf: str,
    time_scale: float,
) -> str:
    """Show what is to be paid, with the buttons to do so or not."""
    seconds = int((record.expires_at - now).total_seconds())
    timer = tag(
        "div",
        "Time left",
        tag(
            "time",
            f"{seconds // 60}:{seconds % 60:02}",
            role="timer",
            aria_label="Time left",
            datetime=f"PT{seconds}S",
            data_seconds=str(seconds),
            data_scale=f"{time_scale:g}",
        ),
        class_="timer",
    )
    total = tag(
        "section",
        tag("h1", record.order.description),
        tag("p", dollars(record.amount), tag("small", "USD"), class_="amount"),
        class_="sum",
    )
    buttons = _buttons(f"Pay {dollars(record.amount)}", action, csrf)
    return _page(
        f"Pay {merchant}",
        _header(merchant, timer),
        total,
        _details(record),
        buttons,
        below=_tests(action, csrf),
    )


def finished(record: CollectionRecord, merchant: str, back: str | None) -> str:
    """Show how a session ended, and the way back to the merchant if there is one."""
    outcome = _outcome(record)
    return _page(
        outcome.heading,
        _header(merchant, None),
        _result(outcome, merchant),
        _details(record),
        tag("div", _way_back(merchant, back), class_="after"),
        back=back,
    )


def unknown() -> str:
    """Say that there is no such session."""
    return _page(_UNKNOWN.heading, _result(_UNKNOWN, ""))


def stale(page_url: str) -> str:
    """Say that a form was not taken, as it did not come from the page itself."""
    link = tag("a", "Show the checkout", href=page_url, class_="button primary")
    return _page(_STALE.heading, _result(_STALE, ""), tag("div", link, class_="after"))


def dollars(amount: Decimal) -> str:
    """Write an amount of USD for people."""
    return f"${amount:,.2f}"


def _outcome(record: CollectionRecord) -> _Outcome:
    if record.status is PaymentStatus.PENDING:
        return _UNDER_WAY
    return _OUTCOMES[PaymentStatus.EXPIRED if record.has_expired else record.status]


def _page(title: str, *parts: Html, below: Html | None = None, back: str | None = None) -> str:
    body = join(
        tag("div", "Sandbox: no real money moves here", class_="sandbox"),
        tag("div", tag("main", *parts), class_="spaced"),
        below,
        tag("footer", "Hosted checkout of a local sandbox"),
    )
    refresh = None if back is None else f"{_SECONDS_TO_READ}; url={back}"
    return document(title, css=_CSS, script=_SCRIPT, body=body, refresh=refresh)


def _header(merchant: str, timer: Html | None) -> Html:
    initial = tag("div", merchant[:1].upper(), class_="avatar", aria_hidden="true")
    name = tag("div", tag("strong", merchant), tag("span", "Checkout"), class_="merchant")
    return tag("header", initial, name, timer)


def _details(record: CollectionRecord) -> Html:
    rows = [("Order", join(record.order.order_id)), ("Reference", join(record.reference))]
    if record.status is not PaymentStatus.PENDING:  # until then it is the page's heading
        rows.insert(0, ("For", join(record.order.description)))
    rows.append(("Amount", tag("strong", dollars(record.amount))))
    if record.refund is not None:
        rows.append(("Refunded", join(dollars(record.refunded))))
    return tag("dl", *(tag("div", tag("dt", name), tag("dd", text)) for name, text in rows))


def _buttons(pay: str, action: str, csrf: str) -> Html:
    return tag(
        "form",
        tag("input", type="hidden", name="csrf", value=csrf),
        tag("button", pay, name="action", value="pay", class_="primary"),
        tag("button", "Cancel", name="action", value="cancel"),
        method="post",
        action=action,
    )


def _tests(action: str, csrf: str) -> Html:
    """Build the strip of outcomes that no payer can choose."""
    outcomes = [
        tag("button", label, tag("small", note), name="action", value=value)
        for value, label, note in _TEST_OUTCOMES
    ]
    form = tag(
        "form",
        tag("input", type="hidden", name="csrf", value=csrf),
        *outcomes,
        method="post",
        action=action,
    )
    return tag("aside", tag("h2", "For tests"), form, class_="tests")


def _result(outcome: _Outcome, merchant: str) -> Html:
    icon = tag("svg", tag("path", d=outcome.icon), viewBox="0 0 24 24", aria_hidden="true")
    return tag(
        "section",
        tag("span", icon, class_=f"badge {outcome.colour}"),
        tag("h1", outcome.heading),
        tag("p", outcome.sentence.format(merchant=merchant)),
        class_="result",
    )


def _way_back(merchant: str, back: str | None) -> Html:
    if back is None:
        return tag("p", "You can close this page.", class_="note")
    host = urlsplit(back).hostname or ""
    return join(
        tag("a", f"Return to {merchant}", href=back, class_="button primary"),
        tag(
            "p",
            f"Your browser goes back to {host} in {_SECONDS_TO_READ} seconds.",
            class_="note",
        ),
    )
