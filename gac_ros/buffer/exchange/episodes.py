"""Episodes on their way from one format to another."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gac_ros.buffer.importing.step_bag import StepEpisode
from gac_ros.buffer.reader import DECISION, PLAN, parse_plan, read_episode, read_messages
from gac_ros.embodiment import Embodiment
from gac_ros.episode import EpisodeMetadata, Outcome
from gac_ros.errors import EpisodeError

# What every format can only hold in part.
MESSAGES_LOST = (
    "messages become arrays: their times, faults, and what the embodiment does not read of them "
    "stay in the bags"
)


@dataclass(frozen=True, eq=False)
class Exchanged:
    """An episode between two formats.

    Attributes:
        steps: its arrays and its plans.
        episode_return: None when nobody knows it.
        seed: None when not seeded.
        outcome: the verdict.
        policy: who acted; empty when the data do not tell.
        saved: this package's metadata but for embodiment and topics; None in data of others.
        changed: whether this package wrote the episode, and somebody has changed its numbers since;
            it is then one of others.
    """

    steps: StepEpisode
    episode_return: float | None = None
    seed: int | None = None
    outcome: Outcome = "unknown"
    policy: str = ""
    saved: Mapping[str, Any] | None = None
    changed: bool = False

    @property
    def rewards(self) -> NDArray[np.float64]:
        """Rewards (T,); zeros where none were recorded."""
        if self.steps.rewards is None:
            return np.zeros(len(self.steps.actions))
        return self.steps.rewards

    @property
    def valid(self) -> NDArray[np.bool_]:
        """Bool (T,): steps that can be learnt from."""
        if self.steps.valid is None:
            return np.ones(len(self.steps.actions), dtype=bool)
        return self.steps.valid

    @property
    def own(self) -> dict[str, Any] | None:
        """What only this package knows of the episode, as plain data; None in data of others."""
        if self.saved is None:
            return None
        return {
            "metadata": dict(self.saved),
            "plans": [[step, dict(plan)] for step, plan in self.steps.plans],
            "rewards_recorded": self.steps.rewards is not None,
            "arrays_sha256": self._arrays_digest(),
        }

    def rounded(self, dtype: str) -> Exchanged:
        """The episode with its numbers as they are after they were written as `dtype`."""

        def cut(values: NDArray[np.float64]) -> NDArray[np.float64]:
            return values.astype(dtype).astype(np.float64)

        steps = self.steps
        rounded = replace(
            steps,
            observations=cut(steps.observations),
            actions=cut(steps.actions),
            rewards=None if steps.rewards is None else cut(steps.rewards),
        )
        return replace(self, steps=rounded)

    def unlike(self, own: Mapping[str, Any]) -> bool:
        """Whether its numbers are not those that this package wrote, if it noted them down."""
        known = own.get("arrays_sha256")
        return known is not None and known != self._arrays_digest()

    def _arrays_digest(self) -> str:
        """SHA-256 of its numbers, whatever the format they were in."""
        digest = hashlib.sha256()
        for array in (self.steps.observations, self.steps.actions, self.rewards, self.valid):
            digest.update(f"{array.shape}".encode())
            digest.update(np.ascontiguousarray(array, dtype="<f8").tobytes())
        return digest.hexdigest()


class Dataset(Protocol):
    """A data set of another format, opened to be read.

    Attributes:
        path: its folder.
        name: for the ids of its episodes.
        embodiment: the contract that this package wrote into it; None in data of others.
        control_rate: steps a second; None when it does not tell.
        losses: what its format, or this one, does not tell, one line each.
    """

    path: Path
    name: str
    embodiment: Mapping[str, Any] | None
    control_rate: float | None
    losses: tuple[str, ...]

    def __len__(self) -> int:
        """Number of episodes."""

    def digest(self) -> str:
        """SHA-256 of its content."""

    def episodes(self) -> Iterator[Exchanged]:
        """Its episodes, in order.

        Raises:
            EpisodeError: it is damaged, or holds what cannot be read.
        """


def read_exchanged(bag: Path, embodiment: Embodiment) -> Exchanged:
    """An episode's bag as it goes to another format.

    Raises:
        EpisodeError: the bag is damaged or holds no step.
        EmbodimentError: it was recorded with another embodiment.
    """
    # The embodiment is a bag's: it must not choose what code gives the return.
    episode = read_episode(bag, embodiment, trusted=False)
    metadata = episode.metadata
    if metadata is None:
        raise EpisodeError(f"{bag}: has no metadata")
    saved = metadata.model_dump(mode="json", exclude={"embodiment", "topics"})
    recorded = embodiment.episode_return.topic in metadata.topics
    return Exchanged(
        steps=StepEpisode(
            observations=episode.observations,
            actions=episode.actions,
            rewards=episode.rewards if recorded else None,
            terminated=episode.terminated,
            truncated=episode.truncated,
            valid=episode.valid,
            plans=tuple(_plans(bag, metadata)),
        ),
        episode_return=episode.episode_return,
        seed=metadata.seed,
        outcome=metadata.outcome,
        policy=metadata.policy,
        saved=saved,
    )


def _plans(bag: Path, metadata: EpisodeMetadata) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Plans of an episode, each with the number of steps before it."""
    plan, decision = metadata.topics.get(PLAN), metadata.topics.get(DECISION)
    if plan is None:
        return
    steps = 0
    for message in read_messages(bag):
        if message.topic == plan:
            yield steps, parse_plan(bag, message)
        steps += message.topic == decision


def from_arrays(
    origin: str,
    *,
    observations: NDArray[Any],
    actions: NDArray[Any],
    rewards: NDArray[Any] | None,
    terminated: bool,
    truncated: bool,
    own: Mapping[str, Any] | None = None,
    valid: NDArray[np.bool_] | None = None,
    **known: Any,
) -> Exchanged:
    """An episode from another format's arrays, checked.

    One that this package wrote gets back what it wrote of it, unless its numbers were changed.

    Args:
        origin: the data set and the episode, for errors.
        observations: numbers (T+1, O).
        actions: numbers (T, A).
        rewards: numbers (T,).
        terminated: ended by the task.
        truncated: ended by anything else.
        own: what this package wrote of the episode.
        valid: bool (T,).
        known: further fields of `Exchanged`.

    Raises:
        EpisodeError: the shapes do not agree, or a number is not finite.
    """
    arrays = {"observations": (observations, 2), "actions": (actions, 2)}
    if rewards is not None:
        arrays["rewards"] = (rewards, 1)
    for name, (array, dimensions) in arrays.items():
        if array.dtype.kind not in "fiu" or array.ndim != dimensions:
            raise EpisodeError(
                f"{origin}: '{name}' has shape {array.shape} of {array.dtype}; an episode has "
                f"{'a row of numbers' if dimensions == 2 else 'one number'} a step"
            )
        if not np.isfinite(array).all():
            raise EpisodeError(f"{origin}: '{name}' is not finite; leave that episode out")
    steps = len(actions)
    if steps == 0 or len(observations) != steps + 1 or not _agree(steps, rewards, valid):
        raise EpisodeError(
            f"{origin}: has {len(observations)} observations and {steps} actions; an episode has "
            "at least one action, a reward for each, and one observation more"
        )
    found = Exchanged(
        steps=StepEpisode(
            observations=observations.astype(np.float64),
            actions=actions.astype(np.float64),
            rewards=None if rewards is None else rewards.astype(np.float64),
            terminated=terminated,
            truncated=truncated,
            valid=valid,
        ),
        **known,
    )
    if own is None:
        return found
    changed = found.unlike(own)
    # Zeros that stand for rewards that nobody recorded.
    if not own.get("rewards_recorded", True) and not found.rewards.any():
        found = replace(found, steps=replace(found.steps, rewards=None))
    if changed:
        return replace(found, changed=True)
    plans = tuple((int(step), plan) for step, plan in own.get("plans", ()))
    return replace(found, steps=replace(found.steps, plans=plans), saved=own.get("metadata"))


def _agree(steps: int, *arrays: Sequence[Any] | NDArray[Any] | None) -> bool:
    return all(array is None or len(array) == steps for array in arrays)
