"""With a controller and a simulator that somebody else started."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from gac_ros.buffer.reader import read_episode
from gac_ros.errors import TransportError
from gac_ros.evaluation.collect import CollectionRequest, collect
from gac_ros.evaluation.over_ros.publish import Playback, publish_bag
from tests.nodes.support import Client
from tests.ros_support import RosPeer, ros_peer, ros_process

__all__ = ["ros_peer"]

CONTROLLER, SIMULATOR = "gac_ros.nodes.controller", "gac_ros.sim.node"
RUNNER = "gac_ros.nodes.run_episodes"


def test_the_runner_drives_a_simulator_and_a_controller_and_prints_the_table(
    ros_domain: int, umaze_checkpoint: Path, tmp_path: Path
) -> None:
    controller = {
        "checkpoint": umaze_checkpoint,
        "autostart": True,
        "lock_step": True,
        "record.directory": tmp_path / "bags",
    }
    space = ("-r", "__ns:=/left")
    with (
        ros_process(SIMULATOR, *space, lock_step=True, start_paused=True),
        ros_process(CONTROLLER, *space, **controller),
        ros_process(RUNNER, *space, episodes=2, seed=3, out=tmp_path / "out") as runner,
    ):
        assert runner.wait(120.0) == 0
        assert "episode 2/2: 300 steps" in runner.output
        assert "latency p50 / p99" in runner.output
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [episode["seed"] for episode in results["episodes"]] == [9_000_027, 9_000_028]
    assert results["run"]["lock_step"] is True
    assert results["run"]["checkpoint"] == str(umaze_checkpoint)
    assert all(Path(episode["bag"]).is_dir() for episode in results["episodes"])


def test_recorded_inputs_drive_a_live_controller(
    ros_peer: RosPeer, hopper_checkpoint: Path, tmp_path: Path
) -> None:
    request = CollectionRequest(
        "hopper", "checkpoint", 1, tmp_path / "in", checkpoint=hopper_checkpoint
    )
    bag = collect(request)[0].bag
    assert bag is not None
    client = Client(ros_peer)
    parameters = {"checkpoint": hopper_checkpoint, "record.directory": tmp_path / "out"}
    # How many inputs a busy machine loses is not the point here: none, and slower than recorded.
    lossless = "qos_overrides./joint_states.subscription"
    parameters |= {f"{lossless}.reliability": "reliable", f"{lossless}.depth": 1000}
    with ros_process(CONTROLLER, robot="hopper", autostart=True, mode="explore", **parameters):
        recorded = read_episode(bag)
        assert recorded.metadata is not None
        client.start(recorded.metadata.seed or 0)
        assert publish_bag(bag, Playback(0.5, patience=60.0)) > len(recorded)
        live = read_episode(Path(client.summary()["bag"]))
    np.testing.assert_array_equal(live.observations[0], recorded.observations[0])
    np.testing.assert_array_equal(live.actions[0], recorded.actions[0])
    assert live.terminated


@pytest.mark.usefixtures("ros_domain")
def test_inputs_that_nobody_listens_to_are_a_clear_error(tmp_path: Path) -> None:
    bag = collect(CollectionRequest("hopper", "random", 1, tmp_path))[0].bag
    assert bag is not None
    with pytest.raises(TransportError, match="nobody listens on /joint_states"):
        publish_bag(bag, Playback(patience=0.0))
