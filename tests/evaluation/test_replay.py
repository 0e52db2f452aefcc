"""Recomputing the actions of recorded episodes."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gac_ros.buffer.reader import read_episode, read_messages, read_metadata
from gac_ros.buffer.writer import EpisodeWriter
from gac_ros.checkpoint import load_checkpoint, save_checkpoint
from gac_ros.errors import CheckpointError, EpisodeError
from gac_ros.evaluation.collect import CollectionRequest, collect
from gac_ros.evaluation.evaluate import describe_actor, make_actor
from gac_ros.evaluation.replay import find_bags, replay_bag, replay_bags
from gac_ros.evaluation.rollout import run_episode
from gac_ros.messages import deserialize, serialize
from gac_ros.replanning.actor import ReplanningActor
from gac_ros.replanning.config import ReplanningConfig
from gac_ros.sim import make_robot
from gac_ros.sim.robot import SimulatedRobot, StepOutcome
from tests.toy import untrained_checkpoint

UMAZE = "pointmaze_umaze"


def record(checkpoint: Path, out: Path, episodes: int = 1, robot: str = UMAZE) -> list[Path]:
    request = CollectionRequest(robot, "checkpoint", episodes, out, checkpoint=checkpoint)
    return [result.bag for result in collect(request) if result.bag is not None]


@pytest.fixture(scope="module")
def bag(umaze_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(umaze_checkpoint, tmp_path_factory.mktemp("bags"))[0]


def test_every_recorded_action_comes_out_again(bag: Path) -> None:
    report = replay_bag(bag)
    assert report.steps == 300
    assert report.largest_difference == 0.0
    assert report.sources_differ == 0
    assert report.faithful


def test_a_terminated_episode_is_reproduced_too(hopper_checkpoint: Path, tmp_path: Path) -> None:
    for path in record(hopper_checkpoint, tmp_path, 2, "hopper"):
        report = replay_bag(path)
        assert report.steps == read_metadata(path).steps
        assert report.largest_difference == 0.0


def test_safe_actions_are_reproduced_too(
    umaze_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gac_ros.evaluation.collect.make_robot", _make_blinking_robot)
    (path,) = record(umaze_checkpoint, tmp_path)
    assert read_metadata(path).safe_actions == 30
    report = replay_bag(path)
    assert report.faithful
    assert report.largest_difference == 0.0


def test_changes_of_plan_are_reproduced_too(umaze_checkpoint: Path, tmp_path: Path) -> None:
    checkpoint = load_checkpoint(umaze_checkpoint)
    config = ReplanningConfig(when="periodic", period=40, rest=40, margin=0.0, langevin_steps=5)
    actor = make_actor(checkpoint, "explore", config)
    description = describe_actor(checkpoint, "explore")
    bags = [
        run_episode(make_robot(UMAZE), actor, seed, description, directory=tmp_path).bag
        for seed in (1, 1)
    ]
    assert isinstance(actor, ReplanningActor)
    assert actor.changes >= 3
    assert bags[0] is not None
    plans = [
        json.loads(deserialize(message.data, message.type).data)
        for message in read_messages(bags[0])
        if message.topic.endswith("/plan")
    ]
    assert len(plans) == 1 + actor.changes
    assert [plan["step"] for plan in plans][:3] == [0, 40, 80]
    report = replay_bag(bags[0])
    assert report.steps == 300
    assert report.largest_difference == 0.0
    # The episode again is the same, and without the changes another one.
    first, again = (read_episode(bag) for bag in bags if bag is not None)
    assert np.array_equal(first.actions, again.actions)
    actor = make_actor(checkpoint, "explore")
    steady = run_episode(make_robot(UMAZE), actor, 1, description, directory=tmp_path).bag
    assert steady is not None
    unchanged = read_episode(steady).actions
    assert np.array_equal(unchanged[:40], first.actions[:40])
    assert not np.array_equal(unchanged[40], first.actions[40])


class _BlinkingRobot:
    """Sees nothing at every tenth step."""

    def __init__(self, robot: SimulatedRobot) -> None:
        self.embodiment = robot.embodiment
        self._robot = robot
        self._steps = 0

    @property
    def time(self) -> float:
        return self._robot.time

    def reset(self, seed: int) -> None:
        self._robot.reset(seed)
        self._steps = 0

    def step(self, action: Any) -> StepOutcome:
        self._steps += 1
        return self._robot.step(action)

    def messages(self, stamp: int) -> dict[str, Any]:
        found = self._robot.messages(stamp)
        if self._steps % 10 == 5:
            found["odom"].twist.twist.linear.x = float("nan")
        return found


def _make_blinking_robot(name: str, **options: Any) -> _BlinkingRobot:
    return _BlinkingRobot(make_robot(name, **options))


def test_an_action_that_was_changed_is_found(bag: Path, tmp_path: Path) -> None:
    report = replay_bag(_copy_with_another_command(bag, tmp_path, step=17))
    assert report.largest_difference == pytest.approx(0.25)
    assert report.largest_difference_step == 17
    assert not report.faithful


def _copy_with_another_command(bag: Path, folder: Path, step: int) -> Path:
    """The bag with 0.25 added to the first number of one command."""
    metadata = read_metadata(bag)
    messages = list(read_messages(bag))
    writer = EpisodeWriter(folder, metadata.episode_id, {m.topic: m.type for m in messages})
    commands = 0
    for message in messages:
        data = message.data
        if message.topic == "/gac_controller/commands":
            if commands == step:
                command = deserialize(data, message.type)
                command.data = np.asarray(command.data) + np.array([0.25, 0.0])
                data = serialize(command)
            commands += 1
        writer.write(message.topic, data, message.stamp)
    return writer.commit(metadata)


def test_a_checkpoint_that_moved_is_asked_for(tmp_path: Path) -> None:
    original = save_checkpoint(untrained_checkpoint(UMAZE), tmp_path / "original")
    (path,) = record(original, tmp_path / "bags")
    moved = tmp_path / "moved"
    shutil.move(original, moved)
    with pytest.raises(CheckpointError, match="--checkpoint"):
        replay_bag(path)
    assert replay_bag(path, moved).largest_difference == 0.0


def test_another_checkpoint_is_refused(bag: Path, tmp_path: Path) -> None:
    other = save_checkpoint(untrained_checkpoint(UMAZE, seed=1), tmp_path / "other")
    with pytest.raises(CheckpointError, match="is not the checkpoint that acted"):
        replay_bag(bag, other)


def test_an_episode_without_a_plan_is_refused(tmp_path: Path) -> None:
    collect(CollectionRequest(UMAZE, "waypoint", 1, tmp_path))
    with pytest.raises(EpisodeError, match="'waypoint' acted here"):
        list(replay_bags(find_bags(tmp_path)))


def test_a_folder_gives_its_bags_and_an_empty_one_is_an_error(bag: Path, tmp_path: Path) -> None:
    assert find_bags(bag) == [bag]
    assert find_bags(bag.parent) == [bag]
    with pytest.raises(EpisodeError, match="no complete episode"):
        find_bags(tmp_path)


def test_an_episode_that_is_being_recorded_is_not_replayed(bag: Path, tmp_path: Path) -> None:
    shutil.copytree(bag, tmp_path / bag.name)
    writer = EpisodeWriter(tmp_path, "live", {"/reward": "std_msgs/msg/Float64"})
    try:
        assert find_bags(tmp_path) == [tmp_path / bag.name]
    finally:
        writer.discard()


def test_the_order_of_a_report_follows_the_bags(umaze_checkpoint: Path, tmp_path: Path) -> None:
    bags = record(umaze_checkpoint, tmp_path, 2)
    loaded = load_checkpoint(umaze_checkpoint)
    assert [report.bag for report in replay_bags(bags)] == bags
    # A checkpoint that is loaded already is checked as well.
    with pytest.raises(CheckpointError):
        replay_bag(bags[0], replace(loaded, digest="0" * 64))
