"""The example in a process of its own, on a clock that runs as fast as the sandbox's.

python -m tests.cli.merchant_process DATABASE PORT NOW TIMES
"""

from __future__ import annotations

import importlib.util
import sys
from datetime import datetime
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from aiohttp import web

from paycollect.cashier import Cashier
from paycollect.sandbox import Clock

EXAMPLE = Path(__file__).parents[2] / "examples" / "merchant.py"


def load() -> ModuleType:
    """Import the example by its path, as it belongs to no package."""
    spec = importlib.util.spec_from_file_location("merchant_example", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    database, port, now, times = sys.argv[1:]
    example: Any = load()
    clock = Clock(start=datetime.fromisoformat(now), time_scale=float(times))
    example.Cashier = partial(Cashier, clock=clock)
    app = example.make_app(database, f"http://127.0.0.1:{port}")
    web.run_app(app, host="127.0.0.1", port=int(port), print=None)
