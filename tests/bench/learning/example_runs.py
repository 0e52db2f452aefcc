"""Records of runs that nobody made, to render."""

from __future__ import annotations

from collections.abc import Sequence

from gac_ros.bench.learning.harness import Cell, cell_config
from gac_ros.bench.learning.methods import find_method
from gac_ros.bench.learning.records import (
    DataSummary,
    EpisodeRecord,
    RunRecord,
    RunTimes,
    statistics,
)
from gac_ros.bench.learning.tasks import find_task
from gac_ros.bench.stopwatch import Times
from gac_ros.training.config import TrainingConfig

DATA = DataSummary(
    digest="0",
    episodes=800,
    steps=240_000,
    score_mean=7.0,
    score_best=120.0,
    score_best_5_percent=100.0,
    best_return=270.0,
)


def example_record(
    task: str = "pointmaze_umaze",
    method: str = "gac",
    seed: int = 0,
    scores: Sequence[float] = (90.0, 100.0, 95.0, 97.0),
) -> RunRecord:
    cell = Cell(find_task(task), find_method(method), seed)
    episodes = [
        EpisodeRecord(seed=1000 * seed + index, episode_return=2.0 * score, score=score, length=300)
        for index, score in enumerate(scores)
    ]
    return RunRecord(
        task=task,
        method=method,
        seed=seed,
        starts="benchmark",
        **statistics(scores),
        return_mean=2.0 * sum(scores) / len(scores),
        episodes=tuple(episodes),
        data=DATA,
        times=RunTimes(training=Times(wall=300.0, cpu=290.0), evaluation=Times(wall=60, cpu=60)),
        config=cell_config(cell, TrainingConfig(), len(episodes)),
        training={"iterations": 1500},
        commit="0123456789ab",
        command="gac bench learning",
        versions={"python": "3.11.7"},
        processor="a processor",
        finished="2026-01-01T00:00:00+00:00",
    )
