"""Which part of the console's lists is shown, as the address of the page says it.

Invariants: pure. Whatever stands in an address gives a view: what cannot be read counts as absent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import urlencode

from paycollect.sandbox.provider.requests import ListQuery
from paycollect.sandbox.provider.shelf import Part

if TYPE_CHECKING:
    from paycollect.sandbox.http.delivery import Delivery
    from paycollect.sandbox.http.parts import Parts
    from paycollect.sandbox.provider.records import CollectionRecord
    from paycollect.sandbox.request_log import RecordedRequest

T = TypeVar("T")

PER_PAGE: Final = 25
LISTS: Final = ("collections", "deliveries", "requests")
"""The lists that have pages, by the ids of their panels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What is looked for, and which page of each list is shown.

    Attributes:
        text: a part of an order id, or what else an entry can be found by; "" for everything.
        status: the state of the collections that are shown; "" for all.
        checkout: the id of the one collection whose story is shown; "" for the lists.
        pages: the page of each list, 1 if absent.

    """

    text: str = ""
    status: str = ""
    checkout: str = ""
    pages: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def read(cls, query: Mapping[str, str]) -> View:
        """Read the query of an address."""
        numbers = {name: query.get(name, "") for name in LISTS}
        return cls(
            text=query.get("q", "").strip(),
            status=query.get("status", ""),
            checkout=query.get("checkout", ""),
            pages={
                name: int(number)
                for name, number in numbers.items()
                if re.fullmatch("[1-9][0-9]{0,5}", number)
            },
        )

    def page(self, name: str) -> int:
        """Tell which page of a list is shown."""
        return self.pages.get(name, 1)

    def turned(self, name: str, page: int) -> str:
        """Give the address of another page of a list; all else stays."""
        query = {"q": self.text, "status": self.status, **self.pages, name: page}
        return f"/?{urlencode({key: value for key, value in query.items() if value})}#{name}"


def story_of(collection_id: str) -> str:
    """Give the address of a collection's story."""
    return f"/?{urlencode({'checkout': collection_id})}"


def collections(parts: Parts, view: View) -> Part[CollectionRecord]:
    """Find the collections of a view: by a part of the order id, or by the id."""
    texts = {"orderId": view.text, "status": view.status}
    query = ListQuery(
        page=view.page("collections"),
        limit=PER_PAGE,
        since=None,
        until=None,
        texts={key: value for key, value in texts.items() if value},
    )
    return parts.provider.ledger.find(query)


def deliveries(parts: Parts, view: View) -> Part[Delivery]:
    """Find the deliveries of a view: by order, collection, event or address."""
    ledger, text = parts.provider.ledger, view.text

    def matches(entry: Delivery) -> bool:
        about = entry.collection_id
        order = "" if about is None else ledger[about].order.order_id
        return text in order or text in entry.event.name or text in entry.url or text == about

    log = parts.dispatcher.log
    found = [entry for entry in log if matches(entry)] if text else log
    return _cut(found, view.page("deliveries"))


def requests(parts: Parts, view: View) -> Part[RecordedRequest]:
    """Find the requests of a view: by path, query or body."""
    text, data = view.text, view.text.encode(errors="replace")

    def matches(entry: RecordedRequest) -> bool:
        return text in entry.name or text in entry.query.values() or data in entry.body

    log = parts.requests.entries
    found = [entry for entry in log if matches(entry)] if text else log
    return _cut(found, view.page("requests"))


def _cut(found: Sequence[T], page: int) -> Part[T]:
    newest: Iterator[T] = reversed(found)
    return Part(list(islice(newest, (page - 1) * PER_PAGE, page * PER_PAGE)), len(found))
