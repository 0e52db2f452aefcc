"""The control loop: one observation in, one safe action out. No ROS, no clock, no thread.

The controller node and the in-process rollouts run this same code, which is why they agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gac_ros.action import limit_action
from gac_ros.embodiment import Embodiment
from gac_ros.errors import DecodeError
from gac_ros.observation import ObservationFrame


class Actor(Protocol):
    """Whatever decides actions: the GAC policy, a waypoint controller, a random one."""

    def begin(self, seed: int) -> None:
        """Start an episode."""

    def act(self, observation: NDArray[np.float64]) -> NDArray[np.float64]:
        """Action (A,) for an observation (O,)."""


class Source(IntEnum):
    """Who decided an action; the numbers are those of the recorded decisions."""

    POLICY = 0
    SAFE = 1


@dataclass(frozen=True)
class Decision:
    """One action and why it was taken.

    Attributes:
        step: index in the episode.
        action: (A,), within the embodiment's limits, always finite.
        source: the policy, or the safe action in its place.
        reason: why the safe action was taken; empty for the policy.
        observation_age: seconds since the oldest input arrived; infinite without one.
    """

    step: int
    action: NDArray[np.float64]
    source: Source
    reason: str
    observation_age: float


class ControlLoop:
    """Decides actions for one robot, an episode at a time.

    Args:
        embodiment: the robot's contract.
        actor: decides actions; its `begin` (or a plan) is the caller's business.
        check_age: refuse observations older than their maximum age. Off in lock-step, where
            simulated time stands still until the action is there.
    """

    def __init__(self, embodiment: Embodiment, actor: Actor, *, check_age: bool = True) -> None:
        self._embodiment = embodiment
        self._actor = actor
        self._check_age = check_age
        self._frame = ObservationFrame(embodiment)
        self._previous = embodiment.safe_action
        self._bad_topics: dict[str, str] = {}
        self._step = 0

    def begin(self) -> None:
        """Start an episode: forget every message and the last action."""
        self._frame.clear()
        self._bad_topics.clear()
        self._previous = self._embodiment.safe_action
        self._step = 0

    def receive(self, topic: str, message: Any, now: float) -> None:
        """Take in a message of an observed topic; `now` in seconds on the caller's clock.

        A message that lacks what the embodiment promises makes the next decision the safe one.
        """
        try:
            self._frame.update(topic, message, now)
        except DecodeError as error:
            self._bad_topics[topic] = str(error)
        else:
            self._bad_topics.pop(topic, None)

    @property
    def ready(self) -> bool:
        """Whether every channel was heard (well or badly) since the last decision."""
        return self._frame.fresh

    @property
    def step(self) -> int:
        """Actions decided in this episode."""
        return self._step

    def problem(self, now: float) -> str:
        """Why no observation can be used at this time; empty when one can."""
        if self._bad_topics:
            return next(iter(self._bad_topics.values()))
        missing = self._frame.missing()
        if missing:
            return f"no message yet on {', '.join(missing)}"
        stale = self._frame.stale(now) if self._check_age else ()
        if stale:
            return f"no recent message on {', '.join(stale)} ({self._frame.age(now):.3f} s old)"
        return ""

    def decide(self, now: float) -> Decision:
        """The next action, from the newest observation; `now` in seconds."""
        age = self._frame.age(now)
        reason = self.problem(now)
        observation = self._frame.take()
        self._bad_topics.clear()
        if not reason and not np.isfinite(observation).all():
            reason = "the observation is not finite"
        if reason:
            return self._safe(reason, age)
        action = np.asarray(self._actor.act(observation), dtype=np.float64)
        if not np.isfinite(action).all():
            return self._safe("the policy's action is not finite", age)
        limited = limit_action(self._embodiment, action, self._previous)
        return self._take(limited, Source.POLICY, "", age)

    def _safe(self, reason: str, age: float) -> Decision:
        return self._take(self._embodiment.safe_action, Source.SAFE, reason, age)

    def _take(
        self, action: NDArray[np.float64], source: Source, reason: str, age: float
    ) -> Decision:
        decision = Decision(self._step, action, source, reason, age)
        self._previous = action
        self._step += 1
        return decision
