"""Unadjusted Langevin sampling."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def langevin_move(state: Tensor, gradient: Tensor, step_size: float, noise: Tensor) -> Tensor:
    """One move z + s^2 / 2 * grad log p(z) + s * noise; all of one shape.

    The convention of LPT's code (arXiv 2402.04647): the paper's step is s^2 / 2 (eq. 7 of
    docs/method.md).
    """
    return state + 0.5 * step_size**2 * gradient + step_size * noise


def standard_normal(like: Tensor, generator: torch.Generator, *, count: int) -> Tensor:
    """Noise (count, ...) of the other dimensions, the dtype and the device of `like`.

    Drawn where the generator is, so that every device sees the same numbers.
    """
    shape = (count, *like.shape[1:])
    noise = torch.randn(shape, generator=generator, device=generator.device, dtype=like.dtype)
    return noise.to(like.device)


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
        noise = standard_normal(state, generator, count=len(state))
        state = langevin_move(state.detach(), gradient, step_size, noise)
    return state
