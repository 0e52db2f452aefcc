"""The controller as a process: how it ends, and what it leaves behind."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from lifecycle_msgs.msg import Transition

from gac_ros.buffer.dataset import EpisodeBuffer
from gac_ros.buffer.reader import read_episode, read_metadata
from tests.nodes.support import SAFE, Arm, Client, connected, controller, is_policy
from tests.ros_support import RosPeer, RosProcess


@contextmanager
def mid_episode(
    peer: RosPeer, contract: Path, checkpoint: Path, episodes: Path
) -> Iterator[tuple[RosProcess, Arm]]:
    """A controller that has taken three steps of an episode."""
    arm, client = Arm(peer), Client(peer)
    with connected(arm, client, contract, checkpoint, episodes, lock_step=True) as process:
        client.start()
        for number in range(3):
            arm.step(number)
        arm.reward(3.0)
        # Its answer tells that the reward was handled: the third action was executed.
        assert not client.request("start_episode").success
        yield process, arm


@pytest.fixture
def peer(ros_domain: int) -> Iterator[RosPeer]:
    peer = RosPeer(ros_domain)
    yield peer
    peer.close()


@pytest.fixture
def episodes(tmp_path: Path) -> Path:
    return tmp_path / "buffer"


def check_orderly_end(
    peer: RosPeer, process: RosProcess, arm: Arm, episodes: Path, number: signal.Signals
) -> None:
    steps = len(arm.commands)
    assert process.stop(number) == 0
    assert "Traceback" not in process.output
    peer.spin_until(lambda: len(arm.commands) > steps)
    assert arm.commands[-1] == SAFE
    (bag,) = [path for path in episodes.iterdir() if (path / "metadata.yaml").exists()]
    metadata = read_metadata(bag)
    assert (metadata.outcome, metadata.steps) == ("interrupted", 3)
    assert len(read_episode(bag)) == 3


def test_sigterm_in_an_episode_sends_the_safe_action_last_and_keeps_the_bag(
    peer: RosPeer, contract: Path, checkpoint: Path, episodes: Path
) -> None:
    with mid_episode(peer, contract, checkpoint, episodes) as (process, arm):
        check_orderly_end(peer, process, arm, episodes, signal.SIGTERM)


@pytest.fixture
def heeded_hangup() -> Iterator[None]:
    """SIGHUP as a shell leaves it; under `nohup` children would inherit that it is ignored."""
    former = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, former)


@pytest.mark.usefixtures("heeded_hangup")
def test_a_lost_terminal_ends_the_controller_in_order_like_sigterm(
    peer: RosPeer, contract: Path, checkpoint: Path, episodes: Path
) -> None:
    with mid_episode(peer, contract, checkpoint, episodes) as (process, arm):
        check_orderly_end(peer, process, arm, episodes, signal.SIGHUP)


def test_a_killed_controller_leaves_no_episode_and_the_next_one_ends_in_order_by_sigint(
    peer: RosPeer, contract: Path, checkpoint: Path, episodes: Path
) -> None:
    with mid_episode(peer, contract, checkpoint, episodes) as (process, _):
        assert process.stop(signal.SIGKILL) == -signal.SIGKILL
    assert [path.name for path in episodes.iterdir()] == [".recording"]
    with mid_episode(peer, contract, checkpoint, episodes) as (process, arm):
        check_orderly_end(peer, process, arm, episodes, signal.SIGINT)
    assert len(EpisodeBuffer.open(episodes)) == 1


def test_a_policy_that_fails_gives_way_to_the_safe_action_and_the_episode_is_kept(
    peer: RosPeer, contract: Path, checkpoint: Path, episodes: Path
) -> None:
    arm, client = Arm(peer), Client(peer)
    failing = {"module": "tests.nodes.failing_controller", "lock_step": True}
    with connected(arm, client, contract, checkpoint, episodes, **failing) as process:
        client.start()
        assert is_policy(arm.step(0))
        assert is_policy(arm.step(1))
        assert arm.step(2) == SAFE
        summary = client.summary()
        assert (summary["outcome"], summary["steps"]) == ("interrupted", 2)
        assert len(read_episode(Path(summary["bag"]))) == 2
        peer.spin_until(lambda: client.lifecycle() == "inactive")
        assert "ArithmeticError: the matrix is singular" in process.output
        # It can be tried again.
        assert client.change(Transition.TRANSITION_ACTIVATE)
        client.start()
        assert process.stop() == 0


def test_a_defect_anywhere_sends_the_safe_action_last_and_keeps_the_bag(
    peer: RosPeer, contract: Path, checkpoint: Path, episodes: Path
) -> None:
    arm, client = Arm(peer), Client(peer)
    broken = {"module": "tests.nodes.broken_controller", "lock_step": True}
    with connected(arm, client, contract, checkpoint, episodes, **broken) as process:
        client.start()
        assert is_policy(arm.step(0))
        assert process.wait() == 1
        assert "ArithmeticError: the matrix is singular" in process.output
        peer.spin_until(lambda: len(arm.commands) > 1)
        assert arm.commands[-1] == SAFE
        peer.spin_until(arm.disconnected)


def test_nothing_is_loaded_while_a_robot_is_driven(
    peer: RosPeer, contract: Path, checkpoint: Path, episodes: Path
) -> None:
    """To load code takes milliseconds, in which no command is sent."""
    arm, client = Arm(peer), Client(peer)
    importing = {"module": "tests.nodes.importing_controller", "lock_step": True}
    with connected(arm, client, contract, checkpoint, episodes, **importing) as process:
        client.start()
        arm.step(0)
        client.diagnosis("latency p99 (ms)", ".")
        arm.step(1)
        arm.finish(2, "truncated")
        assert client.summary()["error"] is None
        assert process.stop() == 0
        assert "imported later: []" in process.output


def test_a_ctrl_c_while_the_model_is_loading_ends_in_order(
    contract: Path, checkpoint: Path, ros_domain: int
) -> None:
    with controller(robot=contract, checkpoint=checkpoint, autostart=True) as process:
        while not heeds_sigterm(process.popen.pid):
            assert process.popen.poll() is None
        assert process.stop(signal.SIGINT) == 0
        assert process.output == ""


def heeds_sigterm(process: int) -> bool:
    """Whether a process has a handler for SIGTERM: Python's own start has none."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    (caught,) = [line.split()[1] for line in lines if line.startswith("SigCgt")]
    return bool(int(caught, 16) & (1 << (signal.SIGTERM - 1)))


def test_an_unknown_robot_ends_the_start_with_one_line_and_exit_code_2(ros_domain: int) -> None:
    with controller(robot="unicycle", autostart=True) as process:
        assert process.wait() == 2
        (line,) = process.output.strip().splitlines()
        assert line.startswith("controller: error: unknown robot 'unicycle'; known are")


def test_a_parameter_of_the_wrong_type_ends_the_start_with_one_line(ros_domain: int) -> None:
    with controller(target_return=100) as process:
        assert process.wait() == 2
        (line,) = process.output.strip().splitlines()
        assert line.startswith("controller: error: ")
        assert "target_return" in line
        assert "1.0" in line
