"""The measurement of training: what it counts, and how its figures are put."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from gac_ros.bench.goals import at_least, at_most, write_measurement
from gac_ros.bench.spread import Spread
from gac_ros.bench.training import (
    LPT,
    LPT_INTERLEAVED,
    OURS,
    measure_memory,
    measure_robot,
    resident_mebibytes,
    sized_episodes,
)
from tests.toy import small_config, toy_buffer, toy_embodiment


def test_every_step_is_measured_and_compared_with_the_first() -> None:
    rounds = []
    speed = measure_robot(
        toy_embodiment(),
        toy_buffer(),
        small_config(),
        repeats=1,
        ways=["bfloat16"],
        profiled=2,
        on_round=lambda: rounds.append(1),
    )
    assert len(rounds) == 1
    assert [step.name for step in speed.steps] == [OURS, f"{OURS}, bfloat16", LPT, LPT_INTERLEAVED]
    ours, rounded, lpt, _ = speed.steps
    assert speed.ratios[rounded.name].median == pytest.approx(
        rounded.processor_seconds.median / ours.processor_seconds.median
    )
    assert speed.ratios[LPT].median == pytest.approx(
        lpt.processor_seconds.median / ours.processor_seconds.median
    )
    assert ours.episodes_per_second.median == pytest.approx(16 / ours.seconds.median)
    assert sum(row.share for row in speed.profile) == pytest.approx(1.0, abs=0.1)
    assert any(row.name.startswith("aten::") for row in speed.profile)


def test_memory_is_sampled_over_the_whole_run() -> None:
    memory = measure_memory(toy_embodiment(), toy_buffer(), small_config(), iterations=80)
    assert len(memory.mebibytes) == 40
    assert memory.mebibytes[-1] == pytest.approx(resident_mebibytes(), rel=0.2)


def test_made_up_episodes_have_the_robot_s_sizes_and_lengths() -> None:
    _, umaze = sized_episodes("pointmaze_umaze")
    assert set(umaze.lengths) == {300}
    embodiment, hopper = sized_episodes("hopper")
    assert hopper.lengths.min() < 300 < 900 < hopper.lengths.max() <= 1000
    assert hopper[0].actions.shape[1] == embodiment.action_size


def test_goals_and_figures_are_written_with_their_origin(tmp_path: Path) -> None:
    goals = [at_least("ratio", 21.0, 20.0), at_most("growth", 2.0, 1.0)]
    write_measurement(tmp_path / "figures.json", goals, {"raw": [1, 2]})
    content = json.loads((tmp_path / "figures.json").read_text())
    assert content["goals"] == [
        {"name": "ratio", "value": 21.0, "goal": "at least 20", "met": True},
        {"name": "growth", "value": 2.0, "goal": "at most 1", "met": False},
    ]
    assert content["raw"] == [1, 2]
    assert content["versions"]["torch"]


def test_a_spread_tells_median_and_tails() -> None:
    spread = Spread.of(np.arange(101.0))
    assert (spread.low, spread.median, spread.p99, spread.high) == (0.0, 50.0, 99.0, 100.0)
