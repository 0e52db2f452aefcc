"""Policy improvement as inference on the learned model: exploit, explore, and LPT's sampling.

Sources: Generative Actor Critic (arXiv 2512.21527) for exploit and explore; Latent Plan
Transformer (arXiv 2402.04647) for posterior sampling with a guidance weight.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from gac_ros.errors import ConfigurationError, EpisodeError
from gac_ros.exploration import Bursts
from gac_ros.model.adam import Adam
from gac_ros.model.gac import GacModel
from gac_ros.model.langevin import sample_langevin
from gac_ros.normalization import Normalizer

Mode = Literal["exploit", "explore", "posterior"]
MODES: tuple[Mode, ...] = ("exploit", "explore", "posterior")

# The longest burst is this part of an episode.
_LONGEST_BURST = 5


class PlannerConfig(BaseModel):
    """How plans are found.

    Attributes:
        candidates: plans that exploitation climbs side by side when it starts from `best` or
            `prior`; the best one is used.
        start: where exploitation starts: `consensus` (the mean of the first of the best plans),
            `best` (the best plans one by one), `prior` samples, or the prior's `mode` (z0 = 0).
        consensus_size: plans in that mean.
        exploit_steps: ascent steps of exploitation.
        exploit_rate: its step size (Adam, in units of z0).
        exploit_promise: how high exploitation climbs from a consensus. `known`: to where a plan
            promises as much as those that it is the mean of do on average; a higher promise is the
            critic's optimism, and a lower one says that the mean lies between ways to act. None,
            and from other starts: as high as trust and shell let it.
        trust_weight: penalty on the squared distance from the start of the climb, in standard
            deviations of the return. The critic is right near plans that the data support.
        shell_weight: penalty on the squared part of |z0| beyond sqrt(n), outside of which the
            prior has no mass.
        langevin_steps: moves of explore and posterior sampling.
        langevin_step_size: their step (convention of `langevin_move`).
        explore_increment: delta-y of exploration in standard deviations of the data's returns:
            the target is the best return of the data plus this.
        explore_target: the target itself, in units of the return; None takes the increment.
        explore_raise: delta-y in units of the return. With it the sampling starts at a plan that
            is known, and its target is that plan's value plus this, at most `explore_target`:
            y+ = y + delta-y of an experience. None starts every sampling at the prior, from where
            a short run seldom finds the few plans that are good. Online learning sets both.
        explore_known_share: with `explore_raise`, the share of plans that start at one of the best
            plans: half of them at the first, a quarter at the second, and so on; the others
            start at the prior.
        explore_bursts: chance of each step of such a plan that starts at the prior to begin a
            burst of one random action; see `Bursts`.
        explore_known_bursts: likewise of one that starts at a known plan and is interrupted.
        explore_interrupted_share: share of those.
        explore_rest_share: share of all such plans that end at a random step, from which on the
            robot is let go.
        posterior_weight: w of LPT's p(z0) p(y | z)^w.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    candidates: int = Field(default=32, gt=0)
    start: Literal["consensus", "best", "prior", "mode"] = "consensus"
    consensus_size: int = Field(default=12, gt=0)
    exploit_steps: int = Field(default=50, ge=0)
    exploit_rate: float = Field(default=0.02, gt=0.0)
    exploit_promise: Literal["known"] | None = "known"
    trust_weight: float = Field(default=1.0, ge=0.0)
    shell_weight: float = Field(default=10.0, ge=0.0)
    langevin_steps: int = Field(default=100, gt=0)
    langevin_step_size: float = Field(default=0.1, gt=0.0)
    explore_increment: float = Field(default=0.5, ge=0.0)
    explore_target: float | None = None
    explore_raise: float | None = Field(default=None, ge=0.0)
    explore_known_share: float = Field(default=0.5, ge=0.0, le=1.0)
    explore_bursts: float = Field(default=0.0, ge=0.0, le=1.0)
    explore_known_bursts: float = Field(default=0.0, ge=0.0, le=1.0)
    explore_interrupted_share: float = Field(default=0.5, ge=0.0, le=1.0)
    explore_rest_share: float = Field(default=0.0, ge=0.0, le=1.0)
    posterior_weight: float = Field(default=1.0, gt=0.0)


@dataclass(frozen=True)
class Plan:
    """An immutable plan for one episode.

    Attributes:
        z0: (N, D) float32.
        z: U(z0), (N, D) float32.
        mode: how it was found.
        predicted_return: the ensemble's mean, in units of the return.
        predicted_return_std: the ensemble's spread.
        target_return: the return asked for; None when exploiting.
        bursts: random actions that interrupt the plan; None without.
        step: the first step of the episode that follows it; above 0 when it was made anew.
        from_known: whether its sampling started at a known plan; None where there was no choice.
    """

    z0: NDArray[np.float32]
    z: NDArray[np.float32]
    mode: Mode
    predicted_return: float
    predicted_return_std: float
    target_return: float | None = None
    bursts: Bursts | None = None
    step: int = 0
    from_known: bool | None = None

    def to_json(self) -> str:
        """JSON that keeps every digit of z0 and z."""
        content = asdict(self)
        content["z0"], content["z"] = self.z0.tolist(), self.z.tolist()
        return json.dumps(content)

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Plan:
        """Inverse of `to_json` after parsing.

        Raises:
            EpisodeError: a key is missing.
        """
        try:
            arrays = {key: np.array(content[key], dtype=np.float32) for key in ("z0", "z")}
            bursts = content.get("bursts")
            if bursts is not None:
                bursts = Bursts(**bursts)
            return cls(**{**content, **arrays, "bursts": bursts})
        except (KeyError, TypeError, ValueError) as error:
            raise EpisodeError(f"the recorded plan cannot be read ({error})") from error


class Planner:
    """Finds plans with a trained model. It holds no state between calls.

    Args:
        model: trained, in evaluation mode.
        normalizer: of the model's data.
        best_plans: z0 (M, N, D) of the episodes of the highest value, best first; may be empty.
        starts: first observations (S, O), normalised, that a plan is judged over.
        config: see `PlannerConfig`.
    """

    def __init__(
        self,
        model: GacModel,
        normalizer: Normalizer,
        best_plans: Tensor,
        starts: Tensor,
        config: PlannerConfig,
    ) -> None:
        self._model = model
        self._normalizer = normalizer
        self._best_plans = best_plans
        self._starts = starts
        self.config = config

    def plan(self, mode: Mode, seed: int, *, target_return: float | None = None) -> Plan:
        """One plan; the same arguments give the same plan.

        Args:
            mode: how to plan.
            seed: of the candidates and the sampling noise.
            target_return: for explore and posterior; by default the data's best return, plus
                `explore_increment` when exploring.

        Raises:
            ConfigurationError: unknown mode.
        """
        generator = torch.Generator(device="cpu").manual_seed(seed)
        if mode == "exploit":
            return self._finish(self.exploit(generator)[:1], mode, None)
        if mode == "explore" and target_return is None and self.config.explore_raise is not None:
            return self._explore_from_known(self.config.explore_raise, generator)
        if target_return is None:
            target_return = self.default_target(mode)
        weight = self.config.posterior_weight if mode == "posterior" else 1.0
        samples = self.sample(1, target_return, weight, generator)
        return self._finish(samples, mode, target_return)

    def default_target(self, mode: Mode) -> float:
        """Target return of explore and posterior when none is given."""
        if mode == "posterior":
            return self._normalizer.return_max
        if mode == "explore":
            if self.config.explore_target is not None:
                return self.config.explore_target
            increment = self.config.explore_increment * self._normalizer.return_std
            return self._normalizer.return_max + increment
        raise ConfigurationError(f"unknown mode '{mode}'; choose one of {', '.join(MODES)}")

    def exploit(self, generator: torch.Generator) -> Tensor:
        """Candidates z0 (C, N, D) climbed to a high expected return, best first.

        The climb of eq. 9 of docs/method.md.
        """
        # A copy is climbed: the optimiser writes in place, the start may be the checkpoint's own.
        start = self._exploit_start(generator).detach()
        promise = self._known_promise()
        z0 = start.clone().requires_grad_(True)
        adam = Adam(z0)
        for _ in range(self.config.exploit_steps):
            objective = self._exploit_objective(z0, start, promise)
            (gradient,) = torch.autograd.grad(-objective.sum(), z0)
            adam.step(gradient, self.config.exploit_rate)
        with torch.no_grad():
            order = self._exploit_objective(z0, start, promise).argsort(descending=True)
        return z0.detach()[order]

    def _exploit_objective(self, z0: Tensor, start: Tensor, promise: Tensor | None) -> Tensor:
        """What eq. 9 of docs/method.md maximises, (B,).

        log p(y = promise | z), or E[y | z] without a promise, less the penalties for leaving the
        start and the shell.
        """
        value, _ = self._model.predicted_return(self._model.plan(z0), self._starts)
        if promise is not None:
            value = self._model.log_return(value[:, None], promise)
        moved = (z0 - start).flatten(1).square().sum(-1)
        beyond = (z0.flatten(1).norm(dim=-1) - self._model.shell_radius).clamp(min=0.0)
        config = self.config
        return value - config.trust_weight * moved - config.shell_weight * beyond.square()

    def _known_promise(self) -> Tensor | None:
        """What the plans of the consensus promise on average, standardised (1,); None: no limit."""
        known = self._consensus_plans()
        if self.config.exploit_promise is None or known is None:
            return None
        with torch.no_grad():
            values, _ = self._model.predicted_return(self._model.plan(known), self._starts)
        return values.mean(0, keepdim=True)

    def _consensus_plans(self) -> Tensor | None:
        """The plans (E, N, D) whose mean exploitation starts at; None when it starts elsewhere."""
        if self.config.start != "consensus" or not len(self._best_plans):
            return None
        device = next(self._model.parameters()).device
        return self._best_plans[: self.config.consensus_size].to(device)

    def _exploit_start(self, generator: torch.Generator) -> Tensor:
        """Where the climb starts, by default the mean of eq. 9' of docs/method.md."""
        config, model = self.config, self._model
        shape = (config.candidates, model.config.plan_tokens, model.config.plan_token_size)
        device = next(model.parameters()).device
        if config.start == "mode":
            return torch.zeros((1, *shape[1:]), device=device)
        if config.start == "best" and len(self._best_plans):
            return self._best_plans[: config.candidates].to(device)
        known = self._consensus_plans()
        if known is not None:
            return known.mean(0, keepdim=True)
        return torch.randn(shape, generator=generator).to(device)

    def _explore_from_known(self, increment: float, generator: torch.Generator) -> Plan:
        """A sample of p(z0 | y + increment), y the value of the plan that it starts from."""
        model, config = self._model, self.config
        start = self._prior_samples(1, generator)
        known = self._best_plans.to(start.device)
        share = torch.rand(1, generator=generator).item()
        rate = config.explore_bursts
        from_known = None
        if len(known) and config.explore_known_share > 0.0:
            from_known = share < config.explore_known_share
        if from_known:
            interrupted = (
                torch.rand(1, generator=generator).item() < config.explore_interrupted_share
            )
            rate = config.explore_known_bursts if interrupted else 0.0
            # By rank: the critic's values do not tell good plans apart.
            halves = 0.5 ** torch.arange(len(known), dtype=torch.float64)
            chosen = torch.multinomial(halves, 1, generator=generator)
            start = known[chosen.to(start.device)]
        with torch.no_grad():
            value, _ = model.predicted_return(model.plan(start), self._starts)
        target = float(self._normalizer.denormalize_return(value.item())) + increment
        if config.explore_target is not None:
            target = min(target, config.explore_target)
        plan = self._finish(self.sample(1, target, 1.0, generator, start), "explore", target)
        return replace(plan, bursts=self._bursts(rate, generator), from_known=from_known)

    def _bursts(self, rate: float, generator: torch.Generator) -> Bursts | None:
        length = self._model.config.episode_length
        rest_from = None
        share = self.config.explore_rest_share
        if share and torch.rand(1, generator=generator).item() < share:
            rest_from = int(torch.randint(length, (1,), generator=generator).item())
        if not rate and rest_from is None:
            return None
        seed = int(torch.randint(2**31, (1,), generator=generator).item())
        longest = max(2, length // _LONGEST_BURST)
        return Bursts(rate, longest, seed, at_start=rate > 0.0, rest_from=rest_from)

    def _prior_samples(self, count: int, generator: torch.Generator) -> Tensor:
        config = self._model.config
        shape = (count, config.plan_tokens, config.plan_token_size)
        return torch.randn(shape, generator=generator).to(next(self._model.parameters()).device)

    def sample(
        self,
        count: int,
        target_return: float,
        weight: float,
        generator: torch.Generator,
        start: Tensor | None = None,
    ) -> Tensor:
        """Samples z0 (count, N, D) of p(z0) p(y = target | z)^weight by Langevin dynamics.

        With weight 1 and a target above the data's best return, eq. 10 of docs/method.md.

        Args:
            count: how many.
            target_return: y, in units of the return.
            weight: w.
            generator: of the noise.
            start: where the chains start (count, N, D); samples of the prior when None.
        """
        model = self._model
        device = next(model.parameters()).device
        if start is None:
            start = self._prior_samples(count, generator)
        y = torch.full((count,), float(self._normalizer.normalize_return(target_return)))
        y = y.to(device)

        def log_density(z0: Tensor) -> Tensor:
            members = model.returns.over_starts(model.plan(z0), self._starts)
            return model.log_prior(z0) + weight * model.log_return(members, y)

        return sample_langevin(
            log_density,
            start,
            steps=self.config.langevin_steps,
            step_size=self.config.langevin_step_size,
            generator=generator,
        )

    def plan_of(self, z0: Tensor) -> Plan:
        """The plan of a given z0 (N, D), with its predicted return."""
        return self._finish(z0[None], "exploit", None)

    def _finish(self, z0: Tensor, mode: Mode, target_return: float | None) -> Plan:
        with torch.no_grad():
            z = self._model.plan(z0)
            mean, std = self._model.predicted_return(z, self._starts)
        return Plan(
            z0=z0[0].cpu().numpy(),
            z=z[0].cpu().numpy(),
            mode=mode,
            predicted_return=float(self._normalizer.denormalize_return(mean[0].item())),
            predicted_return_std=std[0].item() * self._normalizer.return_std,
            target_return=target_return,
        )
