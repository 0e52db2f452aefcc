"""Recorded commands, kept within the limits of the robot they are sent to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gac_ros.embodiment import Embodiment
from gac_ros.errors import EmbodimentError, EpisodeError
from gac_ros.evaluation.commands import (
    CommandPlayer,
    RecordedCommands,
    check_same_commands,
    read_commands,
)
from tests.buffer import episode_bags


def robot(**field: Any) -> Embodiment:
    """Two joints, the first with a rate limit; 50 commands a second."""
    fields = [
        {"joint": "shoulder", "unit": "N*m", "limits": [-2.0, 2.0], "rate_limit": 10.0, **field},
        {"joint": "elbow", "unit": "N*m", "limits": [-1.0, 1.0], "safe": 0.25},
    ]
    action = {**episode_bags.contract()["action"], "fields": fields}
    return episode_bags.embodiment(action=action)


def commands(actions: Any, period: float = 0.02) -> RecordedCommands:
    actions = np.asarray(actions, dtype=np.float64)
    times = period * np.arange(len(actions))
    return RecordedCommands(Path("bag"), "/commands", times, actions)


def played(player: CommandPlayer, period: float = 0.02) -> np.ndarray:
    return np.array([player.at(t) for t in np.arange(1e-6, player.duration, period)])


def test_the_commands_of_the_steps_are_read_with_their_times(tmp_path: Path) -> None:
    trajectory = episode_bags.Trajectory.random(5)
    bag = episode_bags.record(tmp_path, trajectory=trajectory)
    found, embodiment = read_commands(bag)

    np.testing.assert_array_equal(found.actions, trajectory.actions)
    assert found.topic == "/gac_controller/commands"
    # Five messages of 10 ms each lie between two commands of the script.
    np.testing.assert_allclose(found.times, 0.05 * np.arange(5), atol=1e-6)
    assert embodiment == episode_bags.embodiment()


def test_a_command_that_was_no_step_is_not_sent(tmp_path: Path) -> None:
    trajectory = episode_bags.Trajectory.random(3)
    roles = list(episode_bags.script(trajectory))
    roles.insert(3, episode_bags.command(np.array([9.0, 9.0])))
    found, _ = read_commands(episode_bags.record(tmp_path, roles=roles, steps=3))
    np.testing.assert_array_equal(found.actions, trajectory.actions)


def test_a_bag_without_a_command_is_refused(tmp_path: Path) -> None:
    roles = list(episode_bags.script(episode_bags.Trajectory.random(2)))[:3]
    with pytest.raises(EpisodeError, match="holds no command"):
        read_commands(episode_bags.record(tmp_path, roles=roles, steps=0))


def test_within_the_limits_everything_is_sent_as_recorded() -> None:
    actions = np.stack([np.linspace(0.0, 1.5, 10), np.linspace(-1.0, 1.0, 10)], axis=1)
    player = CommandPlayer(commands(actions), robot(), 1.0)
    np.testing.assert_array_equal(played(player), actions)
    assert player.limited == 0


@given(
    actions=arrays(np.float64, (12, 2), elements=st.floats(-1e9, 1e9)),
    rate=st.sampled_from([0.3, 1.0, 7.0]),
    acceleration=st.none() | st.floats(1.0, 1e3),
)
def test_no_recording_and_no_speed_breaks_a_limit(
    actions: np.ndarray, rate: float, acceleration: float | None
) -> None:
    arm = robot(**({} if acceleration is None else {"acceleration_limit": acceleration}))
    player = CommandPlayer(commands(actions), arm, rate)
    sent = [arm.safe_action, *played(player)]
    while (action := player.to_safety()) is not None:
        sent.append(action)
    steps = np.diff(sent, axis=0)

    assert (np.array(sent) >= arm.action_low).all()
    assert (np.array(sent) <= arm.action_high).all()
    assert (np.abs(steps[:, 0]) <= 0.2 + 1e-9).all()
    if acceleration is not None:
        changes = np.abs(np.diff(steps[:, 0], prepend=0.0))
        assert (changes <= acceleration * 0.02**2 + 1e-9).all()
    np.testing.assert_array_equal(sent[-1], arm.safe_action)


def test_half_the_speed_sends_each_command_twice() -> None:
    actions = np.stack([np.zeros(5), np.linspace(0.0, 1.0, 5)], axis=1)
    sent = played(CommandPlayer(commands(actions), robot(), 0.5))
    np.testing.assert_array_equal(sent[:, 1], np.repeat(actions[:, 1], 2)[: len(sent)])


def test_what_is_no_number_is_the_safe_action() -> None:
    player = CommandPlayer(commands([[0.1, 0.0], [np.nan, 0.5]]), robot(), 1.0)
    np.testing.assert_array_equal(played(player), [[0.1, 0.0], [0.0, 0.25]])
    assert player.limited == 1


def test_a_robot_may_have_other_limits_but_not_other_joints() -> None:
    check_same_commands(robot(), robot(limits=[-0.5, 0.5]), Path("bag"))
    with pytest.raises(EmbodimentError, match=r"bag: commands joints .*'shoulder'.*takes .*'hip'"):
        check_same_commands(robot(), robot(joint="hip"), Path("bag"))
