"""What happens in a sandbox, one line each, while it happens."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from paycollect.cli.streams import OutputError
from paycollect.sandbox import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from paycollect.cli.terminal import Screen
    from paycollect.sandbox import Attempt, Delivery, RecordedRequest, Sandbox

_NO_ANSWER: Final = "no answer"


class LiveLog:
    """Writes a line for each request that was answered, and each webhook that was sent.

    Args:
        screen: where to write.
        sandbox: what to watch.
        give_up: called when nothing can be written any more; `lost` says why.

    """

    def __init__(self, screen: Screen, sandbox: Sandbox, give_up: Callable[[], None]) -> None:
        self.lost: OutputError | None = None
        self._screen = screen
        self._sandbox = sandbox
        self._give_up = give_up
        sandbox.on_request(self._request)
        sandbox.on_attempt(self._attempt)

    def _request(self, request: RecordedRequest) -> None:
        caller = request.headers.get("User-Agent", "").partition(" ")[0] or "somebody"
        answer = _NO_ANSWER if request.status is None else str(request.status)
        fault = f"(fault: {request.fault})" if request.fault else ""
        self._write(
            f"{request.at:%H:%M:%S}", caller, request.name, answer, fault, self._about(request)
        )

    def _attempt(self, delivery: Delivery, attempt: Attempt) -> None:
        answer = attempt.error or f"{attempt.status} in {attempt.seconds * 1000:.0f} ms"
        fault = f"(fault: {attempt.fault})" if attempt.fault else ""
        again = f"again at {delivery.next_attempt_at:%H:%M:%S}" if delivery.next_attempt_at else ""
        self._write(
            f"{attempt.at:%H:%M:%S}",
            f"webhook {delivery.event.name} -> {delivery.url}",
            answer,
            fault,
            again,
            self._order(delivery.collection_id),
        )

    def _about(self, request: RecordedRequest) -> str:
        told = request.json.get("orderId") if isinstance(request.json, dict) else None
        order = told or request.query.get("orderId")
        return f"order {order}" if order else self._order(_collection_in(request.path))

    def _order(self, collection_id: str | None) -> str:
        with suppress(RefusedError):
            return f"order {self._sandbox.collection(collection_id or '').order.order_id}"
        return ""

    def _write(self, *words: str) -> None:
        """Write a line; the server must not fail where nobody reads."""
        try:
            self._screen.verbatim("  ".join(word for word in words if word))
        except OutputError as lost:
            self.lost = lost
            self._give_up()


def _collection_in(path: str) -> str | None:
    parts = path.split("/")
    return parts[2] if len(parts) > 2 and parts[1] == "collections" else None  # noqa: PLR2004  /collections/{id}
