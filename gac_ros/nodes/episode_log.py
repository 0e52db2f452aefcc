"""What the controller notes about the episode it runs, and the metadata made of it."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from datetime import datetime, timezone

import numpy as np

from gac_ros.checkpoint import Checkpoint
from gac_ros.control import Decision, Source
from gac_ros.embodiment import Embodiment
from gac_ros.episode import EpisodeMetadata, LatencySummary, Outcome, new_episode_id
from gac_ros.nodes.parameters import EpisodeRequest
from gac_ros.planning import Plan


@dataclass(frozen=True)
class Ending:
    """How an episode ended; `outcome` is an operator's verdict."""

    terminated: bool = False
    truncated: bool = True
    outcome: Outcome = "unknown"


@dataclass
class EpisodeLog:
    """One episode's running account. Mutable: the driver writes it as the episode goes on.

    Attributes:
        request: what the episode was asked to be.
        episode_id: name of its bag.
        plan: None until it is made.
        decisions: actions decided so far.
        rewards: rewards heard so far.
    """

    request: EpisodeRequest
    episode_id: str = field(default_factory=new_episode_id)
    plan: Plan | None = None
    decisions: int = 0
    rewards: int = 0
    _safe_actions: int = 0
    _overruns: int = 0
    _reward_sum: float = 0.0
    _latencies: list[float] = field(default_factory=list)
    _started: datetime | None = None
    _started_monotonic: float = 0.0

    def start(self) -> None:
        """Note the time of the first decision."""
        self._started = datetime.now(timezone.utc)
        self._started_monotonic = time.monotonic()

    def add_decision(self, decision: Decision, latency: float, *, overrun: bool) -> None:
        """Note a decision; the latency, in seconds, counts for the policy's own."""
        self.decisions += 1
        self._overruns += overrun
        if decision.source is Source.POLICY:
            self._latencies.append(latency)
        else:
            self._safe_actions += 1

    def add_reward(self, reward: float) -> None:
        """Note a reward; one that is not finite leaves the episode without a return."""
        self.rewards += 1
        self._reward_sum += reward

    def executed_steps(self, *, by_reward: bool) -> int:
        """Steps that the robot executed.

        A lock-step simulator answers each executed action with a reward; a last action beyond
        them crossed the episode's end and was never executed.
        """
        return min(self.decisions, self.rewards) if by_reward else self.decisions

    def metadata(
        self,
        ending: Ending,
        *,
        embodiment: Embodiment,
        checkpoint: Checkpoint,
        topics: dict[str, str],
        steps: int,
        label: float | None,
        lock_step: bool,
    ) -> EpisodeMetadata:
        """The episode's metadata; `label` is the return an operator gave.

        Before the start it is a draft, from which a recording that is cut off can be recovered.
        """
        started = self._started or datetime.now(timezone.utc)
        begun = self._started is not None
        return EpisodeMetadata(
            episode_id=self.episode_id,
            robot=embodiment.name,
            embodiment=embodiment.to_dict(),
            embodiment_digest=embodiment.digest,
            policy=checkpoint.lineage.method,
            mode=self.request.mode,
            seed=self.request.seed,
            checkpoint=str(checkpoint.path) if checkpoint.path else None,
            checkpoint_digest=checkpoint.digest or None,
            steps=steps,
            episode_return=self._return(embodiment.episode_return.source, label),
            predicted_return=self.plan.predicted_return if self.plan else None,
            terminated=ending.terminated,
            truncated=ending.truncated,
            outcome=ending.outcome,
            started=started.isoformat(),
            duration=time.monotonic() - self._started_monotonic if begun else 0.0,
            lock_step=lock_step,
            latency=LatencySummary.of(np.array(self._latencies)),
            safe_actions=self._safe_actions,
            overruns=self._overruns,
            topics=topics,
        )

    def _return(self, source: str, label: float | None) -> float | None:
        if source == "label":
            return label
        # A function's return is computed from the bag, by whoever reads it.
        if source == "reward_topic" and math.isfinite(self._reward_sum):
            return self._reward_sum
        return None
