"""The joint model p(z0) p(tau | z) p(y | z), z = U(z0), of Generative Actor Critic.

Source: arXiv 2512.21527. `log_joint` is the only likelihood: posterior sampling climbs it in z0,
learning climbs it in the weights.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gac_ros.model.config import ModelConfig
from gac_ros.model.generator import Generator
from gac_ros.model.prior import make_prior
from gac_ros.model.returns import ReturnPredictor


@dataclass(frozen=True)
class TrajectoryWindows:
    """W windows of L steps from each of B episodes, normalised.

    Attributes:
        observations: (B, W, L, O).
        previous_actions: the action before each step, (B, W, L, A); zero at the start.
        actions: (B, W, L, A).
        steps: index in the episode, (B, W, L).
        present: whether the step exists, (B, W, L).
        scored: whether the step counts in the likelihood, (B, W, L).
        starts: first observation of each episode, (B, O).
        lengths: steps of the whole episode that could be scored, (B,).
        burn_in: positions at the front of every window that are context only, never scored.
        to_go: standardised sum of the rewards from each window's first step behind `burn_in` on,
            (B, W); None where the critic is not taught by them.
    """

    observations: Tensor
    previous_actions: Tensor
    actions: Tensor
    steps: Tensor
    present: Tensor
    scored: Tensor
    starts: Tensor
    lengths: Tensor
    burn_in: int = 0
    to_go: Tensor | None = None


@dataclass(frozen=True)
class LogJoint:
    """Terms of log p(tau, y, z0), each (B,)."""

    prior: Tensor
    actions: Tensor
    returns: Tensor

    @property
    def total(self) -> Tensor:
        """Their sum, (B,)."""
        return self.prior + self.actions + self.returns


class GacModel(nn.Module):
    """Prior, actor and critic."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.prior = make_prior(config)
        self.generator = Generator(config)
        self.returns = ReturnPredictor(config)

    def plan(self, z0: Tensor) -> Tensor:
        """Z = U(z0): (B, N, D) -> (B, N, D) (eq. 2 of docs/method.md)."""
        return self.prior(z0)

    def log_prior(self, z0: Tensor) -> Tensor:
        """Log N(z0; 0, I) up to its constant, (B,)."""
        return -0.5 * z0.flatten(1).square().sum(-1)

    def log_return(self, members: Tensor, y: Tensor) -> Tensor:
        """Log p(y | z, s_1) up to its constant, averaged over the ensemble, (B,).

        The average of the members' log densities lets each member learn from every episode
        (eq. 4 of docs/method.md).

        Args:
            members: their predictions (B, members).
            y: standardised returns (B,).
        """
        error = (members - y[:, None]) / self.config.return_std
        return -0.5 * error.square().mean(-1)

    def log_actions(self, z: Tensor, windows: TrajectoryWindows) -> Tensor:
        """Estimate of log p(tau | z) of the whole episode from its windows, (B,).

        The mean log density (eq. 3 of docs/method.md) of the scored steps times the episode's
        length (eq. 8): unbiased when every step is equally likely to be scored.
        """
        batch, count, length = windows.steps.shape

        def flat(x: Tensor) -> Tensor:
            return x.reshape(batch * count, length, *x.shape[3:])

        mean = self.generator(
            z.repeat_interleave(count, dim=0),
            flat(windows.observations),
            flat(windows.previous_actions),
            flat(windows.steps),
            flat(windows.present),
            windows.burn_in,
        )
        error = (flat(windows.actions)[:, windows.burn_in :] - mean) / self.config.action_std
        per_step = -0.5 * error.square().sum(-1) * flat(windows.scored)[:, windows.burn_in :]
        # Not view(batch, -1): a process may have no episode of a batch.
        per_episode = per_step.view(batch, count, length - windows.burn_in).sum((1, 2))
        scored = windows.scored.sum((1, 2)).clamp(min=1)
        return per_episode * windows.lengths / scored

    def log_joint(self, z0: Tensor, windows: TrajectoryWindows, y: Tensor) -> LogJoint:
        """Terms of log p(tau, y, z0), each up to a constant.

        Args:
            z0: (B, N, D).
            windows: of the B episodes.
            y: standardised returns (B,).
        """
        z = self.plan(z0)
        log_return = self.log_return(self.returns(z, windows.starts), y)
        if windows.to_go is not None:
            log_return = log_return + self._log_returns_to_go(z, windows, windows.to_go)
        return LogJoint(self.log_prior(z0), self.log_actions(z, windows), log_return)

    def _log_returns_to_go(self, z: Tensor, windows: TrajectoryWindows, to_go: Tensor) -> Tensor:
        """Mean over the windows of log p(return-to-go | z, s_t, time left), (B,)."""
        count = to_go.shape[1]
        inside = windows.present[..., windows.burn_in :].int()
        first = windows.burn_in + inside.argmax(-1, keepdim=True)  # (B, W, 1)
        width = windows.observations.shape[-1]
        states = windows.observations.gather(2, first[..., None].expand(-1, -1, -1, width))
        steps = windows.steps.gather(2, first).flatten()
        left = 1.0 - steps.to(states.dtype) / self.config.episode_length
        every = self.log_return(
            self.returns(z.repeat_interleave(count, dim=0), states.flatten(0, 2), left),
            to_go.flatten(),
        )
        return every.view(-1, count).mean(1)

    def predicted_return(self, z: Tensor, starts: Tensor) -> tuple[Tensor, Tensor]:
        """Standardised return of plans (B, N, D), averaged over starts (S, O).

        The value of a plan, eq. 5 of docs/method.md.

        Returns:
            Mean and spread over the ensemble, each (B,).
        """
        members = self.returns.over_starts(z, starts)
        if members.shape[1] == 1:
            return members[:, 0], torch.zeros_like(members[:, 0])
        return members.mean(-1), members.std(-1)

    @property
    def shell_radius(self) -> float:
        """sqrt(n): where the mass of an n-dimensional standard normal lies."""
        return math.sqrt(self.config.plan_size)
