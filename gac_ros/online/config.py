"""Settings of online learning, read from YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gac_ros.errors import ConfigurationError
from gac_ros.online.mixture import Mixture
from gac_ros.online.target import Target, TargetConfig
from gac_ros.planning import Mode, PlannerConfig
from gac_ros.training.config import TrainingConfig

_Config = TypeVar("_Config", bound=BaseModel)

Strategy = Literal["explore", "exploit", "prior", "posterior"]
"""How collecting plans are made.

`explore` samples p(z0 | y+) around known plans, y+ a delta-y above their value that tunes itself;
`exploit` follows the plan of highest
expected return; `prior` samples p(z0); `posterior` is LPT's p(z0) p(y | z)^w with y the best
return so far. The last three are what exploration is compared with.
"""


class OnlineConfig(BaseModel):
    """How a run of online learning goes.

    Attributes:
        collect: how collecting plans are made.
        episodes: to collect in all.
        round_episodes: collected between two fine-tunings.
        evaluation_episodes: of exploitation after each round, on reporting starts; 0: none.
        plan_trials: of the model's best plans, so many are tried on tuning starts after each
            fine-tuning. The candidate exploits with the one that did best, and exploration starts
            at them in this order; 0 leaves it to the planner.
        plan_trial_starts: of each heat of that; the better half of the plans goes on.
        gate_episodes: starts on which candidate and incumbent are compared; 0 takes every
            candidate.
        gate_confidence: the candidate replaces the incumbent when it is better with this
            confidence (one-sided, paired over starts).
        after_rejection: whether the next round fine-tunes and collects with the refused candidate
            (`continue`) or with the incumbent again (`restart`).
        collector: who collects: the `learner`, whether the gate took it or not, with the plan that
            its trials chose, or the `incumbent`.
        new_chains: what is done with the latent chains of collected episodes: they are `held` at
            the plan that acted, start at that `plan`, or start at a sample of the `prior`;
            `proven` holds those that went better than most that began alike, and has the others
            start at the prior.
        by_credit: whether episodes and their steps are drawn, and the best plans chosen, by how
            much better than usual it went on after each step (`gac_ros.online.credit`), instead of
            by return and value.
        online_share: share of the batches drawn from collected episodes; None draws them as all
            others.
        known_share: share of exploration's plans that start at a known one, once returns differ.
        bursts: chance of each step to begin a burst of a random action, in those plans of
            exploration that do not start at a known one; see `gac_ros.exploration`.
        known_bursts: likewise in those that do and are interrupted: bursts lead to where the plan
            is not known to work.
        interrupted_share: share of the plans around a known one that bursts interrupt.
        rests: share of all exploring plans, interrupted or not, once returns differ, that end at a
            random step, from which on the robot is let go: so it learns to stay where it has got.
        adapt_shares: whether these three shares are only those of the first round, and then follow
            what their episodes earned (`gac_ros.online.mixture`).
        explore_moves: Langevin moves of exploration's sampling. Many lead away from the known
            plan that they start at, and with it from what it can do.
        target: of exploration.
        initial: training of the first model, when the run is given none.
        finetune: training of every round.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    collect: Strategy = "explore"
    episodes: int = Field(default=300, gt=0)
    round_episodes: int = Field(default=40, gt=0)
    evaluation_episodes: int = Field(default=50, ge=0)
    plan_trials: int = Field(default=12, ge=0, le=100)
    plan_trial_starts: int = Field(default=12, gt=0, le=100)
    gate_episodes: int = Field(default=80, ge=0)
    gate_confidence: float = Field(default=0.9, ge=0.5, lt=1.0)
    after_rejection: Literal["continue", "restart"] = "continue"
    collector: Literal["learner", "incumbent"] = "learner"
    new_chains: Literal["proven", "held", "plan", "prior"] = "proven"
    by_credit: bool = True
    online_share: float | None = Field(default=None, gt=0.0, lt=1.0)
    known_share: float = Field(default=0.75, ge=0.0, le=1.0)
    bursts: float = Field(default=0.05, ge=0.0, le=1.0)
    known_bursts: float = Field(default=0.02, ge=0.0, le=1.0)
    interrupted_share: float = Field(default=0.5, ge=0.0, le=1.0)
    rests: float = Field(default=0.5, ge=0.0, le=1.0)
    adapt_shares: bool = True
    explore_moves: int = Field(default=10, gt=0)
    target: TargetConfig = TargetConfig()
    # Rollouts tell the best plans apart here; what the critic promises matters less.
    initial: TrainingConfig = TrainingConfig(planner=PlannerConfig(exploit_promise=None))
    finetune: TrainingConfig = TrainingConfig(
        iterations=500,
        time_shift=0.5,
        best_plans=16,
        planner=PlannerConfig(consensus_size=4, exploit_promise=None),
    )

    @property
    def mixture(self) -> Mixture:
        """Shares of exploring plans in the first round."""
        return Mixture(self.known_share, self.interrupted_share, self.rests)

    def rounds(self) -> list[int]:
        """Episodes of each round; the last one may be shorter."""
        return round_sizes(self.episodes, self.round_episodes)


def round_sizes(episodes: int, each: int) -> list[int]:
    """Episodes of each round; the last one may be shorter."""
    whole, rest = divmod(episodes, each)
    return [each] * whole + [rest] * (rest > 0)


def collecting_planner(
    config: OnlineConfig, planner: PlannerConfig, target: Target, mixture: Mixture
) -> tuple[Mode, PlannerConfig]:
    """Mode and settings of a planner that collects by this strategy.

    Args:
        config: names the strategy.
        planner: the checkpoint's own settings.
        target: for `explore`.
        mixture: likewise.
    """
    strategy = config.collect
    if strategy == "explore":
        return "explore", planner.model_copy(update=exploring_settings(config, target, mixture))
    if strategy == "prior":
        sample = {"start": "prior", "candidates": 1, "exploit_steps": 0}
        return "exploit", planner.model_copy(update=sample)
    return strategy, planner


def exploring_settings(config: OnlineConfig, target: Target, mixture: Mixture) -> dict[str, float]:
    """What a planner that explores has to know beside a checkpoint's own settings."""
    return {
        "explore_raise": target.increment,
        "explore_target": target.highest,
        # While every return is the same, no plan is known to be better than another.
        "explore_known_share": mixture.known if target.increment > 0.0 else 0.0,
        "explore_bursts": config.bursts,
        "explore_known_bursts": config.known_bursts,
        "explore_interrupted_share": mixture.interrupted,
        "explore_rest_share": mixture.rests if target.increment > 0.0 else 0.0,
        "langevin_steps": config.explore_moves,
    }


def read_config(kind: type[_Config], path: Path, changes: dict[str, Any]) -> _Config:
    """Read and validate a YAML file.

    Args:
        kind: what it holds, `OnlineConfig` or one that adds to it.
        path: the file.
        changes: keys that replace those of the file.

    Raises:
        ConfigurationError: it cannot be read, or a key is unknown or wrong.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        return kind.model_validate({**content, **changes})
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise ConfigurationError(f"{path}: {where}: {problem['msg']}; correct the key") from error
    except (OSError, TypeError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise ConfigurationError(f"{path}: cannot be read: {reason}") from error
