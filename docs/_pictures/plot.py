"""What a webhook, a checkout and an import cost beside floors of the same run, as SVG.

    python docs/_pictures/plot.py            draws benchmarks.json
    python docs/_pictures/plot.py RUNS       measures so often, keeps that, and draws it

A dot is the median of the runs, its bar reaches from the least to the most. Each run compares us
with a floor that was taken in the same run, so that 1 is the floor. What a peer costs, such as code
written by hand for the same work, has another colour.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib import pyplot as plt

HERE: Final = Path(__file__).parent
PICTURES: Final = HERE.parent / "pictures"
KEPT: Final = HERE / "benchmarks.json"
SCRIPTS: Final = ("webhook", "request")
PEERS: Final = ("by hand",)
LEFT_OUT: Final = ("hostile", "a forgery", "p99", "token that is fresh", "no observer")
"""What has another kind of floor: defences, waiting lines, shares of a call."""


def measure(runs: int) -> None:
    """Run the benchmarks so often, and keep what each run said."""
    found: list[Any] = []
    for _ in range(runs):
        with tempfile.NamedTemporaryFile(suffix=".json") as file:
            # It ends with 1 where a goal was missed: the plot shows that.
            command = [sys.executable, "-m", "benchmarks", *SCRIPTS, "--json", file.name]
            subprocess.run(command, check=False, cwd=HERE.parents[1])  # noqa: S603  # our own
            run = json.loads(Path(file.name).read_text("utf-8"))
        found.append(
            {
                script: [{name: row[name] for name in ("work", "value", "unit")} for row in each]
                for script, each in run.items()
            }
        )
    KEPT.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


def ratios() -> dict[str, list[float]]:
    """Give what was measured as a ratio to a floor: a value for each run."""
    found: dict[str, list[float]] = {}
    for run in json.loads(KEPT.read_text("utf-8")):
        for row in (row for script in run.values() for row in script if row["unit"] == "x"):
            if not any(word in row["work"] for word in LEFT_OUT):
                found.setdefault(row["work"], []).append(row["value"])
    return found


def draw(found: dict[str, list[float]]) -> None:
    """Draw a line for each thing that was measured; further left is cheaper."""
    mpl.rcParams.update({"svg.hashsalt": "paycollect", "svg.fonttype": "none", "font.size": 9})
    figure, axes = plt.subplots(figsize=(9, 0.28 * len(found) + 1.3))
    for place, (work, values) in enumerate(reversed(found.items())):
        middle = statistics.median(values)
        reach = [[middle - min(values)], [max(values) - middle]]
        is_peer = any(work.endswith(peer) for peer in PEERS)
        colour = "#b45309" if is_peer else "#2563eb"
        axes.errorbar(middle, place, xerr=reach, fmt="o", color=colour, capsize=3, markersize=5)
    axes.set_yticks(range(len(found)), list(reversed(found)))
    axes.axvline(1, color="#64748b", linewidth=1, linestyle=":")
    axes.set_xlim(left=0)
    axes.set_xlabel("times the floor of the same run (dotted); blue: paycollect, brown: by hand")
    runs = max(map(len, found.values()))
    axes.set_title(f"Cost beside the floor: median, least and most of {runs} runs")
    axes.grid(axis="x", alpha=0.25)
    figure.tight_layout()
    figure.savefig(PICTURES / "benchmark.svg", metadata={"Date": None})


if len(sys.argv) > 1:
    measure(int(sys.argv[1]))
draw(ratios())
