"""Robots as Gymnasium environments."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from gac_ros.embodiment import known_robots
from gac_ros.sim import make_env


@pytest.mark.filterwarnings("ignore:.*Box observation space")
@pytest.mark.parametrize("robot", known_robots())
def test_every_robot_passes_gymnasium_s_own_check(robot: str) -> None:
    check_env(make_env(robot), skip_render_check=True)


def test_an_episode_is_truncated_at_the_embodiment_s_length() -> None:
    env = make_env("pointmaze_umaze")
    env.reset(seed=0)
    ends = [env.step(np.zeros(2))[2:4] for _ in range(300)]
    assert ends[:-1] == [(False, False)] * 299
    assert ends[-1] == (False, True)


def test_resets_without_a_seed_differ_and_follow_from_the_first_seed() -> None:
    env = make_env("pointmaze_umaze")

    def starts() -> list[np.ndarray]:
        return [env.reset(seed=4)[0], env.reset()[0], env.reset()[0]]

    first, second = starts(), starts()
    assert np.array_equal(first, second)
    assert not np.array_equal(first[1], first[2])


def test_a_seeded_reset_starts_the_robot_with_that_very_seed() -> None:
    env = make_env("pointmaze_umaze")
    observation, info = env.reset(seed=9)
    env.robot.reset(9)
    message = env.robot.messages(0)["odom"]
    assert info["seed"] == 9
    assert observation[0] == message.pose.pose.position.x
