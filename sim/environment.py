"""A simulated robot as a Gymnasium environment, without ROS."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium
import numpy as np
from numpy.typing import NDArray

from gac_ros.observation import ObservationFrame
from gac_ros.sim.robot import SimulatedRobot

_LARGEST_SEED = 2**31 - 1


class RobotEnvironment(gymnasium.Env[NDArray[np.float64], NDArray[np.float64]]):
    """Observation (O,) and action (A,), float64, as the embodiment decodes and limits them.

    `terminated` is the robot's word; `truncated` comes at the embodiment's episode length.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}

    def __init__(self, robot: SimulatedRobot) -> None:
        self.robot = robot
        embodiment = robot.embodiment
        fields = [field for channel in embodiment.observation for field in channel.fields]
        unlimited = (-np.inf, np.inf)
        clips = np.array([field.clip or unlimited for field in fields], dtype=np.float64)
        self.observation_space = gymnasium.spaces.Box(clips[:, 0], clips[:, 1], dtype=np.float64)
        self.action_space = gymnasium.spaces.Box(
            embodiment.action_low, embodiment.action_high, dtype=np.float64
        )
        self._frame = ObservationFrame(embodiment)
        self._step = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float64], dict[str, Any]]:
        """Start an episode; without a seed the next one of the environment's own sequence."""
        super().reset(seed=seed)
        robot_seed = int(self.np_random.integers(_LARGEST_SEED)) if seed is None else seed
        self.robot.reset(robot_seed)
        self._frame.clear()
        self._step = 0
        return self._observe(), {"seed": robot_seed}

    def step(
        self, action: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], float, bool, bool, dict[str, Any]]:
        """Apply an action for one control period."""
        outcome = self.robot.step(np.asarray(action, dtype=np.float64))
        self._step += 1
        truncated = not outcome.terminated and self._step >= self.robot.embodiment.episode_length
        return self._observe(), outcome.reward, outcome.terminated, truncated, {}

    def _observe(self) -> NDArray[np.float64]:
        for topic, message in self.robot.messages(0).items():
            self._frame.update(topic, message, self.robot.time)
        return self._frame.take()
