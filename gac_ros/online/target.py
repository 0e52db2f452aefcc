"""The target return y+ = y + delta-y of exploration, which tunes itself.

Generative Actor Critic (arXiv 2512.21527) explores by sampling z0 ~ p(z0 | y+), y+ = y + delta-y,
and leaves delta-y to be chosen for each task. Here y is the value of the plan that a sampling
starts from (`Planner`), and delta-y a number c of standard deviations of the last two rounds'
returns, where c follows the share of episodes that reached their target: a target nobody reaches
comes nearer, one that many reach moves away.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict, Field


class TargetConfig(BaseModel):
    """How exploration's target y+ tunes itself; no number is in units of a task.

    Attributes:
        initial_reach: c of the first round: delta-y is c standard deviations of the returns of the
            last two rounds.
        wanted_share: share of a round's episodes that should reach their y+; c falls when fewer do.
        adaptation: how fast: c becomes c * exp(adaptation * (share - wanted_share)).
        beyond_best: y+ is at most the best return plus this share of the range of all returns.
        smallest_reach, largest_reach: bounds of c.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    initial_reach: float = Field(default=1.0, gt=0.0)
    wanted_share: float = Field(default=0.2, gt=0.0, lt=1.0)
    adaptation: float = Field(default=0.8, ge=0.0)
    beyond_best: float = Field(default=0.05, ge=0.0)
    smallest_reach: float = Field(default=0.1, gt=0.0)
    largest_reach: float = Field(default=10.0, gt=0.0)


@dataclass(frozen=True)
class Target:
    """What one round asks for.

    Attributes:
        increment: delta-y, in units of the return; 0 while every return is the same.
        highest: no target lies above.
        median: of the last two rounds' returns; stands for y where a plan has no target.
        reach: c.
    """

    increment: float
    highest: float
    median: float
    reach: float

    @property
    def fallback(self) -> float:
        """Y+ of an episode whose plan had no target of its own, to compare strategies by."""
        return min(self.median + self.increment, self.highest)


def make_target(
    recent: Sequence[float], best: float, worst: float, reach: float, config: TargetConfig
) -> Target:
    """Target of a round.

    Args:
        recent: returns of the last two rounds (before the first, of the data at the start).
        best: of all returns so far.
        worst: of all returns so far.
        reach: c.
        config: see there.
    """
    return Target(
        increment=reach * float(np.std(recent)),
        highest=best + config.beyond_best * (best - worst),
        median=float(np.median(recent)),
        reach=reach,
    )


def next_reach(target: Target, reached_share: float, config: TargetConfig) -> float:
    """C of the next round. Where nothing was asked for, nothing is learned about c."""
    if target.increment <= 0.0:
        return target.reach
    error = reached_share - config.wanted_share
    reach = target.reach * math.exp(config.adaptation * error)
    return min(max(reach, config.smallest_reach), config.largest_reach)
