"""The prior p(z): a neural transform U of Gaussian noise z0 (LPT, arXiv 2402.04647, section 3)."""

from __future__ import annotations

from collections.abc import Callable

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


class AffineCoupling(nn.Module):
    """One half of the numbers is scaled and shifted by what the other half says.

    Source: Real NVP (arXiv 1605.08803, equation 4). The scale's logarithm is bounded by a tanh;
    the last layer starts at zero, so that the transform starts as the identity.

    Args:
        size: n, numbers of a plan.
        hidden: width of the network.
        first: whether the first half is transformed, or the second.
    """

    def __init__(self, size: int, hidden: int, *, first: bool) -> None:
        super().__init__()
        self._moved = slice(0, size // 2) if first else slice(size // 2, size)
        self._kept = slice(size // 2, size) if first else slice(0, size // 2)
        moved, kept = len(range(size)[self._moved]), len(range(size)[self._kept])
        self.net = nn.Sequential(
            nn.Linear(kept, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU()
        )
        self.scale = nn.Linear(hidden, moved)
        self.shift = nn.Linear(hidden, moved)
        for layer in (self.scale, self.shift):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, n) -> (B, n)."""
        features = self.net(x[:, self._kept])
        y = x.clone()
        moved = x[:, self._moved]
        y[:, self._moved] = moved * torch.tanh(self.scale(features)).exp() + self.shift(features)
        return y

    def inverse(self, y: Tensor) -> Tensor:
        """Inverse of `forward`, (B, n) -> (B, n)."""
        features = self.net(y[:, self._kept])
        x = y.clone()
        shifted = y[:, self._moved] - self.shift(features)
        x[:, self._moved] = shifted * (-torch.tanh(self.scale(features))).exp()
        return x


class FlowTransform(nn.Module):
    """Normalising flow over the flattened plan: U can be inverted, so that z has a density."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.couplings = nn.ModuleList(
            AffineCoupling(config.plan_size, config.prior_hidden, first=index % 2 == 1)
            # Two make a block, so that each half is transformed as often as the other.
            for index in range(2 * config.prior_blocks)
        )

    def forward(self, z0: Tensor) -> Tensor:
        """(B, N, D) -> (B, N, D)."""
        x = z0.flatten(1)
        for coupling in self.couplings:
            x = coupling(x)
        return x.view_as(z0)

    def inverse(self, z: Tensor) -> Tensor:
        """Inverse of `forward`, (B, N, D) -> (B, N, D)."""
        x = z.flatten(1)
        for coupling in reversed(self.couplings):
            assert isinstance(coupling, AffineCoupling)
            x = coupling.inverse(x)
        return x.view_as(z)


_TRANSFORMS: dict[str, Callable[[ModelConfig], nn.Module]] = {
    "mlp": MLPTransform,
    "unet": UNetTransform,
    "flow": FlowTransform,
}


def make_prior(config: ModelConfig) -> nn.Module:
    """The transform U that the configuration names: (B, N, D) -> (B, N, D)."""
    return _TRANSFORMS[config.prior](config)
