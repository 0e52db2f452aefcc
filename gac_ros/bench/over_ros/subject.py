"""The robot and the model that the controller is measured with: a hopper's sizes, random weights.

How long a decision takes depends on the sizes alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

import gac_ros
from gac_ros import messages
from gac_ros.bench.control import unit_normalizer
from gac_ros.bench.over_ros.topics import COMMANDS, JOINTS, REWARD, STATE
from gac_ros.checkpoint import Checkpoint, Lineage, save_checkpoint
from gac_ros.embodiment import Embodiment, load_embodiment
from gac_ros.errors import OutputError
from gac_ros.model.gac import GacModel
from gac_ros.planning import PlannerConfig
from gac_ros.training.config import TrainingConfig

_BEST_PLANS = 64
_STARTS = 32
# What a busy machine delays is to be measured, not answered by safe actions.
_MAX_AGE = 5.0  # s
_PATIENT = {"deadline_misses": 1_000_000, "max_stall": 60.0}


@dataclass(frozen=True)
class Subject:
    """Files for a controller, and what is in them."""

    contract: Path
    checkpoint: Path
    embodiment: Embodiment


def make_subject(folder: Path, *, rate: float, length: int) -> Subject:
    """Write an embodiment of this control rate (Hz) and episode length, and a model that fits it.

    Raises:
        OutputError: the folder cannot be written.
    """
    contract = folder / "robot.yaml"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        contract.write_text(yaml.safe_dump(_contract(rate, length)), encoding="utf-8")
    except OSError as error:
        raise OutputError(
            f"{folder}: cannot be written ({error.strerror or error}); free some space"
        ) from error
    embodiment = load_embodiment(contract)
    checkpoint = save_checkpoint(untrained_checkpoint(embodiment), folder / "checkpoint")
    return Subject(contract, checkpoint, embodiment)


def untrained_checkpoint(embodiment: Embodiment, device: str = "cpu") -> Checkpoint:
    """A model of the default sizes and random weights for a robot."""
    config = TrainingConfig().model_for(embodiment)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = GacModel(config).to(device).eval().requires_grad_(False)
        best = torch.randn(_BEST_PLANS, config.plan_tokens, config.plan_token_size)
        starts = torch.randn(_STARTS, config.observation_size)
    return Checkpoint(
        model=model,
        normalizer=unit_normalizer(config),
        embodiment=embodiment,
        planner=PlannerConfig(),
        best_plans=best.to(device),
        starts=starts.to(device),
        lineage=Lineage(
            method="gac",
            data_digest="none",
            episodes=0,
            iterations=0,
            seed=0,
            package_version=gac_ros.__version__,
        ),
    )


def _contract(rate: float, length: int) -> dict[str, Any]:
    positions = [(f"position.{name}", "rad") for name in JOINTS[1:]]
    velocities = [(f"velocity.{name}", "rad/s") for name in JOINTS]
    return {
        "name": "bench",
        "control_rate": float(rate),
        "episode_length": length,
        "observation": [
            {
                "topic": STATE,
                "type": messages.JOINT_STATE,
                "max_age": _MAX_AGE,
                "fields": [{"select": path, "unit": unit} for path, unit in positions + velocities],
            }
        ],
        "action": {
            "topic": COMMANDS,
            "type": messages.FLOAT64_MULTI_ARRAY,
            "interface": "effort",
            "fields": [
                {"joint": name, "unit": "ratio", "limits": [-1.0, 1.0]} for name in JOINTS[3:]
            ],
        },
        "return": {"source": "reward_topic", "topic": REWARD},
        "safety": _PATIENT,
    }
