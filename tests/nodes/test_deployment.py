"""The controller follows a deployment: shadow, trial and rollback over real DDS."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from gac_ros.buffer.reader import read_metadata
from gac_ros.checkpoint import save_checkpoint
from gac_ros.deployment.folder import DeploymentFolder, name_checkpoint
from gac_ros.deployment.state import DeploymentConfig, offer
from gac_ros.evaluation.over_ros.session import SessionRequest, open_session
from tests.evaluation.conftest import ros_domain  # noqa: F401
from tests.toy import untrained_checkpoint

pytestmark = pytest.mark.usefixtures("ros_domain")
ROBOT = "pointmaze_umaze"


def test_a_running_controller_compares_tries_and_takes_a_candidate(tmp_path: Path) -> None:
    old, new = (
        name_checkpoint(save_checkpoint(untrained_checkpoint(ROBOT, seed), tmp_path / f"m {seed}"))
        for seed in (0, 1)
    )
    folder = DeploymentFolder(tmp_path / "deployment")
    config = DeploymentConfig(shadow_episodes=1, trial_episodes=2, least_episodes=2)
    folder.begin(old, config)
    request = SessionRequest(
        robot=ROBOT,
        checkpoint=Path("not used"),
        deployment=folder.directory,
        mode="auto",
        device="cpu",
        logs=tmp_path / "logs",
        episodes=tmp_path / "episodes",
    )
    bags = []
    with open_session(request) as runner:
        bags.append(runner.run_episode(1).bag)
        folder.change(partial(offer, candidate=new, why="for a test"))
        bags += [runner.run_episode(seed).bag for seed in (2, 3)]
        (comparison,) = folder.read().comparisons
        assert folder.read().stage == "trial"
        folder.change(lambda state: state.model_copy(update={"former_returns": (1e6, 1e6)}))
        bags += [runner.run_episode(seed).bag for seed in (4, 5)]
    known = [read_metadata(bag) for bag in bags if bag is not None]
    assert [one.mode for one in known] == ["explore", "exploit", "exploit", "exploit", "explore"]
    # In shadow the old one acts; then the new one, until its return is below the former's.
    acted = [one.checkpoint_digest for one in known]
    assert acted == [old.digest, old.digest, new.digest, new.digest, old.digest]
    assert (comparison.episode_id, comparison.steps) == (known[1].episode_id, known[1].steps)
    assert comparison.mean_difference > 0.01
    state = folder.read()
    events = [entry.event for entry in state.log]
    assert events == ["started", "offered", "taken", "rolled back"]
    assert (state.stage, state.acting) == ("steady", old)
