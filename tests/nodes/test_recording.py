"""Recordings of a real controller survive its sudden end, and stop before the disk is full."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus

from gac_ros.buffer.leases import holders_kept_out
from gac_ros.buffer.reader import read_episode, read_metadata
from gac_ros.buffer.retention import RetentionPolicy
from gac_ros.buffer.salvage import salvage
from gac_ros.buffer.summary import list_episodes
from gac_ros.buffer.writer import RECORDING
from gac_ros.nodes.repair import start_repair
from gac_ros.nodes.retention import Retention
from tests.buffer import episode_bags
from tests.disks import small_disk
from tests.nodes import waiting_controller
from tests.nodes.support import (
    STEPS,
    Arm,
    Client,
    connected,
    controller,
    is_policy,
    write_checkpoint,
)
from tests.ros_support import RosPeer, RosProcess

SOON = 60.0  # seconds


@pytest.fixture(scope="module")
def small_model(contract: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(contract, tmp_path_factory.mktemp("checkpoint") / "arm")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", 4) as folder:
        yield folder


def test_an_episode_whose_controller_was_killed_is_recovered_by_the_next_one(
    contract: Path, small_model: Path, tmp_path: Path, ros_peer: RosPeer
) -> None:
    # DDS knows a killed controller for many seconds more: it has a domain of its own, and the
    # next one has another name.
    arm, client = Arm(ros_peer), Client(ros_peer)
    parameters = {
        "robot": contract,
        "checkpoint": small_model,
        "autostart": True,
        "lock_step": True,
        "record__directory": tmp_path,
    }
    with controller(**parameters, record__sync_period=0.001) as process:
        client.until("idle")
        arm.connect()
        name = client.start()["episode_id"]
        actions = [arm.step(number) for number in range(8)]
        arm.reward(8.0)
        arm.observe(0.8, -0.4)
        arm.next_command()
        left = tmp_path / ".recording" / name / f"{name}_0.mcap"

        def written(topic: str) -> int:
            return [it.topic for it in salvage(left.read_bytes()).messages].count(topic)

        ros_peer.spin_until(lambda: written("/reward") == 8 and written("/joint_states") == 9)
        process.popen.kill()
    assert [row.state for row in list_episodes(tmp_path)] == ["unfinished"]

    client = Client(ros_peer, "/next/gac_controller")
    with controller("-r", "__ns:=/next", **parameters) as process:
        client.until("idle")
        ros_peer.spin_until(lambda: (tmp_path / name).is_dir())
        assert process.stop() == 0
        assert "Traceback" not in process.output

    episode = read_episode(tmp_path / name)
    assert episode.metadata is not None
    assert episode.metadata.recovered
    assert len(episode) >= 8
    np.testing.assert_allclose(episode.actions[:8, 0], actions)
    np.testing.assert_allclose(episode.observations[:8, 0], 0.1 * np.arange(8))
    assert episode.rewards[:7].tolist() == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]


def test_an_episode_ends_in_time_when_the_disk_fills_up(
    contract: Path, small_model: Path, disk: Path, arm: Arm, client: Client, peer: RosPeer
) -> None:
    arm.forget()
    more = {"record__sync_period": 0.001, "record__min_free_space": 2.0}
    with connected(arm, client, contract, small_model, disk, **more) as process:
        client.start()
        arm.observe()
        client.until("running")
        (disk / "something else").write_bytes(bytes(5 * 2**19))
        arm.stream(True)
        state = client.until("idle")
        arm.stream(False)

        assert "left, less than the 2 that are to stay free; free some space" in state["error"]
        assert state["summary"]["outcome"] == "interrupted"
        episode = read_episode(Path(state["summary"]["bag"]))
        assert len(episode) == state["summary"]["steps"] > 0

        # No other episode is recorded, and the log says why; the robot is driven all the same.
        client.start()
        peer.spin_until(lambda: "the episode is not being recorded" in process.output)
        assert process.stop() == 0
        assert "Traceback" not in process.output


def test_a_recording_that_breaks_off_is_told_at_once_while_the_robot_is_driven_on(
    contract: Path, small_model: Path, disk: Path, ros_peer: RosPeer
) -> None:
    # A domain of its own: the module's arm still hears the last commands of the test before.
    arm, client = Arm(ros_peer), Client(ros_peer)
    more = {"record__sync_period": 0.001, "record__min_free_space": 0.0, "lock_step": True}
    with connected(arm, client, contract, small_model, disk, **more) as process:
        client.start()
        commands = [arm.step(0)]
        with (disk / "something else").open("wb", buffering=0) as other, suppress(OSError):
            while other.write(bytes(4096)) == 4096:
                pass
        commands += [arm.step(number) for number in range(1, STEPS)]
        status = client.diagnosis("episode state", "running")
        while "not recorded" not in status.message:
            client.reports.clear()
            status = client.diagnosis("episode state", "running")
        assert status.level == DiagnosticStatus.ERROR
        ros_peer.spin_until(lambda: "the episode is not being recorded: " in process.output)
        arm.finish(STEPS, "truncated")
        assert "No space left" in client.summary()["error"]
        assert process.output.count("the episode is not being recorded: ") == 1, process.output
        assert process.stop() == 0

    assert all(map(is_policy, commands))


def test_the_bag_is_open_when_an_episode_is_ready(
    contract: Path, small_model: Path, tmp_path: Path, ros_peer: RosPeer
) -> None:
    arm, client = Arm(ros_peer), Client(ros_peer)
    with connected(arm, client, contract, small_model, tmp_path) as process:
        episode = client.start()["episode_id"]
        assert any((tmp_path / RECORDING / episode).iterdir())
        assert process.stop() == 0


@contextmanager
def waiting(
    arm: Arm, client: Client, contract: Path, checkpoint: Path, folder: Path, **more: Any
) -> Iterator[tuple[RosProcess, Path]]:
    """A controller whose disk stands still until somebody writes to the gate, and the gate."""
    gate = folder / waiting_controller.GATE
    os.mkfifo(gate)
    module = "tests.nodes.waiting_controller"
    with connected(
        arm, client, contract, checkpoint, folder / "buffer", module=module, **more
    ) as process:
        yield process, gate


def test_a_disk_that_stands_still_does_not_keep_the_robot_waiting_for_ever(
    contract: Path, small_model: Path, tmp_path: Path, ros_peer: RosPeer
) -> None:
    arm, client = Arm(ros_peer), Client(ros_peer)
    parts = (arm, client, contract, small_model)
    with waiting(*parts, tmp_path, lock_step=True) as (process, gate):
        client.start()  # it is ready although nobody has opened the gate
        commands = [arm.step(number) for number in range(STEPS)]
        gate.open("w").close()
        arm.finish(STEPS, "truncated")
        summary = client.summary()
        assert process.stop() == 0
        # In lock-step the simulator waits anyway.
        assert waiting_controller.REHEARSED not in process.output

    assert all(map(is_policy, commands))
    assert not summary["error"]
    assert len(read_episode(Path(summary["bag"]))) == summary["steps"] == STEPS


def test_until_the_first_observation_decisions_are_rehearsed_and_nothing_of_them_is_sent(
    contract: Path, small_model: Path, tmp_path: Path, ros_peer: RosPeer
) -> None:
    arm, client = Arm(ros_peer), Client(ros_peer)
    with waiting(arm, client, contract, small_model, tmp_path) as (process, gate):
        assert process.output.count(waiting_controller.REHEARSED) == 0
        client.start()
        ros_peer.spin_until(lambda: process.output.count(waiting_controller.REHEARSED) > 30)
        assert not any(map(is_policy, arm.commands))
        gate.open("w").close()
        arm.observe()
        ros_peer.spin_until(lambda: any(map(is_policy, arm.commands)))
        assert client.until("running")["state"] == "running"
        assert process.stop() == 0


def test_messages_that_find_the_queue_full_are_counted_and_told_while_the_robot_is_driven(
    contract: Path, small_model: Path, tmp_path: Path, ros_peer: RosPeer
) -> None:
    arm, client = Arm(ros_peer), Client(ros_peer)
    # What one tick has to record is handed over at once, and only one message may wait.
    more = {"record__queue_size": 1, "lock_step": True}
    with connected(arm, client, contract, small_model, tmp_path, **more) as process:
        client.start()
        commands = [arm.step(number) for number in range(STEPS)]
        arm.finish(STEPS, "truncated")
        summary = client.summary()
        dropped = summary["dropped_messages"]
        status = client.diagnosis("dropped messages", str(dropped))
        assert process.stop() == 0

    assert dropped > 0
    assert status.message == f"{dropped} messages were not recorded"
    assert status.level == DiagnosticStatus.WARN
    assert read_metadata(Path(summary["bag"])).dropped_messages == dropped
    # The robot, which heard of everything, was driven by the policy all along.
    assert summary["steps"] == len(commands) == STEPS
    assert all(map(is_policy, commands))


class Log:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def info(self, text: str) -> None:
        self.lines.append(text)

    warning = error = info


def test_a_folder_without_recordings_needs_no_process(tmp_path: Path) -> None:
    assert start_repair(tmp_path, Log()) is None
    (tmp_path / ".recording").mkdir()
    assert start_repair(tmp_path, Log()) is None


def test_a_repair_that_fails_is_told_in_one_line(tmp_path: Path) -> None:
    recording = tmp_path / ".recording" / "broken"
    recording.mkdir(parents=True)
    (recording / "broken_0.mcap").write_bytes(b"nothing of use")
    log = Log()

    thread = start_repair(tmp_path, log)
    assert thread is not None
    thread.join(SOON)

    (line,) = log.lines
    assert "broken, cut off earlier: failed" in line
    assert "does not tell its robot" in line


def test_a_folder_is_kept_within_its_bounds_while_episodes_come_in(tmp_path: Path) -> None:
    for name, episode_return in (("a", 3.0), ("b", 1.0), ("c", 2.0)):
        episode_bags.record(tmp_path, name, episode_return=episode_return)
    log = Log()
    policy = RetentionPolicy(max_episodes=1, keep_best=0, keep_newest=0)
    retention = Retention(tmp_path, policy, log)

    waiting = retention.look()
    assert waiting is not None
    waiting.join()

    assert [row.episode_id for row in list_episodes(tmp_path)] == ["a"]
    assert len(log.lines) == 1
    assert log.lines[0].startswith("removed 2 episodes of ")
    settled = retention.look()  # its own removals changed the folder
    if settled is not None:
        settled.join()
    assert retention.look() is None
    assert len(log.lines) == 1


@pytest.mark.parametrize("ages", [True, False])
def test_a_bound_on_age_is_looked_at_although_nothing_new_comes(tmp_path: Path, ages: bool) -> None:
    now = 0.0
    episode_bags.record(tmp_path, "a")
    policy = RetentionPolicy(max_age=1e12) if ages else RetentionPolicy(max_episodes=1)
    retention = Retention(tmp_path, policy, Log(), clock=lambda: now)
    while (waiting := retention.look()) is not None:
        waiting.join()

    now = 3600.0
    waiting = retention.look()

    assert (waiting is not None) == ages
    if waiting is not None:
        waiting.join()


def test_bounds_that_cannot_be_kept_are_told_in_one_line(tmp_path: Path) -> None:
    log = Log()
    (tmp_path / "metadata.yaml").touch()  # this is a bag, not a folder of them
    waiting = Retention(tmp_path, RetentionPolicy(max_age=1.0), log).look()
    assert waiting is not None
    waiting.join()

    (line,) = log.lines
    assert "not kept within its bounds: gac: error: " in line


def test_a_prune_that_another_kept_out_is_tried_again_and_told_once(tmp_path: Path) -> None:
    for name in ("a", "b"):
        episode_bags.record(tmp_path, name)
    log = Log()
    retention = Retention(tmp_path, RetentionPolicy(max_episodes=1, keep_newest=0), log)

    with holders_kept_out(tmp_path, wait=True):
        for _ in range(2):
            waiting = retention.look()
            assert waiting is not None
            waiting.join()
    assert len(list_episodes(tmp_path)) == 2
    waiting = retention.look()
    assert waiting is not None
    waiting.join()

    assert len(list_episodes(tmp_path)) == 1
    failed, removed = log.lines
    assert "another process is at work there" in failed
    assert removed.startswith("removed 1 episodes")
