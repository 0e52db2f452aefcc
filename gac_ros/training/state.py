"""The trainer's whole state as tensors and JSON, so that a run resumes exactly where it was."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from gac_ros.errors import CheckpointError
from gac_ros.training.config import TrainingConfig
from gac_ros.training.trainer import Trainer

STATE_TENSORS = "training.safetensors"
STATE_JSON = "training.json"


@dataclass(frozen=True)
class TrainingState:
    """Chains, optimiser moments and random states; configuration and counters."""

    tensors: dict[str, Tensor]
    values: dict[str, Any]


def capture(trainer: Trainer) -> TrainingState:
    """Everything beside the weights that the next iteration depends on."""
    tensors = {"chains": trainer.chains, "noise": trainer.noise_state()}
    for index, moments in trainer.optimizer.state_dict()["state"].items():
        for name, value in moments.items():
            tensors[f"optimizer.{index}.{name}"] = value
    values = {
        "iteration": trainer.iteration,
        "seed": trainer.seed,
        "config": trainer.config.model_dump(),
        "random": trainer.batch_random_state(),
        "data_digest": trainer.data_digest,
        "episode_ids": list(trainer.episode_ids),
    }
    return TrainingState(tensors, values)


def read(directory: Path) -> TrainingState:
    """State beside a checkpoint.

    Raises:
        CheckpointError: there is none, or it is damaged.
    """
    if not (directory / STATE_JSON).is_file():
        raise CheckpointError(
            f"{directory} holds a model but no training state; continue it with gac finetune"
        )
    try:
        values = json.loads((directory / STATE_JSON).read_text(encoding="utf-8"))
        return TrainingState(load_file(directory / STATE_TENSORS), values)
    except (OSError, ValueError, SafetensorError) as error:
        raise CheckpointError(f"{directory}: the training state is damaged ({error})") from error


def restore(trainer: Trainer, state: TrainingState) -> None:
    """Put a captured state into a trainer made with the same data, configuration and seed.

    Raises:
        CheckpointError: the data or the configuration are others.
    """
    if state.values["data_digest"] != trainer.data_digest:
        raise CheckpointError(
            "the data have changed since the run was interrupted, so it cannot be resumed "
            "exactly; start a new run with gac finetune --from RUN"
        )
    if not _same_settings(state.values["config"], trainer.config):
        raise CheckpointError(
            "the training configuration differs from the interrupted run's; resume with the same "
            "configuration or start a new run with gac finetune --from RUN"
        )
    trainer.iteration = state.values["iteration"]
    trainer.chains = state.tensors["chains"].clone()
    trainer.set_random_states(state.values["random"], state.tensors["noise"])
    moments: dict[int, dict[str, Tensor]] = {}
    for key, value in state.tensors.items():
        if key.startswith("optimizer."):
            _, index, name = key.split(".")
            moments.setdefault(int(index), {})[name] = value.clone()
    content = trainer.optimizer.state_dict()
    content["state"] = moments
    trainer.optimizer.load_state_dict(content)


def _same_settings(recorded: dict[str, Any], present: TrainingConfig) -> bool:
    """Whether a run had these settings; those that it did not know yet have their default."""
    try:
        return TrainingConfig.model_validate(recorded) == present
    except ValidationError:
        return False


def known_chains(directory: Path) -> dict[str, Tensor]:
    """Chains by episode id of a checkpoint's training state; empty when it has none."""
    if not (directory / STATE_JSON).is_file():
        return {}
    state = read(directory)
    return dict(zip(state.values["episode_ids"], state.tensors["chains"], strict=True))
