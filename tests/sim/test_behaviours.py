"""The actors that collect data and set the scale."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from gac_ros.embodiment import find_embodiment, load_embodiment
from gac_ros.errors import ConfigurationError
from gac_ros.sim import make_env
from gac_ros.sim.behaviours import RandomBehaviour, WaypointBehaviour
from gac_ros.sim.environment import RobotEnvironment
from gac_ros.sim.maze import find_maze, maze_names
from gac_ros.sim.pointmaze import GOAL_RADIUS, PointMaze

Actor = RandomBehaviour | WaypointBehaviour


def run(env: RobotEnvironment, actor: Actor, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Observations (T+1, O) and rewards (T,) of an episode."""
    observation, _ = env.reset(seed=seed)
    actor.begin(seed)
    observations, rewards, over = [observation], [], False
    while not over:
        observation, reward, terminated, truncated, _ = env.step(actor.act(observation))
        observations.append(observation)
        rewards.append(reward)
        over = terminated or truncated
    return np.array(observations), np.array(rewards)


def waypoints(name: str, **options: object) -> WaypointBehaviour:
    return WaypointBehaviour(find_embodiment(name), find_maze(name), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", maze_names())
def test_the_expert_reaches_the_goal_from_every_cell_and_stays(name: str) -> None:
    env = make_env(name)
    assert isinstance(env.robot, PointMaze)
    expert = waypoints(name, goal="fixed", noise=0.0)
    started = set()
    for seed in range(400):
        env.robot.reset(seed)
        cell = tuple(np.round(env.robot.data.qpos))
        if cell in started:
            continue
        started.add(cell)
        observations, rewards = run(env, expert, seed)
        distance = np.linalg.norm(observations[-50:, :2] - env.robot.maze.goal_position, axis=1)
        assert distance.max() < 0.2 * GOAL_RADIUS
        arrival = int(np.argmax(rewards))
        assert rewards[arrival:].all()
    assert len(started) == len(env.robot.maze.free_cells)


@pytest.mark.parametrize("actor", ["random", "waypoint"])
def test_equal_seeds_give_equal_actions(actor: str) -> None:
    embodiment = find_embodiment("pointmaze_umaze")
    behaviour = RandomBehaviour(embodiment) if actor == "random" else waypoints("pointmaze_umaze")
    observation = np.array([1.0, 1.0, 0.0, 0.0])
    episodes = []
    for seed in (1, 2, 1):
        behaviour.begin(seed)
        episodes.append(np.array([behaviour.act(observation) for _ in range(5)]))
    assert np.array_equal(episodes[0], episodes[2])
    assert not np.array_equal(episodes[0], episodes[1])


@pytest.mark.parametrize("robot", ["hopper", "pointmaze_umaze"])
def test_random_actions_fill_the_limits(robot: str) -> None:
    embodiment = find_embodiment(robot)
    behaviour = RandomBehaviour(embodiment)
    behaviour.begin(0)
    actions = np.array([behaviour.act(np.zeros(1)) for _ in range(500)])
    assert (actions >= embodiment.action_low).all()
    assert (actions <= embodiment.action_high).all()
    assert np.allclose(actions.min(axis=0), -1.0, atol=0.05)
    assert np.allclose(actions.max(axis=0), 1.0, atol=0.05)


def test_random_goals_are_spread_over_the_cells_and_independent_of_the_start() -> None:
    env = make_env("pointmaze_umaze")
    assert isinstance(env.robot, PointMaze)
    behaviour = waypoints("pointmaze_umaze", noise=0.0)
    ends, stayed = set(), 0
    for seed in range(40):
        observations, _ = run(env, behaviour, seed)
        start, end = (env.robot.maze.cell_at(observations[i, :2]) for i in (0, -1))
        ends.add(end)
        stayed += start == end
    assert ends == set(env.robot.maze.free_cells)
    assert stayed < 20


def test_noisy_actions_keep_to_the_limits() -> None:
    behaviour = waypoints("pointmaze_umaze", noise=2.0)
    behaviour.begin(0)
    actions = np.array([behaviour.act(np.array([3.0, 1.0, 0.0, 0.0])) for _ in range(100)])
    assert np.abs(actions).max() == 1.0


def test_scaled_and_reordered_embodiments_are_driven_alike(tmp_path: Path) -> None:
    content = find_embodiment("pointmaze_umaze").to_dict()
    content["observation"][0]["fields"].reverse()
    for field in content["observation"][0]["fields"]:
        field["scale"] = 10.0
    content["action"]["fields"].reverse()
    path = tmp_path / "pointmaze_umaze.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    maze = find_maze("pointmaze_umaze")
    other = WaypointBehaviour(load_embodiment(path), maze, goal="fixed", noise=0.0)
    state = np.array([3.1, 1.2, 0.03, -0.04])
    usual = waypoints("pointmaze_umaze", goal="fixed", noise=0.0).act(state)
    assert np.allclose(other.act(10.0 * state[::-1]), usual[::-1])


def test_a_robot_without_a_maze_s_topics_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="use it with a maze robot"):
        WaypointBehaviour(find_embodiment("hopper"), find_maze("pointmaze_umaze"))
