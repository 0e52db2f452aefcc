"""A controller in a namespace, led through its lifecycle, refuses what does not fit and goes on."""

from __future__ import annotations

import pickle
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from lifecycle_msgs.msg import Transition

from gac_ros.buffer.reader import read_metadata
from gac_ros.checkpoint import DESCRIPTION_FILE, WEIGHTS_FILE
from tests.nodes.support import (
    SAFE,
    Arm,
    Client,
    controller,
    write_checkpoint,
    write_contract,
)
from tests.ros_support import RosPeer, RosProcess

NAMESPACE = "/left"
NODE = f"{NAMESPACE}/gac_controller"


@pytest.fixture(scope="module")
def arm(peer: RosPeer) -> Arm:
    return Arm(peer, NAMESPACE)


@pytest.fixture(scope="module")
def client(peer: RosPeer) -> Client:
    return Client(peer, NODE)


@pytest.fixture(scope="module", autouse=True)
def running(episodes: Path, shared_domain: int) -> Iterator[RosProcess]:
    with controller("-r", f"__ns:={NAMESPACE}", record__directory=episodes) as process:
        yield process
        assert process.stop(signal.SIGTERM) == 0
        assert "Traceback" not in process.output


@pytest.fixture(scope="module")
def other_contract(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The arm with another limit, and a scoring function: the number of steps."""
    return write_contract(
        tmp_path_factory.mktemp("robots") / "other.yaml",
        name="other_arm",
        episode_length=3,
        episode_end_topic=None,
        **{"return": {"source": "function", "function": "builtins:len"}},
    )


@pytest.fixture
def spoilt(checkpoint: Path, tmp_path: Path) -> Path:
    """A copy of the checkpoint that a test may damage."""
    return Path(shutil.copytree(checkpoint, tmp_path / "spoilt"))


def refused(client: Client, running: RosProcess) -> str:
    """Ask for the configuration, which must fail; returns the line that says why."""
    before = len(running.output)
    assert not client.change(Transition.TRANSITION_CONFIGURE)
    assert client.lifecycle() == "unconfigured"
    lines = running.output[before:].strip().splitlines()
    assert len(lines) == 1, lines
    assert "cannot configure" in lines[0]
    return lines[0]


def test_a_checkpoint_for_another_robot_is_refused_by_what_differs(
    client: Client, running: RosProcess, checkpoint: Path, other_contract: Path
) -> None:
    assert client.set("robot", str(other_contract)).successful
    assert client.set("checkpoint", str(checkpoint)).successful
    line = refused(client, running)
    assert "name: 'arm' against 'other_arm'" in line
    assert "episode_length: 12 against 3" in line


def test_a_truncated_checkpoint_is_refused(
    client: Client, running: RosProcess, spoilt: Path, contract: Path
) -> None:
    weights = spoilt / WEIGHTS_FILE
    weights.write_bytes(weights.read_bytes()[:-100])
    client.set("robot", str(contract))
    client.set("checkpoint", str(spoilt))
    assert "does not match its checksum" in refused(client, running)


def test_a_corrupt_checkpoint_is_refused(
    client: Client, running: RosProcess, spoilt: Path, contract: Path
) -> None:
    (spoilt / DESCRIPTION_FILE).write_bytes(b"{\x00")
    client.set("robot", str(contract))
    client.set("checkpoint", str(spoilt))
    assert "damaged" in refused(client, running)


def test_a_pickled_checkpoint_is_refused_unread(
    client: Client, running: RosProcess, tmp_path: Path, contract: Path
) -> None:
    pickled = tmp_path / "model.pt"
    pickled.write_bytes(pickle.dumps({"weights": [1.0]}))
    client.set("robot", str(contract))
    client.set("checkpoint", str(pickled))
    assert "pickled checkpoints are refused" in refused(client, running)


def test_a_folder_that_cannot_be_written_is_refused(
    client: Client, running: RosProcess, tmp_path: Path, contract: Path, checkpoint: Path
) -> None:
    file = tmp_path / "file"
    file.touch()
    client.set("robot", str(contract))
    client.set("checkpoint", str(checkpoint))
    assert client.set("record.directory", str(file / "episodes")).successful
    assert "cannot be written" in refused(client, running)


def test_a_timer_that_would_not_wait_is_refused_in_lock_step(
    client: Client, running: RosProcess
) -> None:
    client.set("tick", "timer")
    client.set("lock_step", True)
    assert "set tick to 'observation'" in refused(client, running)
    client.set("tick", "observation")


def test_after_all_these_refusals_the_node_runs_episodes_in_its_namespace(
    arm: Arm, client: Client, contract: Path, checkpoint: Path, episodes: Path
) -> None:
    for name, value in (
        ("robot", str(contract)),
        ("checkpoint", str(checkpoint)),
        ("record.directory", str(episodes)),
        ("lock_step", True),
    ):
        assert client.set(name, value).successful
    assert client.change(Transition.TRANSITION_CONFIGURE)
    assert "not active" in client.request("start_episode").message
    assert client.change(Transition.TRANSITION_ACTIVATE)
    arm.connect()
    client.start()
    arm.step(0)
    arm.finish(1, "truncated")
    topics = read_metadata(Path(client.summary()["bag"])).topics
    assert topics["joint_states"] == "/left/joint_states"
    assert topics["arm/commands"] == "/left/arm/commands"
    assert topics["plan"] == "/left/gac_controller/plan"


def test_cleaned_up_it_can_be_configured_for_another_robot(
    peer: RosPeer,
    arm: Arm,
    client: Client,
    other_contract: Path,
    tmp_path: Path,
) -> None:
    assert client.change(Transition.TRANSITION_DEACTIVATE)
    assert client.change(Transition.TRANSITION_CLEANUP)
    peer.spin_until(arm.disconnected)
    checkpoint = write_checkpoint(other_contract, tmp_path / "other")
    assert client.set("robot", str(other_contract)).successful
    assert client.set("checkpoint", str(checkpoint)).successful
    assert client.change(Transition.TRANSITION_CONFIGURE)
    assert client.change(Transition.TRANSITION_ACTIVATE)
    arm.connect()
    arm.forget()
    client.start()
    for _ in range(3):
        arm.observe()
        assert arm.next_command() != SAFE
    arm.observe()  # the final one: the episode's length ends it
    summary = client.summary()
    assert summary["robot"] == "other_arm"
    assert (summary["steps"], summary["truncated"]) == (3, True)
    assert summary["episode_return"] == 3.0  # the scoring function, over the finished bag
    assert arm.next_command() == SAFE
