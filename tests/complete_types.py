"""Is the type of every public name known? `make check` runs this on the installed package.

    python tests/complete_types.py PYRIGHT PYTHON

Passed over: the app for Django, which ships no types; the command line, which nobody imports; and
SyncSandbox with what leads to it, as its methods are made of those of Sandbox (mypy and pyright see
them in tests/sandbox/test_sync.py).
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

PASSED_OVER = (
    "paycollect.cashier.django.",
    "paycollect.cashier.SqliteStore",  # sqlite3's own row_factory, which is Any
    "paycollect.cashier.sqlite.SqliteStore",
    "paycollect.clock.MachineClock",  # two functions of C in place of methods
    "paycollect.cli.",
    "paycollect.sandbox.sandbox.Sandbox",
    "paycollect.sandbox.sandbox.SyncSandbox",
    "paycollect.sandbox.Sandbox",
    "paycollect.sandbox.SyncSandbox",
    "paycollect.pytest_plugin.paycollect_session",
)


def main(pyright: str, python: str) -> int:
    """Print each public name whose type is not known; 1 if there is one."""
    options = ["--verifytypes", "paycollect", "--ignoreexternal", "--outputjson"]
    command = [pyright, "--pythonpath", python, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    report: dict[str, Any] = json.loads(done.stdout)["typeCompleteness"]
    symbols = report["symbols"]
    unknown = [
        symbol["name"]
        for symbol in symbols
        if symbol["isExported"]
        and not symbol["isTypeKnown"]
        and not symbol["name"].startswith(PASSED_OVER)
    ]
    for name in unknown:
        print(f"its type is not known: {name}")  # noqa: T201  a program
    print(f"{len(symbols)} names, {len(unknown)} without a known type")  # noqa: T201  a program
    return int(bool(unknown) or not symbols)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
