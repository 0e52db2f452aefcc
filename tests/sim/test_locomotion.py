"""Hopper, HalfCheetah, Walker2d: the embodiment's view equals Gymnasium's own."""

from __future__ import annotations

from pathlib import Path

import gymnasium
import numpy as np
import pytest
import yaml

from gac_ros.embodiment import find_embodiment
from gac_ros.errors import ConfigurationError
from gac_ros.sim import make_env, make_robot
from gac_ros.sim.locomotion import ENVIRONMENTS


@pytest.fixture(autouse=True)
def _working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Gymnasium's own half cheetah may leave MuJoCo's log."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(("name", "environment_id"), ENVIRONMENTS.items())
def test_observations_rewards_and_ends_equal_gymnasium_s_own(
    name: str, environment_id: str
) -> None:
    ours, theirs = make_env(name), gymnasium.make(environment_id)
    random = np.random.default_rng(0)
    for seed in (0, 7):
        mine, _ = ours.reset(seed=seed)
        reference, _ = theirs.reset(seed=seed)
        assert np.array_equal(mine, reference)
        for _ in range(200):
            action = random.uniform(-1, 1, size=ours.action_space.shape)
            mine, reward, terminated, truncated, _ = ours.step(action)
            expected = theirs.step(action)
            assert np.array_equal(mine, expected[0])
            assert (reward, terminated, truncated) == expected[1:4]
            if terminated:
                break


@pytest.mark.parametrize(("name", "environment_id"), ENVIRONMENTS.items())
def test_action_limits_and_length_equal_gymnasium_s_own(name: str, environment_id: str) -> None:
    ours, theirs = make_env(name), gymnasium.make(environment_id)
    assert np.array_equal(ours.action_space.low, theirs.action_space.low)
    assert np.array_equal(ours.action_space.high, theirs.action_space.high)
    assert theirs.spec is not None
    assert ours.robot.embodiment.episode_length == theirs.spec.max_episode_steps
    assert ours.robot.embodiment.control_period == pytest.approx(theirs.unwrapped.dt)


def test_actions_reach_their_joints_by_name_whatever_their_order(tmp_path: Path) -> None:
    content = find_embodiment("hopper").to_dict()
    content["action"]["fields"].reverse()
    path = tmp_path / "hopper.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    usual, reversed_order = make_env("hopper"), make_env(str(path))
    usual.reset(seed=0)
    reversed_order.reset(seed=0)
    action = np.array([0.1, -0.5, 0.9])
    expected, *_ = usual.step(action)
    observation, *_ = reversed_order.step(action[::-1])
    assert np.array_equal(observation, expected)


def test_time_starts_at_zero_and_counts_control_periods() -> None:
    robot = make_robot("halfcheetah")
    for _ in range(2):
        robot.reset(1)
        assert robot.time == 0.0
        robot.step(np.zeros(6))
        assert robot.time == pytest.approx(0.05)


def test_a_control_rate_that_is_not_gymnasium_s_is_refused(tmp_path: Path) -> None:
    content = find_embodiment("hopper").to_dict() | {"control_rate": 250.0}
    path = tmp_path / "hopper.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    with pytest.raises(ConfigurationError, match="set control_rate to that"):
        make_robot(str(path))


def test_making_the_half_cheetah_leaves_no_log_behind(tmp_path: Path) -> None:
    make_robot("halfcheetah")
    assert list(tmp_path.iterdir()) == []
