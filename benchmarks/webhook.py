"""What proving and reading a webhook costs beside the least that anybody must do.

    python benchmarks/webhook.py [--quick]

The floor is one HMAC over the bytes of `data` and one `json.loads` of the body. Everything is a
ratio against it, taken interleaved in the same run: the median over rounds of the ratio within each
round, so that a busy machine harms all alike. The goal is 2.0 at 0.5 KB, and no growth with size.
"""

from __future__ import annotations

import argparse
import hmac
import importlib
import json
import statistics
import time
from base64 import b64encode
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from operator import truediv
from typing import Any
from urllib.parse import parse_qsl

from paycollect import ipn
from paycollect._signing import serialise
from paycollect.testing import sign_webhook

SECRET = "975127f2e7165836d99f54cf9c298da5b8bd43060bc0634e8cb3774e8bd6db4c"
SIZES = {"0.5 KB": 560, "5 KB": 5_000, "50 KB": 50_000, "1 MiB": 1_040_000}
DATA: dict[str, object] = {
    "reference": "COL678A3B4C5D6E7",
    "externalReference": "ORDER-12345",
    "providerReference": "PAY-20260112-ABC123",
    "amount": 100,
    "charge": Decimal("1.90"),
    "netAmount": Decimal("98.10"),
    "currency": "USD",
    "paymentMethod": "FYATU_BALANCE",
    "customerEmail": "customer@example.com",
    "customerPhone": "+12025559999",
    "customerName": "John Doe",
    "status": "COMPLETED",
    "appId": "D0H6R7Z6R1C2N5O5",
    "timestamp": "2026-01-12T18:30:00+00:00",
}
QUERY = "batch=SCI679A1B2C3D4E5&status=COMPLETED"
Job = Callable[[], object]


def data_of(size: int) -> dict[str, object]:
    """Make data of about this size in bytes, as a shop with a long basket would get back."""
    item = {"sku": "SKU-0001", "name": "Café crème", "price": Decimal("12.50"), "quantity": 2}
    count = max(0, size - 560) // (len(serialise(item, "raw")) + 1)
    return DATA | ({"metadata": {"items": [item] * count}} if count else {})


def floor(body: bytes, message: bytes) -> Job:
    """Do the least: one HMAC, one parse."""
    key = SECRET.encode()

    def job() -> None:
        hmac.digest(key, message, "sha256")
        json.loads(body)

    return job


def by_hand(body: bytes) -> Job:
    """Do what the provider's page for re-serialising shows: parse, write anew, compare."""
    key = SECRET.encode()

    def job() -> object:
        document = json.loads(body)
        message = json.dumps(document["data"], separators=(",", ":"), ensure_ascii=False).encode()
        expected = hmac.new(key, message, "sha256").hexdigest()
        hmac.compare_digest(expected, document["sign"])
        data = document["data"]
        stamp = datetime.fromisoformat(data["timestamp"])
        return Decimal(str(data["amount"])), data["status"], data["externalReference"], stamp

    return job


def peers(body: bytes) -> dict[str, Job]:
    """Verify the same bytes by other libraries' schemes, where they are installed."""
    jobs: dict[str, Job] = {}
    stamp = str(int(time.time()))
    text = body.decode()
    try:
        webhooks: Any = importlib.import_module("standardwebhooks.webhooks")
        receiver = webhooks.Webhook("whsec_" + b64encode(SECRET.encode()).decode())
        signature = receiver.sign("msg_1", datetime.fromtimestamp(int(stamp), UTC), text)
        headers = {
            "webhook-id": "msg_1",
            "webhook-timestamp": stamp,
            "webhook-signature": signature,
        }
        jobs["standardwebhooks"] = lambda: receiver.verify(text, headers)
    except ImportError:
        pass
    try:
        stripe: Any = importlib.import_module("stripe")
        digest = hmac.digest(SECRET.encode(), f"{stamp}.{text}".encode(), "sha256").hex()
        header = f"t={stamp},v1={digest}"
        jobs["stripe"] = lambda: stripe.Webhook.construct_event(text, header, SECRET)
    except ImportError:
        pass
    return jobs


def refused(body: bytes) -> Job:
    """Receive a forgery, for which every recipe is tried in vain."""
    forgery = body.replace(b'"sign":"', b'"sign":"0', 1)
    start = forgery.index(b'"sign":"0') + len(b'"sign":"0')
    forgery = forgery[: start + 63] + forgery[start + 64 :]

    def job() -> None:
        with suppress(ipn.SignatureError):
            ipn.parse_webhook(forgery, secret=SECRET)

    return job


HOSTILE: dict[str, Callable[[int], bytes]] = {
    "deep nesting": lambda n: b'{"data":' + b"[" * n,
    "a huge integer": lambda n: b'{"data":{"a":' + b"9" * n + b"}}",
    "a huge decimal": lambda n: b'{"data":{"a":0.' + b"9" * n + b"}}",
    "many numbers": lambda n: b'{"data":{"a":[' + b"1.5," * (n // 4) + b"1]}}",
    "many objects": lambda n: b'{"data":{"a":[' + b"{}," * (n // 3) + b"1]}}",
    "many escapes": lambda n: b'{"data":{"a":"' + b"\\ud83d\\ude00" * (n // 12) + b'"}}',
}


def hostile(make: Callable[[int], bytes], size: int) -> tuple[Job, Job]:
    """Receive a body that is made to be expensive; beside it, one HMAC over as many bytes."""
    body = make(size)[:-1] + b',"event":"e","sign":"' + b"0" * 64 + b'"}'

    def job() -> None:
        with suppress(ipn.IpnError):
            ipn.parse_webhook(body, secret=SECRET)

    return partial(hmac.digest, SECRET.encode(), body, "sha256"), job


def report_hostile(rounds: int, seconds: float) -> None:
    """Print what expensive bodies cost: in linear time both columns are alike."""
    print("hostile bodies, as multiples of one HMAC over the body: 125 KB, 1 MB")
    for name, make in HOSTILE.items():
        ratios = []
        for size in (125_000, 1_000_000):
            base, job = hostile(make, size)
            times = measure({"HMAC": base, name: job}, rounds, seconds)
            ratios.append(statistics.median(map(truediv, times[name], times["HMAC"])))
        print(f"    {name:32}{ratios[0]:6.1f} x{ratios[1]:6.1f} x")


def measure(jobs: dict[str, Job], rounds: int, seconds: float) -> dict[str, list[float]]:
    """Time each job in turn, round after round; give seconds per call."""
    base = next(iter(jobs.values()))
    started = time.perf_counter()
    base()
    count = max(1, int(seconds / max(time.perf_counter() - started, 1e-6)))
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, job in jobs.items():
            started = time.perf_counter()
            for _ in range(count):
                job()
            times[name].append((time.perf_counter() - started) / count)
    return times


def report(title: str, jobs: dict[str, Job], rounds: int, seconds: float) -> None:
    """Print every job as a ratio of the first one."""
    times = measure(jobs, rounds, seconds)
    base = next(iter(times.values()))
    print(f"{title}: {next(iter(times))} = {statistics.median(base) * 1e6:.1f} us")
    for name, each in list(times.items())[1:]:
        ratio = statistics.median(t / b for t, b in zip(each, base, strict=True))
        print(f"    {name:32}{ratio:6.2f} x")


def main() -> None:
    """Run all comparisons."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, rougher numbers")
    quick = parser.parse_args().quick
    rounds, seconds = (9, 0.01) if quick else (31, 0.03)
    receiver = ipn.Receiver(secrets=SECRET)
    for title, size in SIZES.items():
        data = data_of(size)
        body = sign_webhook(data, SECRET)
        jobs: dict[str, Job] = {
            "floor": floor(body, serialise(data, "raw")),
            "parse_webhook": partial(ipn.parse_webhook, body, secret=SECRET),
            "Receiver.parse": partial(receiver.parse, body),
            "verify_webhook": partial(ipn.verify_webhook, body, secret=SECRET),
            "a forgery, all recipes": refused(body),
            "by hand": by_hand(body),
            **peers(body),
        }
        report(f"{title} ({len(body):,} bytes)", jobs, rounds, seconds)
    report_hostile(rounds, seconds)
    jobs = {
        "parse_qsl": lambda: parse_qsl(QUERY),
        "parse_callback": lambda: ipn.parse_callback(QUERY),
    }
    report("return URL", jobs, rounds, seconds)


if __name__ == "__main__":
    main()
