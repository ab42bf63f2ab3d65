"""Entries in the order in which they were made, found without a look at all of them.

Invariants: pure. The place of an entry never changes, and no entry is older than the one before, so
that a part of time is a range of places. Only a part of a text has to be searched for.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import TYPE_CHECKING, Generic, NamedTuple, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from paycollect.sandbox.provider.requests import ListQuery


class Entry(Protocol):
    """What can be put on a shelf."""

    @property
    def status(self) -> str:
        """Its present state."""
        ...

    @property
    def created_at(self) -> datetime:
        """When it was made, UTC."""
        ...


E = TypeVar("E", bound=Entry)
T = TypeVar("T")


class Part(NamedTuple, Generic[T]):
    """A page of what was found, newest first, and how many were found on all pages."""

    entries: list[T]
    total: int


class Shelf(Generic[E]):
    """Entries by their key; iterating gives them, newest first.

    Args:
        texts: what gives each text of which a part can be asked for, by the name of the filter.

    """

    def __init__(self, texts: Mapping[str, Callable[[E], str]] | None = None) -> None:
        self._read = texts or {}
        self._texts: dict[str, list[str]] = {name: [] for name in self._read}
        self._entries: list[E] = []
        self._moments: list[datetime] = []
        self._places: dict[str, int] = {}
        self._by_status: dict[str, list[int]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[E]:
        return reversed(self._entries)

    def __getitem__(self, key: str) -> E:
        """Give an entry.

        Raises:
            KeyError: there is none of that key.

        """
        return self._entries[self._places[key]]

    def put(self, key: str, entry: E) -> None:
        """Add an entry, or put another one in the place of the one with that key."""
        place = self._places.setdefault(key, len(self))
        if place == len(self):
            self._entries.append(entry)
            self._moments.append(entry.created_at)
            for name, read in self._read.items():
                self._texts[name].append(read(entry))
        else:
            old = self._by_status[self._entries[place].status]
            del old[bisect_left(old, place)]
            self._entries[place] = entry
        insort(self._by_status.setdefault(entry.status, []), place)

    def find(self, query: ListQuery, key: str | None = None) -> Part[E]:
        """Give a page of the entries that match; with a `key`, of that one entry at most."""
        places = self._within(query, key)
        for name, texts in self._texts.items():
            if part := query.texts.get(name):
                places = [place for place in places if part in texts[place]]
        end = max(0, len(places) - (query.page - 1) * query.limit)
        page = places[max(0, end - query.limit) : end]
        return Part([self._entries[place] for place in reversed(page)], len(places))

    def _within(self, query: ListQuery, key: str | None) -> Sequence[int]:
        first = 0 if query.since is None else bisect_left(self._moments, query.since)
        last = len(self) if query.until is None else bisect_left(self._moments, query.until)
        if key is not None:
            place = self._places.get(key, -1)
            first, last = max(first, place), min(last, place + 1)
        status = query.texts.get("status")
        if status is None:
            return range(first, max(first, last))
        places = self._by_status.get(status, [])
        return places[bisect_left(places, first) : bisect_left(places, last)]
