"""The pages that the payer sees."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Final

from paycollect.sandbox.html import Html, content_security_policy, document, tag

if TYPE_CHECKING:
    from datetime import datetime

    from paycollect.sandbox.state import CollectionRecord

_CSS: Final = ""
_SCRIPT: Final = ""


def security_policy(form_action: str) -> str:
    return content_security_policy(css=_CSS, script=_SCRIPT, form_action=form_action)


def unknown() -> str:
    return document("Unknown", css=_CSS, script=_SCRIPT, body=tag("h1", "Unknown session"))


def stale(path: str, record: CollectionRecord) -> str:
    return document("Stale", css=_CSS, script=_SCRIPT, body=tag("h1", "This form is not valid"))


def payable(
    record: CollectionRecord, merchant: str, now: datetime, *, action: str, csrf: str
) -> str:
    form = tag(
        "form",
        tag("input", type="hidden", name="csrf", value=csrf),
        tag("button", "Pay", name="action", value="pay"),
        tag("button", "Decline", name="action", value="decline"),
        tag("button", "Cancel", name="action", value="cancel"),
        method="post",
        action=action,
    )
    body = tag(
        "main",
        tag("h1", merchant),
        tag("p", record.order.description),
        tag("p", f"{record.amount:.2f} USD"),
        form,
    )
    return document("Pay", css=_CSS, script=_SCRIPT, body=body)


def finished(record: CollectionRecord, merchant: str, back: str | None, *, expired: bool) -> str:
    return document("Done", css=_CSS, script=_SCRIPT, body=tag("h1", str(record.status.value)))
