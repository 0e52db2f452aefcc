"""The return predictor, the critic: an ensemble of MLPs, Gaussian in y.

The paper has p(y | z). Where an episode starts changes its return too, and a critic that does not
know the start takes luck for merit: the plan of an episode that began at the goal (stand still)
looks best. So the critic is p(y | z, s_1), and the value of a plan is its mean over the starts of
the data, which again depends on z alone.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gac_ros.model.config import ModelConfig


class ReturnPredictor(nn.Module):
    """Predicted standardised return of a plan from a start, once per ensemble member."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self._sees_start = config.return_sees_start
        self._sees_time = config.return_sees_time
        inputs = config.plan_size + (config.observation_size if self._sees_start else 0)
        inputs += int(self._sees_time)
        self.members = nn.ModuleList(
            nn.Sequential(
                nn.Linear(inputs, config.return_hidden),
                nn.SiLU(),
                nn.Linear(config.return_hidden, config.return_hidden),
                nn.SiLU(),
                nn.Linear(config.return_hidden, 1),
            )
            for _ in range(config.return_heads)
        )

    def forward(self, z: Tensor, starts: Tensor, left: Tensor | None = None) -> Tensor:
        """Returns from a state to the end of the episode.

        Args:
            z: plans (B, N, D).
            starts: normalised observations (B, O): the first ones, or those of a later step.
            left: share of a full episode that is left, (B,), where the critic sees the time; None
                is all of it.

        Returns:
            (B, members), standardised.
        """
        inputs = z.flatten(1)
        if self._sees_start:
            inputs = torch.cat((inputs, starts), dim=-1)
        if self._sees_time:
            left = torch.ones_like(inputs[:, 0]) if left is None else left
            inputs = torch.cat((inputs, left[:, None]), dim=-1)
        return torch.cat([member(inputs) for member in self.members], dim=-1)

    def over_starts(self, z: Tensor, starts: Tensor) -> Tensor:
        """Mean over starts (S, O) of the return of plans (B, N, D): (B, members)."""
        if not self._sees_start:
            return self(z, starts)
        plans, count = z.shape[0], starts.shape[0]
        every = self(z.repeat_interleave(count, dim=0), starts.repeat(plans, 1))
        return every.view(plans, count, -1).mean(1)
