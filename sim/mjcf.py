"""Any MJCF file as a robot, with an embodiment that names its joints, sensors and actuators."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from gac_ros.embodiment import Embodiment
from gac_ros.errors import ConfigurationError
from gac_ros.sim.mujoco_state import ActionWriter, StateReader, physics_steps
from gac_ros.sim.robot import StepOutcome

_FREE, _BALL = int(mujoco.mjtJoint.mjJNT_FREE), int(mujoco.mjtJoint.mjJNT_BALL)


class MjcfRobot:
    """A robot from an MJCF file: no reward, no terminal state.

    It starts in the model's first keyframe, or in the model's initial state without one, moved by
    uniform noise of `start_noise` (rad, m; also rad/s, m/s) on every hinge and slide joint.
    """

    def __init__(self, embodiment: Embodiment, path: Path | str, *, start_noise: float = 0.0):
        self.embodiment = embodiment
        self.model = _load(Path(path))
        self.data = mujoco.MjData(self.model)
        self._start_noise = start_noise
        self._steps = physics_steps(embodiment, self.model.opt.timestep)
        self._reader = StateReader(self.model, embodiment)
        self._writer = ActionWriter(self.model, embodiment)
        self._started = 0.0

    @property
    def time(self) -> float:
        """Seconds of simulated time since the reset."""
        return float(self.data.time) - self._started

    def reset(self, seed: int) -> None:
        """Go to the start state; the seed draws the noise."""
        if self.model.nkey:
            mujoco.mj_resetDataKeyframe(self.model, self.data, 0)
        else:
            mujoco.mj_resetData(self.model, self.data)
        self._add_noise(np.random.default_rng(seed))
        mujoco.mj_forward(self.model, self.data)
        self._started = float(self.data.time)

    def step(self, action: NDArray[np.float64]) -> StepOutcome:
        """Send an action, shape (A,), to its actuators for one control period."""
        self.data.ctrl[:] = self._writer.control(action)
        mujoco.mj_step(self.model, self.data, self._steps)
        return StepOutcome(reward=0.0, terminated=False)

    def messages(self, stamp: int) -> dict[str, Any]:
        """Message of every observation channel by its topic; stamp in nanoseconds."""
        return self._reader.messages(self.data, stamp)

    def _add_noise(self, random: np.random.Generator) -> None:
        """Move hinge and slide joints; quaternions are left alone, since noise breaks them."""
        for joint in range(self.model.njnt):
            position, velocity = random.uniform(-self._start_noise, self._start_noise, size=2)
            if int(self.model.jnt_type[joint]) not in (_FREE, _BALL):
                self.data.qpos[self.model.jnt_qposadr[joint]] += position
                self.data.qvel[self.model.jnt_dofadr[joint]] += velocity


def _load(path: Path) -> Any:
    if not path.is_file():
        raise ConfigurationError(f"{path}: no such MJCF file; check the path")
    try:
        return mujoco.MjModel.from_xml_path(str(path))
    except ValueError as error:  # mujoco's only exception for a file it cannot compile
        reason = " ".join(str(error).split())
        raise ConfigurationError(f"{path}: not a valid MJCF file: {reason}") from error
