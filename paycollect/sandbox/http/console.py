"""The console page: what the sandbox holds, with a button for whatever can be done about it.

It works without JavaScript; the script is told of each change, fetches the panels and swaps those
that are new. Invariants: pure; texts reach the page through `tag` only, and every form carries
the token that proves where it comes from.
"""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Final

from paycollect.sandbox.faults import FAULTS, OPTIONS
from paycollect.sandbox.http import story
from paycollect.sandbox.http.console_panels import PANELS
from paycollect.sandbox.http.console_rows import button, hidden
from paycollect.sandbox.http.html import Html, content_security_policy, document, join, tag
from paycollect.sandbox.provider.events import TESTABLE_EVENTS
from paycollect.status import PaymentStatus

if TYPE_CHECKING:
    from collections.abc import Iterable

    from paycollect.sandbox.http.parts import Parts
    from paycollect.sandbox.http.view import View
    from paycollect.sandbox.provider.errors import RefusedError

_CSS: Final = (files("paycollect.sandbox.http") / "assets" / "console.css").read_text("utf-8")
_SCRIPT: Final = (files("paycollect.sandbox.http") / "assets" / "console.js").read_text("utf-8")

_TARGETS: Final = (
    "POST /collections",
    "GET /collections/{id}",
    "GET /collections",
    "GET *",
    "POST /collections/{id}/refund",
    "POST /auth/token",
    "POST /auth/refresh",
    "* *",
    "webhook",
)
_STEPS: Final = (("1 min", 60), ("5 min", 300), ("30 min", 1800), ("1 hour", 3600))


def security_policy() -> str:
    """Give the Content-Security-Policy that belongs to the console."""
    return content_security_policy(css=_CSS, script=_SCRIPT)


def panels(parts: Parts, csrf: str, view: View) -> dict[str, Html]:
    """Render every panel of a view, by the id of its element.

    Raises:
        RefusedError: the view is of a collection that there is not.

    """
    if not view.checkout:
        return {name: panel(parts, csrf, view) for name, panel in PANELS.items()}
    record = parts.provider.ledger[view.checkout]
    return {
        "clock": PANELS["clock"](parts, csrf, view),
        "checkout": story.checkout(parts, record, csrf),
        "story": story.story(parts, record),
    }


def page(parts: Parts, csrf: str, view: View) -> str:
    """Render the whole console, or the story of one checkout; raises as `panels`."""
    filled = panels(parts, csrf, view)
    header = tag(
        "header",
        tag("h1", tag("a", "Sandbox", href="/"), tag("span", "console", class_="soft")),
        tag(
            "span",
            "live",
            id="live",
            class_="pill",
            hidden=True,
            data_changes=str(parts.changes.count),
        ),
        tag("div", filled["clock"], id="clock", class_="clock"),
        None if view.checkout else _contents(),
    )
    main = _story(parts, view, filled) if view.checkout else _lists(csrf, view, filled)
    toast = tag("p", "", id="toast", role="alert", hidden=True)
    return document("Sandbox console", css=_CSS, script=_SCRIPT, body=join(header, main, toast))


def _contents() -> Html:
    names = ("Checkouts", "Webhooks", "Requests", "Connect", "Clock", "Faults", "Tokens")
    return tag("nav", *(tag("a", name, href=f"#section-{name.lower()}") for name in names))


def _lists(csrf: str, view: View, filled: dict[str, Html]) -> Html:
    return tag(
        "main",
        tag(
            "div",
            _search_form(view),
            _section("Checkouts", _create_form(csrf), _panel("collections", filled)),
            _section("Webhooks", _test_form(csrf), _panel("deliveries", filled)),
            _section("Requests", _panel("requests", filled, "ol"), _clear_button(csrf)),
            class_="wide",
        ),
        tag(
            "div",
            _section("Connect", _panel("connect", filled)),
            _section("Clock", _clock_buttons(csrf)),
            _section("Faults", _panel("faults", filled, "ol"), _fault_form(csrf)),
            _section("Tokens", _panel("tokens", filled, "ol")),
            class_="side",
        ),
    )


def _story(parts: Parts, view: View, filled: dict[str, Html]) -> Html:
    order = parts.provider.ledger[view.checkout].order.order_id
    back = tag("a", "All checkouts", href="/")
    return tag(
        "main",
        tag("section", back, tag("h2", order), _panel("checkout", filled)),
        tag("section", tag("h2", "What happened"), _panel("story", filled, "ol")),
        class_="story",
    )


def problem(refusal: RefusedError) -> str:
    """Say why a button did nothing."""
    wrong = [tag("li", f"{field} {text}") for field, text in refusal.fields.items()]
    body = tag(
        "main",
        tag(
            "section",
            tag("h2", refusal.message),
            tag("ul", *wrong) if wrong else None,
            tag("a", "Back to the console", href="/", class_="button primary"),
            id="problem",
        ),
        class_="alone",
    )
    return document(refusal.message, css=_CSS, script="", body=body)


def _section(title: str, *parts: Html) -> Html:
    return tag("section", tag("h2", title), *parts, id=f"section-{title.lower()}")


def _search_form(view: View) -> Html:
    states = [
        tag("option", state or "all states", value=state, selected=state == view.status)
        for state in ("", *PaymentStatus)
    ]
    everything = view.text or view.status
    return tag(
        "form",
        _field("Search", "q", type="search", value=view.text, placeholder="order id, path, event"),
        tag("label", tag("span", "Checkouts in"), tag("select", *states, name="status")),
        tag("button", "Search"),
        tag("a", "Show everything", href="/", class_="button") if everything else None,
        action="/",
        class_="fields search",
    )


def _clear_button(csrf: str) -> Html:
    about = "requests and finished webhooks"
    return tag("div", button("Clear", "/clear", csrf, about=about), class_="steps")


def _panel(name: str, filled: dict[str, Html], element: str = "div") -> Html:
    return tag(element, filled[name], id=name, class_="panel")


def _clock_buttons(csrf: str) -> Html:
    steps = [
        button(f"+ {label}", "/clock", csrf, advance=str(seconds)) for label, seconds in _STEPS
    ]
    return tag("div", *steps, class_="steps")


def _create_form(csrf: str) -> Html:
    return _folded(
        "New checkout",
        "/collections",
        csrf,
        _field("Amount, USD", "amount", value="25.00", inputmode="decimal", required=True),
        _field("Order id", "orderId", required=True, maxlength="100"),
        _field("Description", "description", value="Premium plan", required=True, maxlength="100"),
        _field("Webhook URL", "webhookUrl", placeholder="http://localhost:8000/webhook"),
        _field("Callback URL", "callbackUrl", placeholder="http://localhost:8000/return"),
        submit="Create",
    )


def _test_form(csrf: str) -> Html:
    return _folded(
        "Send a test delivery",
        "/webhooks/test",
        csrf,
        _choice("Event", "event", TESTABLE_EVENTS),
        _field("URL", "url", placeholder="the configured webhook URL"),
        submit="Send",
    )


def _fault_form(csrf: str) -> Html:
    return _folded(
        "Arm a fault",
        "/faults",
        csrf,
        _choice("For", "target", _TARGETS),
        _choice("Fault", "fault", FAULTS),
        _field_of("seconds", "Seconds", "seconds", value="5", inputmode="decimal"),
        _field_of("status", "Status", "status", value="503", inputmode="numeric"),
        _field_of("headers", "Retry-After", "retryAfter", placeholder="none"),
        _field("Times", "times", value="1", inputmode="numeric"),
        submit="Arm",
    )


def _folded(title: str, action: str, csrf: str, *fields: Html, submit: str) -> Html:
    form = tag(
        "form",
        hidden("csrf", csrf),
        *fields,
        tag("button", submit, class_="primary"),
        method="post",
        action=f"/_sandbox{action}",
        class_="fields",
    )
    return tag("details", tag("summary", title), form, class_="folded")


def _field(label: str, name: str, **attributes: str | bool) -> Html:
    entry = tag("input", name=name, autocomplete="off", **attributes)
    return tag("label", tag("span", label), entry)


def _field_of(option: str, label: str, name: str, **attributes: str) -> Html:
    """Build the field of an option; the script shows it for the faults that have the option."""
    faults = [fault for fault, options in OPTIONS.items() if option in options]
    title = tag("span", label, tag("small", f" ({', '.join(faults)})", class_="soft"))
    entry = tag("input", name=name, autocomplete="off", **attributes)
    return tag("label", title, entry, data_faults=" ".join(faults))


def _choice(label: str, name: str, options: Iterable[str]) -> Html:
    entries = [tag("option", option) for option in options]
    return tag("label", tag("span", label), tag("select", *entries, name=name))
