"""Which of a model's best plans exploitation follows: told by a few rollouts, not by the critic.

The critic does not rank good plans (docs/model.md), and while successes are few the likelihood has
little to tell them by. Successive halving (Jamieson and Talwalkar 2016, arXiv 1502.07943): all run
on the same few starts, the better half goes on to further ones, until one is left.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gac_ros.checkpoint import Checkpoint, save_checkpoint
from gac_ros.online.stages import Stages, returns_of

# Means of so many of the first plans.
_MEANS = (2, 4, 8, 16)

Trial = Callable[[int, Sequence[int]], list[float]]
"""Returns of plan k on the starts of these seeds."""


def trial_count(plans: int, heat: int) -> int:
    """Rollouts that `rank_plans` needs."""
    total = 0
    while plans > 1:
        total += plans * heat
        plans //= 2
    return total


def rank_plans(plans: int, heat: int, seeds: Sequence[int], trial: Trial) -> list[int]:
    """Indices of the plans, the one that is left first, then those that went out last.

    Args:
        plans: how many there are.
        heat: starts that each heat adds.
        seeds: of enough starts, the same for all plans of a heat.
        trial: runs a plan.
    """
    returns: dict[int, list[float]] = {index: [] for index in range(plans)}
    heats = 0
    out: list[int] = []
    while len(returns) > 1:
        starts = seeds[heats * heat : (heats + 1) * heat]
        for index in returns:
            returns[index] += trial(index, starts)
        wins = dict(zip(returns, mean_ranks(np.array(list(returns.values()))), strict=True))
        # Among equals, the one that the model thinks better of.
        order = sorted(returns, key=lambda index: (-wins[index], index))
        left = len(order) // 2
        out = order[left:] + out
        returns = {index: returns[index] for index in order[:left]}
        heats += 1
    return [*returns, *out]


def mean_ranks(returns: NDArray[np.float64]) -> NDArray[np.float64]:
    """How often each plan did better than another on the same start, in [0, 1], (P,).

    Unlike the mean return this counts each start alike: of twelve starts, one that is worth ten
    times as much as the others would decide alone, and a plan that is good there and nowhere else
    leads exploration nowhere.

    Args:
        returns: of P plans on S starts, (P, S).
    """
    lower = (returns[None] < returns[:, None]).mean(axis=1)
    equal = (returns[None] == returns[:, None]).mean(axis=1)
    return (lower + 0.5 * equal).mean(axis=1)


def candidate_plans(best_plans: Tensor, count: int, former: Tensor | None = None) -> Tensor:
    """At most `count` plans worth a try, (C, N, D): means of the first ones, then single ones.

    A mean carries what its plans share; but it may lie between two ways to act.

    Args:
        best_plans: (M, N, D), best first.
        count: how many.
        former: (N, D), the plan that was followed before the model learned more; tried as well.
    """
    sizes = [size for size in _MEANS if size <= len(best_plans)]
    means = [best_plans[:size].mean(0) for size in sizes]
    first = [] if former is None else [former]
    return torch.stack([*first, *means, *best_plans])[:count]


def following(checkpoint: Checkpoint, plans: Tensor) -> Checkpoint:
    """The same model, exploiting with the first of these plans (C, N, D).

    They are its best plans then, and its other ones come after them.
    """
    others = [plan for plan in checkpoint.best_plans if not (plan == plans).flatten(1).all(1).any()]
    best = torch.stack([*plans, *others])
    changes = {"start": "consensus", "consensus_size": 1, "exploit_steps": 0}
    return checkpoint.with_planner(checkpoint.planner.model_copy(update=changes), best)


class PlanTrials:
    """Runs a checkpoint with one plan or another, by either transport.

    Args:
        stages: run the episodes.
        checkpoint: the model.
        plans: (C, N, D).
        folder: for a checkpoint a plan, which nodes can load; removed after use.
        advance: told of each episode.

    Attributes:
        steps: robot steps so far.
    """

    def __init__(
        self,
        stages: Stages,
        checkpoint: Checkpoint,
        plans: Tensor,
        folder: Path,
        advance: Callable[[str], None],
    ) -> None:
        self._stages = stages
        self._plans = plans
        self._checkpoint = checkpoint
        self._folder = folder
        self._advance = advance
        self.steps = 0

    def run(self, index: int, seeds: Sequence[int]) -> list[float]:
        """Returns of a plan on the starts of these seeds."""
        path = self._folder / f"plan-{index:02d}"
        shutil.rmtree(path, ignore_errors=True)
        save_checkpoint(following(self._checkpoint, self._plans[index, None]), path)
        request = self._stages.evaluation(path, self._folder)
        episodes = self._stages.run(request, seeds, self._advance)
        shutil.rmtree(self._folder)
        self.steps += sum(episode.length for episode in episodes)
        return returns_of(episodes)
