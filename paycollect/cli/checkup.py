"""What the doctor looks at, one thing after the other.

Invariants: a finding names settings, hosts and states, and never a secret or what may hold one,
such as the address of a proxy. One cause is told once: what could only find it again is skipped,
and the finding says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import ssl
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Literal, TypeAlias
from urllib.parse import urlsplit
from urllib.request import getproxies

import aiohttp
from attrs import frozen

from paycollect.cli import endpoint, samples
from paycollect.cli.exits import trouble
from paycollect.errors import DecodeError, PayCollectError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from paycollect.cli.endpoint import Reply
    from paycollect.session import SessionManager

State: TypeAlias = Literal["ok", "warning", "wrong", "skipped"]

_CONNECT_SECONDS: Final = 10.0
# A Date header has whole seconds; beyond a minute, ages and expiries are told wrongly.
SMALL_SKEW: Final = 5.0
LARGE_SKEW: Final = 60.0
_CERTIFICATE_DAYS: Final = 14
_FORGERY_ANSWER: Final = 401
_NOT_THERE: Final = frozenset({404, 405, 410})
_API_PATH: Final = "/api/v3"
_OTHERS: Final = 0o077


@frozen(kw_only=True)
class Finding:
    """One thing that was looked at."""

    subject: str
    state: State
    text: str
    advice: str = ""


async def examine(
    pay: SessionManager,
    base_url: str,
    *,
    webhook_url: str | None,
    secret: str | None,
    token_file: Path | None = None,
) -> AsyncIterator[Finding]:
    """Look at everything, one after the other."""
    yield proxies(getproxies())
    if token_file is not None:
        yield tokens(token_file)
    at_api = True
    async for finding in api(pay, base_url):
        yield finding
        at_api = at_api and finding.state != "wrong"
    if webhook_url is None and at_api:
        webhook_url, finding = await configuration(pay)
        yield finding
    if webhook_url is not None:
        async for finding in webhooks(webhook_url, secret):
            yield finding
    elif not at_api:
        text = "not looked at, as the API could not be asked where they go"
        advice = "--webhook-url examines an endpoint all the same"
        yield Finding(subject="webhooks", state="skipped", text=text, advice=advice)


async def api(pay: SessionManager, base_url: str) -> AsyncIterator[Finding]:
    """Look at the way to the API, and at what it says; stop where nothing more can be learnt."""
    yield address(base_url)
    reached = await connection(base_url)
    yield reached
    if reached.state == "wrong":
        text = "not looked at, as there is no connection"
        yield Finding(subject="clock", state="skipped", text=text)
        yield Finding(subject="credentials", state="skipped", text=text)
        return
    yield await clock(base_url)
    yield await credentials(pay, base_url)


def address(base_url: str) -> Finding:
    """Look at the base URL, which is easily given without its path."""
    if urlsplit(base_url).path.rstrip("/").endswith(_API_PATH):
        return Finding(subject="base URL", state="ok", text=base_url)
    return Finding(
        subject="base URL",
        state="warning",
        text=f"{base_url}: it does not end with {_API_PATH}, as the provider's does",
        advice=_with_path(base_url),
    )


def _with_path(base_url: str) -> str:
    return f"set PAYCOLLECT_BASE_URL={base_url.rstrip('/')}{_API_PATH}"


async def connection(base_url: str) -> Finding:
    """Connect to the API."""
    parts = urlsplit(base_url)
    host, secure = parts.hostname or "", parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            if secure:
                return _certificate(parts.netloc, *await _handshake(host, port))
            _, writer = await asyncio.open_connection(host, port)
            await _close(writer)
    except ssl.SSLError as error:
        problem = endpoint.why(error)
        advice = "is there a proxy that breaks TLS up? SSL_CERT_FILE names whom you trust"
    except OSError as error:  # asyncio's TimeoutError is one
        problem = f"no connection: {endpoint.why(error)}"
        advice = "check PAYCOLLECT_BASE_URL, name resolution and the firewall"
    else:
        text = f"{parts.netloc} can be reached; loopback, without TLS"
        return Finding(subject="connection", state="ok", text=text)
    return Finding(
        subject="connection", state="wrong", text=f"{parts.netloc}: {problem}", advice=advice
    )


def tokens(path: Path) -> Finding:
    """Look at a file for tokens: whether it can be kept, and who else could read it."""
    folder = path.absolute().parent
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        text, advice = f"{folder} is no folder that can be written to", "make it, or choose another"
    elif path.exists() and os.name == "posix" and path.stat().st_mode & _OTHERS:
        text, advice = f"{path} can be read by other users", f"chmod 600 {shlex.quote(str(path))}"
    else:
        return Finding(subject="token file", state="ok", text=f"{path} can be kept")
    return Finding(subject="token file", state="wrong", text=text, advice=advice)


async def _handshake(host: str, port: int) -> tuple[str, float]:
    _, writer = await asyncio.open_connection(host, port, ssl=ssl.create_default_context())
    try:
        found = writer.get_extra_info("ssl_object")
        return found.version(), ssl.cert_time_to_seconds(found.getpeercert()["notAfter"])
    finally:
        await _close(writer)


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):  # the peer may cut it first
        await writer.wait_closed()


def _certificate(netloc: str, version: str, until: float) -> Finding:
    days = int((until - time.time()) // 86400)
    return Finding(
        subject="connection",
        state="ok" if days >= _CERTIFICATE_DAYS else "warning",
        text=f"{netloc}: {version}, certificate good for {days} more days",
    )


def proxies(found: dict[str, str]) -> Finding:
    """Look at the proxy settings of the machine, which the SDK does not follow by itself."""
    names = sorted(name for name in found if name in {"http", "https", "all"})
    if not names:
        return Finding(subject="proxies", state="ok", text="none set")
    return Finding(
        subject="proxies",
        state="warning",
        text=f"set for {', '.join(names)}, and not used by paycollect",
        advice="if there is no other way out: SessionManager(http=ClientSession(trust_env=True))",
    )


async def clock(base_url: str) -> Finding:
    """Compare this machine's clock with the Date header of the API."""
    timeout = aiohttp.ClientTimeout(total=_CONNECT_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as http,
            http.get(base_url, allow_redirects=False) as response,
        ):
            date = response.headers.get("Date", "")
    except (aiohttp.ClientError, OSError):  # asyncio's TimeoutError is an OSError
        date = ""
    return compare_clocks(date, datetime.now(UTC))


def compare_clocks(date: str, now: datetime) -> Finding:
    """Judge by how much the clocks differ."""
    try:
        skew = (now - parsedate_to_datetime(date).astimezone(UTC)).total_seconds()
    except (ValueError, OverflowError):
        return Finding(subject="clock", state="warning", text="the API did not tell its time")
    if abs(skew) <= SMALL_SKEW:
        return Finding(subject="clock", state="ok", text="agrees with the API's")
    return Finding(
        subject="clock",
        state="wrong" if abs(skew) > LARGE_SKEW else "warning",
        text=f"{abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the API's",
        advice="synchronise this machine's clock: the ages of webhooks are told by it",
    )


async def credentials(pay: SessionManager, base_url: str) -> Finding:
    """Get a token, and read something with it."""
    try:
        await pay.get_pricing()
    except PayCollectError as error:
        what, _, advice, _ = trouble(error)
        no_such_path = (
            isinstance(error, DecodeError) or getattr(error, "status", 0) == HTTPStatus.NOT_FOUND
        )
        if no_such_path and address(base_url).advice:
            advice = _with_path(base_url)  # what answered is a web server, but not the API
        return Finding(subject="credentials", state="wrong", text=what, advice=advice)
    return Finding(subject="credentials", state="ok", text="accepted, and allowed to read")


async def configuration(pay: SessionManager) -> tuple[str | None, Finding]:
    """Ask the provider where it sends webhooks."""
    try:
        config = await pay.get_webhook_config()
    except PayCollectError as error:
        what, _, advice, _ = trouble(error)
        return None, Finding(subject="webhooks", state="wrong", text=what, advice=advice)
    if config.webhook_url is None:
        text = "the provider has no webhook URL for this app"
        advice = "set one, or give one with each checkout; --webhook-url examines it"
        return None, Finding(subject="webhooks", state="warning", text=text, advice=advice)
    text = f"sent to {config.webhook_url}"
    return config.webhook_url, Finding(subject="webhooks", state="ok", text=text)


async def webhooks(url: str, secret: str | None) -> AsyncIterator[Finding]:
    """Send the endpoint a forged event, then a genuine one, unless the first says enough."""
    reply = await endpoint.post(url, samples.body("", forged=True))
    if reply.status is None or reply.status in _NOT_THERE:
        yield _not_there(url, reply)
        return
    yield forged(reply)
    yield await genuine(url, secret)


def _not_there(url: str, reply: Reply) -> Finding:
    if reply.status is None:
        advice = "start your service, and check that its URL can be reached from here"
    else:
        advice = "check the path of the URL, and that it takes POST"
    return Finding(subject="endpoint", state="wrong", text=f"{url}: {reply}", advice=advice)


def forged(reply: Reply) -> Finding:
    """Judge the answer to an event that nobody signed; it must be 401."""
    if reply.status == _FORGERY_ANSWER:
        return Finding(subject="forgery", state="ok", text=f"refused by your endpoint: {reply}")
    if reply.taken:
        text = f"ACCEPTED by your endpoint: {reply}"
        advice = "prove every body with ipn.parse_webhook; anybody can post to this URL"
    else:
        text = f"your endpoint: {reply}, where 401 is expected"
        advice = "look into the log of your service: it should answer a forged event with 401"
    return Finding(subject="forgery", state="wrong", text=text, advice=advice)


async def genuine(url: str, secret: str | None) -> Finding:
    """Send the endpoint a genuine test delivery; it must answer with 2xx."""
    if not secret:
        text = "not sent, as PAYCOLLECT_WEBHOOK_SECRET is not set"
        return Finding(subject="test event", state="warning", text=text)
    reply = await endpoint.post(url, samples.body(secret))
    if reply.taken:
        return Finding(subject="test event", state="ok", text=f"taken by your endpoint: {reply}")
    refused = reply.status == _FORGERY_ANSWER
    return Finding(
        subject="test event",
        state="wrong",
        text=f"your endpoint: {reply}, where 2xx is expected",
        advice="has it the same PAYCOLLECT_WEBHOOK_SECRET as you have here?"
        if refused
        else "look into the log of your service: it could not handle the event",
    )
