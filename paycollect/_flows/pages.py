"""Going through a list page by page, and finding one order in it.

Invariants: it ends, whatever the provider says about how much there is; and an entry that
moves to the next page while new ones arrive is given once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Final, TypeVar

from attrs import evolve

from paycollect._api import endpoints
from paycollect._http.call import Call, Engine
from paycollect.models import Collection, Page

T = TypeVar("T")

# Entries move on by as many pages as new ones arrive between two requests: a few, and seldom. To
# remember all of a list of a million would cost more than an entry that is given twice.
_REMEMBERED_PAGES: Final = 20


async def entries(
    get: Callable[[int], Awaitable[Page[T]]], key: Callable[[T], str]
) -> AsyncGenerator[T, None]:
    """Give the entries of all pages, to the last or an empty one.

    A page without anything new may be an earlier one, moved on by as many new entries as fill a
    page. The list is over only where that goes on: the same again, or more than can have moved.
    """
    number, without_news = 0, 0
    seen: deque[frozenset[str]] = deque(maxlen=_REMEMBERED_PAGES)
    while True:
        number += 1
        page = await get(number)
        before = frozenset[str]().union(*seen)
        for item in page.items:
            if key(item) not in before:
                yield item
        keys = frozenset(map(key, page.items))
        if not keys or number >= page.total_pages:
            return
        without_news = without_news + 1 if keys <= before else 0
        again = without_news > 1 and keys == seen[-1]
        if again or without_news == _REMEMBERED_PAGES:
            return
        seen.append(keys)


async def find_by_order_id(engine: Engine, call: Call, order_id: str) -> Collection | None:
    """Look an order up; the filter is a partial match (provider docs: collections/list)."""

    async def get(number: int) -> Page[Collection]:
        call.retries = 0
        request = endpoints.list_collections(number, endpoints.LARGEST_PAGE, {"order_id": order_id})
        return await engine.run(call, evolve(request, order_id=order_id))

    async with aclosing(entries(get, lambda collection: collection.collection_id)) as found:
        async for collection in found:
            if collection.order_id == order_id:
                return collection
    return None
