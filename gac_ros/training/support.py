"""Which plans the data support: how well a plan explains the best episodes.

The critic does not rank good plans: among the chains that it prefers, some reproduce their episode
and some fall at once (docs/model.md). The likelihood does: a plan under which all of the best
episodes are probable is one that the generator can act on.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gac_ros.model.gac import GacModel, TrajectoryWindows

# Means over this many of the best chains are tried, and over random draws of them. A mean of fewer
# than eight still carries much of the noise of its chains, and may explain and yet fall.
_FIRST = (8, 12, 16, 24, 32)
_DRAWN = {8: 12, 16: 12}


def candidate_plans(chains: Tensor, generator: torch.Generator) -> Tensor:
    """Means of several chains; the chains themselves where there are fewer than eight.

    Args:
        chains: z0 (K, N, D), best first.
        generator: draws which chains are averaged.

    Returns:
        (C, N, D). Each chain carries the noise of its posterior sample; a mean carries what its
        chains share, but may lie between two ways to act.
    """
    count = len(chains)
    if count < _FIRST[0]:
        return torch.cat((chains, chains.mean(0, keepdim=True)))
    plans = [chains[:size].mean(0) for size in _FIRST if size <= count]
    for size, draws in _DRAWN.items():
        if size < count:
            for _ in range(draws):
                drawn = torch.randperm(count, generator=generator)[:size]
                plans.append(chains[drawn.to(chains.device)].mean(0))
    return torch.stack(plans)


@torch.no_grad()
def support(model: GacModel, plans: Tensor, windows: TrajectoryWindows) -> Tensor:
    """Mean log density of an action of the episodes under each plan, without constants, (C,).

    Args:
        model: the joint model.
        plans: z0 (C, N, D).
        windows: of the episodes to explain; B of them.
    """
    episodes = len(windows.lengths)

    def one(z: Tensor) -> Tensor:
        every = model.log_actions(z.expand(episodes, -1, -1), windows)
        return (every / windows.lengths).mean()

    return torch.stack([one(z) for z in model.plan(plans).split(1)])
