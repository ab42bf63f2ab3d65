"""What a sandbox holds as one JSON document: to keep over a restart, to export, to begin with.

Kept are collections with their history, the balance, webhooks with all their attempts, the webhook
configuration, tokens, armed faults and the time; not the requests, which are a log. The file is
replaced as a whole, so that it is at every moment one state that was.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import os
import time
import tomllib
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_origin

import cattrs

from paycollect import _json
from paycollect.models import JsonValue
from paycollect.sandbox.faults import build
from paycollect.sandbox.http.delivery import Delivery
from paycollect.sandbox.provider import requests
from paycollect.sandbox.provider.envelope import loads
from paycollect.sandbox.provider.errors import RefusedError
from paycollect.sandbox.provider.events import WebhookSettings
from paycollect.sandbox.provider.records import CollectionRecord
from paycollect.sandbox.provider.tokens import TokenRecord
from paycollect.status import PaymentStatus, RefundStatus

if TYPE_CHECKING:
    from collections.abc import Callable

    from paycollect.sandbox.http.parts import Parts

VERSION: Final = 1
_PAUSE: Final = 0.2
_EASE: Final = 10
"""A large state is written less often: after so many times as long as writing it took."""


def export(parts: Parts) -> dict[str, JsonValue]:
    """Describe the whole state; it holds tokens and the webhook secret."""
    ledger = parts.provider.ledger
    armed: list[JsonValue] = [
        {
            "target": entry.target,
            "fault": entry.fault.kind,
            "options": _as_it_is(dict(entry.fault.options)),
            "once": entry.once,
        }
        for entry in parts.faults.armed
    ]
    return {
        "version": VERSION,
        "now": parts.clock.now().isoformat(),
        "balance": ledger.balance,
        "webhooks": _CONVERTER.unstructure(parts.provider.webhooks),
        "collections": [
            [[at.isoformat(), _CONVERTER.unstructure(record)] for at, record in history]
            for history in ledger.histories()
        ],
        "deliveries": [_CONVERTER.unstructure(delivery) for delivery in parts.dispatcher.log],
        "tokens": [_CONVERTER.unstructure(token) for token in parts.provider.tokens],
        "faults": armed,
    }


def restore(parts: Parts, state: Mapping[str, Any]) -> None:
    """Take a state over; the sandbox must be new.

    Raises:
        ValueError: it is none, or one of another version.

    """
    if state.get("version") != VERSION:
        raise ValueError(f"state: not a state of the sandbox, version {VERSION}")
    provider, structure = parts.provider, _CONVERTER.structure
    try:
        settings = structure(state["webhooks"], WebhookSettings)
        histories = [
            [(_json.instant(at), structure(record, CollectionRecord)) for at, record in history]
            for history in state["collections"]
        ]
        deliveries = [structure(entry, Delivery) for entry in state["deliveries"]]
        tokens = [structure(entry, TokenRecord) for entry in state["tokens"]]
        faults = [
            (entry["target"], build(entry["fault"], entry["options"]), entry["once"])
            for entry in state["faults"]
        ]
        balance, now = _json.money(state["balance"]), _json.instant(state["now"])
    except (KeyError, TypeError, ValueError, cattrs.BaseValidationError) as error:
        problem = type(error).__name__
        raise ValueError(f"state: not a whole state of the sandbox ({problem})") from None
    provider.webhooks = settings
    provider.tokens.restore(tokens)
    provider.ledger.restore(histories, balance)
    parts.dispatcher.restore(deliveries)
    for target, fault, once in faults:
        (parts.faults.next if once else parts.faults.always)(target, fault)
    # Time goes on and never back.
    parts.clock.advance(max(0.0, (now - parts.clock.now()).total_seconds()))


class StateFile:
    """Keeps the state of a sandbox in a file, from `start` to `close`."""

    def __init__(self, parts: Parts, path: Path) -> None:
        self._parts = parts
        self._path = path
        self._saved = -1
        self._task: asyncio.Task[None] | None = None

    def load(self) -> bool:
        """Take over what is in the file; tell whether there was one.

        Raises:
            ValueError: the file cannot be read, or is not a state of the sandbox.

        """
        if not self._path.exists():
            return False
        restore(self._parts, _members(loads(_contents(self._path, "state")), "state"))
        return True

    def start(self) -> None:
        """Write the file, now and whenever something has changed.

        Raises:
            ValueError: it cannot be written.

        """
        try:
            self.save()
        except OSError as error:
            raise ValueError(f"state: cannot be written: {error.strerror}") from None
        self._task = asyncio.create_task(self._keep())

    async def close(self) -> None:
        """Write for the last time."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
            self.save()

    def save(self) -> None:
        """Replace the file by the present state, readable by its owner only."""
        self._saved = self._parts.changes.count
        draft = self._path.with_name(f"{self._path.name}.new")
        with contextlib.suppress(FileNotFoundError):
            draft.unlink()
        opened = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(opened, "w", encoding="utf-8") as file:
            file.write(_json.write(export(self._parts)))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path)

    async def _keep(self) -> None:
        changes = self._parts.changes
        while True:
            await changes.wait(unless=lambda: changes.count != self._saved)
            started = time.monotonic()
            self.save()
            await asyncio.sleep(max(_PAUSE, _EASE * (time.monotonic() - started)))


def plant(parts: Parts, path: Path) -> None:
    """Begin with what a seed file says: JSON or TOML, the same ids at every start.

    It may have `balance`, `webhookUrl` (as by PUT /webhooks) and `collections`: each as the body of
    a POST /collections, and with `collectionId`, `status` and `refundAmount` where you want them.
    Nothing of it is told by webhook.

    Raises:
        ValueError: the file cannot be read, or says something else; the message says where.

    """
    seed = _members(_parsed(path), "seed")
    provider, tell = parts.provider, parts.provider.send
    provider.send = lambda _: None
    try:
        for number, entry in enumerate(seed.get("collections", []), 1):
            _at(f"collection {number}", functools.partial(_plant_one, parts, entry))
        if "webhookUrl" in seed:
            url = _at("webhookUrl", lambda: requests.webhook_url(seed))
            provider.webhooks.point_to(url, provider.now())
        if "balance" in seed:
            provider.ledger.balance = _at("balance", lambda: requests.number(seed, "balance"))
    finally:
        provider.send = tell


def _plant_one(parts: Parts, given: object) -> None:
    entry, ledger = _members(given, "seed"), parts.provider.ledger
    order = requests.order(entry)
    digest = hashlib.sha256(order.order_id.encode()).hexdigest().upper()
    collection_id = str(entry.get("collectionId", f"SCI{digest[:13]}"))
    ledger.create(order, collection_id=collection_id, reference=digest[-12:])
    status = PaymentStatus(str(entry.get("status", "PENDING")))
    steps: dict[PaymentStatus, Callable[[str], object]] = {
        PaymentStatus.PENDING: lambda _: None,
        PaymentStatus.FAILED: ledger.decline,
        PaymentStatus.CANCELLED: ledger.cancel,
        PaymentStatus.EXPIRED: ledger.expire,
    }
    if status in steps:
        steps[status](collection_id)
        return
    ledger.pay(collection_id)
    if status is PaymentStatus.REFUNDED:
        ledger.refund(collection_id)
    elif status is PaymentStatus.PARTIALLY_REFUNDED:
        ledger.refund(collection_id, requests.number(entry, "refundAmount"))
    elif status is not PaymentStatus.COMPLETED:
        raise ValueError(f"status: one of {', '.join(PaymentStatus)} is needed")


def _at(where: str, work: Callable[[], Any]) -> Any:
    try:
        return work()
    except RefusedError as refusal:
        wrong = [f"{name} {text}" for name, text in refusal.fields.items()]
        raise ValueError(f"seed: {where}: {', '.join(wrong) or refusal.message}") from None
    except ValueError as problem:
        raise ValueError(f"seed: {where}: {problem}") from None


def _parsed(path: Path) -> object:
    data = _contents(path, "seed")
    try:
        if path.suffix == ".toml":
            return tomllib.loads(data.decode(), parse_float=Decimal)
        return loads(data)
    except ValueError:
        raise ValueError(f"seed: {path.name} is not valid JSON (or TOML, as .toml)") from None


def _contents(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"{what}: {path.name} cannot be read: {error.strerror}") from None


def _members(value: object, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{what}: an object with members is needed")  # noqa: TRY004 - one error
    return value


def _is_mapping(kind: Any) -> bool:
    # Every mapping in these records is JSON as it came.
    origin: object = get_origin(kind)
    return origin in {dict, Mapping}


def _as_it_is(value: Any, _: object = None) -> Any:
    return value


_CONVERTER: Final = cattrs.Converter()
_CONVERTER.register_unstructure_hook(Decimal, _as_it_is)
_CONVERTER.register_structure_hook(Decimal, _json.money)
_CONVERTER.register_unstructure_hook(datetime, datetime.isoformat)
_CONVERTER.register_structure_hook(datetime, _json.instant)
_CONVERTER.register_structure_hook(PaymentStatus, lambda value, _: PaymentStatus(value))
_CONVERTER.register_structure_hook(RefundStatus, lambda value, _: RefundStatus(value))
_CONVERTER.register_structure_hook_func(_is_mapping, _as_it_is)
_CONVERTER.register_unstructure_hook_func(_is_mapping, _as_it_is)
