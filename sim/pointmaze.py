"""PointMaze: a ball driven by two force motors through a maze, with the physics of D4RL's Maze2D.

Facts taken over from D4RL (https://github.com/Farama-Foundation/D4RL, `d4rl/pointmaze`): a
frictionless ball of radius 0.1 m and density 1000 kg/m^3 on two slide joints with damping 1 N s/m;
motors of 100 N at a command of 1; physics and control at 100 Hz; velocity clipped to 5 m/s along
each axis before every step; a start uniform over the free cells, the goal's among them, with
noise of 0.1 m (uniform) and 0.1 m/s (normal); reward 1 for every step that ends within 0.5 m of
the goal; no terminal state.
"""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from gac_ros.embodiment import Embodiment
from gac_ros.sim.maze import WALL_OFFSET, Maze
from gac_ros.sim.mujoco_state import ActionWriter, StateReader, physics_steps
from gac_ros.sim.robot import StepOutcome

GOAL_RADIUS = 0.5  # m
MAX_VELOCITY = 5.0  # m/s, along each axis
START_POSITION_NOISE = 0.1  # m, half-width
START_VELOCITY_NOISE = 0.1  # m/s, standard deviation

_BALL_RADIUS = 0.1  # m
_WALL_HALF_HEIGHT = 0.2  # m


def maze_mjcf(maze: Maze) -> str:
    """MJCF text of a maze: the ball, a box for every wall cell, two motors."""
    walls = "\n".join(_wall(maze, row, column) for row, column in maze.walls)
    goal_x, goal_y = maze.goal_position
    return f"""<mujoco model="{maze.name}">
  <compiler angle="radian" inertiafromgeom="true"/>
  <option timestep="0.01" gravity="0 0 0" integrator="Euler" iterations="20"/>
  <default>
    <joint type="slide" damping="1" limited="false"/>
    <geom condim="1" density="1000" friction="0.5 0.1 0.1" margin="0.002"/>
    <motor ctrllimited="true" ctrlrange="-1 1" gear="100"/>
    <default class="wall">
      <geom type="box" size="0.5 0.5 {_WALL_HALF_HEIGHT}" rgba="0.7 0.5 0.3 1"
            contype="2" conaffinity="1"/>
    </default>
  </default>
  <worldbody>
    <light pos="{len(maze.rows) / 2} {len(maze.rows[0]) / 2} 8" dir="0 0 -1" directional="true"/>
    <geom name="ground" type="plane" pos="0 0 -{_BALL_RADIUS}" size="40 40 0.25"
          rgba="0.25 0.3 0.35 1" contype="0" conaffinity="0"/>
    <site name="goal" type="cylinder" pos="{goal_x} {goal_y} -0.09" size="{GOAL_RADIUS} 0.005"
          rgba="0.3 0.7 0.3 0.6"/>
    <body name="ball">
      <joint name="ball_x" axis="1 0 0"/>
      <joint name="ball_y" axis="0 1 0"/>
      <geom name="ball" type="sphere" size="{_BALL_RADIUS}" rgba="0.2 0.4 0.9 1"
            contype="1" conaffinity="1"/>
    </body>
{walls}
  </worldbody>
  <actuator>
    <motor name="ball_x" joint="ball_x"/>
    <motor name="ball_y" joint="ball_y"/>
  </actuator>
</mujoco>
"""


def _wall(maze: Maze, row: int, column: int) -> str:
    x, y = maze.centre((row, column))
    return f'    <geom class="wall" name="wall_{row}_{column}" pos="{x:.1f} {y:.1f} 0"/>'


class PointMaze:
    """The ball in its maze as a SimulatedRobot."""

    def __init__(self, embodiment: Embodiment, maze: Maze) -> None:
        self.embodiment = embodiment
        self.maze = maze
        self.model = mujoco.MjModel.from_xml_string(maze_mjcf(maze))
        self.data = mujoco.MjData(self.model)
        self._steps = physics_steps(embodiment, self.model.opt.timestep)
        self._reader = StateReader(self.model, embodiment)
        self._writer = ActionWriter(self.model, embodiment)

    @property
    def time(self) -> float:
        """Seconds of simulated time since the reset."""
        return float(self.data.time)

    def reset(self, seed: int) -> None:
        """Put the ball into a random free cell, the goal's among them, nearly at rest."""
        random = np.random.default_rng(seed)
        mujoco.mj_resetData(self.model, self.data)
        cell = self.maze.free_cells[random.integers(len(self.maze.free_cells))]
        noise = random.uniform(-START_POSITION_NOISE, START_POSITION_NOISE, size=2)
        self.data.qpos[:] = np.array(cell, dtype=np.float64) + noise
        self.data.qvel[:] = START_VELOCITY_NOISE * random.standard_normal(2)
        mujoco.mj_forward(self.model, self.data)

    def step(self, action: NDArray[np.float64]) -> StepOutcome:
        """Push the ball with a share, shape (2,), of the motors' force."""
        self.data.ctrl[:] = self._writer.control(action)
        np.clip(self.data.qvel, -MAX_VELOCITY, MAX_VELOCITY, out=self.data.qvel)
        mujoco.mj_step(self.model, self.data, self._steps)
        distance = float(np.hypot(*(self.data.qpos - self.maze.goal_position)))
        return StepOutcome(reward=float(distance <= GOAL_RADIUS), terminated=False)

    def messages(self, stamp: int) -> dict[str, Any]:
        """Message of every observation channel by its topic; stamp in nanoseconds."""
        return self._reader.messages(self.data, stamp)


__all__ = ["GOAL_RADIUS", "MAX_VELOCITY", "WALL_OFFSET", "PointMaze", "maze_mjcf"]
