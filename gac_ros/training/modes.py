"""Plans of episodes without their chains' noise: the modes of the plans' posterior.

A chain is a sample of its episode's posterior. Acting on it, noise and all, some robots fall; the
mode is what the episode itself says. Exploitation starts at the mean of several (docs/method.md).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from gac_ros.model.adam import Adam
from gac_ros.model.gac import GacModel, TrajectoryWindows

# Step size of the climb (Adam, in units of z0), falling to zero over its steps.
_RATE = 0.1


def find_modes(
    model: GacModel,
    chains: Tensor,
    returns: Tensor,
    draw_windows: Callable[[], TrajectoryWindows],
    *,
    steps: int,
) -> Tensor:
    """Climb log p(tau, y, z0) of each episode in z0, from its chain.

    Each is a term of the mean in eq. 9' of docs/method.md.

    Args:
        model: the joint model.
        chains: z0 (B, N, D) of B episodes.
        returns: their standardised returns (B,).
        draw_windows: draws windows of the B episodes, anew for every step.
        steps: of the climb; with 0 the chains come back as they are.

    Returns:
        (B, N, D).
    """
    modes = chains.detach().clone().requires_grad_(True)
    adam = Adam(modes)
    for step in range(steps):
        joint = model.log_joint(modes, draw_windows(), returns)
        (gradient,) = torch.autograd.grad(-joint.total.sum(), modes)
        adam.step(gradient, _RATE * (1.0 - step / steps))
    return modes.detach()
