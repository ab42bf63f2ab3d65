"""Going through a list page by page.

The law of this room: it ends, whatever the provider says about how much there is; and an entry that
moves to the next page while new ones arrive is given once.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TypeVar

from paycollect.models import Page

T = TypeVar("T")


async def entries(
    get: Callable[[int], Awaitable[Page[T]]], key: Callable[[T], str]
) -> AsyncGenerator[T, None]:
    """Give the entries of all pages; a page that brings nothing new is the last one."""
    number, before = 0, frozenset[str]()
    while True:
        number += 1
        page = await get(number)
        keys = frozenset(map(key, page.items))
        for item in page.items:
            if key(item) not in before:
                yield item
        if keys <= before or number >= page.total_pages:
            return
        before = keys
