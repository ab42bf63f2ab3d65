"""Requests and answers of the provider on loopback, as values."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from attrs import define, field

APP_ID = "A1B2C3D4E5F6G7H8"
SECRET_KEY = "sk-live-4f9a0b7c6d5e4f3a"
SCOPES = ["collect:write", "collect:read", "payout:write", "payout:read"]
BASE = "/api/v3"
CREATED_AT = "2027-01-15T08:00:00+00:00"
EXPIRES_AT = "2027-01-15T09:00:00Z"

Json = dict[str, Any]


@define
class Received:
    """A request as it arrived."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    path: str = ""
    query: dict[str, str] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        parts = urlsplit(self.target)
        self.path = parts.path.removeprefix(BASE)
        self.query = dict(parse_qsl(parts.query, keep_blank_values=True))

    @property
    def key(self) -> str:
        """Method and path, with the collection's id named: "GET /collections/{id}"."""
        return f"{self.method} " + re.sub(r"^/collections/[^/]+", "/collections/{id}", self.path)

    @property
    def bearer(self) -> str | None:
        """The access token that came with it."""
        return self.headers.get("authorization", "").removeprefix("Bearer ") or None

    def json(self) -> Json:
        """Read the body."""
        document: Json = json.loads(self.body, parse_float=Decimal)
        return document


@define
class Reply:
    """An answer to be written."""

    status: int
    document: object = None
    headers: dict[str, str] = field(factory=dict)

    def body(self) -> bytes:
        """Write the body."""
        return b"" if self.document is None else json.dumps(self.document, default=float).encode()

    def encode(self) -> bytes:
        """Write the whole answer."""
        body = self.body()
        headers = {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            **self.headers,
        }
        lines = [f"HTTP/1.1 {self.status} Whatever", *(f"{k}: {v}" for k, v in headers.items())]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


def success(data: object, status: int = 200) -> Reply:
    """Give the envelope of a success."""
    return Reply(
        status,
        {
            "success": True,
            "status": status,
            "message": "OK",
            "data": data,
            "meta": {"requestId": "req_ok1", "timestamp": CREATED_AT},
        },
    )


def failure(status: int, code: str = "", message: str = "No.", **headers: str) -> Reply:
    """Give the envelope of an error; `Retry_After="2"` sets a header."""
    document = {
        "success": False,
        "status": status,
        "message": message,
        "error": {"code": code},
        "meta": {"requestId": "req_bad1"},
    }
    return Reply(status, document, {k.replace("_", "-"): v for k, v in headers.items()})
