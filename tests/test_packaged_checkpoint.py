"""The model in the box: small enough, fit for its robot, and good."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gac_ros.checkpoint import load_checkpoint
from gac_ros.embodiment import find_embodiment
from gac_ros.evaluation.evaluate import EvaluationRequest, evaluate
from gac_ros.resources import packaged_checkpoint

ROBOT = "pointmaze_umaze"
LARGEST_SIZE = 5_000_000


def test_it_is_small_and_holds_no_training_state() -> None:
    files = sorted(packaged_checkpoint(ROBOT).iterdir())
    expected = ["checkpoint.json", "episodes.json", "model.safetensors", "scores.json"]
    assert [file.name for file in files] == expected
    assert sum(file.stat().st_size for file in files) <= LARGEST_SIZE


def test_it_fits_its_robot() -> None:
    load_checkpoint(packaged_checkpoint(ROBOT)).require_embodiment(find_embodiment(ROBOT))


def score_of(tmp_path: Path, checkpoint: Path) -> float:
    result = evaluate(
        EvaluationRequest(
            robot=ROBOT,
            out=tmp_path,
            episodes=8,
            seed=11,
            transport="inproc",
            checkpoint=checkpoint,
            record=False,
        )
    )
    return float(np.mean([episode.normalized_score for episode in result.episodes]))


def test_it_reaches_the_goal(tmp_path: Path) -> None:
    # Eight episodes; over many it scores above 85, and a policy that fails on one in four falls
    # below this bound.
    assert score_of(tmp_path, packaged_checkpoint(ROBOT)) > 70.0


@pytest.mark.parametrize("mode", ["explore", "posterior"])
def test_every_mode_plans_with_it(mode: str) -> None:
    plan = load_checkpoint(packaged_checkpoint(ROBOT)).make_planner().plan(mode, 0)
    assert np.isfinite(plan.z).all()
    assert plan.target_return >= 300.0
