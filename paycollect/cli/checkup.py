"""What the doctor looks at; each look gives findings, and none stops the others.

The law of this room: a finding names settings, hosts and states, and never a secret or what may
hold one, such as the address of a proxy.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final, Literal, TypeAlias
from urllib.parse import urlsplit
from urllib.request import getproxies

import aiohttp
from attrs import frozen

from paycollect.cli import endpoint, samples
from paycollect.cli.exits import trouble
from paycollect.errors import PayCollectError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from paycollect.session import SessionManager

State: TypeAlias = Literal["ok", "warning", "wrong"]

_CONNECT_SECONDS: Final = 10.0
# A Date header has whole seconds; beyond a minute, ages and expiries are told wrongly.
_SMALL_SKEW: Final = 5.0
_LARGE_SKEW: Final = 60.0
_CERTIFICATE_DAYS: Final = 14
_FORGERY_ANSWER: Final = 401


@frozen(kw_only=True)
class Finding:
    """One thing that was looked at."""

    subject: str
    state: State
    text: str
    advice: str = ""


async def examine(
    pay: SessionManager, base_url: str, webhook_url: str | None, secret: str | None
) -> AsyncIterator[Finding]:
    """Look at everything, one after the other."""
    yield await tls(base_url)
    yield proxies(getproxies())
    yield await clock(base_url)
    yield await credentials(pay)
    if webhook_url is None:
        webhook_url, finding = await configuration(pay)
        yield finding
    if webhook_url is not None:
        yield await forged(webhook_url)
        yield await genuine(webhook_url, secret)


async def tls(base_url: str) -> Finding:
    """Look at the connection to the API."""
    parts = urlsplit(base_url)
    if parts.scheme != "https":
        return Finding(subject="connection", state="ok", text=f"{parts.netloc}: loopback, no TLS")
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            version, until = await _handshake(parts.hostname or "", parts.port or 443)
    except ssl.SSLError as error:
        problem = f"TLS was refused: {error.reason}"
        advice = "is there a proxy that breaks TLS up? SSL_CERT_FILE names whom you trust"
    except OSError as error:  # asyncio's TimeoutError is one
        problem = f"no connection ({type(error).__name__})"
        advice = "check PAYCOLLECT_BASE_URL, name resolution and the firewall"
    else:
        return _certificate(parts.netloc, version, until)
    return Finding(
        subject="connection", state="wrong", text=f"{parts.netloc}: {problem}", advice=advice
    )


async def _handshake(host: str, port: int) -> tuple[str, float]:
    _, writer = await asyncio.open_connection(host, port, ssl=ssl.create_default_context())
    try:
        found = writer.get_extra_info("ssl_object")
        return found.version(), ssl.cert_time_to_seconds(found.getpeercert()["notAfter"])
    finally:
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
    if abs(skew) <= _SMALL_SKEW:
        return Finding(subject="clock", state="ok", text="agrees with the API's")
    return Finding(
        subject="clock",
        state="wrong" if abs(skew) > _LARGE_SKEW else "warning",
        text=f"{abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the API's",
        advice="synchronise this machine's clock: the ages of webhooks are told by it",
    )


async def credentials(pay: SessionManager) -> Finding:
    """Get a token, and read something with it."""
    try:
        await pay.get_pricing()
    except PayCollectError as error:
        what, _, advice, _ = trouble(error)
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


async def forged(webhook_url: str) -> Finding:
    """Send the endpoint an event that nobody signed; it must answer with 401."""
    reply = await endpoint.post(webhook_url, samples.body("", forged=True))
    if reply.status == _FORGERY_ANSWER:
        return Finding(subject="forgery", state="ok", text=f"refused by your endpoint: {reply}")
    if reply.taken:
        text = f"ACCEPTED by your endpoint: {reply}"
        advice = "prove every body with ipn.parse_webhook; anybody can post to this URL"
    else:
        text = f"your endpoint: {reply}, where 401 is expected"
        advice = "is it running, reachable from here, and the right URL?"
    return Finding(subject="forgery", state="wrong", text=text, advice=advice)


async def genuine(webhook_url: str, secret: str | None) -> Finding:
    """Send the endpoint a genuine test delivery; it must answer with 2xx."""
    if not secret:
        text = "not sent, as PAYCOLLECT_WEBHOOK_SECRET is not set"
        return Finding(subject="test event", state="warning", text=text)
    reply = await endpoint.post(webhook_url, samples.body(secret))
    if reply.taken:
        return Finding(subject="test event", state="ok", text=f"taken by your endpoint: {reply}")
    return Finding(
        subject="test event",
        state="wrong",
        text=f"your endpoint: {reply}, where 2xx is expected",
        advice="has it the same PAYCOLLECT_WEBHOOK_SECRET as you have here?",
    )
