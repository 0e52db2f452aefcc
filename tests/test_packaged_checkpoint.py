"""The models in the box: small enough, fit for their robots, and good."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gac_ros.checkpoint import load_checkpoint
from gac_ros.embodiment import find_embodiment
from gac_ros.evaluation.evaluate import EvaluationRequest, evaluate
from gac_ros.evaluation.results import EvaluationResult
from gac_ros.lineage import read_scores
from gac_ros.resources import packaged_checkpoint

ROBOTS = ("hopper", "pointmaze_large", "pointmaze_medium", "pointmaze_umaze")
LARGEST_SIZE = 5_000_000


def test_every_packaged_model_is_tested() -> None:
    folder = packaged_checkpoint(ROBOTS[0]).parent
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == list(ROBOTS)


@pytest.mark.parametrize("robot", ROBOTS)
def test_it_is_small_and_holds_its_scores_but_no_training_state(robot: str) -> None:
    folder = packaged_checkpoint(robot)
    expected = ["checkpoint.json", "episodes.json", "model.safetensors", "scores.json"]
    assert sorted(file.name for file in folder.iterdir()) == expected
    assert sum(file.stat().st_size for file in folder.iterdir()) <= LARGEST_SIZE
    (score,) = read_scores(folder)
    assert score.purpose == "report"
    assert score.episodes == 100


@pytest.mark.parametrize("robot", ROBOTS)
def test_it_fits_its_robot(robot: str) -> None:
    load_checkpoint(packaged_checkpoint(robot)).require_embodiment(find_embodiment(robot))


def run(robot: str, out: Path, episodes: int) -> EvaluationResult:
    return evaluate(
        EvaluationRequest(
            robot=robot,
            out=out,
            episodes=episodes,
            seed=11,
            transport="inproc",
            checkpoint=packaged_checkpoint(robot),
            record=False,
        )
    )


def test_the_umaze_model_reaches_the_goal(tmp_path: Path) -> None:
    # Eight episodes; over many it scores above 85, and a policy that fails on one in four falls
    # below this bound.
    episodes = run("pointmaze_umaze", tmp_path, 8).episodes
    assert float(np.mean([episode.normalized_score for episode in episodes])) > 70.0


def test_the_hopper_model_hops_to_the_end_of_the_episode(tmp_path: Path) -> None:
    (episode,) = run("hopper", tmp_path, 1).episodes
    assert episode.length == 1000
    assert episode.normalized_score is not None
    # Over a hundred starts the interval of its score is 88.8 to 89.0.
    assert episode.normalized_score > 80.0


@pytest.mark.parametrize("mode", ["explore", "posterior"])
@pytest.mark.parametrize("robot", ROBOTS)
def test_every_mode_plans_with_it(robot: str, mode: str) -> None:
    checkpoint = load_checkpoint(packaged_checkpoint(robot))
    plan = checkpoint.make_planner().plan(mode, 0)
    assert np.isfinite(plan.z).all()
    assert plan.target_return is not None
    # The posterior asks for the data's best return, exploration for more.
    assert plan.target_return >= 0.999 * checkpoint.normalizer.return_max
