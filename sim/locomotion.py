"""Hopper, HalfCheetah and Walker2d: Gymnasium's own v5 environments behind robot topics.

Start state, physics, reward and terminal states are Gymnasium's; only the observation goes the
robot's way, through messages and the embodiment, and comes out equal to Gymnasium's.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from gac_ros.embodiment import Embodiment
from gac_ros.errors import ConfigurationError
from gac_ros.sim.mujoco_state import ActionWriter, StateReader, physics_steps
from gac_ros.sim.robot import StepOutcome

ENVIRONMENTS = {
    "hopper": "Hopper-v5",
    "halfcheetah": "HalfCheetah-v5",
    "walker2d": "Walker2d-v5",
}


class Locomotion:
    """A locomotion environment of Gymnasium as a SimulatedRobot."""

    def __init__(self, embodiment: Embodiment, environment_id: str) -> None:
        self.embodiment = embodiment
        self._env = _make(environment_id)
        self.model = self._env.model
        self._started = 0.0
        if physics_steps(embodiment, self.model.opt.timestep) != self._env.frame_skip:
            raise ConfigurationError(
                f"embodiment '{embodiment.name}': {environment_id} is controlled at "
                f"{1.0 / self._env.dt:g} Hz; set control_rate to that"
            )
        self._reader = StateReader(self.model, embodiment)
        self._writer = ActionWriter(self.model, embodiment)

    @property
    def data(self) -> Any:
        """MuJoCo's state."""
        return self._env.data

    @property
    def time(self) -> float:
        """Seconds of simulated time since the reset."""
        return float(self._env.data.time) - self._started

    def reset(self, seed: int) -> None:
        """Go to the state in which Gymnasium starts with this seed."""
        self._env.reset(seed=seed)
        self._started = float(self._env.data.time)

    def step(self, action: NDArray[np.float64]) -> StepOutcome:
        """Apply torques, shape (A,), as shares of each motor's strength, for a control period."""
        _, reward, terminated, _, _ = self._env.step(self._writer.control(action))
        return StepOutcome(reward=float(reward), terminated=bool(terminated))

    def messages(self, stamp: int) -> dict[str, Any]:
        """Message of every observation channel by its topic; stamp in nanoseconds."""
        return self._reader.messages(self._env.data, stamp)


def _make(environment_id: str) -> Any:
    # Imported here, because the other robots do not need Gymnasium's MuJoCo extra.
    try:
        import gymnasium

        # The wrappers count steps and check types; the robot's user does both by the embodiment.
        with _mujoco_warnings():
            return gymnasium.make(environment_id).unwrapped
    except ImportError as error:
        raise ConfigurationError(
            f"{environment_id} needs Gymnasium's MuJoCo extra ({error}); "
            "install it with: pip install 'gymnasium[mujoco]'"
        ) from error


@contextmanager
def _mujoco_warnings() -> Iterator[None]:
    """Turn MuJoCo's warnings into Python's: its own way is a log file in the working directory."""

    def warn(text: str) -> None:
        # Gymnasium's half cheetah has this attribute; no user can do anything about it.
        if "settotalmass" not in text:
            warnings.warn(text, stacklevel=2)

    mujoco.set_mju_user_warning(warn)
    try:
        yield
    finally:
        mujoco.set_mju_user_warning(None)
