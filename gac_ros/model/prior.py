"""The prior p(z): a neural transform U of Gaussian noise z0 (LPT, arXiv 2402.04647, section 3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gac_ros.model.config import ModelConfig


class ResidualBlock(nn.Module):
    """x + MLP(norm(x)); the last layer starts at zero, so that U starts as the identity."""

    def __init__(self, size: int, hidden: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.LayerNorm(size), nn.Linear(size, hidden), nn.SiLU(), nn.Linear(hidden, size)
        )
        nn.init.zeros_(self.net[-1].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.net[-1].bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """(..., size) -> (..., size)."""
        return x + self.net(x)


class MLPTransform(nn.Module):
    """Residual MLP over the flattened plan."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            *(
                ResidualBlock(config.plan_size, config.prior_hidden)
                for _ in range(config.prior_blocks)
            )
        )

    def forward(self, z0: Tensor) -> Tensor:
        """(B, N, D) -> (B, N, D)."""
        return self.blocks(z0.flatten(1)).view_as(z0)


class _ConvBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.GroupNorm(1, inputs),
            nn.SiLU(),
            nn.Conv1d(inputs, outputs, 3, padding=1),
            nn.GroupNorm(1, outputs),
            nn.SiLU(),
            nn.Conv1d(outputs, outputs, 3, padding=1),
        )
        self.skip = nn.Conv1d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.skip(x) + self.net(x)


class UNetTransform(nn.Module):
    """1-D U-Net over the plan's tokens, as LPT has it: one level down, one up, one skip."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        if config.plan_tokens % 2:
            raise ValueError("the U-Net prior needs an even number of plan tokens")
        base = config.prior_hidden
        self.enter = nn.Conv1d(config.plan_token_size, base, 3, padding=1)
        self.down = _ConvBlock(base, base)
        self.pool = nn.Conv1d(base, 2 * base, 2, stride=2)
        self.middle = _ConvBlock(2 * base, 2 * base)
        self.grow = nn.ConvTranspose1d(2 * base, base, 2, stride=2)
        self.up = _ConvBlock(2 * base, base)
        self.leave = nn.Conv1d(base, config.plan_token_size, 3, padding=1)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)  # type: ignore[arg-type]

    def forward(self, z0: Tensor) -> Tensor:
        """(B, N, D) -> (B, N, D)."""
        tokens = z0.transpose(1, 2)  # (B, D, N): tokens are the positions
        fine = self.down(self.enter(tokens))
        coarse = self.grow(self.middle(self.pool(fine)))
        return z0 + self.leave(self.up(torch.cat((fine, coarse), dim=1))).transpose(1, 2)


def make_prior(config: ModelConfig) -> nn.Module:
    """The transform U that the configuration names: (B, N, D) -> (B, N, D)."""
    return MLPTransform(config) if config.prior == "mlp" else UNetTransform(config)
