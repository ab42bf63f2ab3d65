"""What the tests of this folder share: a secret, the published samples, and a forger's tools."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from paycollect._signing import sign

DATA = Path(__file__).parent.parent / "data"
VECTORS: dict[str, Any] = json.loads((DATA / "vectors.json").read_text())
SECRET: str = VECTORS["secret"]


def sample(name: str) -> bytes:
    """Read a published sample as it stands."""
    return (DATA / "samples" / f"{name}.json").read_bytes()


def signed(data: str, secret: str = SECRET, *, message: str | None = None, **members: str) -> bytes:
    """Make a body around a `data` text; other members are JSON texts and may replace its own."""
    envelope = {"event": '"collection.received"'} | members
    signature = sign((data if message is None else message).encode(), secret)
    envelope.setdefault("sign", f'"{signature}"')
    envelope.setdefault("data", data)
    return ("{" + ",".join(f'"{name}":{value}' for name, value in envelope.items()) + "}").encode()


def resigned(name: str, secret: str = SECRET) -> bytes:
    """Sign a published sample, whose own sign is a placeholder, over its compact data."""
    document = json.loads(sample(name))
    data = json.dumps(document["data"], separators=(",", ":"), ensure_ascii=False)
    return signed(data, secret, event=json.dumps(document["event"]))
