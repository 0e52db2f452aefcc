"""A push or a moved start in mid-episode."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gac_ros.embodiment import find_embodiment
from gac_ros.errors import ConfigurationError
from gac_ros.sim import make_robot
from gac_ros.sim.disturbance import Disturbance, DisturbedRobot
from gac_ros.sim.mjcf import MjcfRobot

STILL_MJCF = """
<mujoco><worldbody><body><joint name="hinge" type="hinge" axis="0 1 0"/>
<geom size="0.1"/></body></worldbody>
<actuator><motor name="hinge" joint="hinge"/></actuator></mujoco>
"""


def path(robot: DisturbedRobot, seed: int, steps: int = 12) -> np.ndarray:
    """Positions and velocities (T + 1, Q + V), from the start on."""
    robot.reset(seed)
    states = [np.concatenate((robot.data.qpos, robot.data.qvel))]
    for _ in range(steps):
        robot.step(robot.embodiment.safe_action)
        states.append(np.concatenate((robot.data.qpos, robot.data.qvel)))
    return np.array(states)


def disturbed(name: str, kind: str, step: int = 5, speed: float = 1.0) -> DisturbedRobot:
    return DisturbedRobot(make_robot(name), Disturbance(kind, step, speed))  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "size"), [("pointmaze_medium", 2), ("hopper", 1)])
def test_a_push_changes_the_root_s_horizontal_velocity_at_its_step(name: str, size: int) -> None:
    pushed = path(disturbed(name, "push"), 3)
    undisturbed = path(disturbed(name, "push", speed=0.0), 3)
    assert np.array_equal(pushed[:6], undisturbed[:6])
    robot = disturbed(name, "push", speed=0.8)
    robot.reset(3)
    before = robot.data.qvel.copy()
    robot._disturb()
    change = robot.data.qvel - before
    assert np.linalg.norm(change) == pytest.approx(0.8)
    assert np.flatnonzero(change).tolist() == list(range(size))
    assert not np.allclose(pushed[6], undisturbed[6], atol=1e-3)


@pytest.mark.parametrize("name", ["pointmaze_medium", "hopper"])
@pytest.mark.parametrize("kind", ["push", "teleport"])
def test_the_seed_draws_the_disturbance(name: str, kind: str) -> None:
    robot = disturbed(name, kind)
    assert np.array_equal(path(robot, 3), path(robot, 3))
    pushes = []
    for seed in range(8):
        robot.reset(seed)
        before = robot.data.qvel[:2].copy()
        robot._disturb()
        pushes.append(tuple(np.round(robot.data.qvel[:2] - before, 6)))
    assert len(set(pushes)) > 1


@pytest.mark.parametrize("name", ["pointmaze_medium", "hopper"])
def test_a_teleport_puts_the_robot_at_another_start_and_time_goes_on(name: str) -> None:
    robot = disturbed(name, "teleport")
    states = path(robot, 3)
    period = robot.embodiment.control_period
    assert robot.time == pytest.approx(12 * period)
    undisturbed = path(disturbed(name, "push", speed=0.0), 3)
    assert np.array_equal(states[:6], undisturbed[:6])
    assert not np.allclose(states[6], undisturbed[6], atol=1e-3)
    # It happens once an episode.
    again = path(disturbed(name, "teleport", step=100), 3)
    assert np.array_equal(again, undisturbed)


def test_a_robot_that_stands_still_cannot_be_pushed(tmp_path: Path) -> None:
    file = tmp_path / "still.xml"
    file.write_text(STILL_MJCF)
    hopper = find_embodiment("hopper")
    field = hopper.observation[0].fields[0].model_copy(update={"select": "position.hinge"})
    channel = hopper.observation[0].model_copy(update={"fields": (field,)})
    action = hopper.action.model_copy(
        update={"fields": (hopper.action.fields[0].model_copy(update={"joint": "hinge"}),)}
    )
    embodiment = hopper.model_copy(
        update={"observation": (channel,), "action": action, "control_rate": 500.0}
    )
    robot = MjcfRobot(embodiment, file)
    with pytest.raises(ConfigurationError, match="teleport"):
        DisturbedRobot(robot, Disturbance("push", 0))
    DisturbedRobot(robot, Disturbance("teleport", 0))
