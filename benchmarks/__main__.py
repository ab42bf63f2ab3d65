"""All benchmarks, as one table: what `make bench` runs.

    python -m benchmarks [SCRIPT ...] [--full] [--json FILE]

In under two minutes on an idle machine; with --full it takes its time. Ends with 1 if a goal was
missed: on a busy machine that tells nothing, so run it again.
"""

from __future__ import annotations

import sys
import time

from benchmarks import cashier, request, steps, sync, webhook
from benchmarks.table import Row, Rows, arguments, show, write_json

SCRIPTS: dict[str, Rows] = {
    "steps": steps.rows,
    "request": request.rows,
    "sync": sync.rows,
    "webhook": webhook.rows,
    "cashier": cashier.rows,
}


def main() -> int:
    """Run the scripts that are named, or all of them."""
    parser = arguments(__doc__)
    parser.add_argument("scripts", nargs="*", metavar="SCRIPT", help=", ".join(SCRIPTS))
    given = parser.parse_args()
    unknown = set(given.scripts) - SCRIPTS.keys()
    if unknown:
        parser.error(f"no such script: {', '.join(sorted(unknown))}")
    started = time.monotonic()
    quietly = given.json == "-"
    found: dict[str, list[Row]] = {}
    for name in given.scripts or SCRIPTS:
        found[name] = list(show(name, SCRIPTS[name](given.full), quietly=quietly))
    write_json(found, given.json)
    missed = [row.work for rows in found.values() for row in rows if row.met is False]
    out = sys.stderr if quietly else sys.stdout
    seconds = time.monotonic() - started
    print(f"{len(missed)} goals missed, in {seconds:.0f} s", file=out)
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
