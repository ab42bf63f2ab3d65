"""Fixtures for the tests of a service that takes payments; pytest finds them by itself.

    paycollect_sandbox    a running `Sandbox`, its clock standing still unless you move it
    paycollect_session    a `SessionManager` that talks to that sandbox
    paycollect_sync_sandbox    the same for tests without an event loop, a `SyncSandbox`
    signed_webhook        makes the body of a genuine webhook
    paycollect_crash_test    has your shop die at every point; fails where a paid order is lost

A sandbox takes its options from a marker: `@pytest.mark.paycollect_sandbox(shapes="concept")`.
The first two need pytest-asyncio. Nothing is imported before a fixture is used.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any, Literal

import pytest

try:
    from pytest_asyncio import fixture as async_fixture
except ImportError:  # pragma: no cover - the tests of this project need pytest-asyncio themselves
    # Without pytest-asyncio, pytest itself says that it cannot run an async fixture.
    async_fixture = pytest.fixture  # type: ignore[assignment]  # the same decorator, for our use

if TYPE_CHECKING:
    from decimal import Decimal

    from paycollect import SessionManager
    from paycollect.crash import CrashReport
    from paycollect.crash.player import MakeShop
    from paycollect.sandbox import Sandbox, SyncSandbox


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers", "paycollect_sandbox(**options): options of the sandbox fixtures"
    )


@async_fixture
async def paycollect_sandbox(request: pytest.FixtureRequest) -> AsyncIterator[Sandbox]:
    """Run a sandbox for one test, on a free port of loopback."""
    async with _sandbox(request) as sandbox:
        yield sandbox


@pytest.fixture
def paycollect_sync_sandbox(request: pytest.FixtureRequest) -> Iterator[SyncSandbox]:
    """Run a sandbox in a thread of its own for one test, on a free port of loopback."""
    with _sandbox(request) as sandbox:
        yield sandbox


def _sandbox(request: pytest.FixtureRequest) -> Sandbox:
    from paycollect.sandbox import Sandbox  # noqa: PLC0415 - heavy, and not every test needs it

    marker = request.node.get_closest_marker("paycollect_sandbox")
    options: dict[str, Any] = {"time_scale": 0.0, **(marker.kwargs if marker else {})}
    return Sandbox(**options)


@async_fixture
async def paycollect_session(paycollect_sandbox: Sandbox) -> AsyncIterator[SessionManager]:
    """Open a session manager with the sandbox's credentials, for one test."""
    from paycollect import SessionManager  # noqa: PLC0415 - heavy, and not every test needs it

    async with SessionManager(
        app_id=paycollect_sandbox.app_id,
        secret_key=paycollect_sandbox.secret_key,
        base_url=paycollect_sandbox.base_url,
    ) as session:
        yield session


class SignedWebhook:
    """Makes the signed body of a webhook; `secret` is the key, the sandbox's own default."""

    def __init__(self, secret: str) -> None:
        self.secret = secret

    def __call__(
        self,
        status: str = "COMPLETED",
        *,
        amount: Decimal | int | str = "25.00",
        event: str = "collection.received",
        scheme: Literal["raw", "compact", "php"] = "raw",
        envelope: Literal["3.0", "2.0", "bare"] = "3.0",
        secret: str | None = None,
        **members: object,
    ) -> bytes:
        """Make a body.

        Args:
            status: state of the payment, in `data`.
            amount: in USD.
            event: the name of the event.
            scheme: how the signed message is written.
            envelope: the published form; "bare" is not signed and must be refused.
            secret: another key, for a forged webhook.
            members: further members of `data`, or others in place of those that are there.

        """
        # Not every test needs it.
        from paycollect.testing import sign_webhook, webhook_data  # noqa: PLC0415 - see above

        data = webhook_data(status, amount=amount, order_id="INV-001", shapes="events")
        key = self.secret if secret is None else secret
        return sign_webhook(data | members, key, scheme, envelope, event=event)


@pytest.fixture
def signed_webhook() -> SignedWebhook:
    """Give a function that makes the signed body of a webhook, without any server.

    body = signed_webhook("COMPLETED", amount="25.00", externalReference="INV-1")
    """
    from paycollect.sandbox.options import WEBHOOK_SECRET  # noqa: PLC0415 - heavy

    return SignedWebhook(WEBHOOK_SECRET)


@pytest.fixture
def paycollect_crash_test() -> Callable[..., CrashReport]:
    """Give `paycollect.testing.crash_test` as a function that fails the test with its report.

    def test_each_paid_order_is_delivered_once(paycollect_crash_test):
        paycollect_crash_test(make_shop, schedules=100)
    """
    from paycollect.testing import crash_test  # noqa: PLC0415 - heavy, and not every test needs it

    def run(make_shop: MakeShop, **options: int) -> CrashReport:
        report = crash_test(make_shop, **options)
        if not report.ok:
            pytest.fail(str(report), pytrace=False)
        return report

    return run
