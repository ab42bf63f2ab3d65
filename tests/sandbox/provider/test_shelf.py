"""Lists that are found without a look at every entry."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paycollect.sandbox.provider.requests import ListQuery
from paycollect.sandbox.provider.shelf import Shelf

START = datetime(2026, 1, 1, tzinfo=UTC)
STATES = ("PENDING", "COMPLETED", "FAILED")
HOURS = st.none() | st.integers(0, 60)


@dataclass(frozen=True)
class Item:
    """Something on a shelf."""

    name: str
    status: str
    created_at: datetime


def _shelf() -> Shelf[Item]:
    return Shelf({"name": lambda item: item.name})


def _query(
    page: int = 1,
    limit: int = 20,
    since: datetime | None = None,
    until: datetime | None = None,
    **texts: str,
) -> ListQuery:
    return ListQuery(page=page, limit=limit, since=since, until=until, texts=texts)


def _moment(hours: int | None) -> datetime | None:
    return None if hours is None else START + timedelta(hours=hours)


@given(
    made=st.lists(st.tuples(st.text("ab", max_size=3), st.integers(0, 9)), max_size=30),
    moves=st.lists(st.tuples(st.integers(0, 40), st.sampled_from(STATES)), max_size=40),
    page=st.integers(1, 4),
    limit=st.integers(1, 9),
    since=HOURS,
    until=HOURS,
    status=st.sampled_from(("", *STATES)),
    part=st.text("ab", max_size=2),
    key=st.none() | st.integers(0, 40).map(str),
)
def test_a_page_is_what_a_look_at_every_entry_finds(
    *,
    made: list[tuple[str, int]],
    moves: list[tuple[int, str]],
    page: int,
    limit: int,
    since: int | None,
    until: int | None,
    status: str,
    part: str,
    key: str | None,
) -> None:
    """Whatever is asked for, and however often entries have changed."""
    shelf, items, hours = _shelf(), {}, 0
    for number, (name, pause) in enumerate(made):
        hours += pause
        items[str(number)] = Item(name, STATES[0], START + timedelta(hours=hours))
        shelf.put(str(number), items[str(number)])
    for number, state in moves:
        if old := items.get(str(number)):
            items[str(number)] = Item(old.name, state, old.created_at)
            shelf.put(str(number), items[str(number)])
    begin, end = _moment(since), _moment(until)
    wanted = [
        item
        for name, item in reversed(items.items())
        if (key is None or name == key)
        and (begin is None or begin <= item.created_at)
        and (end is None or item.created_at < end)
        and item.status == (status or item.status)
        and part in item.name
    ]
    texts = {"name": part} | ({"status": status} if status else {})
    found = shelf.find(_query(page, limit, begin, end, **texts), key)
    assert found.total == len(wanted)
    assert found.entries == wanted[(page - 1) * limit : page * limit]
    assert list(shelf) == list(reversed(items.values()))
    assert len(shelf) == len(items)


class Counted:
    """An item that counts how often it is looked at."""

    looks = 0

    def __init__(self, number: int) -> None:
        self.number = number

    @property
    def status(self) -> str:
        """Its state."""
        Counted.looks += 1
        return STATES[self.number % 2]

    @property
    def created_at(self) -> datetime:
        """When it was made."""
        Counted.looks += 1
        return START + timedelta(hours=self.number)


@pytest.mark.parametrize(
    "query",
    [
        _query(),
        _query(page=40),
        _query(status="PENDING"),
        _query(since=START + timedelta(hours=10), until=START + timedelta(hours=900)),
    ],
)
def test_no_entry_is_looked_at_to_find_a_page(query: ListQuery) -> None:
    """However many there are."""
    shelf: Shelf[Counted] = Shelf()
    for number in range(1000):
        shelf.put(str(number), Counted(number))
    Counted.looks = 0
    assert len(shelf.find(query).entries) == 20
    assert Counted.looks == 0


def test_an_unknown_key_is_on_no_shelf() -> None:
    """As a dict says it."""
    with pytest.raises(KeyError):
        _shelf()["nothing"]
