"""What the runs of a cell, or of two cells, come to."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from gac_ros.bench.learning.harness import Cell, cell_config
from gac_ros.bench.learning.methods import METHODS
from gac_ros.bench.learning.records import RunRecord, is_stale, statistics
from gac_ros.bench.learning.tasks import TASKS
from gac_ros.bench.stopwatch import Times
from gac_ros.evaluation.intervals import mean_interval
from gac_ros.training.config import TrainingConfig


@dataclass(frozen=True, eq=False)
class CellSummary:
    """All runs of a task and a method: its training seeds, each with as many episodes.

    Attributes:
        records: at least one, by seed.
        stale: whether one of them was made with another configuration than the present default.
    """

    records: tuple[RunRecord, ...]
    stale: bool = False

    @cached_property
    def scores(self) -> list[float]:
        """Scores of all episodes of all seeds."""
        return [score for record in self.records for score in record.scores]

    @cached_property
    def statistics(self) -> dict[str, Any]:
        """Mean, standard error and interval over all episodes; see `records.statistics`."""
        return statistics(self.scores)

    @property
    def mean(self) -> float:
        """Mean score."""
        return float(self.statistics["score_mean"])

    @property
    def half_width(self) -> float:
        """Half of the 95 % interval; 0 for a single episode."""
        interval = self.statistics["score_interval"]
        return 0.0 if interval is None else (interval[1] - interval[0]) / 2.0

    @property
    def seed_means(self) -> list[float]:
        """Mean score of each training seed."""
        return [record.score_mean for record in self.records]

    @property
    def seeds(self) -> frozenset[int]:
        """Its training seeds."""
        return frozenset(record.seed for record in self.records)

    @property
    def interval_over_seeds(self) -> tuple[float, float] | None:
        """Student's t at 95 % over the seeds' means; None with one seed."""
        return mean_interval(self.seed_means)

    def mean_over(self, seeds: Set[int]) -> float:
        """Mean score over some of its training seeds."""
        chosen = (record for record in self.records if record.seed in seeds)
        return float(np.mean([score for record in chosen for score in record.scores]))

    @property
    def plans(self) -> int:
        """Plans that were made: one an episode."""
        return len(self.scores)

    def mean_times(self, part: str) -> Times | None:
        """Mean over the seeds of a part of `RunTimes`; None where there was none."""
        found = [getattr(record.times, part) for record in self.records]
        if any(times is None for times in found):
            return None
        wall = float(np.mean([times.wall for times in found]))
        return Times(wall=wall, cpu=float(np.mean([times.cpu for times in found])))


Table = Mapping[tuple[str, str], CellSummary]


def summarize(records: Iterable[RunRecord]) -> Table:
    """Runs by task and method, in the order of both; names that are no longer known come last."""
    tasks = {task.name: task for task in TASKS}
    methods = {method.name: method for method in METHODS}
    grouped: dict[tuple[str, str], list[RunRecord]] = {}
    for record in records:
        grouped.setdefault((record.task, record.method), []).append(record)

    def place(key: tuple[str, str]) -> tuple[int, int]:
        task, method = key
        return (
            [*tasks, task].index(task),
            [*methods, method].index(method),
        )

    def stale(record: RunRecord) -> bool:
        if record.task not in tasks or record.method not in methods:
            return True
        cell = Cell(tasks[record.task], methods[record.method], record.seed)
        return is_stale(record, cell_config(cell, TrainingConfig(), len(record.episodes)))

    return {
        key: CellSummary(
            tuple(sorted(grouped[key], key=lambda record: record.seed)),
            any(stale(record) for record in grouped[key]),
        )
        for key in sorted(grouped, key=place)
    }


@dataclass(frozen=True)
class Difference:
    """How far a cell is ahead of another one, over the episodes that both have.

    Attributes:
        mean: of the differences of scores.
        interval: Student's t at 95 %, over pairs of equal training seed and equal start; None
            with fewer than two.
        seeds: training seeds that both have.
        over_seeds: likewise over the mean differences of these seeds; None with one.
    """

    mean: float
    interval: tuple[float, float] | None
    seeds: int
    over_seeds: tuple[float, float] | None = None

    @property
    def ahead(self) -> bool:
        """Whether the first is ahead by more than the interval."""
        return self.interval is not None and self.interval[0] > 0.0


def difference(first: CellSummary, second: CellSummary) -> Difference | None:
    """First minus second, paired; None where they share no start."""
    pairs: dict[int, list[float]] = {}
    others = {
        (record.seed, episode.seed): episode.score
        for record in second.records
        for episode in record.episodes
    }
    for record in first.records:
        for episode in record.episodes:
            key = (record.seed, episode.seed)
            if episode.seed is not None and key in others:
                pairs.setdefault(record.seed, []).append(episode.score - others[key])
    if not pairs:
        return None
    everything = [value for values in pairs.values() for value in values]
    means = [float(np.mean(values)) for values in pairs.values()]
    return Difference(
        float(np.mean(everything)), mean_interval(everything), len(pairs), mean_interval(means)
    )


def bracketed(interval: tuple[float, float] | None) -> str:
    """An interval as `[low, high]`; empty where there is none."""
    return "" if interval is None else f"[{interval[0]:.1f}, {interval[1]:.1f}]"


def config_differences(config: Mapping[str, Any], default: Mapping[str, Any]) -> list[str]:
    """What differs between two configurations, as `key: default → value`.

    A setting that one of them does not know and that is off in the other (0, false, null) changes
    nothing.
    """
    own, usual = _flat(config), _flat(default)
    lines = []
    for key in [*own, *(key for key in usual if key not in own)]:
        left, right = usual.get(key, "–"), own.get(key, "–")
        off = "–" in (left, right) and {left, right} & {"0", "0.0", "false", "null"}
        if left != right and not off:
            lines.append(f"`{key}`: {left} → {right}")
    return lines


def _flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in content.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = json.dumps(value)
    return found


def distinct(values: Iterable[str | None]) -> Sequence[str]:
    """Each value once, in the order of appearance; None is left out."""
    return list(dict.fromkeys(value for value in values if value is not None))
