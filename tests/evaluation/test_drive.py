"""Bags on real topics: to whoever listens, and straight to a robot."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gac_ros import messages
from gac_ros.errors import ConfigurationError, EpisodeError, TransportError
from gac_ros.evaluation.commands import read_commands
from gac_ros.evaluation.over_ros.drive import DriveReport, drive_robot
from gac_ros.evaluation.over_ros.publish import Playback, publish_bag
from gac_ros.evaluation.over_ros.qos import read_qos
from gac_ros.ros_types import ros_class
from tests.buffer import episode_bags
from tests.ros_support import RosPeer, ros_peer

__all__ = ["ros_peer"]

COMMANDS = "/gac_controller/commands"


def in_thread(work: Any) -> tuple[threading.Thread, list[Any]]:
    """The peer spins in the test's own thread."""
    results: list[Any] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:
            results.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, results


def drive(peer: RosPeer, bag: Path, **how: Any) -> Any:
    commands, embodiment = read_commands(bag)
    thread, results = in_thread(lambda: drive_robot(commands, embodiment, patience=30.0, **how))
    peer.spin_until(lambda: results)
    thread.join()
    return results[0]


def test_a_robot_gets_the_recorded_commands_and_the_safe_one_last(
    ros_peer: RosPeer, tmp_path: Path
) -> None:
    trajectory = episode_bags.Trajectory.random(10)
    bag = episode_bags.record(tmp_path, trajectory=trajectory)
    ros_peer.subscribe(messages.FLOAT64_MULTI_ARRAY, COMMANDS)

    report = drive(ros_peer, bag)

    assert isinstance(report, DriveReport)
    assert report.limited == 0
    safe = episode_bags.embodiment().safe_action
    ros_peer.spin_until(lambda: np.array_equal(ros_peer.of(COMMANDS)[-1].data, safe))
    sent = np.array([message.data for message in ros_peer.of(COMMANDS)])
    # Recorded at 20 Hz, sent at the control rate: how often each comes is the clock's affair.
    recorded = {tuple(action) for action in trajectory.actions}
    seen = {tuple(action) for action in sent[: report.commands]}
    assert seen <= recorded
    np.testing.assert_array_equal(sent[0], trajectory.actions[0])
    assert report.duration >= 0.45


def test_a_robot_that_somebody_else_commands_is_left_alone(
    ros_peer: RosPeer, tmp_path: Path
) -> None:
    bag = episode_bags.record(tmp_path)
    ros_peer.subscribe(messages.FLOAT64_MULTI_ARRAY, COMMANDS)
    publish = ros_peer.publisher(messages.FLOAT64_MULTI_ARRAY, COMMANDS)

    refused = drive(ros_peer, bag)

    assert isinstance(refused, TransportError)
    assert "1 others publish on /gac_controller/commands: two cannot command" in str(refused)
    assert ros_peer.of(COMMANDS) == []
    assert publish is not None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_ends_in_the_safe_action(
    ros_peer: RosPeer, tmp_path: Path, number: signal.Signals
) -> None:
    bag = episode_bags.record(tmp_path, trajectory=episode_bags.Trajectory.random(2000))
    ros_peer.subscribe(messages.FLOAT64_MULTI_ARRAY, COMMANDS)
    command = [sys.executable, "-m", "gac_ros.cli", "replay", str(bag), "--to-robot", "--yes"]
    process = subprocess.Popen(
        [*command, "--wait", "60"],
        stdout=subprocess.DEVNULL,
        # As in a terminal: a suite that runs in the background hands an ignored SIGINT on.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        ros_peer.spin_until(lambda: len(ros_peer.of(COMMANDS)) >= 3)
        process.send_signal(number)
        ros_peer.spin_until(lambda: process.poll() is not None)
    finally:
        process.kill()
        process.wait()

    assert process.returncode == (130 if number == signal.SIGINT else 128 + number)
    safe = episode_bags.embodiment().safe_action
    ros_peer.spin_until(lambda: np.array_equal(ros_peer.of(COMMANDS)[-1].data, safe))


@pytest.mark.usefixtures("ros_domain")
def test_a_robot_that_does_not_listen_is_a_clear_error(tmp_path: Path) -> None:
    commands, embodiment = read_commands(episode_bags.record(tmp_path))
    with pytest.raises(TransportError, match="nobody listens on /gac_controller/commands"):
        drive_robot(commands, embodiment, patience=0.0)


def test_named_topics_are_played_with_the_wanted_quality(ros_peer: RosPeer, tmp_path: Path) -> None:
    bag = episode_bags.record(tmp_path / "bags", trajectory=episode_bags.Trajectory.random(4))
    file = tmp_path / "qos.yaml"
    file.write_text("/odom: {reliability: best_effort, durability: transient_local, depth: 5}\n")
    ros_peer.subscribe(messages.FLOAT64, "/reward")
    seen: list[Any] = []
    ros_peer.node.create_subscription(
        ros_class(messages.ODOMETRY), "/odom", seen.append, read_qos(file)["/odom"]
    )
    how = Playback(rate=2.0, topics=("/reward", "/odom"), qos=read_qos(file), patience=30.0)
    thread, results = in_thread(lambda: publish_bag(bag, how))
    offered = []

    def done() -> bool:
        found = ros_peer.node.get_publishers_info_by_topic("/odom")
        offered.extend(info.qos_profile for info in found)
        return bool(results)

    ros_peer.spin_until(done)
    thread.join()

    assert results == [9]
    ros_peer.spin_until(lambda: len(ros_peer.of("/reward")) == 4)
    assert offered[0].reliability.name == "BEST_EFFORT"
    assert offered[0].durability.name == "TRANSIENT_LOCAL"


@pytest.mark.usefixtures("ros_domain")
def test_topics_that_are_not_there_are_named(tmp_path: Path) -> None:
    bag = episode_bags.record(tmp_path)
    with pytest.raises(EpisodeError, match="no message on /sonar; it has /gac_controller/commands"):
        publish_bag(bag, Playback(topics=("/sonar",)))
    profile = read_qos(_file(tmp_path, "/sonar: {}"))
    with pytest.raises(ConfigurationError, match="given for /sonar, which is not played"):
        publish_bag(bag, Playback(qos=profile))


def test_commands_are_not_played_past_the_robots_limits(ros_peer: RosPeer, tmp_path: Path) -> None:
    bag = episode_bags.record(tmp_path)
    ros_peer.subscribe(messages.FLOAT64_MULTI_ARRAY, COMMANDS)
    how = Playback(topics=("/odom", COMMANDS), patience=30.0)
    with pytest.raises(ConfigurationError, match="commands the robot; use --to-robot"):
        publish_bag(bag, how)
    assert ros_peer.of(COMMANDS) == []


@pytest.mark.usefixtures("ros_domain")
def test_it_can_be_played_to_nobody(tmp_path: Path) -> None:
    bag = episode_bags.record(tmp_path, trajectory=episode_bags.Trajectory.random(2))
    assert publish_bag(bag, Playback(rate=10.0, patience=None)) == 8


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[1]", "must map each topic"),
        ("/odom: 5", "must map each topic"),
        ("a: {", "not valid YAML"),
        ("/odom: {speed: 5}", "/odom: unknown key 'speed'"),
        ("/odom: {reliability: maybe}", "reliability is 'maybe', not one of"),
        ("/odom: {depth: many}", "depth is 'many'"),
        ("/odom: {deadline: 5}", "deadline must read"),
    ],
)
def test_a_wrong_quality_of_service_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_qos(_file(tmp_path, text))
    assert problem in str(caught.value)


def _file(folder: Path, text: str) -> Path:
    path = folder / "profiles.yaml"
    path.write_text(text)
    return path
