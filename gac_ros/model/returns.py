"""The return predictor p(y | z), the critic: an ensemble of MLPs, Gaussian in y."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gac_ros.model.config import ModelConfig


class ReturnPredictor(nn.Module):
    """Predicted standardised return of a plan, once per ensemble member."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.members = nn.ModuleList(
            nn.Sequential(
                nn.Linear(config.plan_size, config.return_hidden),
                nn.SiLU(),
                nn.Linear(config.return_hidden, config.return_hidden),
                nn.SiLU(),
                nn.Linear(config.return_hidden, 1),
            )
            for _ in range(config.return_heads)
        )

    def forward(self, z: Tensor) -> Tensor:
        """(B, N, D) -> (B, members)."""
        flat = z.flatten(1)
        return torch.cat([member(flat) for member in self.members], dim=-1)
