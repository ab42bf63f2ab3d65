"""The console page: what the sandbox holds, with a button for whatever can be done about it.

It works without JavaScript; the script fetches the panels again and again and swaps those that have
changed. The law of this room: pure; texts reach the page through `tag` only, and every form carries
the token that proves where it comes from.
"""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Final

from paycollect.sandbox.faults import FAULTS
from paycollect.sandbox.html import Html, content_security_policy, document, join, tag
from paycollect.sandbox.panels import PANELS, button, hidden
from paycollect.sandbox.webhooks import TESTABLE_EVENTS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from paycollect.sandbox.refusals import RefusedError
    from paycollect.sandbox.server import Sandbox

_CSS: Final = (files("paycollect.sandbox") / "assets" / "console.css").read_text("utf-8")
_SCRIPT: Final = (files("paycollect.sandbox") / "assets" / "console.js").read_text("utf-8")

_TARGETS: Final = (
    "POST /collections",
    "GET /collections/{id}",
    "GET /collections",
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


def panels(sandbox: Sandbox, csrf: str) -> dict[str, str]:
    """Render every panel, by the id of its element."""
    return {name: panel(sandbox, csrf) for name, panel in PANELS.items()}


def page(sandbox: Sandbox, csrf: str) -> str:
    """Render the whole console."""
    filled = {name: panel(sandbox, csrf) for name, panel in PANELS.items()}
    main = tag(
        "main",
        tag(
            "div",
            _section("Checkouts", _create_form(csrf), _panel("collections", filled)),
            _section("Webhooks", _test_form(csrf), _panel("deliveries", filled)),
            _section("API requests", _panel("requests", filled, "ol")),
            class_="wide",
        ),
        tag(
            "div",
            _section("Connect", _panel("connect", filled)),
            _section("Move the clock", _clock_buttons(csrf)),
            _section("Faults", _panel("faults", filled, "ol"), _fault_form(csrf)),
            _section("Tokens", _panel("tokens", filled, "ol")),
            class_="side",
        ),
    )
    header = tag(
        "header",
        tag("h1", "Sandbox", tag("span", "console", class_="soft")),
        tag("span", "live", id="live", class_="pill", hidden=True),
        tag("div", filled["clock"], id="clock", class_="clock"),
    )
    toast = tag("p", "", id="toast", role="alert", hidden=True)
    body = join(header, main, toast)
    return document("Sandbox console", css=_CSS, script=_SCRIPT, body=body)


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
    return tag("section", tag("h2", title), *parts)


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
        _field("Seconds (delay, slow_body)", "seconds", value="5", inputmode="decimal"),
        _field("Status (respond)", "status", value="503", inputmode="numeric"),
        _field("Retry-After (respond)", "retryAfter", placeholder="none"),
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


def _choice(label: str, name: str, options: Iterable[str]) -> Html:
    entries = [tag("option", option) for option in options]
    return tag("label", tag("span", label), tag("select", *entries, name=name))
