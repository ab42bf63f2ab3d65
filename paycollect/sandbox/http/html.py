"""HTML that cannot be injected into: every text is escaped unless it was built here.

Invariants: a plain `str` is a text, and only `Html` is markup.
"""

from __future__ import annotations

import base64
import hashlib
from html import escape
from typing import Final

_VOID: Final = frozenset({"input", "link", "meta"})


class Html(str):
    """Markup, as opposed to a text."""

    __slots__ = ()


def tag(element: str, /, *children: str | None, **attributes: str | bool | None) -> Html:
    """Build an element; None stands for nothing, True for an attribute without a value.

    Underscores in the names of attributes become dashes, one at the end is dropped ("class_").
    """
    opening = "".join(
        f" {key.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{escape(value)}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if element in _VOID:
        return Html(f"<{element}{opening}>")
    return Html(f"<{element}{opening}>{join(*children)}</{element}>")


def join(*children: str | None) -> Html:
    """Put texts and markup next to each other."""
    return Html(
        "".join(child if isinstance(child, Html) else escape(child or "") for child in children)
    )


def document(title: str, *, css: str, script: str, body: Html, refresh: str | None = None) -> str:
    """Build a whole page, with its style and its script inside.

    `refresh` sends the browser on: seconds, and where to.
    """
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="robots", content="noindex"),
        None if refresh is None else tag("meta", http_equiv="refresh", content=refresh),
        tag("link", rel="icon", href="data:,"),
        tag("title", title),
        tag("style", Html(css)),
    )
    tail = tag("script", Html(script)) if script else None
    return "<!doctype html>" + tag("html", head, tag("body", body, tail), lang="en")


def below(root: str, markup: str) -> str:
    """Let every address of ours in the markup begin with a path.

    Quotes in texts are escaped, so that only markup of ours can look like this.
    """
    return markup.replace('="/', f'="{root}/')


def content_security_policy(*, css: str, script: str, form_action: str = "'self'") -> str:
    """Allow exactly this style and this script, and nothing else from anywhere."""
    return "; ".join(
        (
            "default-src 'none'",
            f"style-src {_hash(css)}",
            f"script-src {_hash(script)}" if script else "script-src 'none'",
            "connect-src 'self'",
            "img-src data:",
            f"form-action {form_action}",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        )
    )


def _hash(source: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"
