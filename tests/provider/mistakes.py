"""Values that make no sense, each with the error that it must raise, by kind of argument."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

Bad = list[tuple[Any, type[Exception]]]

LONG = "x" * 101
RING: dict[str, Any] = {}
RING["self"] = RING
DEEP: dict[str, Any] = {}
for _ in range(100_000):
    DEEP = {"a": DEEP}

TEXTS: Bad = [
    ("", ValueError),
    (LONG, ValueError),
    ("a\ud800", ValueError),
    (None, TypeError),
    (5, TypeError),
    (b"x", TypeError),
]
URLS: Bad = [
    ("", ValueError),
    ("shop.example/x", ValueError),
    ("/x", ValueError),
    ("//shop.example", ValueError),
    ("ftp://shop.example", ValueError),
    ("javascript:alert(1)", ValueError),
    ("https://", ValueError),
    ("https:///x", ValueError),
    ("https://shop.example:99999/", ValueError),
    ("https://shop.example:0/", ValueError),
    ("https://shop.example:x/", ValueError),
    ("https://[::1/", ValueError),
    ("https://shop.example/a b", ValueError),
    ("https://shop.example/\n", ValueError),
    (" https://shop.example/", ValueError),
    ("https://shop.example\\@evil.example", ValueError),
    ("https://shop.example/\ud800", ValueError),
    ("https://shop.example/" + "x" * 3000, ValueError),
    (5, TypeError),
    (b"https://shop.example", TypeError),
]
AMOUNTS: Bad = [
    (25.0, TypeError),
    (True, TypeError),
    (b"25", TypeError),
    ([25], TypeError),
    (0, ValueError),
    (-25, ValueError),
    ("-25", ValueError),
    ("25.001", ValueError),
    (Decimal("25.001"), ValueError),
    (Decimal("1E-30"), ValueError),
    ("", ValueError),
    ("25,00", ValueError),
    ("1e3", ValueError),
    ("+25", ValueError),
    (" 25", ValueError),
    ("25.", ValueError),
    (".5", ValueError),
    ("25.00\n", ValueError),
    ("\u0662\u0665", ValueError),
    ("NaN", ValueError),
    (Decimal("NaN"), ValueError),
    (Decimal("sNaN"), ValueError),
    (Decimal("Infinity"), ValueError),
    (Decimal("-Infinity"), ValueError),
    (Decimal("1E+999999"), ValueError),
    (Decimal("1E+13"), ValueError),
    (10**13, ValueError),
    (10**5000, ValueError),
    ("9" * 20, ValueError),
    ("9" * 5000, ValueError),
]
IDS: Bad = [
    ("", ValueError),
    ("..", ValueError),
    (".", ValueError),
    ("../auth/revoke", ValueError),
    ("a/b", ValueError),
    ("a?b=c", ValueError),
    ("a#b", ValueError),
    ("a%2fb", ValueError),
    ("a b", ValueError),
    ("a\\b", ValueError),
    ("SCI1\n", ValueError),
    ("caf\u00e9", ValueError),
    ("x" * 129, ValueError),
    (None, TypeError),
    (5, TypeError),
    (b"SCI1", TypeError),
]
DAYS: Bad = [
    ("2026-13-01", ValueError),
    ("2026-02-30", ValueError),
    ("20260101", ValueError),
    ("2026-1-1", ValueError),
    ("2026-W01-1", ValueError),
    ("yesterday", ValueError),
    ("", ValueError),
    (datetime(2026, 1, 1, tzinfo=UTC), TypeError),
    (20260101, TypeError),
]
NUMBERS: Bad = [
    (0, ValueError),
    (-1, ValueError),
    (10**10, ValueError),
    ("1", TypeError),
    (1.0, TypeError),
    (True, TypeError),
    (None, TypeError),
]
SECONDS: Bad = [
    (0, ValueError),
    (-1, ValueError),
    (math.nan, ValueError),
    (math.inf, ValueError),
    (10**400, ValueError),
    ("5", TypeError),
    (True, TypeError),
]
DOCUMENTS: Bad = [
    ({"a": math.nan}, ValueError),
    ({"a": "\ud800"}, ValueError),
    (RING, ValueError),
    (DEEP, ValueError),
    ({"a": object()}, TypeError),
    ({"a": {1, 2}}, TypeError),
    ({(1, 2): 3}, TypeError),
    ([1], TypeError),
    ("x", TypeError),
    (5, TypeError),
]
