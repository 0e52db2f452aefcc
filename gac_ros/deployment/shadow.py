"""A candidate computes what it would have done, beside the one who acts."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from gac_ros.deployment.state import Comparison
from gac_ros.planning import Mode, Plan, Planner
from gac_ros.policy import Policy


class Shadow:
    """Compares a candidate's actions with those that were taken, over one episode.

    A candidate that fails is noted and asked no more: it must not harm who acts.

    Args:
        policy: the candidate's.
        half_range: of each action (A,), the unit of the differences.
    """

    def __init__(self, policy: Policy, half_range: NDArray[np.float64]) -> None:
        self._policy = policy
        self._half_range = half_range
        self._follows = False
        self._steps = 0
        self._squares = 0.0
        self._largest = 0.0
        self._failure = ""

    def begin(self, plan: Plan | None, failure: str = "") -> None:
        """Start an episode with the candidate's own plan.

        Args:
            plan: None when nothing is to be compared.
            failure: why the candidate has none though it should.
        """
        self._steps, self._squares, self._largest = 0, 0.0, 0.0
        self._failure = failure
        self._follows = plan is not None
        if plan is not None:
            self._policy.follow(plan)

    def compare(self, observation: NDArray[np.float64], action: NDArray[np.float64]) -> None:
        """Compute the candidate's action for an observation (O,) beside the one taken (A,)."""
        if not self._follows or self._failure:
            return
        try:
            own = self._policy.act(observation)
        # Whatever is wrong with it, the robot goes on with the other.
        except Exception as error:
            self._failure = f"{type(error).__name__}: {error}"
            return
        difference = (own - action) / self._half_range
        if not np.isfinite(difference).all():
            self._failure = "an action is not finite"
            return
        self._steps += 1
        self._squares += float(np.mean(np.square(difference)))
        self._largest = max(self._largest, float(np.abs(difference).max()))

    def result(self, episode_id: str) -> Comparison | None:
        """What was found in the episode; None when nothing was compared."""
        if not self._steps and not self._failure:
            return None
        return Comparison(
            episode_id=episode_id,
            steps=self._steps,
            mean_difference=math.sqrt(self._squares / self._steps) if self._steps else 0.0,
            largest_difference=self._largest,
            failure=self._failure,
        )


def plan_in_shadow(planner: Planner, mode: Mode, seed: int) -> tuple[Plan | None, str]:
    """The candidate's plan, or why it has none."""
    try:
        return planner.plan(mode, seed), ""
    except Exception as error:
        return None, f"no plan: {error}"
