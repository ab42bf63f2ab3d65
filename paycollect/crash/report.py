"""What a crash test has found, in words."""

from __future__ import annotations

from attrs import field, frozen

from paycollect.crash.schedules import Schedule

_UNSEEN = (
    "It cannot see the network of your handlers, nor what other programs do to your tables: note"
    " outside effects with world.effects.record(what, key)."
)


@frozen(kw_only=True)
class Finding:
    """A schedule in which the promise does not hold.

    Attributes:
        problems: what is wrong at its end, a sentence each.
        schedule: the shortest schedule found that ends so.
        timeline: what happened in it, in order, with the time since its begin.

    """

    problems: tuple[str, ...]
    schedule: Schedule = field(repr=False)
    timeline: tuple[str, ...] = field(repr=False)

    def __str__(self) -> str:
        lines = ["Broken:", *(f"  - {problem}" for problem in self.problems)]
        lines += ["What happened:", *(f"  {line}" for line in self.timeline)]
        return "\n".join(lines)


@frozen(kw_only=True)
class CrashReport:
    """What came of a crash test; true if the promise held in each schedule.

    Attributes:
        schedules: how many were played in this process.
        processes: how many were played with real processes that were killed.
        deaths: how often a process died.
        points: the names of the points that a process died at.
        seed: makes the same schedules again.
        findings: where the promise did not hold; the test stops at the first.

    """

    schedules: int
    processes: int
    deaths: int
    points: frozenset[str] = field(repr=False)
    seed: int
    findings: tuple[Finding, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the promise held in each schedule."""
        return not self.findings

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        played = (
            f"{self.schedules} schedules and {self.processes} real processes,"
            f" {self.deaths} deaths at {len(self.points)} different points, seed {self.seed}"
        )
        if self.ok:
            return f"Each paid order was delivered once, or held: {played}.\n{_UNSEEN}"
        found = "\n".join(map(str, self.findings))
        return f"The promise does not hold ({played}).\n{found}\n{_UNSEEN}"
