"""A task small enough to learn in seconds, and models for it that need no training.

Each episode has a hidden direction, +1 or -1. Its actions follow the direction, its observations
tell nothing about it, and its return is higher for +1: only a plan can explain both.
"""

from __future__ import annotations

import numpy as np
import torch

from gac_ros.buffer.dataset import EpisodeBuffer
from gac_ros.checkpoint import Checkpoint, Lineage
from gac_ros.embodiment import Embodiment, embodiment_from_dict, find_embodiment
from gac_ros.episode import Episode
from gac_ros.model.config import ModelConfig
from gac_ros.model.gac import GacModel
from gac_ros.normalization import Normalizer
from gac_ros.planning import PlannerConfig
from gac_ros.training.config import TrainingConfig, training_config

STEPS = 24


def toy_embodiment() -> Embodiment:
    """One observed number, one commanded."""
    return embodiment_from_dict(
        {
            "name": "toy",
            "control_rate": 50.0,
            "episode_length": STEPS,
            "observation": [
                {
                    "topic": "state",
                    "type": "std_msgs/msg/Float64MultiArray",
                    "max_age": 0.1,
                    "fields": [{"select": "data.0", "unit": "m"}],
                }
            ],
            "action": {
                "topic": "commands",
                "type": "std_msgs/msg/Float64MultiArray",
                "fields": [{"joint": "slider", "unit": "N", "limits": [-1.0, 1.0]}],
            },
            "return": {"source": "label"},
        },
        origin="toy",
    )


def toy_episode(direction: float, rng: np.random.Generator) -> Episode:
    observations = rng.normal(size=(STEPS + 1, 1))
    actions = 0.8 * direction + 0.05 * rng.normal(size=(STEPS, 1))
    return Episode(
        observations=observations,
        actions=actions,
        rewards=np.zeros(STEPS),
        valid=np.ones(STEPS, dtype=bool),
        terminated=False,
        truncated=True,
        episode_return=float(10.0 * direction + rng.normal()),
    )


def toy_buffer(episodes: int = 40, seed: int = 0) -> EpisodeBuffer:
    rng = np.random.default_rng(seed)
    directions = np.where(np.arange(episodes) % 2 == 0, 1.0, -1.0)
    return EpisodeBuffer(
        [toy_episode(direction, rng) for direction in directions],
        [f"toy-{index:04d}" for index in range(episodes)],
    )


def untrained_checkpoint(robot: str | Embodiment, seed: int = 0) -> Checkpoint:
    """A model of random weights that acts visibly (its head is scaled up)."""
    embodiment = find_embodiment(robot) if isinstance(robot, str) else robot
    config = ModelConfig(
        observation_size=embodiment.observation_size,
        action_size=embodiment.action_size,
        episode_length=embodiment.episode_length,
        plan_token_size=4,
        width=16,
        heads=2,
        context=3,
        prior_hidden=16,
        return_hidden=16,
        return_heads=3,
    )
    torch.manual_seed(seed)
    model = GacModel(config).eval().requires_grad_(False)
    return Checkpoint(
        model=model,
        normalizer=Normalizer(
            observation_mean=np.zeros(embodiment.observation_size),
            observation_std=np.ones(embodiment.observation_size),
            action_center=(embodiment.action_low + embodiment.action_high) / 2.0,
            action_half_range=(embodiment.action_high - embodiment.action_low) / 2.0,
            return_mean=0.0,
            return_std=1.0,
            return_max=2.0,
        ),
        embodiment=embodiment,
        planner=PlannerConfig(candidates=4, exploit_steps=5, langevin_steps=5),
        best_plans=torch.randn(3, config.plan_tokens, config.plan_token_size),
        starts=torch.randn(5, config.observation_size),
        lineage=Lineage(
            method="gac",
            data_digest="none",
            episodes=0,
            iterations=0,
            seed=seed,
            package_version="0",
        ),
    )


SMALL_MODEL = {
    "plan_token_size": 4,
    "width": 16,
    "heads": 2,
    "layers": 1,
    "context": 3,
    "prior_hidden": 16,
    "return_hidden": 16,
}


def small_config(**changes: object) -> TrainingConfig:
    """Settings of a training of seconds."""
    settings = {
        "iterations": 250,
        "batch_episodes": 16,
        "windows": 4,
        "window_length": 4,
        "learning_rate": 3e-3,
        "model": SMALL_MODEL,
    }
    return training_config({**settings, **changes}, origin="test")
