"""Calls of paths that the SDK has no method for, and ids in paths: below the base, always."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from paycollect import ServerError, SessionManager
from paycollect._api import endpoints
from tests.provider import faults
from tests.provider.messages import success
from tests.provider.server import Provider

SAMPLES = Path(__file__).parent.parent / "data" / "samples"


def says(provider: Provider, key: str, name: str) -> None:
    """Answer the next request of a kind with a published sample."""
    document = json.loads((SAMPLES / f"{name}.json").read_text("utf-8"))
    provider.script(key, faults.answers(success(document["data"])))


@pytest.mark.parametrize("data", [None, 5, "x", [1], {"a": {"b": None}}, True])
async def test_an_undocumented_path(pay: SessionManager, provider: Provider, data: Any) -> None:
    """The answer of an undocumented path is given as it is."""
    provider.script("GET /account/balance", faults.answers(success(data)))
    assert await pay.request("GET", "/account/balance") == data


@pytest.mark.parametrize(
    ("method", "repeatable", "times"),
    [
        ("GET", None, 4),
        ("PUT", None, 4),
        ("DELETE", None, 4),
        ("POST", None, 1),
        ("PATCH", None, 1),
        ("POST", True, 4),
        ("PUT", False, 1),
    ],
)
async def test_what_of_the_undocumented_is_repeated(
    pay: SessionManager, provider: Provider, method: str, repeatable: bool | None, times: int
) -> None:
    """By default what HTTP calls idempotent is repeated after a 503; the caller may say otherwise."""
    provider.always(f"{method} /x", faults.says(503))
    with pytest.raises(ServerError):
        await pay.request(method, "/x", repeatable=repeatable)
    assert provider.count(f"{method} /x") == times


async def test_an_undocumented_answer_keeps_its_decimals(
    pay: SessionManager, provider: Provider
) -> None:
    """Numbers with a point arrive exactly, as Decimals."""
    body = b'{"success":true,"data":{"balance":0.10,"count":3}}'
    provider.script("GET /account/balance", faults.text(200, body, "application/json"))
    answer = await pay.request("GET", "/account/balance")
    assert isinstance(answer, dict)
    assert str(answer["balance"]) == "0.10"
    assert type(answer["count"]) is int


@pytest.mark.parametrize(
    "path",
    [
        "",
        "x",
        "//evil.example/x",
        "https://evil.example/",
        "/..",
        "/../auth/revoke",
        "/a/../b",
        "/./a",
        "/a/.",
        "/a//b",
        "/a/",
        "/",
        "/a?b=c",
        "/a#b",
        "/a b",
        "/%2e%2e/x",
        "/a\\..\\b",
        "/a\n",
        "/\tb",
        "/a\x00",
        "/café",
        "/a‥",
        "\\\\evil",
        "//[",
        "/[/../",
    ],
)
async def test_an_undocumented_path_never_leaves_the_base(
    pay: SessionManager, provider: Provider, path: str
) -> None:
    """A path by which one could get elsewhere is refused, and nothing is sent."""
    with pytest.raises(ValueError, match=r"^path: "):
        await pay.request("GET", path)
    assert provider.requests == []


@given(st.text() | st.text("/.%\\?#:@ab;").map("/".__add__) | st.from_regex(r"/[!-~]*"))
def test_no_path_ever_leaves_the_base(path: str) -> None:
    """Whatever the path, the URL that is made of it stays below the base URL, or is not made."""
    try:
        request = endpoints.undocumented("GET", path, query={"q": path}, body=None, repeatable=True)
    except ValueError:
        return
    for encoded in (True, False):
        url = URL("https://api.example/api/v3" + request.path, encoded=encoded)
        assert (url.host, url.raw_path) == ("api.example", "/api/v3" + path)
        assert list(url.query) == ["q"]


@given(st.text() | st.text("/.%\\?#:@ab-_") | st.from_regex(r"[!-~]*"))
def test_no_collection_id_ever_leaves_its_place(collection_id: str) -> None:
    """Whatever the collection id, it is one segment of the path, or refused."""
    for build in (
        lambda: endpoints.get_collection(collection_id),
        lambda: endpoints.create_refund(collection_id, amount=None, reason=None),
    ):
        try:
            request = build()
        except ValueError:
            continue
        assert request.path.removesuffix("/refund") == "/collections/" + collection_id
        assert re.fullmatch(r"[A-Za-z0-9_-]{1,128}", collection_id)
