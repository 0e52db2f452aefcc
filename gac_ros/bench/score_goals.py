"""Goals of what robots learn, with intervals over the starts and over the training seeds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gac_ros.bench.markdown import markdown_table

Interval = tuple[float, float]


@dataclass(frozen=True)
class ScoreGoal:
    """A goal and how it stands.

    Attributes:
        task: which task or robot.
        text: what is asked for.
        measured: what the runs say; empty when they are missing.
        over_seeds: the interval over the training seeds; empty with fewer than two.
        met: None when the runs are missing.
        undecided: met, but the interval over the seeds does not say so.
    """

    task: str
    text: str
    measured: str = ""
    over_seeds: str = ""
    met: bool | None = None
    undecided: bool = False

    @classmethod
    def ahead(
        cls,
        task: str,
        text: str,
        mean: float,
        over_starts: Interval,
        over_seeds: Interval | None,
        *,
        seeds: int,
    ) -> ScoreGoal:
        """A goal met by a difference whose interval over the starts lies above zero."""
        met = over_starts[0] > 0.0
        return cls(
            task,
            text,
            f"{mean:+.1f} {_signed(over_starts)} ({count_seeds(seeds)})",
            "" if over_seeds is None else _signed(over_seeds),
            met,
            undecided=met and over_seeds is not None and over_seeds[0] <= 0.0,
        )

    @property
    def words(self) -> str:
        """The verdict."""
        if self.undecided:
            return "met over the starts only"
        return {None: "not run", True: "met", False: "**not met**"}[self.met]


def goal_table(goals: Sequence[ScoreGoal], first: str) -> Iterator[str]:
    """Lines of a table, whose first heading says what goals belong to."""
    rows = [[goal.task, goal.text, goal.measured, goal.over_seeds, goal.words] for goal in goals]
    yield from markdown_table([first, "goal", "measured", "95 % over seeds", ""], rows)


def count_seeds(count: int) -> str:
    """`1 seed` or `3 seeds`."""
    return "1 seed" if count == 1 else f"{count} seeds"


def _signed(interval: Interval) -> str:
    return f"[{interval[0]:+.1f}, {interval[1]:+.1f}]"
