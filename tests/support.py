"""What tests of several rooms share: aioresponses on the aiohttp that the SDK needs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from aiohttp import ClientResponse
from aioresponses import aioresponses


class Answer(ClientResponse):
    """A response that aioresponses 0.7.9 can make: aiohttp 3.14 wants a stream writer as well."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("stream_writer", SimpleNamespace(output_size=0))
        super().__init__(*args, **kwargs)


class Answers:
    """Answers for requests that never leave the process, and a record of those requests."""

    def __init__(self, mock: aioresponses) -> None:
        self._mock = mock

    def add(self, method: str, url: str, **answer: Any) -> None:
        """Answer one request to a URL."""
        self._mock.add(url, method, response_class=Answer, **answer)

    @property
    def sent(self) -> list[tuple[str, str, dict[str, Any]]]:
        """What was asked so far: method, URL, and the arguments given to aiohttp."""
        return [
            (method, str(url), call.kwargs)
            for (method, url), calls in self._mock.requests.items()
            for call in calls
        ]


@contextmanager
def no_network() -> Iterator[Answers]:
    """Keep all requests of aiohttp in the process."""
    with aioresponses() as mock:
        yield Answers(mock)
