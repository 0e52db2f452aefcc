"""Unadjusted Langevin sampling."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def langevin_move(
    state: Tensor, gradient: Tensor, step_size: float, generator: torch.Generator
) -> Tensor:
    """One move z + s^2 / 2 * grad log p(z) + s * noise.

    The convention of LPT's code (arXiv 2402.04647): the paper's step is s^2 / 2.
    """
    noise = torch.randn(
        state.shape, generator=generator, device=generator.device, dtype=state.dtype
    ).to(state.device)
    return state + 0.5 * step_size**2 * gradient + step_size * noise


def sample_langevin(
    log_density: Callable[[Tensor], Tensor],
    start: Tensor,
    *,
    steps: int,
    step_size: float,
    generator: torch.Generator,
) -> Tensor:
    """Move chains (B, ...) for `steps` moves on a log density (B, ...) -> (B,).

    Returns detached states of the shape of `start`.
    """
    state = start.detach()
    for _ in range(steps):
        state.requires_grad_(True)
        (gradient,) = torch.autograd.grad(log_density(state).sum(), state)
        state = langevin_move(state.detach(), gradient, step_size, generator)
    return state
