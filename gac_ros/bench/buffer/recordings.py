"""Makes a large buffer quickly: bags as the controller records them, with random numbers."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gac_ros import messages
from gac_ros.action import encode_action
from gac_ros.buffer.importing.encode import ObservationEncoder
from gac_ros.buffer.layout import recorded_roles, topic_name
from gac_ros.buffer.reader import DECISION
from gac_ros.buffer.writer import EpisodeWriter
from gac_ros.embodiment import Embodiment
from gac_ros.episode import EpisodeMetadata

_PERIOD = 10_000_000  # nanoseconds between steps
_MARK = 2.0**70  # in place of a number, to find where it goes


def record_random_episodes(
    folder: Path,
    embodiment: Embodiment,
    *,
    steps: int,
    episode_steps: int,
    seed: int = 0,
    on_episode: Callable[[], None] | None = None,
) -> None:
    """Fill a folder with episodes that have a return each; those that are there stay.

    Args:
        folder: receives the bags.
        embodiment: the robot; it must have a reward topic.
        steps: of all episodes together.
        episode_steps: of each but the last.
        seed: of the numbers.
        on_episode: called after each episode.
    """
    topics = {role: topic_name(role) for role in recorded_roles(embodiment, with_plan=False)}
    for number, first in enumerate(range(0, steps, episode_steps)):
        name = f"random-{number:06d}"
        if not (folder / name).exists():
            count = min(episode_steps, steps - first)
            rng = np.random.default_rng((seed, number))
            _record(folder, name, embodiment, topics, count, rng)
        if on_episode is not None:
            on_episode()


def _record(
    folder: Path,
    name: str,
    embodiment: Embodiment,
    topics: dict[str, str],
    steps: int,
    rng: np.random.Generator,
) -> None:
    kinds = recorded_roles(embodiment, with_plan=False)
    reward_role = embodiment.episode_return.topic
    assert reward_role is not None, "the robot needs a reward topic"
    rewards: NDArray[np.float64] = rng.normal(size=(steps, 1))
    observed = _observations(embodiment, rng.normal(size=(steps + 1, embodiment.observation_size)))
    actions = rng.uniform(-1.0, 1.0, size=(steps, embodiment.action_size))
    decisions: NDArray[np.float64] = np.column_stack(
        (np.arange(steps), np.zeros(steps), rng.exponential(1e-4, steps), np.zeros(steps))
    )
    command = _many(lambda values: encode_action(embodiment, values, 0), actions)
    decision = _many(messages.float64_multi_array, decisions)
    reward = _many(lambda values: messages.float64(values[0]), rewards)
    writer = EpisodeWriter(folder, name, {topics[role]: kind for role, kind in kinds.items()})
    for step in range(steps + 1):
        stamp = step * _PERIOD
        for topic, data in observed.items():
            writer.write(topics[topic], data[step], stamp)
        if step < steps:
            writer.write(topics[embodiment.action.topic], command[step], stamp)
            writer.write(topics[DECISION], decision[step], stamp)
            writer.write(topics[reward_role], reward[step], stamp)
    writer.commit(
        EpisodeMetadata(
            episode_id=name,
            robot=embodiment.name,
            embodiment=embodiment.to_dict(),
            embodiment_digest=embodiment.digest,
            policy="random",
            steps=steps,
            episode_return=float(rewards.sum()),
            truncated=True,
            started="2026-01-01T00:00:00Z",
            topics=topics,
        )
    )


def _observations(embodiment: Embodiment, values: NDArray[np.float64]) -> dict[str, list[bytes]]:
    """Messages of each channel for observations, shape (T+1, O)."""
    encoder = ObservationEncoder(embodiment)
    found: dict[str, list[bytes]] = {}
    start = 0
    for channel in embodiment.observation:
        part = slice(start, start + len(channel.fields))
        start = part.stop

        def build(
            numbers: NDArray[np.float64], part: slice = part, topic: str = channel.topic
        ) -> Any:
            whole = np.zeros(embodiment.observation_size)
            whole[part] = numbers
            return encoder.messages(whole, 0)[topic]

        found[channel.topic] = _many(build, values[:, part])
    return found


def _many(build: Callable[[NDArray[np.float64]], Any], values: NDArray[np.float64]) -> list[bytes]:
    """Serialised messages of rows of numbers: one is built, the numbers are put into copies."""
    marks: NDArray[np.float64] = _MARK * np.arange(1.0, values.shape[1] + 1.0)
    pattern = messages.serialize(build(marks))
    copies = np.tile(np.frombuffer(pattern, dtype=np.uint8), (len(values), 1))
    for column, mark in enumerate(marks):
        start = pattern.index(struct.pack("<d", mark))
        copies[:, start : start + 8] = (
            np.ascontiguousarray(values[:, column]).view(np.uint8).reshape(-1, 8)
        )
    return [each.tobytes() for each in copies]
