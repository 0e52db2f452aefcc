"""The goals of offline learning, held against the runs."""

from __future__ import annotations

from collections.abc import Iterator

from gac_ros.bench.learning.summary import CellSummary, Table, bracketed, difference
from gac_ros.bench.learning.tasks import TASKS
from gac_ros.bench.score_goals import ScoreGoal, count_seeds

OURS = "gac"
RIVALS = ("lpt_w1", "lpt_w4", "behaviour_cloning_best_10")
MINUTES = 20.0
_AT_LEAST = {
    "pointmaze_umaze": 95.0,
    "pointmaze_medium": 80.0,
    "pointmaze_large": 80.0,
    "hopper_medium_replay": 90.0,
    "hopper_medium": 75.0,
}
_BEST_OF_DATA = ("halfcheetah_medium_replay",)
_LARGEST_DATA_MEAN = 10.0


def goals(table: Table) -> list[ScoreGoal]:
    """Every goal, in the order of the tasks."""
    return [goal for task in TASKS for goal in _goals_of(task.name, table)]


def _goals_of(name: str, table: Table) -> Iterator[ScoreGoal]:
    task = next(task for task in TASKS if task.name == name)
    ours = table.get((name, OURS))
    if name in _AT_LEAST:
        yield _at_least(name, f"mean score ≥ {_AT_LEAST[name]:.0f}", ours, _AT_LEAST[name])
    if name in _BEST_OF_DATA:
        wanted = None if ours is None else ours.records[0].data.score_best_5_percent
        text = "mean score ≥ mean of the best 5 % of the data"
        if wanted is not None:
            text += f" ({wanted:.1f})"
        yield _at_least(name, text, ours, wanted)
    if task.several_behaviours:
        for rival in RIVALS:
            yield _ahead(name, rival, ours, table.get((name, rival)))
    if name in _AT_LEAST or name in _BEST_OF_DATA:
        yield _within_time(name, ours)
    if task.file is None:
        yield _weak_data(name, ours or table.get((name, "data_mean")))


def _at_least(name: str, text: str, ours: CellSummary | None, wanted: float | None) -> ScoreGoal:
    if ours is None or wanted is None:
        return ScoreGoal(name, text)
    measured = f"{ours.mean:.1f} ± {ours.half_width:.1f} ({count_seeds(len(ours.records))})"
    over_seeds = bracketed(ours.interval_over_seeds)
    return ScoreGoal(name, text, measured, over_seeds, ours.mean >= wanted)


def _ahead(
    name: str, rival: str, ours: CellSummary | None, theirs: CellSummary | None
) -> ScoreGoal:
    text = f"ahead of {rival} by more than the interval"
    found = None if ours is None or theirs is None else difference(ours, theirs)
    if found is None or found.interval is None:
        return ScoreGoal(name, text)
    return ScoreGoal.ahead(
        name, text, found.mean, found.interval, found.over_seeds, seeds=found.seeds
    )


def _within_time(name: str, ours: CellSummary | None) -> ScoreGoal:
    # It keeps one core busy: on an idle machine the wall clock says the same, on a shared one more.
    text = f"training within {MINUTES:.0f} minutes of processor time"
    spent = [record.times.training for record in ours.records] if ours else []
    minutes = [times.cpu / 60.0 for times in spent if times is not None]
    if not minutes:
        return ScoreGoal(name, text)
    return ScoreGoal(name, text, f"{max(minutes):.1f} min at most", met=max(minutes) <= MINUTES)


def _weak_data(name: str, any_cell: CellSummary | None) -> ScoreGoal:
    text = f"the data's mean score < {_LARGEST_DATA_MEAN:.0f}"
    if any_cell is None:
        return ScoreGoal(name, text)
    mean = any_cell.records[0].data.score_mean
    return ScoreGoal(name, text, f"{mean:.1f}", met=mean < _LARGEST_DATA_MEAN)
