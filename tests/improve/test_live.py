"""Candidates on a running robot, with the packaged model and a sabotaged copy of it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from gac_ros.checkpoint import load_checkpoint, save_checkpoint
from gac_ros.cli.app import main
from gac_ros.deployment.folder import DeploymentFolder, name_checkpoint
from gac_ros.deployment.state import DeploymentConfig, offer
from gac_ros.evaluation.seeds import live_seed
from gac_ros.improve.live import SimulatedLiveRobot
from gac_ros.lineage import read_scores
from gac_ros.model.gac import GacModel
from gac_ros.resources import packaged_checkpoint

pytestmark = pytest.mark.usefixtures("signals_as_before")
ROBOT = "pointmaze_umaze"
CONFIG = DeploymentConfig(shadow_episodes=2, trial_episodes=4, least_episodes=2)
SETTINGS = """
gate_episodes: 4
deployment: {shadow_episodes: 2, trial_episodes: 3, least_episodes: 2}
"""


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the packaged checkpoint, so that scores may be written beside it."""
    checkpoint = load_checkpoint(packaged_checkpoint(ROBOT))
    return save_checkpoint(checkpoint, tmp_path_factory.mktemp("good") / "good model")


@pytest.fixture(scope="module")
def sabotaged(good: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with noise in the weights."""
    checkpoint = load_checkpoint(good)
    model = GacModel(checkpoint.model.config)
    model.load_state_dict(checkpoint.model.state_dict())
    torch.manual_seed(0)
    with torch.no_grad():
        for weights in model.parameters():
            weights.add_(0.3 * torch.randn_like(weights))
    model.eval().requires_grad_(False)
    folder = tmp_path_factory.mktemp("sabotaged")
    return save_checkpoint(replace(checkpoint, model=model), folder / "model")


def deployed(directory: Path, acting: Path) -> DeploymentFolder:
    folder = DeploymentFolder(directory)
    folder.begin(name_checkpoint(acting), CONFIG)
    return folder


def judge(out: Path, directory: Path, candidate: Path) -> int:
    settings = out.with_suffix(".yaml")
    settings.write_text(SETTINGS)
    return main(
        [
            *("improve", "--robot", ROBOT, "--out", str(out), "--config", str(settings)),
            *("--deployment", str(directory), "--candidate", str(candidate)),
        ]
    )


def test_a_sabotaged_candidate_is_refused_and_never_acts(
    good: Path, sabotaged: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = deployed(tmp_path / "deployment", good)
    assert judge(tmp_path / "out", folder.directory, sabotaged) == 1
    assert "refused: -" in capsys.readouterr().out
    state = folder.read()
    assert state.acting == name_checkpoint(good)
    assert [entry.event for entry in state.log] == ["started", "refused"]
    assert "interval" in state.log[-1].why
    (score,) = read_scores(sabotaged)
    assert score.difference is not None
    assert score.difference < 0.0


def test_a_better_candidate_is_compared_tried_and_confirmed(
    good: Path, sabotaged: Path, tmp_path: Path
) -> None:
    folder = deployed(tmp_path / "deployment", sabotaged)
    assert judge(tmp_path / "out", folder.directory, good) == 0
    state = folder.read()
    assert state.acting == name_checkpoint(good)
    assert [e.event for e in state.log] == ["started", "offered", "taken", "confirmed"]
    assert len(state.comparisons) == CONFIG.shadow_episodes
    assert all(c.steps == 300 and c.mean_difference > 0.1 for c in state.comparisons)


def test_a_bad_model_that_came_past_the_gate_is_rolled_back(
    good: Path, sabotaged: Path, tmp_path: Path
) -> None:
    folder = deployed(tmp_path / "deployment", good)
    bad = name_checkpoint(sabotaged)
    folder.change(partial(offer, candidate=bad, why="for a test"))
    robot = SimulatedLiveRobot(folder, ROBOT, None, "cpu")
    acted = []
    with robot.session(tmp_path / "episodes") as run_one:
        for index in range(CONFIG.shadow_episodes + CONFIG.trial_episodes):
            acted.append(folder.read().acting)
            run_one(live_seed(0, index))
            if folder.read().stage == "steady":
                break
    assert acted[:3] == [name_checkpoint(good)] * 2 + [bad]
    state = folder.read()
    assert state.log[-1].event == "rolled back"
    assert state.acting == name_checkpoint(good)


def test_a_candidate_is_dropped_when_who_acts_is_rolled_back_beside_it(
    good: Path, sabotaged: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = deployed(tmp_path / "deployment", sabotaged)
    # As if it had been confirmed on good days.
    changes = {
        "former": name_checkpoint(good),
        "former_returns": (200.0, 201.0, 202.0),
        "returns": (200.0,),
        "config": CONFIG.model_copy(update={"watch_episodes": 2, "shadow_episodes": 3}),
    }
    folder.change(lambda state: state.model_copy(update=changes))
    assert judge(tmp_path / "out", folder.directory, good) == 1
    assert "dropped: " in capsys.readouterr().out
    state = folder.read()
    events = [entry.event for entry in state.log]
    assert events == ["started", "offered", "rolled back", "dropped"]
    assert (state.acting, len(state.comparisons)) == (name_checkpoint(good), 1)
    assert "which it was better than, was rolled back" in state.log[-1].why


def test_the_same_model_differs_in_nothing_in_shadow(good: Path, tmp_path: Path) -> None:
    folder = deployed(tmp_path / "deployment", good)
    folder.change(partial(offer, candidate=name_checkpoint(good), why="itself"))
    with SimulatedLiveRobot(folder, ROBOT, None, "cpu").session(tmp_path / "bags") as run_one:
        run_one(live_seed(0, 0))
    (comparison,) = folder.read().comparisons
    assert comparison.largest_difference < 1e-6


def test_a_candidate_that_is_gone_or_another_is_dropped(
    good: Path, sabotaged: Path, tmp_path: Path
) -> None:
    folder = deployed(tmp_path / "deployment", good)
    wrong = name_checkpoint(good).model_copy(update={"digest": "0" * 64})
    robot = SimulatedLiveRobot(folder, ROBOT, None, "cpu")
    folder.change(partial(offer, candidate=wrong, why="swapped"))
    with robot.session(tmp_path / "bags") as run_one:
        run_one(live_seed(0, 0))
    state = folder.read()
    assert (state.stage, state.candidate) == ("steady", None)
    assert state.log[-1].event == "failed"
    assert "is not the checkpoint" in state.log[-1].why
