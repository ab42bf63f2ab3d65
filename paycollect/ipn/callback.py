"""The URL on which the customer's browser comes back.

The provider adds `?batch=<collection id>&status=<state>` to the callback URL (provider docs:
collections, "callback"). Nothing in it is signed: the customer can type what they like.

Invariants: exactly one clear answer, or a `CallbackError`; and no word for "paid".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final, Protocol, TypeAlias, cast, runtime_checkable
from urllib.parse import unquote_plus

from attrs import frozen

from paycollect.errors import CallbackError
from paycollect.status import PaymentStatus

_LONGEST_QUERY: Final = 8 * 1024
# What an id in a path may be made of, and what a state is spelled with. Threat: a careless page
# that shows them as they are, or puts them into a path; nothing else of the URL comes through.
_FORMS: Final = {
    "batch": (re.compile("[A-Za-z0-9_-]{1,64}"), "1 to 64 letters, digits, _ and -"),
    "status": (re.compile("[A-Za-z_]{1,40}"), "1 to 40 letters and _"),
}
_LEADS_TO_PATH: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*+://|/")
_STATUSES: Final = {status.value: status for status in PaymentStatus}


@runtime_checkable
class UrlLike(Protocol):
    """A parsed URL, such as yarl's (`request.url` in aiohttp)."""

    @property
    def raw_query_string(self) -> object:
        """The text of the query as it stands in the URL, not decoded."""
        ...


Source: TypeAlias = str | UrlLike | Mapping[str, str] | Mapping[str, list[str]]


@frozen(kw_only=True, weakref_slot=False)
class Callback:
    """What the return URL says. It is not signed: good for choosing a page, never for fulfilling.

    Attributes:
        collection_id: the provider's id of the collection, called `batch` in the URL. Pass it, or
            the callback itself, to `SessionManager.confirm`.
        status: the state that the URL claims; what is true is known after confirming.

    """

    collection_id: str
    status: PaymentStatus

    @property
    def batch(self) -> str:
        """The collection id under the name that it has in the URL."""
        return self.collection_id


def parse_callback(source: Source) -> Callback:
    """Read the return URL, or its query, or the parameters that a framework made of it.

    A full URL, a path with a query, a bare query, a `yarl.URL`, a mapping of texts or of lists of
    texts (`urllib.parse.parse_qs`), and the MultiDicts of aiohttp, Starlette, Django and Werkzeug
    are understood. A fragment and other parameters are ignored.

    Threat: parameter pollution. A URL that says `batch=A&batch=B` is read differently by different
    programs; it is refused, as is a blank one beside a filled one.

    >>> parse_callback("https://shop.example/return?batch=SCI679A1B2C3D4E5&status=COMPLETED")
    Callback(collection_id='SCI679A1B2C3D4E5', status=<PaymentStatus.COMPLETED: 'COMPLETED'>)

    Raises:
        CallbackError: `batch` or `status` is missing, repeated with another value, or not of its
            form: 1 to 64 ASCII letters, digits, `_` and `-`, and 1 to 40 ASCII letters and `_`; or
            the query is longer than 8 KiB.
        TypeError: the source is none of these.

    """
    batches: Iterable[object]
    states: Iterable[object]
    if isinstance(source, str):
        batches, states = _from_query(_query_of(source))
    elif isinstance(source, Mapping):
        batches, states = _values(source, "batch"), _values(source, "status")
    elif isinstance(source, UrlLike):
        batches, states = _from_query(str(source.raw_query_string))
    else:
        raise TypeError(
            f"callback: a URL, a query or a mapping is needed, not {type(source).__name__}"
        )
    batch, status = _single("batch", batches), _single("status", states)
    return Callback(collection_id=batch, status=_STATUSES.get(status) or PaymentStatus(status))


def _query_of(text: str) -> str:
    text = text.partition("#")[0]
    head, mark, tail = text.partition("?")
    # A bare query may hold a question mark in one of its values.
    bare = not mark or (("=" in head or "&" in head) and not _LEADS_TO_PATH.match(head))
    return text if bare else tail


def _from_query(query: str) -> tuple[list[str], list[str]]:
    """Collect the values of both parameters, decoded as browsers encode them.

    What cannot be decoded (`%zz`, bytes that are not UTF-8) stays as it is or becomes a replacement
    character: neither has the form of a value.
    """
    if len(query) > _LONGEST_QUERY:
        raise CallbackError(f"the query is longer than {_LONGEST_QUERY} characters")
    found: dict[str, list[str]] = {"batch": [], "status": []}
    for part in query.split("&"):
        name, _, value = part.partition("=")
        values = found.get(unquote_plus(name))
        if values is not None:
            values.append(unquote_plus(value))
    return found["batch"], found["status"]


def _values(source: Mapping[str, object], name: str) -> Iterable[object]:
    if name not in source:
        return ()
    # The MultiDicts have a method for all the values of a key, with one of these names.
    for method in ("getall", "getlist"):
        get_all = getattr(source, method, None)
        if callable(get_all):
            return cast("Iterable[object]", get_all(name))
    value = source[name]
    return value if isinstance(value, list | tuple) else (value,)


def _single(name: str, values: Iterable[object]) -> str:
    chosen = ""
    for count, value in enumerate(values):
        if not isinstance(value, str):
            raise CallbackError(f"{name}: expected a text")
        if count and value != chosen:
            raise CallbackError(f"{name}: given more than once")
        chosen = value
    if not chosen:
        raise CallbackError(f"{name}: missing")
    form, words = _FORMS[name]
    if not form.fullmatch(chosen):
        raise CallbackError(f"{name}: expected {words}")
    return chosen
