"""Going through pages while they change: nothing is left out, nothing given twice, and it ends."""

from __future__ import annotations

import asyncio

import pytest

from paycollect import SessionManager
from paycollect._flows.pages import entries
from paycollect.models import Page
from tests.provider.server import Exchange, Provider

LIST = "GET /collections"


class Shelf:
    """A list of numbers, newest first, of which some arrive between two requests."""

    def __init__(self, size: int, *, arrivals: dict[int, int] | None = None) -> None:
        self.items = list(range(size))
        self.newest = 0
        self.arrivals = arrivals or {}
        self.asked: list[int] = []
        self.total_pages: int | None = None

    async def get(self, number: int) -> Page[int]:
        """Give a page of ten."""
        self.asked.append(number)
        for _ in range(self.arrivals.get(len(self.asked), 0)):
            self.newest -= 1
            self.items.insert(0, self.newest)
        total = -(-len(self.items) // 10) if self.total_pages is None else self.total_pages
        return Page(
            items=tuple(self.items[(number - 1) * 10 : number * 10]),
            page=number,
            per_page=10,
            total_items=len(self.items),
            total_pages=total,
        )


async def walk(shelf: Shelf) -> list[int]:
    """Give all that an iteration gives."""
    async with asyncio.timeout(5):
        return [item async for item in entries(shelf.get, str)]


@pytest.mark.parametrize("request_number", [2, 3, 4, 5])
@pytest.mark.parametrize("pages", [1, 2, 3])
async def test_pages_of_new_entries_arrive(request_number: int, pages: int) -> None:
    """However many whole pages of new entries arrive in between, all old ones are given once."""
    shelf = Shelf(50, arrivals={request_number: 10 * pages})
    given = await walk(shelf)
    assert set(range(50)) <= set(given)
    assert len(given) == len(set(given))


async def test_a_few_arrive_all_the_time() -> None:
    """Entries that move on with every request are given once."""
    given = await walk(Shelf(100, arrivals=dict.fromkeys(range(2, 100), 3)))
    assert set(range(100)) <= set(given)
    assert len(given) == len(set(given))


async def test_the_last_page_is_the_last() -> None:
    """No page is asked for beyond the number of pages, as told last."""
    shelf = Shelf(30)
    assert await walk(shelf) == list(range(30))
    assert shelf.asked == [1, 2, 3]


async def test_an_empty_page_is_the_last() -> None:
    """Where the number of pages is told wrong, an empty page ends the list."""
    shelf = Shelf(20)
    shelf.total_pages = 1000
    assert await walk(shelf) == list(range(20))
    assert shelf.asked == [1, 2, 3]


async def test_two_pages_without_news_are_the_end() -> None:
    """A provider that gives the same page for ever is left at the second one without news."""
    shelf = Shelf(10)
    shelf.total_pages = 1000

    async def same(_: int) -> Page[int]:
        shelf.asked.append(1)
        return await Shelf.get(shelf, 1)

    async with asyncio.timeout(5):
        assert [item async for item in entries(same, str)] == list(range(10))
    assert len(shelf.asked) == 6  # three requests, each noted twice


async def test_going_round_in_circles_ends() -> None:
    """A provider that gives the same few pages in turn for ever is left, too."""
    shelf = Shelf(30)
    shelf.total_pages = 10**9

    async def round_and_round(number: int) -> Page[int]:
        return await shelf.get((number - 1) % 3 + 1)

    async with asyncio.timeout(5):
        assert [item async for item in entries(round_and_round, str)] == list(range(30))
    assert len(shelf.asked) == 23


async def test_an_order_behind_a_page_of_new_ones_is_found(
    pay: SessionManager, provider: Provider
) -> None:
    """An order is found although as many new ones as fit on a page arrive while it is looked for."""
    provider.page_size = 2
    for number in range(3):
        provider.add_order(f"X-INV-{number}")
    provider.add_order("INV")

    async def shifted(exchange: Exchange) -> None:
        new = {
            f"NEW{n}": {
                **provider.orders["INV"],
                "orderId": f"NEW-INV-{n}",
                "collectionId": f"N{n}",
            }
            for n in range(2)
        }
        provider.orders = new | provider.orders
        await exchange.send(exchange.commit())

    async def plain(exchange: Exchange) -> None:
        await exchange.send(exchange.commit())

    provider.script(LIST, plain, shifted)
    found = await pay.find_by_order_id("INV")
    assert found is not None
    assert found.collection_id == "SCI0004"
