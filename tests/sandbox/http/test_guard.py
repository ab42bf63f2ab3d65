"""Other web sites are kept out."""

import aiohttp
import pytest

from paycollect.sandbox import Sandbox
from tests.sandbox.conftest import Caller


@pytest.mark.parametrize("path", ["/", "/_sandbox/state", "/sci/checkout", "/api/v3/collections"])
@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:80", "[::1", "[x]"])
async def test_a_foreign_host_is_refused(call: Caller, path: str, host: str) -> None:
    """A name that somebody points at 127.0.0.1 is not ours (DNS rebinding)."""
    reply = await call.send("GET", path, headers={"Host": host})
    assert (reply.status, "allowed_hosts" in reply.text) == (403, True)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:9", "[::1]:9"])
async def test_the_names_of_loopback_are_known(call: Caller, host: str) -> None:
    """On any port, as it may be forwarded."""
    assert (await call.send("GET", "/", headers={"Host": host})).status == 200


async def test_further_names_can_be_allowed(http: aiohttp.ClientSession) -> None:
    """For a sandbox that runs in a container."""
    async with Sandbox(allowed_hosts=["Sandbox"]) as sandbox:
        reply = await Caller(sandbox, http).send("GET", "/", headers={"Host": "sandbox:8080"})
        assert reply.status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
@pytest.mark.parametrize("path", ["/_sandbox/clock", "/sci/checkout", "/api/v3/collections"])
async def test_a_post_from_another_site_is_refused(
    call: Caller, headers: dict[str, str], path: str
) -> None:
    """By its origin, or by what the browser says of it."""
    reply = await call.send("POST", path, headers=headers, json={"advance": 60})
    assert (reply.status, reply.text) == (403, "This request comes from another site.\n")


async def test_a_post_from_the_own_page_is_taken(call: Caller) -> None:
    """With the origin that a browser sends."""
    headers = {"Origin": call.sandbox.url, "Sec-Fetch-Site": "same-origin"}
    reply = await call.send("POST", "/_sandbox/clock", headers=headers, json={"advance": 60})
    assert reply.status == 200


async def test_a_link_from_another_site_is_followed(call: Caller) -> None:
    """A shop links to the checkout."""
    reply = await call.send("GET", "/", headers={"Sec-Fetch-Site": "cross-site"})
    assert reply.status == 200
