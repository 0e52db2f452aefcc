"""Which episodes tell a deployment how its checkpoint does on the robot."""

from __future__ import annotations

from pathlib import Path

from lifecycle_msgs.msg import Transition

from gac_ros.deployment.folder import DeploymentFolder, name_checkpoint
from gac_ros.deployment.state import DeploymentConfig
from tests.nodes.support import Arm, Client, controller


def test_an_episode_that_was_interrupted_from_outside_says_nothing_of_who_acted(
    arm: Arm, client: Client, contract: Path, checkpoint: Path, tmp_path: Path
) -> None:
    folder = DeploymentFolder(tmp_path / "deployment")
    folder.begin(name_checkpoint(checkpoint), DeploymentConfig())
    parameters = {
        "robot": contract,
        "deployment": folder.directory,
        "autostart": True,
        "lock_step": True,
        "record__directory": tmp_path / "episodes",
    }
    with controller(**parameters) as process:
        client.until("idle")
        arm.connect()
        client.start()
        arm.step(0)
        arm.step(1)
        arm.reward(2.0)
        assert client.change(Transition.TRANSITION_DEACTIVATE)
        summary = client.summary()
        assert summary["outcome"] == "interrupted"
        assert summary["episode_return"] is not None
        assert folder.read().returns == ()

        client.states.clear()
        assert client.change(Transition.TRANSITION_ACTIVATE)
        client.until("idle")
        arm.forget()
        client.start()
        arm.step(0)
        arm.finish(1, "truncated")
        assert client.summary()["episode_return"] == 1.0
        assert folder.read().returns == (1.0,)
        assert process.stop() == 0
