"""Random actions that last, to reach what no plan leads to.

Plans are those of the data. Where none of them ever left the ground that the data cover, sampling
plans, however wide, does not leave it either: the actor holds the robot on what it knows. Single
random actions average out; one that lasts does not. Source: temporally-extended epsilon-greedy
exploration, Dabney et al. 2020 (arXiv 2006.01782).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_SHORTEST = 2


@dataclass(frozen=True)
class Bursts:
    """When random actions interrupt a plan; a part of the plan, so that a bag can be recomputed.

    Attributes:
        rate: chance of a step outside of bursts to begin one.
        longest: steps; lengths n have the heavy tail P(N >= n) = 2 / n, cut off here.
        seed: of the lengths and the actions.
        at_start: whether the episode's first step begins one. Where a plan has the robot stand
            still, a burst that comes later teaches to stand still until then.
        rest_from: the step from which on the robot is let go until the end of the episode; None
            never does. Bursts lead to where no plan did, but the actor does not know how to stay
            there and drives back to what it knows.
    """

    rate: float
    longest: int
    seed: int
    at_start: bool = False
    rest_from: int | None = None


class BurstSequence:
    """The bursts of one episode.

    Args:
        bursts: see there.
        action_size: A.
    """

    def __init__(self, bursts: Bursts, action_size: int) -> None:
        self._bursts = bursts
        self._random = np.random.default_rng(bursts.seed)
        self._action = np.zeros(action_size, dtype=np.float32)
        self._left = 0
        self._begin = bursts.at_start
        self._rest_from = math.inf if bursts.rest_from is None else bursts.rest_from
        self._step = 0

    def apply(self, action: NDArray[np.float32]) -> NDArray[np.float32]:
        """The plan's action (A,), in a burst the burst's, at rest 0; normalised to [-1, 1]."""
        step, self._step = self._step, self._step + 1
        if step >= self._rest_from:
            return np.zeros_like(action)
        begin, self._begin = self._begin, False
        if self._left == 0 and (begin or self._random.random() < self._bursts.rate):
            length = _SHORTEST / (1.0 - self._random.random())
            self._left = int(min(length, self._bursts.longest))
            self._action = self._random.uniform(-1.0, 1.0, len(action)).astype(np.float32)
        if self._left == 0:
            return action
        self._left -= 1
        return self._action
