"""The parts of the console that change: collections, deliveries, requests, tokens, faults, time.

Invariants: pure functions from the sandbox's parts to HTML; texts reach it through `tag` only.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final, TypeAlias

from paycollect.sandbox.http import view as find
from paycollect.sandbox.http.console_rows import (
    button,
    checkout_row,
    delivery_row,
    pill,
    request_row,
    time_of,
)
from paycollect.sandbox.http.html import Html, join, tag
from paycollect.sandbox.http.pages import dollars
from paycollect.sandbox.http.view import PER_PAGE, View

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from paycollect.sandbox.http.parts import Parts

_TOKENS_SHOWN: Final = 50

Panel: TypeAlias = "Callable[[Parts, str, View], Html]"


def clock(parts: Parts, _: str, __: View) -> Html:
    """Show the time, how fast it goes, and the balance."""
    now, scale = parts.clock.now(), parts.clock.time_scale
    pace = "stands still" if scale == 0 else f"{scale:g} times as fast"
    speed = tag("span", pace, class_="soft") if scale != 1 else None
    return join(
        tag("time", f"{now:%Y-%m-%d %H:%M:%S}", datetime=now.isoformat(timespec="seconds")),
        tag("span", "UTC", class_="soft"),
        speed,
        tag("span", "Balance ", tag("b", dollars(parts.provider.ledger.balance)), class_="balance"),
    )


def connect(parts: Parts, _: str, __: View) -> Html:
    """Show the settings that a service needs."""
    lines = (
        f"export PAYCOLLECT_BASE_URL={parts.base_url}",
        f"export PAYCOLLECT_APP_ID={parts.options.app_id}",
        f"export PAYCOLLECT_SECRET_KEY={parts.options.secret_key}",
        f"export PAYCOLLECT_WEBHOOK_SECRET={parts.provider.webhooks.secret}",
    )
    label = "Environment for your service"
    links = tag(
        "p",
        tag("button", "Copy", type="button", data_copy=True, class_="copy"),
        tag("a", "OpenAPI document", href="/openapi.json"),
        tag("a", "Export the state", href="/_sandbox/export"),
        class_="links",
    )
    return join(tag("pre", "\n".join(lines), tabindex="0", aria_label=label, class_="plain"), links)


def collections(parts: Parts, csrf: str, view: View) -> Html:
    """List the collections, newest first."""
    if not len(parts.provider.ledger):
        return _empty("No checkouts yet. Create one through the API, or with the form above.")
    found, total = find.collections(parts, view)
    rows = [checkout_row(record, parts, csrf) for record in found]
    return join(*rows, _pager(view, "collections", len(found), total))


def deliveries(parts: Parts, csrf: str, view: View) -> Html:
    """List the deliveries with all their attempts, newest first."""
    if not parts.dispatcher.log:
        return _empty("No webhooks yet. They go out when a checkout with a webhookUrl is paid.")
    found, total = find.deliveries(parts, view)
    rows = [delivery_row(entry, parts, csrf) for entry in found]
    return join(*rows, _pager(view, "deliveries", len(found), total))


def requests(parts: Parts, _: str, view: View) -> Html:
    """List the requests to the API, newest first."""
    if not parts.requests.entries:
        return _empty("Nobody has called the API yet.")
    found, total = find.requests(parts, view)
    return join(*map(request_row, found), _pager(view, "requests", len(found), total, "li"))


def tokens(parts: Parts, _: str, __: View) -> Html:
    """List what happened to tokens, newest first."""
    entries = parts.provider.tokens.activity
    if not entries:
        return _empty("No token was issued yet.")
    return join(
        *(
            tag("li", time_of(entry.at), tag("span", entry.what), tag("code", entry.hint))
            for entry in islice(reversed(entries), _TOKENS_SHOWN)
        )
    )


def faults(parts: Parts, csrf: str, _: View) -> Html:
    """List the faults that are armed."""
    armed = parts.faults.armed
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


PANELS: Final[Mapping[str, Panel]] = {
    "clock": clock,
    "connect": connect,
    "collections": collections,
    "deliveries": deliveries,
    "faults": faults,
    "tokens": tokens,
    "requests": requests,
}
"""Each panel by the id of its element."""


def _empty(sentence: str) -> Html:
    return tag("p", sentence, class_="empty")


def _pager(view: View, name: str, shown: int, total: int, element: str = "div") -> Html | None:
    """Say which entries these are, and lead to the others."""
    page = view.page(name)
    if not shown:
        first = tag("a", "Back to the first ones", href=view.turned(name, 1))
        return tag(element, "Nothing here. ", first if total else None, class_="pager")
    before = (page - 1) * PER_PAGE
    more = before + shown < total
    if not before and not more:
        return None
    return tag(
        element,
        tag("a", "Newer", href=view.turned(name, page - 1), class_="button") if before else None,
        tag("span", f"{before + 1} to {before + shown} of {total:,}", class_="soft"),
        tag("a", "Older", href=view.turned(name, page + 1), class_="button") if more else None,
        class_="pager",
    )
