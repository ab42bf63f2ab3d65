"""A real Django project in processes of its own: WSGI and ASGI, and the worker beside them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from paycollect.sandbox import Sandbox
from paycollect.testing import sign_webhook
from tests.cashier.django.world import configured, empty_tables

ROOT = Path(__file__).parents[3]
SECONDS = 40


@contextmanager
def process(*args: str, env: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """Run a program of this environment, and end it."""
    started = subprocess.Popen(
        [sys.executable, *args],
        cwd=ROOT,
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield started
    finally:
        if started.poll() is None:
            started.terminate()
        started.communicate(timeout=SECONDS)


def first_line(started: subprocess.Popen[str]) -> str:
    """Wait for what a program says first."""
    assert started.stdout is not None
    return started.stdout.readline()


@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
def test_every_paid_order_is_delivered_once(place: str, interface: str) -> None:
    """By a webhook and the worker, and by the customer who comes back; never twice."""
    with configured(place):
        empty_tables()
    with Sandbox(time_scale=0) as sandbox:
        env = {
            "DJANGO_SETTINGS_MODULE": "tests.cashier.django.project.settings",
            "PAYCOLLECT_APP_ID": sandbox.app_id,
            "PAYCOLLECT_BASE_URL": sandbox.base_url,
            "PAYCOLLECT_CASHIER": "tests.cashier.django.project.payments:cashier",
            "PAYCOLLECT_SECRET_KEY": sandbox.secret_key,
            "PAYCOLLECT_WEBHOOK_SECRET": sandbox.webhook_secret,
            "PROJECT_DATABASE": place,
            "PROJECT_URLS": "tests.cashier.django.project.shop_urls",
        }
        serve = ("-m", "tests.cashier.django.project.serve", interface)
        worker = ("-m", "django", "paycollect_worker")
        with process(*serve, env=env) as server, process(*worker, env=env) as working:
            base = f"http://127.0.0.1:{int(first_line(server))}"
            assert "Working for" in first_line(working)
            told = ask(f"{base}/{interface}/buy?order=A")
            sandbox.pay(told)
            body = sign_webhook(
                {"collectionId": told, "orderId": "A", "status": "COMPLETED"},
                sandbox.webhook_secret,
            )
            for _ in range(3):
                ask(f"{base}/webhook", body)
            wait_for(f"{base}/{interface}/parcels", "A")
            returned = ask(f"{base}/{interface}/back?batch={told}&status=COMPLETED")
            assert returned == "paid True"

            quiet = ask(f"{base}/{interface}/buy?order=B")
            assert ask(f"{base}/{interface}/buy?order=B") == quiet
            sandbox.pay(quiet)
            returned = ask(f"{base}/{interface}/back?batch={quiet}&status=COMPLETED")
            assert returned == "paid True"
            assert ask(f"{base}/{interface}/parcels") == "A B"

            working.send_signal(signal.SIGTERM)
            output, _ = working.communicate(timeout=SECONDS)
            assert (working.returncode, "Ended" in output) == (0, True), output


def ask(url: str, body: bytes | None = None) -> str:
    """Make a request."""
    request = Request(url, data=body)
    with urlopen(request, timeout=SECONDS) as response:
        assert response.status == 200
        return str(response.read().decode())


def wait_for(url: str, expected: str) -> None:
    """Ask until another process has done its work."""
    end = time.monotonic() + SECONDS
    while ask(url) != expected:
        assert time.monotonic() < end, "the worker does not deliver"
