"""The target return y+ = y + delta-y of exploration, which tunes itself.

Generative Actor Critic (arXiv 2512.21527) explores by sampling z0 ~ p(z0 | y+), y+ = y + delta-y,
and leaves delta-y to be chosen for each task. Here y is the median of the last two rounds'
returns and delta-y a number c of their standard deviations, where c follows the share of episodes
that reached the target: a target nobody reaches comes nearer, one that many reach moves away.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gac_ros.online.config import TargetConfig


@dataclass(frozen=True)
class Target:
    """What one round asks for.

    Attributes:
        base: y, the median return of the last two rounds.
        target: y+.
        reach: c, of the standard deviation of these returns.
    """

    base: float
    target: float
    reach: float

    @property
    def increment(self) -> float:
        """Delta-y = y+ - y; 0 while every return is the same."""
        return self.target - self.base

    def reached_share(self, returns: Sequence[float]) -> float:
        """Share of episodes that reached the target."""
        return float(np.mean(np.asarray(returns) >= self.target))


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
    base = float(np.median(recent))
    highest = best + config.beyond_best * (best - worst)
    target = min(base + reach * float(np.std(recent)), highest)
    # Where nearly all have reached the best already, the median is it.
    return Target(base=base, target=max(target, base), reach=reach)


def next_reach(target: Target, returns: Sequence[float], config: TargetConfig) -> float:
    """C of the next round. Where nothing was asked for, nothing is learned about c."""
    if target.increment <= 0.0:
        return target.reach
    error = target.reached_share(returns) - config.wanted_share
    reach = target.reach * math.exp(config.adaptation * error)
    return min(max(reach, config.smallest_reach), config.largest_reach)
