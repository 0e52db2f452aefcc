"""Plans are rolled out from tuning starts, and their promises compared with what came of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from gac_ros.bench.plans import PlanTrial, draw_plans, summarize, try_plans
from tests.toy import untrained_checkpoint


def trial(predicted: float, achieved: float) -> PlanTrial:
    path = np.zeros((3, 4))
    return PlanTrial(
        "chain", np.zeros((2, 2), np.float32), predicted, np.array([achieved] * 2), (path, path)
    )


def test_the_rank_correlation_is_that_of_predicted_and_achieved_returns() -> None:
    rising = [trial(float(i), float(i**3)) for i in range(5)]
    falling = [trial(float(i), -float(i)) for i in range(5)]
    assert summarize(rising)["all"]["rank_correlation"] == pytest.approx(1.0)
    assert summarize(falling)["all"]["rank_correlation"] == pytest.approx(-1.0)


def test_equal_promises_have_no_rank_correlation() -> None:
    assert summarize([trial(1.0, float(i)) for i in range(5)])["all"]["rank_correlation"] is None


def test_every_kind_of_plan_is_rolled_out_and_drawn(tmp_path: Path) -> None:
    checkpoint = untrained_checkpoint("pointmaze_umaze")
    chains = {f"e{i}": torch.randn(4, 4) for i in range(5)}
    trials = try_plans(checkpoint, chains, count=2, starts=1)
    assert [t.kind for t in trials] == [
        "exploit",
        *["best"] * 2,
        *["chain"] * 2,
        *["prior"] * 2,
    ]
    assert all(t.paths[0].shape == (301, 4) for t in trials)
    returns = {name: float(i) for i, name in enumerate(chains)}
    files = draw_plans(trials, checkpoint, chains, returns, tmp_path)
    assert [file.name for file in files] == [
        "plans_pointmaze_umaze_calibration.png",
        "plans_pointmaze_umaze_space.png",
        "plans_pointmaze_umaze_paths.png",
    ]
    assert all(file.stat().st_size > 5000 for file in files)
