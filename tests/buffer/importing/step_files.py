"""Makes data sets of step arrays, as a Gymnasium environment's replay would be saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from gac_ros.embodiment import Embodiment


def arrays(robot: Embodiment, sizes: list[int], seed: int = 0, **changes: Any) -> dict[str, Any]:
    """Random episodes within the embodiment's clips and limits; `changes` replace arrays."""
    rng = np.random.default_rng(seed)
    steps, count = sum(sizes), len(sizes)
    terminated = np.arange(count) % 2 == 0
    content: dict[str, Any] = {
        "observations": rng.normal(size=(steps + count, robot.observation_size)),
        "actions": rng.uniform(robot.action_low, robot.action_high, (steps, robot.action_size)),
        "rewards": rng.normal(size=steps),
        "lengths": np.array(sizes),
        "terminated": terminated,
        "truncated": ~terminated,
        "env_id": "Hopper-v5",
        "note": "made by a test",
    }
    for name in ("observations", "actions", "rewards"):
        content[name] = content[name].astype(np.float32)
    content.update(changes)
    return {name: value for name, value in content.items() if value is not None}


def save(path: Path, content: dict[str, Any]) -> Path:
    np.savez_compressed(path, **content)
    return path
