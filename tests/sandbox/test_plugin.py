"""The pytest fixtures, in a pytest of their own."""

import subprocess
import sys

import pytest

from tests.sandbox.test_docs import EXAMPLES

pytest_plugins = ["pytester"]

PLUGINS = "-p", "pytest_asyncio.plugin", "-p", "paycollect.pytest_plugin"
SETTINGS = """
[pytest]
addopts = --strict-markers
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
filterwarnings = error
"""


CLIENT = """

import types
import pytest
from paycollect import ipn

class Client:
    def post(self, path, data):
        try:
            ipn.parse_webhook(data, secret="whsec_the_services_own")
        except ipn.IpnError as error:
            return types.SimpleNamespace(status_code=error.status_hint)

@pytest.fixture
def client():
    return Client()
"""


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A folder for tests, run in this process, so that coverage sees them."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    # Where the entry point has loaded it already, pytest would warn that it cannot rewrite it.
    monkeypatch.delitem(sys.modules, "paycollect.pytest_plugin", raising=False)
    return pytester


def _passes(run: pytest.Pytester, source: str, count: int = 1) -> None:
    run.makepyfile(source)
    run.makeini(SETTINGS)
    result = run.runpytest_inprocess(*PLUGINS)
    result.assert_outcomes(passed=count)


def test_a_service_can_be_tested_against_the_sandbox(run: pytest.Pytester) -> None:
    """The session talks to the sandbox of the same test."""
    _passes(
        run,
        """
        async def test_it(paycollect_session, paycollect_sandbox):
            checkout = await paycollect_session.create_checkout(
                amount="25.00", order_id="INV-001", description="Premium plan"
            )
            await paycollect_sandbox.pay(checkout.collection_id)
            collection = await paycollect_session.get_collection(checkout.collection_id)
            assert collection.status == "COMPLETED"
        """,
    )


def test_the_clock_of_the_fixture_stands_still(run: pytest.Pytester) -> None:
    """So that tests are the same every time."""
    _passes(
        run,
        """
        async def test_it(paycollect_sandbox):
            assert paycollect_sandbox.clock.time_scale == 0
        """,
    )


def test_a_marker_gives_the_sandbox_options(run: pytest.Pytester) -> None:
    """It is known to --strict-markers."""
    _passes(
        run,
        """
        import pytest
        pytestmark = pytest.mark.paycollect_sandbox(app_id="MYAPP001", time_scale=60)

        async def test_it(paycollect_sandbox):
            assert paycollect_sandbox.app_id == "MYAPP001"
            assert paycollect_sandbox.clock.time_scale == 60
        """,
    )


def test_a_test_without_an_event_loop_has_a_sandbox(run: pytest.Pytester) -> None:
    """With the same options, in a thread of its own."""
    _passes(
        run,
        """
        import pytest

        @pytest.mark.paycollect_sandbox(app_id="MYAPP001")
        def test_it(paycollect_sync_sandbox):
            record = paycollect_sync_sandbox.create(
                {"amount": 25, "orderId": "INV-001", "description": "Premium plan"}
            )
            assert paycollect_sync_sandbox.pay(record.collection_id).status == "COMPLETED"
            assert paycollect_sync_sandbox.app_id == "MYAPP001"
            assert paycollect_sync_sandbox.clock.time_scale == 0
        """,
    )


def test_a_webhook_can_be_signed_without_a_server(run: pytest.Pytester) -> None:
    """The handler under test proves it as it would prove a real one."""
    _passes(
        run,
        """
        import pytest
        from paycollect import ipn

        def test_it(signed_webhook):
            body = signed_webhook("FAILED", amount="9.50", externalReference="INV-7")
            event = ipn.parse_webhook(body, secret=signed_webhook.secret)
            assert (event.status, str(event.amount), event.order_id) == ("FAILED", "9.50", "INV-7")
            with pytest.raises(ipn.IpnError):
                ipn.parse_webhook(signed_webhook(secret="whsec_another"), secret=signed_webhook.secret)
        """,
    )


def test_the_example_of_the_docs_runs(run: pytest.Pytester) -> None:
    """With a client of a service that proves its webhooks."""
    (example,) = (text for text in EXAMPLES if "paycollect_session" in text)
    _passes(run, example + CLIENT, count=2)


def test_the_plugin_imports_nothing_heavy() -> None:
    """Every test run of every project that has paycollect installed loads it."""
    program = (
        "import sys, pytest, pytest_asyncio; before = set(sys.modules);"
        "import paycollect.pytest_plugin;"
        "print(*sorted(set(sys.modules) - before))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert not {"aiohttp", "attrs", "cattrs", "paycollect.sandbox"} & set(result.stdout.split())
    assert "paycollect.pytest_plugin" in result.stdout
