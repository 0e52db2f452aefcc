"""Episodes as arrays, and what is known about them."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from gac_ros.errors import EpisodeError

Outcome = Literal["unknown", "success", "failure", "interrupted"]


class LatencySummary(BaseModel):
    """Quantiles of the time from the arrival of an observation to its action, in seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    p50: float
    p99: float
    maximum: float

    @classmethod
    def of(cls, seconds: NDArray[np.float64]) -> LatencySummary | None:
        """Summary of latencies, shape (n,); None when there are none."""
        if len(seconds) == 0:
            return None
        p50, p99 = np.quantile(seconds, [0.5, 0.99])
        return cls(p50=float(p50), p99=float(p99), maximum=float(np.max(seconds)))


class Labels(BaseModel):
    """What was said of an episode until somebody said otherwise.

    Attributes:
        until: wall-clock time of the change, ISO 8601 in UTC.
        episode_return: as in the metadata.
        outcome: as in the metadata.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    until: str
    episode_return: float | None
    outcome: Outcome


class EpisodeMetadata(BaseModel):
    """What is known about an episode beside its messages; stored in the bag's metadata.

    Attributes:
        episode_id: unique, sortable by start time.
        robot: name of the embodiment.
        embodiment: the whole contract (keys of its YAML file), so that a bag can always be read.
        embodiment_digest: SHA-256 of the contract.
        policy: what acted: `gac`, `waypoint`, `random`, ...
        mode: how the plan was made (`exploit`, `explore`, `posterior`), None without a plan.
        seed: seed of the reset and of the plan, None when not seeded.
        checkpoint: where the checkpoint was, None without one.
        checkpoint_digest: SHA-256 of the checkpoint's weights.
        steps: number of actions T.
        episode_return: None when nobody labelled the episode.
        predicted_return: what the plan promised.
        terminated: the task ended the episode (a terminal state).
        truncated: something else ended it (time limit, operator, interruption).
        outcome: an operator's or a scoring function's verdict.
        started: wall-clock time of the start, ISO 8601 in UTC.
        duration: seconds of wall-clock time from start to end.
        lock_step: whether the simulator waited for each action.
        latency: observation-to-action latency.
        safe_actions: steps at which the safe action replaced the policy's.
        overruns: steps whose decision took longer than a control period.
        dropped_messages: messages that the recorder lost (0 in a faithful bag).
        recovered: whether the recording was cut off and this is what could be saved of it.
        source: where an imported episode came from (file, its SHA-256, number of the episode, ...);
            None for a recorded one.
        earlier_labels: what return and outcome were before they were said anew, oldest first.
        topics: embodiment topic (or the roles `plan`, `decision`) to topic name in the bag.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    episode_id: str
    robot: str
    embodiment: dict[str, Any]
    embodiment_digest: str
    policy: str
    mode: str | None = None
    seed: int | None = None
    checkpoint: str | None = None
    checkpoint_digest: str | None = None
    steps: int = Field(ge=0)
    episode_return: float | None = None
    predicted_return: float | None = None
    terminated: bool = False
    truncated: bool = False
    outcome: Outcome = "unknown"
    started: str
    duration: float = 0.0
    lock_step: bool = False
    latency: LatencySummary | None = None
    safe_actions: int = 0
    overruns: int = 0
    dropped_messages: int = 0
    recovered: bool = False
    source: dict[str, str | int] | None = None
    earlier_labels: tuple[Labels, ...] = ()
    topics: dict[str, str]


def new_episode_id(now: datetime | None = None) -> str:
    """A unique episode id that sorts by time, such as `20260102T030405.678901Z-1f3a`."""
    now = now or datetime.now(timezone.utc)
    return f"{now:%Y%m%dT%H%M%S.%f}Z-{secrets.token_hex(2)}"


@dataclass(frozen=True)
class Episode:
    """One trajectory with its return.

    Attributes:
        observations: float64 (T+1, O), decoded, scaled and clipped by the embodiment.
        actions: float64 (T, A), as commanded.
        rewards: float64 (T,); zeros when no reward topic was recorded.
        valid: bool (T,); False where the safe action replaced the policy's or the observation is
            not finite: such steps teach nothing about the policy.
        terminated: ended by the task.
        truncated: ended by anything else.
        episode_return: the return y; None without a label.
        metadata: None for episodes that come from elsewhere.
    """

    observations: NDArray[np.float64]
    actions: NDArray[np.float64]
    rewards: NDArray[np.float64]
    valid: NDArray[np.bool_]
    terminated: bool
    truncated: bool
    episode_return: float | None
    metadata: EpisodeMetadata | None = None

    def __post_init__(self) -> None:
        steps = len(self.actions)
        if steps == 0:
            raise EpisodeError("an episode needs at least one action")
        if self.observations.ndim != 2 or self.actions.ndim != 2:
            raise EpisodeError("observations and actions must have two dimensions")
        if len(self.observations) != steps + 1 or len(self.rewards) != steps:
            raise EpisodeError(
                f"{steps} actions need {steps + 1} observations and {steps} rewards, not "
                f"{len(self.observations)} and {len(self.rewards)}"
            )
        if len(self.valid) != steps:
            raise EpisodeError(f"{steps} actions need {steps} validity flags")

    def __len__(self) -> int:
        return len(self.actions)

    def content_digest(self) -> str:
        """SHA-256 of what is learned from it beside its return, which a label may change."""
        digest = hashlib.sha256()
        for array in (self.observations, self.actions, self.valid):
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()
