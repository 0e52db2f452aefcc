"""The learning rule: persistent short-run Langevin chains and one gradient step an iteration.

Source: the gradient of log p(tau, y) is the posterior expectation, over p(z0 | tau, y), of the
gradient of log p(tau | z) + log p(y | z) (LPT, arXiv 2402.04647, eq. 8). Each episode has one chain
that moves a few Langevin steps whenever the episode is drawn and is kept in between.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gac_ros import __version__
from gac_ros.buffer.arrays import Windows
from gac_ros.buffer.dataset import EpisodeBuffer, stratified_starts
from gac_ros.checkpoint import Checkpoint, Lineage, encode_json
from gac_ros.embodiment import Embodiment
from gac_ros.errors import ConfigurationError
from gac_ros.model.gac import GacModel, LogJoint, TrajectoryWindows
from gac_ros.model.langevin import langevin_move, standard_normal
from gac_ros.normalization import Normalizer
from gac_ros.planning import PlannerConfig
from gac_ros.training.config import TrainingConfig
from gac_ros.training.likelihood import make_likelihood
from gac_ros.training.modes import find_modes
from gac_ros.training.peers import Peers

# Behaviour cloning knows one plan, zero; there is nothing to optimise.
_NO_PLAN = PlannerConfig(start="mode", candidates=1, exploit_steps=0)


@dataclass(frozen=True)
class StepReport:
    """Figures of one iteration, means over the batch.

    Attributes:
        iteration: number of the iteration, from 1.
        log_actions: log p(tau | z) per step, without constants.
        log_return: log p(y | z), without constants.
        plan_norm: |z0|; sqrt(n) is where the prior's mass lies.
        gradient_norm: before clipping.
        learning_rate: of this iteration.
    """

    iteration: int
    log_actions: float
    log_return: float
    plan_norm: float
    gradient_norm: float
    learning_rate: float


@dataclass(frozen=True)
class PlanUsage:
    """Root mean squared action error (normalised units) with three kinds of plan.

    A decoder that ignores the plan has three equal numbers.
    """

    own: float
    other: float
    prior: float


class Trainer:
    """Owns the model, the chains, the optimiser and every random state of one training.

    Args:
        buffer: labelled episodes of one embodiment.
        embodiment: the robot's contract.
        config: settings.
        seed: of the weights, the chains, the batches and the noise.
        device: where the model lives.
        parent: a checkpoint to continue (fine-tuning): its weights and its normaliser are kept.
        parent_chains: its chains by episode id; episodes it knows go on from there.
        emphasis: (N,) factor on each episode's chance of being drawn; None is 1 for all.
        peers: processes that train together, each with a trainer of equal arguments.

    Attributes:
        chains: z0 of every episode (N, n, D). With peers, those of the others' episodes are old
            until `gather_chains`.

    Raises:
        ConfigurationError: no usable episode, or compiling in several processes.
        EmbodimentError: the parent does not fit the robot.
    """

    def __init__(
        self,
        buffer: EpisodeBuffer,
        embodiment: Embodiment,
        config: TrainingConfig,
        *,
        seed: int,
        device: torch.device | None = None,
        parent: Checkpoint | None = None,
        parent_chains: dict[str, Tensor] | None = None,
        emphasis: NDArray[np.float64] | None = None,
        peers: Peers | None = None,
    ) -> None:
        self.config = config
        self.embodiment = embodiment
        self.seed = seed
        self.iteration = 0
        self.device = device or torch.device("cpu")
        self.peers = peers or Peers()
        if config.compile and self.peers.count > 1:
            raise ConfigurationError(
                "several processes cannot compile, as their shares of a batch vary; set "
                "compile: false or train in one process"
            )
        self._parent = parent
        self._buffer = buffer
        self._rng = np.random.default_rng(seed)
        self._noise = torch.Generator(device="cpu").manual_seed(seed)
        returns = np.array(buffer.returns, dtype=np.float64)
        if len(returns) == 0 or np.isnan(returns).any():
            missing = int(np.isnan(returns).sum())
            raise ConfigurationError(
                f"{missing} of {len(returns)} episodes have no return; label or remove them, or "
                "give the robot whose embodiment scores them"
            )
        if parent is None:
            self.normalizer = Normalizer.fit(
                [buffer[i] for i in range(len(buffer))],
                embodiment.action_low,
                embodiment.action_high,
            )
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                self.model = GacModel(config.model_for(embodiment))
        else:
            parent.require_embodiment(embodiment)
            self.normalizer = parent.normalizer
            self.model = GacModel(parent.model.config)
            self.model.load_state_dict(parent.model.state_dict())
        self.model.to(self.device).train().requires_grad_(True)
        self._likelihood = make_likelihood(
            self.model, bfloat16=config.bfloat16, compiled=config.compile
        )
        self._episodes = buffer.normalized(self.normalizer)
        self._returns = torch.tensor(
            self.normalizer.normalize_return(returns), dtype=torch.float32, device=self.device
        )
        self._starts = torch.from_numpy(self._episodes.first_observations).to(self.device)
        self._to_go = self._standardized_to_go() if config.step_rewards else None
        self._weights = _return_weights(returns, config.return_power)
        self._emphasis = np.ones(len(returns)) if emphasis is None else emphasis
        self._lengths = np.array(buffer.lengths)
        model = self.model.config
        shape = (len(buffer), model.plan_tokens, model.plan_token_size)
        self.chains = torch.randn(shape, generator=self._noise)
        for index, episode_id in enumerate(buffer.ids):
            if parent_chains and episode_id in parent_chains:
                self.chains[index] = parent_chains[episode_id]
        if config.method == "behaviour_cloning":
            self.chains.zero_()
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )

    def step(self) -> StepReport:
        """One iteration: move the chains of a batch, then the weights."""
        indices = self._choose_episodes()
        own = self.peers.own(indices)
        rows = torch.from_numpy(indices[own])
        z0 = self.chains[rows].to(self.device)
        y = self._returns[rows.to(self.device)]
        for _ in range(self.config.langevin_steps - 1 if self._samples_plans else 0):
            z0.requires_grad_(True)
            joint = self._likelihood(z0, self._draw_windows(indices, own), y)
            (gradient,) = torch.autograd.grad(joint.total.sum(), z0)
            z0 = self._move(z0.detach(), gradient, indices, own)
        # The last pass serves both: its gradient moves the chains and the weights.
        z0.requires_grad_(True)
        joint = self._likelihood(z0, self._draw_windows(indices, own), y)
        scale = float(self._lengths.mean()) * len(indices)
        self.optimizer.zero_grad(set_to_none=True)
        (-self._objective(joint).sum() / scale).backward()
        assert z0.grad is not None
        if self._samples_plans:
            self.chains[rows] = self._move(z0.detach(), -z0.grad * scale, indices, own).cpu()
        steps = torch.as_tensor(self._lengths[indices[own]], device=self.device)
        figures = torch.stack(
            (
                (joint.actions.detach() / steps).sum(),
                joint.returns.detach().sum(),
                self.chains[rows].flatten(1).norm(dim=-1).sum().to(self.device),
            )
        )
        log_actions, log_return, plan_norm = (self._sum_over_peers(figures) / len(indices)).tolist()
        gradient_norm = self._update_weights()
        self.iteration += 1
        return StepReport(
            iteration=self.iteration,
            log_actions=log_actions,
            log_return=log_return,
            plan_norm=plan_norm,
            gradient_norm=gradient_norm,
            learning_rate=self.optimizer.param_groups[0]["lr"],
        )

    def gather_chains(self) -> None:
        """Fetch the chains of the other processes' episodes; every process must take part."""
        if self.peers.count > 1:
            own = torch.zeros_like(self.chains)
            rows = torch.from_numpy(self.peers.own(np.arange(len(own))))
            own[rows] = self.chains[rows]
            self.chains = self.peers.total(own)

    def _sum_over_peers(self, figures: Tensor) -> Tensor:
        """Sum the weights' gradients, in place, and `figures` over the processes at once."""
        if self.peers.count == 1:
            return figures
        parameters = list(self.model.parameters())
        # With no episode of the batch, a process may have gradients of fewer weights than others;
        # weights that none has a gradient of stay without.
        known = torch.tensor([float(p.grad is not None) for p in parameters], device=self.device)
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        message = torch.cat([*(gradient.flatten() for gradient in gradients), known, figures])
        *sums, known, figures = self.peers.total(message).split(
            [*(gradient.numel() for gradient in gradients), len(known), len(figures)]
        )
        for parameter, total, count in zip(parameters, sums, known.tolist(), strict=True):
            parameter.grad = total.view_as(parameter).clone() if count else None
        return figures

    @property
    def _samples_plans(self) -> bool:
        return self.config.method == "gac"

    def _objective(self, joint: LogJoint) -> Tensor:
        """What is climbed: the whole joint, or only the actions in behaviour cloning."""
        return joint.total if self._samples_plans else joint.actions

    def _move(
        self,
        z0: Tensor,
        gradient: Tensor,
        indices: NDArray[np.int64],
        own: NDArray[np.int64],
    ) -> Tensor:
        # As with windows, drawn for the whole batch.
        noise = standard_normal(z0, self._noise, count=len(indices))[own]
        noise *= math.sqrt(self.config.langevin_temperature)
        return langevin_move(z0, gradient, self.config.langevin_step_size, noise)

    def _update_weights(self) -> float:
        learning_rate = self._learning_rate()
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.gradient_clip)
        if self.iteration >= self.config.chain_warmup:
            self.optimizer.step()
        return float(norm)

    def _learning_rate(self) -> float:
        """Linear warm-up, then a cosine to zero at the last iteration."""
        config = self.config
        warm = min(1.0, (self.iteration + 1) / max(1, config.learning_rate_warmup))
        phase = min(1.0, self.iteration / config.iterations)
        return config.learning_rate * warm * 0.5 * (1.0 + math.cos(math.pi * phase))

    def _choose_episodes(self) -> NDArray[np.int64]:
        """Episodes of a batch, (B,); without repetition where the buffer is large enough."""
        count = min(self.config.batch_episodes, len(self._lengths))
        share = self.config.return_weighting
        uniform = np.full(len(self._lengths), 1.0 / len(self._lengths))
        probabilities = ((1.0 - share) * uniform + share * self._weights) * self._emphasis
        probabilities /= probabilities.sum()
        return self._rng.choice(len(uniform), size=count, replace=False, p=probabilities)

    def _draw_windows(
        self,
        indices: NDArray[np.int64],
        own: NDArray[np.int64] | None = None,
        *,
        count: int | None = None,
    ) -> TrajectoryWindows:
        """Windows of a batch (B,), or only of those at the positions `own`.

        They are drawn for the whole batch in any case, so that the processes' generators stay in
        step. `count` windows an episode; None as many as the configuration says.
        """
        config = self.config
        starts = self._window_starts(indices, count or config.windows)
        windows = self._episodes.windows(
            indices, starts, burn_in=self.model.config.burn_in, length=config.window_length
        )
        steps, present = windows.steps, windows.present
        if config.time_shift > 0.0:
            steps = self._shift_time(steps)
            # What was before the shifted start did not happen.
            present = present & (steps >= 0)
        previous = np.zeros_like(windows.actions)
        previous[:, :, 1:] = windows.actions[:, :, :-1]
        previous[steps == 0] = 0.0

        def tensor(array: NDArray[Any]) -> Tensor:
            share = array if own is None else array[own]
            return torch.from_numpy(share).to(self.device)

        return TrajectoryWindows(
            observations=tensor(windows.observations),
            previous_actions=tensor(previous),
            actions=tensor(windows.actions),
            steps=tensor(steps),
            present=tensor(present),
            scored=tensor(windows.scored),
            starts=self._starts[tensor(indices)],
            lengths=tensor(self._lengths[indices].astype(np.float32)),
            burn_in=self.model.config.burn_in,
            to_go=None if self._to_go is None else tensor(self._to_go_of(indices, windows)),
        )

    def _window_starts(self, indices: NDArray[np.int64], count: int) -> NDArray[np.int64]:
        """First scored step of each window, (B, count)."""
        return stratified_starts(
            self._lengths[indices], count, self.config.window_length, self._rng
        )

    def _standardized_to_go(self) -> list[NDArray[np.float32]]:
        """Of each episode, the standardised sum of the rewards from every step on, (T,).

        Raises:
            ConfigurationError: an episode's rewards are not all known.
        """
        sums = []
        for index, episode_id in enumerate(self._buffer.ids):
            rewards = self._buffer[index].rewards
            if not np.isclose(rewards.sum(), self._buffer.returns[index], rtol=1e-6, atol=1e-6):
                raise ConfigurationError(
                    f"the rewards of {episode_id} do not add up to its return; train without "
                    "step_rewards"
                )
            to_go = np.cumsum(rewards[::-1])[::-1]
            sums.append(np.asarray(self.normalizer.normalize_return(to_go), dtype=np.float32))
        return sums

    def _to_go_of(self, indices: NDArray[np.int64], windows: Windows) -> NDArray[np.float32]:
        """Return-to-go at each window's first step behind its context, (B, W)."""
        assert self._to_go is not None
        context = self.model.config.burn_in
        first = context + windows.present[..., context:].argmax(-1)[..., None]
        steps = np.take_along_axis(windows.steps, first, axis=-1)[..., 0]
        rows = [self._to_go[i][row] for i, row in zip(indices, steps, strict=True)]
        return np.stack(rows)

    def _shift_time(self, steps: NDArray[np.int64]) -> NDArray[np.int64]:
        """Some windows as if the episode had begun later, at the latest with their scored part."""
        first_scored = steps[:, :, -self.config.window_length].clip(min=0)
        shift = (self._rng.random(first_scored.shape) * (first_scored + 1)).astype(np.int64)
        shift[self._rng.random(shift.shape) >= self.config.time_shift] = 0
        return steps - shift[:, :, None]

    @property
    def data_digest(self) -> str:
        """Digest of the episodes."""
        return self._buffer.digest

    @property
    def bags(self) -> tuple[Path, ...]:
        """The bags that the episodes come from."""
        return self._buffer.bags

    @cached_property
    def episode_list(self) -> list[dict[str, Any]]:
        """Id, digest of the content, and return of every episode, plain data."""
        return [
            {"id": name, "sha256": episode.content_digest(), "return": episode.episode_return}
            for name, episode in zip(self._buffer.ids, self._buffer, strict=True)
        ]

    @property
    def episode_ids(self) -> tuple[str, ...]:
        """Ids of the episodes, in the order of the chains."""
        return tuple(self._buffer.ids)

    def noise_state(self) -> Tensor:
        """State of the Langevin noise, uint8."""
        return self._noise.get_state()

    def batch_random_state(self) -> dict[str, Any]:
        """State of the generator of batches and windows, plain data."""
        return dict(self._rng.bit_generator.state)

    def set_random_states(self, batches: dict[str, Any], noise: Tensor) -> None:
        """Inverse of `batch_random_state` and `noise_state`."""
        self._rng.bit_generator.state = batches
        self._noise.set_state(noise)

    @torch.no_grad()
    def plan_usage(self, *, episodes: int = 64) -> PlanUsage:
        """Whether the decoder uses the plan, on a batch of the data.

        Draws from random states of its own, so that asking changes nothing.
        """
        rng, self._rng = self._rng, np.random.default_rng(self.seed + 1)
        try:
            indices = self._rng.permutation(len(self._lengths))[:episodes]
            windows = self._draw_windows(indices)
            noise = torch.Generator(device="cpu").manual_seed(self.seed + 1)
            own = self.chains[torch.from_numpy(indices)].to(self.device)
            prior = torch.randn(own.shape, generator=noise).to(self.device)
        finally:
            self._rng = rng

        def error(z0: Tensor) -> float:
            log_density = self.model.log_actions(self.model.plan(z0), windows) / windows.lengths
            variance = -2.0 * log_density.mean() * self.model.config.action_std**2
            return math.sqrt(float(variance) / self.model.config.action_size)

        return PlanUsage(own=error(own), other=error(own.roll(1, dims=0)), prior=error(prior))

    def checkpoint(self) -> Checkpoint:
        """What the trainer has learned so far, ready to save or to act."""
        some = np.random.default_rng(self.seed).permutation(len(self._lengths))
        starts = self._starts[torch.from_numpy(some[: self.config.planning_starts])]
        best_plans = self._best_plans(starts)
        model = GacModel(self.model.config).to(self.device)
        model.load_state_dict(self.model.state_dict())
        return Checkpoint(
            model=model.eval().requires_grad_(False),
            normalizer=self.normalizer,
            embodiment=self.embodiment,
            planner=self.config.planner if self._samples_plans else _NO_PLAN,
            best_plans=best_plans,
            starts=starts,
            lineage=Lineage(
                method=self.config.method,
                parent=self._parent.digest if self._parent else None,
                data_digest=self._buffer.digest,
                episodes=len(self._buffer),
                iterations=self.iteration,
                seed=self.seed,
                package_version=__version__,
                config=self.config.model_dump(mode="json"),
                episodes_sha256=hashlib.sha256(encode_json(self.episode_list)).hexdigest(),
            ),
        )

    def _best_plans(self, starts: Tensor) -> Tensor:
        """Plans for the planner, best first: modes of the episodes of the highest value.

        The first of them are averaged by eq. 9' of docs/method.md.
        """

        # By the critic's mean over starts, not by the episodes' own returns, which owe a part to
        # where they began.
        @torch.no_grad()
        def best_first(z0: Tensor) -> Tensor:
            value, _ = self.model.predicted_return(self.model.plan(z0), starts)
            return value.argsort(descending=True, stable=True)

        rows = best_first(self.chains.to(self.device))[: self.config.best_plans]
        if not self._samples_plans:
            return self.chains.to(self.device)[rows]
        modes = self._modes(rows.cpu().numpy())
        return modes[best_first(modes)]

    def _modes(self, rows: NDArray[np.int64]) -> Tensor:
        """Modes (K, N, D) of the posteriors of these episodes (K,), in their order."""
        index = torch.from_numpy(rows)
        # Random states of its own, so that saving changes nothing.
        rng, self._rng = self._rng, np.random.default_rng(self.seed + 2)
        try:
            return find_modes(
                self.model,
                self.chains[index].to(self.device),
                self._returns[index.to(self.device)],
                lambda: self._draw_windows(rows),
                steps=self.config.mode_steps,
            )
        finally:
            self._rng = rng


def _return_weights(returns: NDArray[np.float64], power: float) -> NDArray[np.float64]:
    """Probabilities by a power of the return above the worst; uniform if all are equal."""
    above = returns - returns.min()
    if above.max() <= 0.0:
        return np.full(len(returns), 1.0 / len(returns))
    weights = (above / above.max()) ** power
    return weights / weights.sum()
