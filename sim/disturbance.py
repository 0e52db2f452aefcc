"""A push or a moved start in the middle of an episode, for tests and benchmarks; off by default."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import mujoco
import numpy as np
from numpy.typing import NDArray

from gac_ros.embodiment import Embodiment
from gac_ros.errors import ConfigurationError
from gac_ros.sim.robot import SimulatedRobot, StepOutcome

Kind = Literal["push", "teleport"]
KINDS: tuple[Kind, ...] = ("push", "teleport")

_FREE, _SLIDE = int(mujoco.mjtJoint.mjJNT_FREE), int(mujoco.mjtJoint.mjJNT_SLIDE)
# A joint whose axis leans up less than this moves the robot sideways.
_HORIZONTAL = 0.5


@dataclass(frozen=True)
class Disturbance:
    """What happens to the robot once an episode.

    Attributes:
        kind: `push`: an impulse on the root body, in a horizontal direction that the episode's seed
            draws. `teleport`: the robot stands where an episode of another seed starts.
        step: before which step of the episode it happens, from 0.
        speed: change of the root's velocity by a push, m/s.
    """

    kind: Kind
    step: int
    speed: float = 1.0


class _MujocoRobot(SimulatedRobot, Protocol):
    model: Any

    @property
    def data(self) -> Any: ...


class DisturbedRobot:
    """A simulated robot to which a disturbance happens in every episode.

    Raises:
        ConfigurationError: the robot cannot be pushed.
    """

    def __init__(self, robot: SimulatedRobot, disturbance: Disturbance) -> None:
        self._robot: _MujocoRobot = robot  # type: ignore[assignment]  # all packaged ones are
        self.embodiment: Embodiment = robot.embodiment
        self._disturbance = disturbance
        self._sideways = _horizontal_velocities(self._robot.model)
        if disturbance.kind == "push" and not self._sideways:
            raise ConfigurationError(
                f"robot '{robot.embodiment.name}' cannot be pushed: its root moves along no "
                "horizontal axis; use a teleport"
            )
        self._random = np.random.default_rng(0)
        self._steps = 0

    @property
    def model(self) -> Any:
        """MuJoCo's model."""
        return self._robot.model

    @property
    def data(self) -> Any:
        """MuJoCo's state."""
        return self._robot.data

    @property
    def time(self) -> float:
        """Seconds of simulated time since the reset."""
        return self._robot.time

    def reset(self, seed: int) -> None:
        """Put the robot into its start state; the seed also draws the disturbance."""
        self._robot.reset(seed)
        # Apart from the robot's own draws, which begin with the seed.
        self._random = np.random.default_rng((seed, 1))
        self._steps = 0

    def step(self, action: NDArray[np.float64]) -> StepOutcome:
        """Apply an action, shape (A,), for one control period; disturb the robot when it is due."""
        if self._steps == self._disturbance.step:
            self._disturb()
        self._steps += 1
        return self._robot.step(action)

    def messages(self, stamp: int) -> dict[str, Any]:
        """Message of every observation channel by its topic; stamp in nanoseconds."""
        return self._robot.messages(stamp)

    def _disturb(self) -> None:
        if self._disturbance.kind == "push":
            direction = self._random.standard_normal(len(self._sideways))
            direction /= np.linalg.norm(direction)
            self._robot.data.qvel[self._sideways] += self._disturbance.speed * direction
            return
        before = self._robot.time
        self._robot.reset(int(self._random.integers(2**31)))
        self._robot.data.time += before - self._robot.time  # time goes on


def _horizontal_velocities(model: Any) -> list[int]:
    """Indices in qvel of the root's horizontal translations."""
    for joint in range(model.njnt):
        if int(model.jnt_type[joint]) == _FREE:
            first = int(model.jnt_dofadr[joint])
            return [first, first + 1]
    return [
        int(model.jnt_dofadr[joint])
        for joint in range(model.njnt)
        if int(model.jnt_type[joint]) == _SLIDE and abs(model.jnt_axis[joint][2]) < _HORIZONTAL
    ]
