"""Counting the ticks that a slow planner costs."""

from __future__ import annotations

from pathlib import Path

from gac_ros.bench.planner import Ticks, goals, measure_ticks
from gac_ros.checkpoint import load_checkpoint, save_checkpoint
from tests.toy import untrained_checkpoint


def test_every_place_of_the_planner_has_its_turn_and_answers(tmp_path: Path) -> None:
    saved = save_checkpoint(untrained_checkpoint("pointmaze_umaze"), tmp_path / "checkpoint")
    checkpoint = load_checkpoint(saved)
    nowhere, thread, process = measure_ticks(checkpoint, rate=20.0, seconds=2.0, slowdown=0.2)
    assert [nowhere.planner, thread.planner, process.planner] == ["nowhere", "thread", "process"]
    assert nowhere.ticks == thread.ticks == process.ticks == 40
    assert nowhere.looks == 0
    assert 0 < thread.looks < 40
    assert 0 < process.looks < 40
    median, p99, longest = process.microseconds
    assert 0.0 < median <= p99 <= longest


def test_the_goal_is_about_the_process() -> None:
    def ticks(planner: str, missed: int) -> Ticks:
        return Ticks(planner=planner, ticks=9, missed=missed, looks=1, microseconds=(1, 2, 3))

    (goal,) = goals([ticks("nowhere", 0), ticks("thread", 4), ticks("process", 1)], 200.0, 2.0)
    assert (goal.value, goal.met) == (1, False)
    (goal,) = goals([ticks("nowhere", 0), ticks("thread", 4), ticks("process", 0)], 200.0, 2.0)
    assert goal.met
