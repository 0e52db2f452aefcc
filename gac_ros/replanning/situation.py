"""What is known in the middle of an episode, and what becomes of it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gac_ros.planning import Plan

Float32 = NDArray[np.float32]
Surprise = Literal["", "shortfall", "unlikely"]


@dataclass(frozen=True, eq=False)
class Situation:
    """An episode so far, at a step whose action is no part of it yet.

    Attributes:
        step: index of that step.
        plan: the plan that is being followed.
        promised: return of the episode that the plan was taken for; None before the first look.
        reward_sum: rewards so far; None for a robot without step-wise rewards.
        observation: the present one, normalised, (O,).
        observations: of the latest executed steps, normalised, oldest first, (T, O).
        actions: that were executed in them, normalised, (T, A).
        may_change: whether another plan would be taken now.
        seed: of the sampling noise.
    """

    step: int
    plan: Plan
    promised: float | None
    reward_sum: float | None
    observation: Float32
    observations: Float32
    actions: Float32
    may_change: bool
    seed: int


@dataclass(frozen=True, eq=False)
class Advice:
    """The answer to a situation.

    Attributes:
        step: of the situation.
        outlook: return of the episode that is predicted now, with the plan of the situation.
        surprise: what the situation is surprising for; empty when it is not.
        plan: a better plan; None to go on as before.
    """

    step: int
    outlook: float
    surprise: Surprise
    plan: Plan | None


class History:
    """The latest executed steps of an episode. Mutable: the actor writes it step by step.

    Args:
        capacity: how many steps are kept.

    Attributes:
        step: steps decided so far.
        reward_sum: rewards heard so far.
        pending: normalised observation (O,) of the step that is not executed yet; None without.
    """

    def __init__(self, capacity: int) -> None:
        self._steps: deque[tuple[Float32, Float32]] = deque(maxlen=capacity)
        self.pending: Float32 | None = None
        self.step = 0
        self.reward_sum = 0.0

    def clear(self) -> None:
        """Start an episode."""
        self._steps.clear()
        self.pending = None
        self.step = 0
        self.reward_sum = 0.0

    def observed(self, observation: Float32) -> None:
        """Take the normalised observation (O,) that the policy acts on now."""
        self.pending = observation

    def executed(self, action: Float32) -> None:
        """Take the normalised action (A,) of the step; it ends the step.

        A step that the policy did not see (the safe action) breaks the window: what came before
        is no context of what comes after.
        """
        if self.pending is None:
            self._steps.clear()
        else:
            self._steps.append((self.pending, action))
        self.pending = None
        self.step += 1

    def arrays(self) -> tuple[Float32, Float32]:
        """Observations (T, O) and actions (T, A) of the kept steps, oldest first."""
        observations, actions = zip(*self._steps, strict=True)
        return np.stack(observations), np.stack(actions)

    @property
    def empty(self) -> bool:
        """Whether no executed step is known."""
        return not self._steps
