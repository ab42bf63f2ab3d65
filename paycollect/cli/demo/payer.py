"""The customer: opens the hosted checkout page and presses its button, over plain HTTP.

The page is read as a browser would read it, and not as this program knows it to be: a page whose
form does not work makes the demo fail.
"""

from __future__ import annotations

from html.parser import HTMLParser
from typing import TYPE_CHECKING
from urllib.parse import urljoin

import aiohttp
from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable


@frozen(kw_only=True)
class Answer:
    """What a browser got: a status, perhaps a page, perhaps another place to go to."""

    url: str
    status: int
    page: str = ""
    location: str | None = None


@frozen(kw_only=True)
class Form:
    """The form of a page: where it goes, its hidden fields, and its buttons by their values."""

    action: str
    fields: dict[str, str]
    buttons: dict[str, tuple[str, str]]
    title: str


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.action: str | None = None
        self.fields: dict[str, str] = {}
        self.buttons: dict[str, tuple[str, str]] = {}
        self.title = ""
        self._button: dict[str, str] | None = None
        self._in_title = False

    def handle_starttag(self, tag: str, attrs: Iterable[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.action = given.get("action", "")
        elif tag == "input" and given.get("name"):
            self.fields[given["name"]] = given.get("value", "")
        elif tag == "button":
            self._button = given
        self._in_title = tag == "title"

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.title += data
        if self._button is not None:
            name, value = self._button.get("name", ""), self._button.get("value", "")
            self.buttons[value] = (name, data.strip())
            self._button = None

    def handle_endtag(self, tag: str) -> None:
        self._in_title &= tag != "title"


class Browser:
    """A browser without a window: follows nothing by itself, so that each step can be shown."""

    def __init__(self) -> None:
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5))

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def get(self, url: str) -> Answer:
        """Open a page."""
        async with self._http.get(url, allow_redirects=False) as response:
            return await _read(response)

    async def press(self, form: Form, button: str, url: str) -> Answer:
        """Submit the form of the page at `url` with one of its buttons."""
        name, _ = form.buttons[button]
        async with self._http.post(
            urljoin(url, form.action), data={**form.fields, name: button}, allow_redirects=False
        ) as response:
            return await _read(response)

    async def post(self, url: str, body: bytes) -> Answer:
        """Post some bytes: an order, or a forgery."""
        headers = {"Content-Type": "application/json"}
        async with self._http.post(
            url, data=body, headers=headers, allow_redirects=False
        ) as response:
            return await _read(response)


async def _read(response: aiohttp.ClientResponse) -> Answer:
    url, location = str(response.url), response.headers.get("Location")
    return Answer(
        url=url,
        status=response.status,
        page=await response.text(),
        location=None if location is None else urljoin(url, location),
    )


def read_form(page: str) -> Form:
    """Find the form of a page.

    Raises:
        ValueError: it has none.

    """
    reader = _Reader()
    reader.feed(page)
    reader.close()
    if reader.action is None:
        raise ValueError("the page has no form")
    return Form(
        action=reader.action,
        fields=reader.fields,
        buttons=reader.buttons,
        title=reader.title.strip(),
    )
