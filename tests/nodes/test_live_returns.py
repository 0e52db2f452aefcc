"""Which episodes tell a deployment how its checkpoint does on the robot."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from lifecycle_msgs.msg import Transition

from gac_ros.buffer.reader import read_metadata
from gac_ros.checkpoint import save_checkpoint
from gac_ros.deployment.folder import DeploymentFolder, name_checkpoint
from gac_ros.deployment.state import DeploymentConfig, offer
from gac_ros.embodiment import load_embodiment
from tests.nodes.support import Arm, Client, controller
from tests.toy import untrained_checkpoint


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


def test_in_mode_auto_a_live_return_that_falls_after_the_confirmation_is_rolled_back(
    arm: Arm, client: Client, contract: Path, checkpoint: Path, tmp_path: Path
) -> None:
    better = save_checkpoint(untrained_checkpoint(load_embodiment(contract), 1), tmp_path / "new")
    old, new = name_checkpoint(checkpoint), name_checkpoint(better)
    folder = DeploymentFolder(tmp_path / "deployment")
    config = DeploymentConfig(
        shadow_episodes=0, trial_episodes=2, least_episodes=2, watch_episodes=2, watch_every=2
    )
    folder.begin(old, config)
    folder.change(lambda state: state.model_copy(update={"returns": (10.0, 11.0, 12.0)}))
    folder.change(partial(offer, candidate=new, why="for a test"))
    parameters = {
        "robot": contract,
        "deployment": folder.directory,
        "mode": "auto",
        "autostart": True,
        "lock_step": True,
        "record__directory": tmp_path / "episodes",
    }
    known = []
    with controller(**parameters) as process:
        client.states.clear()
        client.until("idle")
        arm.connect()
        for earned in (11, 12, 1, 1, 1, 0, 1, 1):
            arm.forget()
            client.start()
            arm.step(0)
            arm.finish(earned, "truncated")
            known.append(read_metadata(Path(client.summary()["bag"])))
        assert process.stop() == 0
        assert "rolled back: " in process.output
    exploited = [number for number, one in enumerate(known) if one.mode == "exploit"]
    assert exploited == [0, 1, 3, 5]
    assert [one.checkpoint_digest for one in known] == [new.digest] * 6 + [old.digest] * 2
    state = folder.read()
    events = [entry.event for entry in state.log]
    assert events == ["started", "offered", "taken", "confirmed", "rolled back"]
    assert (state.stage, state.acting) == ("steady", old)
    assert "live return 0.5 over 2 episodes" in state.log[-1].why
