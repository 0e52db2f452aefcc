"""MuJoCo robots as ROS nodes and as Gymnasium environments.

MuJoCo is imported when a robot is made, not before: `import gac_ros.sim` is cheap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gac_ros.embodiment import find_embodiment
from gac_ros.errors import ConfigurationError

if TYPE_CHECKING:
    from gac_ros.sim.environment import RobotEnvironment
    from gac_ros.sim.robot import SimulatedRobot


def make_robot(name_or_yaml: str, *, mjcf: str | None = None) -> SimulatedRobot:
    """Make a simulated robot.

    Args:
        name_or_yaml: a packaged robot's name, or the path of an embodiment file (*.yaml). A file
            whose `name` is that of a packaged robot gets that robot's physics.
        mjcf: path of an MJCF file to simulate instead of the packaged physics.

    Raises:
        UnknownRobotError: no robot of that name.
        ConfigurationError: the embodiment or the MJCF is wrong, or they do not fit.
    """
    embodiment = find_embodiment(name_or_yaml)
    if mjcf:
        from gac_ros.sim.mjcf import MjcfRobot

        return MjcfRobot(embodiment, mjcf)

    from gac_ros.sim.maze import find_maze, maze_names

    if embodiment.name in maze_names():
        from gac_ros.sim.pointmaze import PointMaze

        return PointMaze(embodiment, find_maze(embodiment.name))

    from gac_ros.sim.locomotion import ENVIRONMENTS, Locomotion

    if embodiment.name in ENVIRONMENTS:
        return Locomotion(embodiment, ENVIRONMENTS[embodiment.name])
    raise ConfigurationError(
        f"{name_or_yaml}: no physics is packaged for robot '{embodiment.name}'; give its MJCF file "
        f"(mjcf), or use one of {', '.join((*maze_names(), *ENVIRONMENTS))}"
    )


def is_simulated(name_or_yaml: str) -> bool:
    """Whether physics is packaged for a robot, so that `make_robot` needs no MJCF.

    Raises:
        UnknownRobotError: no robot of that name.
        ConfigurationError: the embodiment is wrong.
    """
    from gac_ros.sim.locomotion import ENVIRONMENTS
    from gac_ros.sim.maze import maze_names

    return find_embodiment(name_or_yaml).name in (*maze_names(), *ENVIRONMENTS)


def make_env(name_or_yaml: str, *, mjcf: str | None = None) -> RobotEnvironment:
    """Make a simulated robot as a Gymnasium environment; arguments as for `make_robot`."""
    from gac_ros.sim.environment import RobotEnvironment

    return RobotEnvironment(make_robot(name_or_yaml, mjcf=mjcf))


__all__ = ["is_simulated", "make_env", "make_robot"]
