"""The control loop: one observation in, one safe action out. No ROS, no clock, no thread.

The controller node and the in-process rollouts run this same code, which is why they agree.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gac_ros.embodiment import Embodiment
from gac_ros.errors import DecodeError
from gac_ros.faults import Fault, Reaction
from gac_ros.observation import ObservationFrame
from gac_ros.safety import FaultEvent, SafetyStage, all_finite

_INPUTS = (
    Fault.OBSERVATION_MISSING,
    Fault.OBSERVATION_STALE,
    Fault.OBSERVATION_MALFORMED,
    Fault.OBSERVATION_NOT_FINITE,
)


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
        source: the policy, or the safety stage in its place.
        reason: why the policy's action was replaced; empty for the policy.
        observation_age: seconds since the oldest input arrived; infinite without one.
        events: faults that began or ended with this decision.
        gives_up: whether a fault asks for the end of control; the action is the safe one then.
        error: what the policy raised, if it did.
    """

    step: int
    action: NDArray[np.float64]
    source: Source
    reason: str
    observation_age: float
    events: tuple[FaultEvent, ...] = ()
    gives_up: bool = False
    error: Exception | None = None


@dataclass(frozen=True)
class Proposal:
    """What the policy wants to do; not yet what is sent.

    Attributes:
        now: when the policy was done, in seconds.
        command: (A,), within the embodiment's limits; None where the policy had no say.
        observation_age: seconds since the oldest input arrived, before the policy was asked.
        events: faults that began or ended.
        error: what the policy raised, if it did.
    """

    now: float
    command: NDArray[np.float64] | None
    observation_age: float
    events: tuple[FaultEvent, ...]
    error: Exception | None


class ControlLoop:
    """Decides actions for one robot, an episode at a time.

    Args:
        embodiment: the robot's contract.
        actor: decides actions; its `begin` (or a plan) is the caller's business.
        check_age: refuse observations and plans older than their maximum age. Off in lock-step,
            where simulated time stands still until the action is there.

    Attributes:
        safety: decides what may be sent; others tell it of faults that cannot be seen from here.
    """

    def __init__(self, embodiment: Embodiment, actor: Actor, *, check_age: bool = True) -> None:
        self._actor = actor
        self._check_age = check_age
        self._frame = ObservationFrame(embodiment)
        self._max_plan_age = embodiment.safety.max_plan_age if check_age else None
        self._bad_topics: dict[str, str] = {}
        self._planned: float | None = None
        self._step = 0
        self._judged = set(_INPUTS)
        self.safety = SafetyStage(embodiment)

    def ask(self, actor: Actor) -> None:
        """Have another actor decide, from the next episode on."""
        self._actor = actor

    def begin(self) -> tuple[FaultEvent, ...]:
        """Start an episode: forget every message and the last action; returns faults that end."""
        self._frame.clear()
        self._bad_topics.clear()
        self._step = 0
        return self.safety.begin()

    def planned(self, now: float) -> None:
        """Note when the plan that the actor follows was made, in seconds."""
        self._planned = now
        self._judged.add(Fault.PLAN_STALE)

    def receive(self, topic: str, message: Any, now: float, ros_now: int | None = None) -> None:
        """Take in a message of an observed topic.

        One that lacks what the embodiment promises blocks the policy until a good one comes.

        Args:
            topic: as in the embodiment.
            message: decoded.
            now: seconds on the caller's clock.
            ros_now: nanoseconds on the clock that stamped the message; None where nobody knows.
        """
        if ros_now is not None:
            self._judged.add(Fault.OBSERVATION_STAMP)
        try:
            self._frame.update(topic, message, now, ros_now)
        except DecodeError as error:
            self._bad_topics[topic] = str(error)
        else:
            self._bad_topics.pop(topic, None)

    def receive_alike(
        self, topic: str, data: bytes, now: float, ros_now: int | None = None
    ) -> bool:
        """As `receive` with CDR bytes, if they are laid out as others that `learn` has seen.

        Returns:
            Whether they were taken in. If not, the caller decodes them; they may be no message.
        """
        if not self._frame.update_alike(topic, data, now, ros_now):
            return False
        if ros_now is not None:
            self._judged.add(Fault.OBSERVATION_STAMP)
        self._bad_topics.pop(topic, None)
        return True

    def learn(self, topic: str, data: bytes) -> None:
        """Have `receive_alike` know messages like this one; for when no robot waits."""
        self._frame.learn(topic, data)

    def reject(self, topic: str, reason: str) -> None:
        """Note that bytes of an observed topic were no message, until a good one comes."""
        self._bad_topics[topic] = reason

    def accept(self, topic: str) -> None:
        """Take back a `reject`."""
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
        """Why the policy cannot act at this time; empty when it can. Nothing is raised by it."""
        causes = self._causes(now)
        if causes:
            return next(iter(causes.values()))
        block = self.safety.block(now)
        return block.detail if block is not None else ""

    def inspect(self, now: float, *, patient: bool) -> tuple[str, bool, tuple[FaultEvent, ...]]:
        """Judge the inputs before an episode's first decision.

        Args:
            now: seconds.
            patient: whether a robot that has not said everything yet is no trouble.

        Returns:
            Why the policy cannot act (empty when it can), whether a fault asks for the end of
            control, and the faults that began or ended.
        """
        causes = self._causes(now)
        reason = next(iter(causes.values()), "")
        if patient:
            causes.pop(Fault.OBSERVATION_MISSING, None)
        events = self.safety.observe(causes, self._judged, now)
        block = self.safety.block(now)
        if block is None:
            return reason, False, events
        return block.detail, block.reaction is Reaction.DEACTIVATE, events

    def decide(self, now: float) -> Decision:
        """The next action, from the newest observation; `now` in seconds."""
        return self.settle(self.propose(now))

    def propose(self, now: float, clock: Callable[[], float] | None = None) -> Proposal:
        """What the policy would do about the newest observation; `settle` comes next.

        Args:
            now: seconds.
            clock: where time goes on while the policy thinks: the inputs must not have become too
                old by then.
        """
        age = self._frame.age(now)
        causes = self._causes(now)
        observation = self._frame.take()
        if Fault.OBSERVATION_MISSING not in causes and not all_finite(observation):
            causes[Fault.OBSERVATION_NOT_FINITE] = "the observation is not finite"
        events = self.safety.observe(causes, self._judged, now)
        command, error = None, None
        if self.safety.block(now) is None:
            command, error, raised = self._ask_the_policy(observation, now)
            events += raised
            if clock is not None:
                now = clock()
                aged = self._causes(now)
                if aged:
                    events += self.safety.observe(aged, aged, now)
        return Proposal(now, command, age, events, error)

    def settle(self, proposal: Proposal) -> Decision:
        """The action that is sent now, whatever has happened while the policy was thinking.

        Another thread may have raised a fault meanwhile, and stopped the robot: no fault may come
        between this and the sending.
        """
        events = proposal.events
        block = self.safety.block(proposal.now)
        if block is None and proposal.command is not None:
            events += self.safety.expire(proposal.now)
            action, source = self.safety.approve(proposal.command), Source.POLICY
            reaction, reason = None, ""
        else:
            reaction = Reaction.SAFE if block is None else block.reaction
            action, source = self.safety.replace(reaction), Source.SAFE
            reason = "" if block is None else block.detail
        decision = Decision(
            self._step,
            action,
            source,
            reason,
            proposal.observation_age,
            events,
            gives_up=reaction is Reaction.DEACTIVATE,
            error=proposal.error,
        )
        self._step += 1
        return decision

    def rest(self, now: float) -> tuple[FaultEvent, ...]:
        """Note that nobody drives, so that the inputs do not matter; returns faults that end."""
        return self.safety.observe({}, self._judged, now) + self.safety.expire(now)

    def stop(self) -> NDArray[np.float64]:
        """The safe action, (A,), to be sent outside of any step."""
        return self.safety.stop()

    def _ask_the_policy(
        self, observation: NDArray[np.float64], now: float
    ) -> tuple[NDArray[np.float64] | None, Exception | None, tuple[FaultEvent, ...]]:
        try:
            action = np.asarray(self._actor.act(observation), dtype=np.float64)
        # A defect of the policy, of whatever kind; the robot must not wait for its mending.
        except Exception as error:
            detail = " ".join(f"{type(error).__name__}: {error}".split())
            return None, error, self.safety.raise_fault(Fault.POLICY_FAILED, detail, now)
        command, events = self.safety.check(action, now)
        return command, None, events

    def _causes(self, now: float) -> dict[Fault, str]:
        """What is wrong with the inputs now, in words, by fault."""
        causes: dict[Fault, str] = {}
        if self._bad_topics:
            causes[Fault.OBSERVATION_MALFORMED] = next(iter(self._bad_topics.values()))
        missing = self._frame.missing()
        if missing:
            causes[Fault.OBSERVATION_MISSING] = f"no message yet on {', '.join(missing)}"
        if not self._check_age:
            return causes
        stale = self._frame.stale(now)
        if stale:
            causes[Fault.OBSERVATION_STALE] = (
                f"no recent message on {', '.join(stale)} ({self._frame.age(now):.3f} s old)"
            )
        for topic, age in self._frame.misdated(now):
            when = f"{age:.3f} s old" if age > 0.0 else f"{-age:.3f} s in the future"
            causes[Fault.OBSERVATION_STAMP] = f"the stamp on {topic} is {when}"
        if self._max_plan_age is not None and self._planned is not None:
            age = now - self._planned
            if age > self._max_plan_age:
                causes[Fault.PLAN_STALE] = f"the plan is {age:.3f} s old"
        return causes
