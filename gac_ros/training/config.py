"""Settings of a training, read from YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gac_ros.embodiment import Embodiment
from gac_ros.errors import ConfigurationError
from gac_ros.model.config import ModelConfig
from gac_ros.planning import PlannerConfig

Method = Literal["gac", "behaviour_cloning"]


class TrainingConfig(BaseModel):
    """How a model is learned.

    Attributes:
        method: `gac`, or `behaviour_cloning`: the same generator with a plan that is always zero.
        iterations: of the learning rule.
        batch_episodes: episodes an iteration, B.
        windows: windows drawn from each episode at each Langevin move, W.
        window_length: scored steps of a window.
        langevin_steps: moves of each chain an iteration; the last one shares its backward pass
            with the weights' gradient. With 1 an iteration costs a third of one with LPT's 3.
        langevin_step_size: convention of `langevin_move`.
        langevin_temperature: variance of the Langevin noise; 1 samples the posterior
            p(z0 | tau, y), less samples p^(1 / temperature). At 1 a chain forgets between two
            visits of its episode what it had learned of it, and over a long training the generator
            learns to ignore plans.
        chain_warmup: iterations in which only chains move, before the weights learn.
        return_weighting: share of the batch drawn by return (the rest uniformly). It tilts the
            likelihood towards good episodes on purpose; 0 is the method as published.
        return_power: that share is drawn in proportion to this power of the return above the
            worst.
        step_rewards: whether the critic also learns from the rewards of each step, where there are
            any: the sum of those that are still to come, given the plan, the state and the time
            left, at each window. It needs `return_sees_time` of the model.
        time_shift: share of the windows that are shown as if the episode had begun later, at a
            random step before them. A plan then has to lead on from wherever the episode went, not
            only from where, and when, it began.
        learning_rate: peak of the cosine schedule.
        learning_rate_warmup: iterations of linear warm-up.
        weight_decay: of AdamW.
        gradient_clip: largest norm of the weights' gradient.
        bfloat16: whether the likelihood's matrix products are in bfloat16 (PyTorch's autocast);
            weights, chains and optimiser stay in float32. `gac bench training --also bfloat16`
            tells whether it pays.
        compile: whether `torch.compile` makes one program of the likelihood before the first
            iteration. That takes a minute or more, a C++ compiler and a training in one process; an
            iteration takes less time then (`gac bench training --also compiled`).
        best_plans: episodes of the highest value whose plans are kept in the checkpoint for the
            planner.
        mode_steps: of the climb from each of their chains to the mode of the episode's posterior,
            whenever a checkpoint is saved; 0 keeps the chains.
        planning_starts: first observations kept in the checkpoint, to judge plans over.
        log_every, save_every: iterations between log entries and checkpoints.
        keep_checkpoints: how many a run keeps.
        model: sizes and noise levels; those that the robot decides are filled in.
        planner: settings of the planner, stored in the checkpoint.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Method = "gac"
    iterations: int = Field(default=3000, gt=0)
    batch_episodes: int = Field(default=32, gt=0)
    windows: int = Field(default=8, gt=0)
    window_length: int = Field(default=8, gt=0)
    langevin_steps: int = Field(default=1, gt=0)
    langevin_step_size: float = Field(default=0.3, gt=0.0)
    langevin_temperature: float = Field(default=0.3, ge=0.0)
    chain_warmup: int = Field(default=0, ge=0)
    return_weighting: float = Field(default=0.5, ge=0.0, le=1.0)
    return_power: float = Field(default=2.0, gt=0.0)
    step_rewards: bool = False
    time_shift: float = Field(default=0.0, ge=0.0, le=1.0)
    learning_rate: float = Field(default=1e-3, gt=0.0)
    learning_rate_warmup: int = Field(default=20, ge=0)
    weight_decay: float = Field(default=1e-4, ge=0.0)
    gradient_clip: float = Field(default=1.0, gt=0.0)
    bfloat16: bool = False
    compile: bool = False
    best_plans: int = Field(default=32, gt=0)
    mode_steps: int = Field(default=100, ge=0)
    planning_starts: int = Field(default=64, gt=0)
    log_every: int = Field(default=20, gt=0)
    save_every: int = Field(default=500, gt=0)
    keep_checkpoints: int = Field(default=2, gt=0)
    model: dict[str, Any] = Field(default_factory=dict)
    planner: PlannerConfig = PlannerConfig()

    def model_for(self, embodiment: Embodiment) -> ModelConfig:
        """The model's configuration for a robot.

        Raises:
            ConfigurationError: a key of `model` is unknown or wrong.
        """
        sizes = {
            "observation_size": embodiment.observation_size,
            "action_size": embodiment.action_size,
            "episode_length": embodiment.episode_length,
        }
        try:
            config = ModelConfig.model_validate({**self.model, **sizes})
        except ValidationError as error:
            raise ConfigurationError(f"model: {_summary(error)}") from error
        if self.step_rewards and not config.return_sees_time:
            raise ConfigurationError(
                "step_rewards needs a critic that sees the time: set model: return_sees_time: true"
            )
        return config


def training_config(content: Any, *, origin: str) -> TrainingConfig:
    """Validate plain data; `origin` names the file in errors.

    Raises:
        ConfigurationError: naming origin, key and reason.
    """
    try:
        return TrainingConfig.model_validate(content or {})
    except ValidationError as error:
        raise ConfigurationError(f"{origin}: {_summary(error)}") from error


def load_training_config(path: Path | str) -> TrainingConfig:
    """Read and validate a training YAML file.

    Raises:
        ConfigurationError: it cannot be read or is wrong.
    """
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigurationError(f"{path}: cannot be read: {' '.join(str(error).split())}") from (
            error
        )
    return training_config(content, origin=str(path))


def _summary(error: ValidationError) -> str:
    problem = error.errors()[0]
    where = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return f"{where}: unknown key; remove it or correct its spelling"
    return f"{where}: {problem['msg']} (it is {problem['input']!r})"
