"""What proving and reading a webhook costs beside the least that anybody must do.

    python -m benchmarks.webhook [--full] [--json FILE]

The floor is one HMAC over the bytes of `data` and one `json.loads` of the body. Everything is a
ratio against it, taken interleaved in the same run and in CPU time: the median over rounds of the
ratio within each round, so that a busy machine harms all alike. The goal is 2.3 on every documented
form and on one with an unknown status and unknown names, and no growth with size.
"""

from __future__ import annotations

import hmac
import importlib
import json
import statistics
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from operator import truediv
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from benchmarks.table import Row, run_alone
from paycollect import ipn
from paycollect._signing import serialise
from paycollect.testing import sign_webhook

SECRET = "975127f2e7165836d99f54cf9c298da5b8bd43060bc0634e8cb3774e8bd6db4c"
SIZES = {"0.5 KB": 560, "5 KB": 5_000, "50 KB": 50_000, "1 MiB": 1_040_000}
SAMPLES = Path(__file__).parents[1] / "tests" / "data" / "samples"
# The longest of the published forms.
DATA: dict[str, object] = json.loads(
    (SAMPLES / "webhook_collection_received_v2.json").read_bytes(), parse_float=Decimal
)["data"]
QUERY = "batch=SCI679A1B2C3D4E5&status=COMPLETED"
Job = Callable[[], object]


# What the provider may send tomorrow: a status and names that this release does not know.
UNKNOWN: dict[str, object] = {
    **DATA,
    "status": "ON_HOLD",
    "settlementBatch": "SB-2027-001",
    "riskScore": Decimal("0.25"),
    "labels": ["new", "unknown"],
    "channel": {"kind": "app", "version": 3},
}


def forms() -> dict[str, bytes]:
    """Sign each published form anew, as the samples' own signs are placeholders."""
    found: dict[str, bytes] = {}
    for path in sorted(SAMPLES.glob("webhook_*_*.json")):
        document = json.loads(path.read_bytes(), parse_float=Decimal)
        if "event" in document and "data" in document:
            envelope: Any = document.get("version", "3.0")
            name = path.stem.removeprefix("webhook_").removesuffix("_published_vector")
            found[name] = sign_webhook(
                document["data"], SECRET, envelope=envelope, event=document["event"]
            )
    return found | {"unknown status and names": sign_webhook(UNKNOWN, SECRET)}


def form_rows(rounds: int, seconds: float) -> Iterator[Row]:
    """Measure what each form costs, as a multiple of its own floor."""
    for name, body in forms().items():
        message = serialise(json.loads(body, parse_float=Decimal)["data"], "raw")
        jobs: dict[str, Job] = {
            "floor": floor(body, message),
            "parse": partial(ipn.parse_webhook, body, secret=SECRET),
        }
        times = measure(jobs, rounds, seconds)
        ratio = statistics.median(map(truediv, times["parse"], times["floor"]))
        yield Row(f"parse_webhook, {name}", ratio, goal=2.3)


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
    """Receive a forgery, for which every scheme is tried in vain."""
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


def hostile_rows(rounds: int, seconds: float) -> Iterator[Row]:
    """Measure expensive bodies of 125 KB and 1 MB: in linear time their ratios are alike."""
    for name, make in HOSTILE.items():
        ratios = []
        for size in (125_000, 1_000_000):
            base, job = hostile(make, size)
            times = measure({"HMAC": base, name: job}, rounds, seconds)
            ratios.append(statistics.median(map(truediv, times[name], times["HMAC"])))
        note = f"{ratios[0]:.1f} and {ratios[1]:.1f} times an HMAC of the body"
        yield Row(f"hostile: {name}, 1 MB / 125 KB", ratios[1] / ratios[0], note=note)


def measure(jobs: dict[str, Job], rounds: int, seconds: float) -> dict[str, list[float]]:
    """Time each job in turn, round after round; give seconds per call."""
    base = next(iter(jobs.values()))
    started = time.process_time()
    base()
    count = max(1, int(seconds / max(time.process_time() - started, 1e-6)))
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, job in jobs.items():
            started = time.process_time()
            for _ in range(count):
                job()
            times[name].append((time.process_time() - started) / count)
    return times


def ratios(title: str, jobs: dict[str, Job], rounds: int, seconds: float) -> Iterator[Row]:
    """Give every job as a ratio of the first one."""
    times = measure(jobs, rounds, seconds)
    base = next(iter(times.values()))
    for name, each in list(times.items())[1:]:
        ratio = statistics.median(t / b for t, b in zip(each, base, strict=True))
        yield Row(f"{title}: {name}", ratio, note=f"floor {statistics.median(base) * 1e6:.1f} us")


def rows(full: bool) -> Iterator[Row]:
    """Measure everything."""
    rounds, seconds = (31, 0.03) if full else (9, 0.01)
    receiver = ipn.Receiver(secrets=SECRET)
    yield from form_rows(rounds, seconds)
    for title, size in SIZES.items():
        data = data_of(size)
        body = sign_webhook(data, SECRET)
        jobs: dict[str, Job] = {
            "floor": floor(body, serialise(data, "raw")),
            "parse_webhook": partial(ipn.parse_webhook, body, secret=SECRET),
            "Receiver.parse": partial(receiver.parse, body),
            "verify_webhook": partial(ipn.verify_webhook, body, secret=SECRET),
            "a forgery, all schemes": refused(body),
            "by hand": by_hand(body),
            **peers(body),
        }
        yield from ratios(f"webhook of {title}", jobs, rounds, seconds)
    yield from hostile_rows(rounds if full else 3, seconds)
    jobs = {
        "parse_qsl": lambda: parse_qsl(QUERY),
        "parse_callback": lambda: ipn.parse_callback(QUERY),
    }
    yield from ratios("return URL, beside parse_qsl", jobs, rounds, seconds)


if __name__ == "__main__":
    run_alone("webhook", __doc__, rows)
