"""Actors that collect data and set the scale of scores: random actions, and waypoints in a maze.

Neither needs ROS, torch or MuJoCo: they see observations and give actions, as a policy does.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gac_ros.embodiment import Embodiment
from gac_ros.errors import ConfigurationError
from gac_ros.sim.maze import Cell, Maze

# Gains of the waypoint controller, per metre and per m/s, as in D4RL. The motors saturate 0.1 m
# from the target, so it drives nearly flat out and brakes late, sliding along walls in bends.
_POSITION_GAIN = 10.0
_VELOCITY_GAIN = 1.0
COLLECTION_NOISE = 0.2
"""Standard deviation of the noise on the waypoint controller's actions when it collects data."""

_STREAM = 0xBE4A


class RandomBehaviour:
    """Actions uniform within the embodiment's limits."""

    def __init__(self, embodiment: Embodiment) -> None:
        self._low, self._high = embodiment.action_low, embodiment.action_high
        self._random = _random(0)

    def begin(self, seed: int) -> None:
        """Start an episode; equal seeds give equal actions."""
        self._random = _random(seed)

    def act(self, observation: NDArray[np.float64]) -> NDArray[np.float64]:
        """Action, shape (A,), whatever the observation, shape (O,)."""
        return self._random.uniform(self._low, self._high)


class WaypointBehaviour:
    """Drives the ball along the shortest way, cell by cell, with a PD controller.

    What it does depends on the observation and on its goal alone; no memory of waypoints.

    Args:
        embodiment: a maze robot's, with odometry as observation and the two motors as action.
        maze: the map it knows.
        goal: `fixed` drives to the maze's goal, the expert; `random` to a cell drawn at the start
            of each episode, where it stays: most such episodes miss the maze's goal.
        noise: standard deviation of the noise on the actions, in shares of the motors' force.
    """

    def __init__(
        self,
        embodiment: Embodiment,
        maze: Maze,
        *,
        goal: Literal["fixed", "random"] = "random",
        noise: float = COLLECTION_NOISE,
    ) -> None:
        self._maze = maze
        self._goal = goal
        self._noise = noise
        self._low, self._high = embodiment.action_low, embodiment.action_high
        wanted = ("position.x", "position.y", "linear.x", "linear.y")
        self._columns = [_column(embodiment, suffix) for suffix in wanted]
        fields = [field for channel in embodiment.observation for field in channel.fields]
        self._scale = np.array([fields[column].scale for column in self._columns])
        # Where the forces along x and y stand in the action.
        self._motors = [_motor(embodiment, joint) for joint in ("ball_x", "ball_y")]
        self._random = _random(0)
        self._goal_cell: Cell = maze.goal

    def begin(self, seed: int) -> None:
        """Start an episode; equal seeds give equal goals and noise."""
        self._random = _random(seed)
        if self._goal == "random":
            cells = self._maze.free_cells
            self._goal_cell = cells[self._random.integers(len(cells))]

    def act(self, observation: NDArray[np.float64]) -> NDArray[np.float64]:
        """Forces, shape (2,), for an observation, shape (O,)."""
        state = observation[self._columns] / self._scale
        position, velocity = state[:2], state[2:]
        force = _POSITION_GAIN * (self._target(position) - position) - _VELOCITY_GAIN * velocity
        force = np.clip(force, -1.0, 1.0)
        if self._noise > 0.0:
            force = force + self._noise * self._random.standard_normal(2)
        action = np.empty(2)
        action[self._motors] = force
        return np.clip(action, self._low, self._high)

    def _target(self, position: NDArray[np.float64]) -> NDArray[np.float64]:
        """Where to drive now, in metres, shape (2,): the next cell, or the goal itself."""
        cell = self._maze.cell_at(position)
        path = self._maze.path(cell, self._goal_cell)
        if len(path) <= 2:
            return np.array(self._goal_cell, dtype=np.float64)
        return self._maze.centre(path[1])


def _random(seed: int) -> np.random.Generator:
    """A stream of its own: from the robot's, the same seed would draw the start as the goal."""
    return np.random.default_rng([seed, _STREAM])


def _column(embodiment: Embodiment, suffix: str) -> int:
    columns = [i for i, name in enumerate(embodiment.observation_names) if name.endswith(suffix)]
    if len(columns) != 1:
        raise ConfigurationError(
            f"the waypoint behaviour needs one observation of '...{suffix}', but the embodiment "
            f"'{embodiment.name}' has {', '.join(embodiment.observation_names)}; use it with a "
            "maze robot"
        )
    return columns[0]


def _motor(embodiment: Embodiment, joint: str) -> int:
    if set(embodiment.action_names) != {"ball_x", "ball_y"}:
        raise ConfigurationError(
            f"the waypoint behaviour drives ball_x and ball_y, but the embodiment "
            f"'{embodiment.name}' commands {', '.join(embodiment.action_names)}; use it with a "
            "maze robot"
        )
    return embodiment.action_names.index(joint)
