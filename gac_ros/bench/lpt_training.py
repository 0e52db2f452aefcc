"""LPT's training step as its paper describes it, to measure this package's trainer against.

Latent Plan Transformer, arXiv 2402.04647, algorithm 1: for every episode of a batch, some Langevin
steps on its plan with the likelihood of the whole trajectory, then a gradient step of the weights
with the plans held. Whole trajectories, padded to the longest of the batch; nothing clever.

The network is this package's own, so both steps have the same layers and sizes. In its favour,
padding is masked only in the loss: it stands behind all real steps, so that causal attention never
sees it and one mask serves the whole batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gac_ros.buffer.dataset import EpisodeBuffer
from gac_ros.embodiment import Embodiment
from gac_ros.model.gac import GacModel
from gac_ros.model.langevin import sample_langevin
from gac_ros.normalization import Normalizer
from gac_ros.training.config import TrainingConfig

LANGEVIN_STEPS = 3
CONTEXT = 64  # LPT's, on most tasks; its cost does not depend on it


@dataclass(frozen=True)
class Trajectories:
    """A batch of whole episodes, padded to L steps: (B, L, ...) and starts (B, O)."""

    observations: Tensor
    previous_actions: Tensor
    actions: Tensor
    steps: Tensor
    scored: Tensor
    starts: Tensor


class LptTrainer:
    """Model, chains and optimiser of LPT's rule.

    Args:
        buffer: labelled episodes of one embodiment.
        embodiment: the robot's contract.
        config: sizes and rates that both rules share; the model's context becomes LPT's.
        seed: of weights, chains, batches and noise.
        action_tokens: LPT's own layout, a token for each state and one for each action; without
            it, only states, as this package's models have them.
        device: where the model and the chains live; None is the CPU.
    """

    def __init__(
        self,
        buffer: EpisodeBuffer,
        embodiment: Embodiment,
        config: TrainingConfig,
        *,
        seed: int,
        action_tokens: bool,
        device: torch.device | None = None,
    ) -> None:
        self._config = config
        self._device = device or torch.device("cpu")
        normalizer = Normalizer.fit(buffer.episodes, embodiment.action_low, embodiment.action_high)
        self._episodes = buffer.normalized(normalizer)
        self._lengths = buffer.lengths
        self._returns = torch.from_numpy(self._episodes.returns.astype(np.float32)).to(self._device)
        self._rng = np.random.default_rng(seed)
        self._noise = torch.Generator().manual_seed(seed)
        layout = {"context": CONTEXT, "action_tokens": action_tokens}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.model = GacModel(config.model_for(embodiment).model_copy(update=layout))
        self.model.to(self._device)
        model = self.model.config
        shape = (len(buffer), model.plan_tokens, model.plan_token_size)
        self.chains = torch.randn(shape, generator=self._noise).to(self._device)
        self._optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )

    def step(self) -> None:
        """One iteration: Langevin passes over the whole trajectories, then a weights pass."""
        count = min(self._config.batch_episodes, len(self._lengths))
        indices = self._rng.choice(len(self._lengths), size=count, replace=False)
        rows = torch.from_numpy(indices).to(self._device)
        trajectories = self.trajectories(indices)
        y = self._returns[rows]

        def log_joint(z0: Tensor) -> Tensor:
            return self.model.log_prior(z0) + self.log_data(z0, trajectories, y)

        z0 = sample_langevin(
            log_joint,
            self.chains[rows],
            steps=LANGEVIN_STEPS,
            step_size=self._config.langevin_step_size,
            generator=self._noise,
        )
        self.chains[rows] = z0
        self._optimizer.zero_grad(set_to_none=True)
        loss = -self.log_data(z0, trajectories, y).mean() / float(self._lengths.mean())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self._config.gradient_clip)
        self._optimizer.step()

    def log_data(self, z0: Tensor, trajectories: Trajectories, y: Tensor) -> Tensor:
        """Log p(tau | z) + log p(y | z) for plans z0 (B, N, D) and returns y (B,): (B,)."""
        z = self.model.plan(z0)
        mean = self.model.generator(
            z,
            trajectories.observations,
            trajectories.previous_actions,
            trajectories.steps,
            torch.ones_like(trajectories.steps[:1], dtype=torch.bool),
        )
        error = (trajectories.actions - mean) / self.model.config.action_std
        log_actions = (-0.5 * error.square().sum(-1) * trajectories.scored).sum(-1)
        return log_actions + self.model.log_return(self.model.returns(z, trajectories.starts), y)

    def trajectories(self, indices: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Trajectories:
        """Whole episodes (B,), padded to the longest of them."""
        longest = int(self._lengths[indices].max())
        first = np.zeros((len(indices), 1), dtype=np.int64)
        whole = self._episodes.windows(indices, first, burn_in=0, length=longest)
        observations, actions, steps, scored = (
            torch.from_numpy(array[:, 0]).to(self._device)
            for array in (whole.observations, whole.actions, whole.steps, whole.scored)
        )
        previous = torch.zeros_like(actions)
        previous[:, 1:] = actions[:, :-1]
        return Trajectories(
            observations, previous, actions, steps, scored, starts=observations[:, 0]
        )
