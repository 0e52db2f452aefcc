"""`gac improve` as a command, around a controller that runs by itself over real DDS."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest

from gac_ros.buffer.summary import list_episodes
from gac_ros.checkpoint import save_checkpoint
from gac_ros.deployment.folder import DeploymentFolder
from gac_ros.evaluation.over_ros.session import SessionRequest, open_session
from gac_ros.online.plot import read_rounds
from tests.evaluation.conftest import ros_domain  # noqa: F401
from tests.improve.test_robot import CONFIG, ROBOT, TRIAL
from tests.toy import untrained_checkpoint

pytestmark = pytest.mark.usefixtures("ros_domain")


def test_a_running_controller_is_collected_from_and_given_the_better_model(tmp_path: Path) -> None:
    first = save_checkpoint(untrained_checkpoint(ROBOT), tmp_path / "first")
    out, episodes, settings = (tmp_path / name for name in ("run", "robot", "settings.yaml"))
    content = CONFIG.model_dump(mode="json")
    settings.write_text(json.dumps({**content, "episodes": 1, "plan_trials": 0}))
    trainer = subprocess.Popen(
        [
            *(sys.executable, "-m", "gac_ros.cli", "improve", "--robot", ROBOT, "--out", str(out)),
            *("--checkpoint", str(first), "--config", str(settings)),
            *("--robot-episodes", str(episodes)),
        ],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    try:
        assert trainer.stderr is not None
        said = []
        for line in trainer.stderr:
            said.append(line)
            if "waiting for 1 more" in line:
                break
        assert "no gate" in "".join(said)
        robot = SessionRequest(
            robot=ROBOT,
            checkpoint=Path("not used"),
            deployment=out / "deployment",
            mode="auto",
            device="cpu",
            logs=tmp_path / "logs",
            episodes=episodes,
        )
        with open_session(robot) as runner:
            for seed in count(1):
                runner.run_episode(seed)
                if trainer.poll() is not None:
                    break
        output, errors = trainer.communicate()
    finally:
        trainer.kill()
        trainer.wait()
    assert trainer.returncode == 0, errors
    assert "promotions" in output
    _, result = read_rounds(out)
    assert result.collection is not None
    assert result.live is not None
    rows = {row.path.name: row for row in list_episodes(episodes)}
    (collected,) = list_episodes(out / "round-01" / "episodes")
    assert (collected.mode, collected.digest) == ("explore", rows[collected.path.name].digest)
    live = list_episodes(out / "round-01" / "live")
    # The controller goes on until the trainer looks, and some of what it does then exploits too.
    assert len(live) >= TRIAL
    assert {row.mode for row in live} == {"exploit"}
    assert result.episodes == 1 + len(live)
    state = DeploymentFolder(out / "deployment").read()
    assert [entry.event for entry in state.log[:3]] == ["started", "offered", "taken"]
    assert [c.episode_id for c in state.comparisons] == [row.episode_id for row in live[:2]]
    assert "explore_raise" in state.exploration
