"""What a simulated robot is. Nothing here needs MuJoCo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gac_ros.embodiment import Embodiment


@dataclass(frozen=True)
class StepOutcome:
    """What one control step brought.

    Attributes:
        reward: reward of the step.
        terminated: whether the task ended the episode (a terminal state).
    """

    reward: float
    terminated: bool


class SimulatedRobot(Protocol):
    """Physics behind the topics of an embodiment.

    Attributes:
        embodiment: the contract that the robot's messages and actions obey.
    """

    embodiment: Embodiment

    @property
    def time(self) -> float:
        """Seconds of simulated time since the reset."""

    def reset(self, seed: int) -> None:
        """Put the robot into its start state; equal seeds give equal states."""

    def step(self, action: NDArray[np.float64]) -> StepOutcome:
        """Apply an action, shape (A,), for one control period."""

    def messages(self, stamp: int) -> dict[str, Any]:
        """Message of every observation channel by its topic; stamp in nanoseconds."""
