"""Climbing in z0 by Adam (arXiv 1412.6980)."""

from __future__ import annotations

import torch
from torch import Tensor

_FIRST_DECAY, _SECOND_DECAY, _EPSILON = 0.9, 0.999, 1e-8


class Adam:
    """Minimises in one tensor, which it writes in place; the numbers of `torch.optim.Adam`.

    PyTorch's own optimisers load its compiler when first used, a second and 70 MB for which every
    controller would wait at its start.

    Args:
        state: of any shape; the steps are written into it.
    """

    def __init__(self, state: Tensor) -> None:
        self._state = state
        self._mean = torch.zeros_like(state, requires_grad=False)
        self._square = torch.zeros_like(state, requires_grad=False)
        self._steps = 0

    @torch.no_grad()
    def step(self, gradient: Tensor, rate: float) -> None:
        """Go one step down a gradient of the state's shape; `rate` is in units of the state."""
        self._steps += 1
        self._mean.lerp_(gradient, 1.0 - _FIRST_DECAY)
        self._square.mul_(_SECOND_DECAY).addcmul_(gradient, gradient, value=1.0 - _SECOND_DECAY)
        first = 1.0 - _FIRST_DECAY**self._steps
        second = 1.0 - _SECOND_DECAY**self._steps
        scale = (self._square.sqrt() / second**0.5).add_(_EPSILON)
        self._state.addcdiv_(self._mean, scale, value=-rate / first)
