"""PointMaze: the physics of D4RL's Maze2D."""

from __future__ import annotations

import numpy as np
import pytest

from gac_ros.sim import make_robot
from gac_ros.sim.maze import maze_names
from gac_ros.sim.pointmaze import GOAL_RADIUS, PointMaze


def umaze() -> PointMaze:
    robot = make_robot("pointmaze_umaze")
    assert isinstance(robot, PointMaze)
    robot.reset(0)
    return robot


def place(robot: PointMaze, position: tuple[float, float], velocity=(0.0, 0.0)) -> None:
    robot.data.qpos[:] = position
    robot.data.qvel[:] = velocity


@pytest.mark.parametrize("name", maze_names())
def test_equal_seeds_and_actions_give_equal_episodes(name: str) -> None:
    actions = np.random.default_rng(0).uniform(-1, 1, size=(50, 2))
    trajectories = []
    for _ in range(2):
        robot = make_robot(name)
        robot.reset(3)
        for action in actions:
            robot.step(action)
        trajectories.append(np.concatenate([robot.data.qpos, robot.data.qvel]))
    assert np.array_equal(*trajectories)


def test_a_reset_forgets_the_episode_before() -> None:
    robot = umaze()
    robot.reset(5)
    for _ in range(20):
        robot.step(np.ones(2))
    first = robot.data.qpos.copy()
    robot.reset(5)
    assert robot.time == 0.0
    for _ in range(20):
        robot.step(np.ones(2))
    assert np.array_equal(robot.data.qpos, first)


@pytest.mark.parametrize("name", maze_names())
def test_starts_cover_all_free_cells_and_lie_near_their_d4rl_coordinates(name: str) -> None:
    robot = make_robot(name)
    assert isinstance(robot, PointMaze)
    seen = set()
    for seed in range(400):
        robot.reset(seed)
        nearest = np.round(robot.data.qpos)
        assert np.abs(robot.data.qpos - nearest).max() <= 0.1
        assert robot.maze.cell_at(robot.data.qpos) == tuple(nearest)
        seen.add(tuple(nearest))
    assert seen == set(robot.maze.free_cells)


def test_walls_hold_the_ball_at_full_speed_and_full_force() -> None:
    robot = umaze()
    # From the middle cell of the far side straight at the wall; the wall's face is 0.3 m beyond
    # the cell's coordinate, and the ball's radius is 0.1 m.
    place(robot, (2.0, 2.8), velocity=(0.0, 5.0))
    for _ in range(100):
        robot.step(np.array([0.0, 1.0]))
    assert robot.data.qpos[1] == pytest.approx(3.2, abs=0.02)


def test_no_force_can_drive_the_ball_out_of_the_free_cells() -> None:
    robot = umaze()
    random = np.random.default_rng(0)
    for _ in range(100):
        action = np.sign(random.uniform(-1, 1, size=2))
        for _ in range(20):
            robot.step(action)
            assert robot.maze.cell_at(robot.data.qpos) in robot.maze.free_cells


def test_the_reward_is_one_within_reach_of_the_goal_and_zero_outside() -> None:
    robot = umaze()
    for distance, reward in ((0.0, 1.0), (GOAL_RADIUS - 0.02, 1.0), (GOAL_RADIUS + 0.02, 0.0)):
        place(robot, (1.0, 1.0 + distance))
        outcome = robot.step(np.zeros(2))
        assert (outcome.reward, outcome.terminated) == (reward, False)


def test_one_step_of_full_force_obeys_newton() -> None:
    robot = umaze()
    place(robot, (1.0, 1.0))
    robot.step(np.array([0.5, 0.0]))
    mass = 1000.0 * 4.0 / 3.0 * np.pi * 0.1**3
    # Damping of 1 N s/m is integrated implicitly: m dv = (F - v) dt.
    assert robot.data.qvel[0] == pytest.approx(50.0 * 0.01 / (mass + 0.01), rel=1e-9)
    assert robot.data.qvel[1] == 0.0


def test_the_velocity_is_clipped_before_each_step() -> None:
    robot = umaze()
    place(robot, (1.0, 1.0), velocity=(0.0, 50.0))
    robot.step(np.zeros(2))
    assert robot.data.qvel[1] == pytest.approx(5.0, rel=0.01)


def test_odometry_holds_position_and_velocity_exactly() -> None:
    robot = umaze()
    robot.step(np.array([1.0, -1.0]))
    odometry = robot.messages(7_000_000_001)["odom"]
    assert (odometry.header.stamp.sec, odometry.header.stamp.nanosec) == (7, 1)
    pose, twist = odometry.pose.pose, odometry.twist.twist
    assert [pose.position.x, pose.position.y] == robot.data.qpos.tolist()
    assert [twist.linear.x, twist.linear.y] == robot.data.qvel.tolist()
    assert (pose.orientation.w, twist.angular.z) == (1.0, 0.0)


def test_reading_messages_does_not_change_the_physics() -> None:
    read, unread = umaze(), umaze()
    for action in np.random.default_rng(1).uniform(-1, 1, size=(100, 2)):
        read.step(action)
        read.messages(0)
        unread.step(action)
    assert np.array_equal(read.data.qpos, unread.data.qpos)
