"""Makes episode bags as the controller would, from numbers a test knows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gac_ros import messages
from gac_ros.buffer.writer import EpisodeWriter
from gac_ros.embodiment import Embodiment, embodiment_from_dict
from gac_ros.episode import EpisodeMetadata

TOPICS = {
    "joint_states": "/joint_states",
    "odom": "/odom",
    "commands": "/gac_controller/commands",
    "reward": "/reward",
    "plan": "/gac_controller/plan",
    "decision": "/gac_controller/decision",
}
TYPES = {
    "/joint_states": messages.JOINT_STATE,
    "/odom": messages.ODOMETRY,
    "/gac_controller/commands": messages.FLOAT64_MULTI_ARRAY,
    "/reward": messages.FLOAT64,
    "/gac_controller/plan": messages.STRING,
    "/gac_controller/decision": messages.FLOAT64_MULTI_ARRAY,
}
PLAN = {"mode": "exploit", "predicted_return": 12.5, "z": [0.1, -0.2]}


def contract(**changes: Any) -> dict[str, Any]:
    """Two joints and a base, observed on two topics; three observed and two commanded numbers."""
    content: dict[str, Any] = {
        "name": "arm",
        "control_rate": 50.0,
        "episode_length": 20,
        "observation": [
            {
                "topic": "joint_states",
                "type": messages.JOINT_STATE,
                "max_age": 0.1,
                "fields": [
                    {"select": "position.elbow", "unit": "rad"},
                    {"select": "velocity.shoulder", "unit": "rad/s", "scale": 0.5},
                ],
            },
            {
                "topic": "odom",
                "type": messages.ODOMETRY,
                "max_age": 0.1,
                "fields": [{"select": "pose.pose.position.x", "unit": "m", "clip": [-50.0, 50.0]}],
            },
        ],
        "action": {
            "topic": "commands",
            "type": messages.FLOAT64_MULTI_ARRAY,
            "interface": "effort",
            "fields": [
                {"joint": "shoulder", "unit": "N*m", "limits": [-2.0, 2.0]},
                {"joint": "elbow", "unit": "N*m", "limits": [-1.0, 1.0], "safe": 0.25},
            ],
        },
        "return": {"source": "reward_topic", "topic": "reward"},
    }
    content.update(changes)
    return content


def embodiment(**changes: Any) -> Embodiment:
    return embodiment_from_dict(contract(**changes), origin="test")


@dataclass
class Trajectory:
    """What a recording should decode to; observations in the policy's units."""

    observations: NDArray[np.float64]  # (T+1, 3)
    actions: NDArray[np.float64]  # (T, 2)
    rewards: NDArray[np.float64]  # (T,)
    sources: list[int] = field(default_factory=list)  # of each decision

    @classmethod
    def random(cls, steps: int, seed: int = 0) -> Trajectory:
        rng = np.random.default_rng(seed)
        return cls(
            observations=rng.normal(size=(steps + 1, 3)),
            actions=rng.uniform(-1.0, 1.0, size=(steps, 2)),
            rewards=rng.normal(size=steps),
            sources=[0] * steps,
        )

    def __len__(self) -> int:
        return len(self.actions)


def joint_states(elbow: float, shoulder_velocity: float) -> Any:
    """Joints in another order than the embodiment's, with one it does not know."""
    return messages.joint_state(
        0,
        ["gripper", "shoulder", "elbow"],
        position=[9.0, 8.0, elbow],
        velocity=[7.0, shoulder_velocity, 6.0],
        effort=[0.0, 0.0, 0.0],
    )


def odometry(x: float) -> Any:
    return messages.odometry(0, (x, 0, 0), (1, 0, 0, 0), (0, 0, 0), (0, 0, 0))


def observation_messages(observation: NDArray[np.float64]) -> list[tuple[str, Any]]:
    return [
        ("joint_states", joint_states(observation[0], 2.0 * observation[1])),
        ("odom", odometry(observation[2])),
    ]


def decision(step: int, source: int = 0) -> tuple[str, Any]:
    return "decision", messages.float64_multi_array([step, source, 0.001, 0.0])


def command(action: NDArray[np.float64]) -> tuple[str, Any]:
    return "commands", messages.float64_multi_array(action)


def script(trajectory: Trajectory) -> Iterator[tuple[str, Any]]:
    """The messages of an episode as (role, message), in the order the controller handles them."""
    yield "plan", messages.string(json.dumps(PLAN))
    yield from observation_messages(trajectory.observations[0])
    for step in range(len(trajectory)):
        yield command(trajectory.actions[step])
        yield decision(step, trajectory.sources[step])
        yield from observation_messages(trajectory.observations[step + 1])
        yield "reward", messages.float64(trajectory.rewards[step])


def metadata(robot: Embodiment, episode_id: str, steps: int, **changes: Any) -> EpisodeMetadata:
    values: dict[str, Any] = {
        "episode_id": episode_id,
        "robot": robot.name,
        "embodiment": robot.to_dict(),
        "embodiment_digest": robot.digest,
        "policy": "gac",
        "mode": "exploit",
        "seed": 7,
        "steps": steps,
        "predicted_return": 12.5,
        "truncated": True,
        "started": "2026-01-02T03:04:05Z",
        "topics": TOPICS,
    }
    values.update(changes)
    return EpisodeMetadata(**values)


def write_messages(
    writer: EpisodeWriter, roles: list[tuple[str, Any]], topics: Mapping[str, str] = TOPICS
) -> None:
    for index, (role, message) in enumerate(roles):
        writer.write(topics[role], messages.serialize(message), 1_000 + 10_000_000 * index)


def record(
    directory: Path,
    episode_id: str = "episode",
    trajectory: Trajectory | None = None,
    *,
    robot: Embodiment | None = None,
    roles: list[tuple[str, Any]] | None = None,
    steps: int | None = None,
    **changes: Any,
) -> Path:
    """Record an episode; `changes` go into its metadata."""
    trajectory = trajectory or Trajectory.random(5)
    robot = robot or embodiment()
    writer = EpisodeWriter(directory, episode_id, TYPES)
    write_messages(writer, list(script(trajectory)) if roles is None else roles)
    count = len(trajectory) if steps is None else steps
    return writer.commit(metadata(robot, episode_id, count, **changes))
