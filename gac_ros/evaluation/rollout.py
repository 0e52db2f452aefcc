"""Episodes in this process, through the very control loop that the controller node runs.

The simulated robot's messages go straight into `ControlLoop`, so that with equal seeds an episode
has the same actions and rewards as one over ROS in lock-step, and its bag the same messages in the
same order. Log times are simulated time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from gac_ros import messages
from gac_ros.action import encode_action
from gac_ros.buffer.layout import recorded_roles, topic_name
from gac_ros.buffer.reader import DECISION, FAULT, PLAN, read_episode
from gac_ros.buffer.writer import EpisodeWriter
from gac_ros.control import Actor, ControlLoop, Decision, Source
from gac_ros.embodiment import Embodiment
from gac_ros.episode import EpisodeMetadata, LatencySummary, new_episode_id
from gac_ros.errors import EpisodeError
from gac_ros.evaluation.results import EpisodeResult, score
from gac_ros.replanning.actor import ReplanningActor
from gac_ros.sim.robot import SimulatedRobot

if TYPE_CHECKING:
    from gac_ros.planning import Plan


@dataclass(frozen=True)
class ActorDescription:
    """Who acts, for the metadata of the bags.

    Attributes:
        policy: `gac`, `waypoint`, `random`.
        mode: how its plans are made; None without plans.
        checkpoint: its directory; None without one.
        checkpoint_digest: of its content.
    """

    policy: str
    mode: str | None = None
    checkpoint: Path | None = None
    checkpoint_digest: str | None = None


def run_episode(
    robot: SimulatedRobot,
    actor: Actor,
    seed: int,
    description: ActorDescription,
    *,
    directory: Path | None = None,
) -> EpisodeResult:
    """Run one episode from reset to its end.

    Args:
        robot: the simulated robot.
        actor: decides.
        seed: of the robot's reset and of the actor's plan or random choices.
        description: of the actor.
        directory: buffer directory that receives the episode's bag; None records nothing.

    Raises:
        OutputError: the bag cannot be written.
    """
    actor.begin(seed)
    robot.reset(seed)
    episode = _Episode(robot, actor, seed, description)
    if directory is None:
        episode.run(_ignore)
        return episode.result(None)
    with _Bag(directory, episode, robot.embodiment) as bag:
        episode.run(bag.write)
        path = bag.commit(episode.metadata(bag.episode_id, bag.topics))
    return episode.result(path)


def _ignore(role: str, message: Any, stamp: int) -> None:
    """Where the messages of an episode go that nobody records."""


class _Episode:
    """One running episode and what is counted of it."""

    def __init__(
        self, robot: SimulatedRobot, actor: Actor, seed: int, description: ActorDescription
    ) -> None:
        self.plan: Plan | None = getattr(actor, "plan", None)
        self._replanning = actor if isinstance(actor, ReplanningActor) else None
        self._robot = robot
        self._loop = ControlLoop(robot.embodiment, actor, check_age=False)
        self._seed = seed
        self._description = description
        self._latencies: list[float] = []
        self._steps = 0
        self._reward_sum = 0.0
        self._safe_actions = 0
        self._terminated = False
        self._started = datetime.now(timezone.utc)
        self._start = time.perf_counter()
        self._duration = 0.0

    def run(self, write: Callable[[str, Any, int], None]) -> None:
        """Step to the end; `write` takes role, message and stamp (ns) in the order of handling."""
        embodiment = self._robot.embodiment
        if self.plan is not None:
            write(PLAN, messages.string(self.plan.to_json()), 0)
        for step in range(embodiment.episode_length):
            stamp = self._stamp(step)
            decision = self._decide(stamp, write)
            if decision.gives_up:
                raise decision.error or EpisodeError(
                    f"{embodiment.name}: the embodiment's safety section gives up at step {step}: "
                    f"{decision.reason}"
                )
            outcome = self._robot.step(decision.action)
            self._steps += 1
            # One by one, as the controller adds them up: other orders round otherwise.
            self._reward_sum += outcome.reward
            if self._replanning is not None:
                self._replanning.rewarded(outcome.reward)
            self._terminated = outcome.terminated
            self._write_reward(outcome.reward, self._stamp(self._steps), write)
            if outcome.terminated:
                break
        self._finish(self._stamp(self._steps), write)
        self._duration = time.perf_counter() - self._start

    def _stamp(self, step: int) -> int:
        return round(step * self._robot.embodiment.control_period * messages.NANOSECONDS)

    def _decide(self, stamp: int, write: Callable[[str, Any, int], None]) -> Decision:
        incoming = self._robot.messages(stamp)
        started = time.perf_counter()
        now = stamp / messages.NANOSECONDS
        for topic, message in incoming.items():
            self._loop.receive(topic, message, now)
        plan = self._replanning.plan if self._replanning is not None else None
        decision = self._loop.decide(now)
        command = encode_action(self._robot.embodiment, decision.action, stamp)
        latency = time.perf_counter() - started
        if decision.source is Source.POLICY:
            self._latencies.append(latency)
        else:
            self._safe_actions += 1
        for topic, message in incoming.items():
            write(topic, message, stamp)
        if self._replanning is not None:
            self._replanning.executed(decision.action)
            if self._replanning.plan is not plan and self._replanning.plan is not None:
                write(PLAN, messages.string(self._replanning.plan.to_json()), stamp)
        for event in decision.events:
            write(FAULT, messages.string(event.to_json()), stamp)
        write(self._robot.embodiment.action.topic, command, stamp)
        numbers = (decision.step, decision.source, latency, decision.observation_age)
        write(DECISION, messages.float64_multi_array(numbers), stamp)
        return decision

    def _write_reward(
        self, reward: float, stamp: int, write: Callable[[str, Any, int], None]
    ) -> None:
        topic = self._robot.embodiment.episode_return.topic
        if topic is not None:
            write(topic, messages.float64(reward), stamp)

    def _finish(self, stamp: int, write: Callable[[str, Any, int], None]) -> None:
        """What follows the last step: the word that it was the last, and where it led."""
        embodiment = self._robot.embodiment
        topic = embodiment.episode_end_topic
        if topic is not None:
            write(topic, messages.string("terminated" if self._terminated else "truncated"), stamp)
        for channel, message in self._robot.messages(stamp).items():
            write(channel, message, stamp)
        # The controller leaves the robot with the safe action; no decision belongs to it.
        safe = encode_action(embodiment, embodiment.safe_action, stamp)
        write(embodiment.action.topic, safe, stamp)

    @property
    def _return(self) -> float | None:
        if self._robot.embodiment.episode_return.source != "reward_topic":
            return None
        return self._reward_sum

    def metadata(self, episode_id: str, topics: dict[str, str]) -> EpisodeMetadata:
        """Metadata of the bag."""
        embodiment, description = self._robot.embodiment, self._description
        return EpisodeMetadata(
            episode_id=episode_id,
            robot=embodiment.name,
            embodiment=embodiment.to_dict(),
            embodiment_digest=embodiment.digest,
            policy=description.policy,
            mode=description.mode,
            seed=self._seed,
            checkpoint=None if description.checkpoint is None else str(description.checkpoint),
            checkpoint_digest=description.checkpoint_digest,
            steps=self._steps,
            episode_return=self._return,
            predicted_return=self._predicted_return,
            terminated=self._terminated,
            truncated=not self._terminated,
            started=self._started.isoformat(),
            duration=self._duration,
            lock_step=True,
            latency=self._latency,
            safe_actions=self._safe_actions,
            topics=topics,
        )

    @property
    def _predicted_return(self) -> float | None:
        return None if self.plan is None else self.plan.predicted_return

    @property
    def _latency(self) -> LatencySummary | None:
        return LatencySummary.of(np.array(self._latencies))

    def result(self, bag: Path | None) -> EpisodeResult:
        """How the episode went."""
        embodiment = self._robot.embodiment
        episode_return = self._return
        if episode_return is None and bag is not None:
            # A scoring function reads the episode; a label may only come later.
            episode_return = read_episode(bag, embodiment).episode_return
        return EpisodeResult(
            seed=self._seed,
            episode_return=episode_return,
            length=self._steps,
            terminated=self._terminated,
            truncated=not self._terminated,
            normalized_score=score(embodiment.name, episode_return),
            latency=self._latency,
            predicted_return=self._predicted_return,
            bag=bag,
        )


class _Bag:
    """The bag of one episode, with the topic names of a controller without a namespace.

    Left without a commit, it is discarded.
    """

    def __init__(self, directory: Path, episode: _Episode, embodiment: Embodiment) -> None:
        self.episode_id = new_episode_id()
        kinds = recorded_roles(embodiment, with_plan=episode.plan is not None, with_faults=True)
        self.topics = {role: topic_name(role) for role in kinds}
        self._writer = EpisodeWriter(
            directory,
            self.episode_id,
            {self.topics[role]: kind for role, kind in kinds.items()},
            draft=episode.metadata(self.episode_id, self.topics),
        )
        self._committed = False

    def __enter__(self) -> _Bag:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not self._committed:
            self._writer.discard()

    def write(self, role: str, message: Any, stamp: int) -> None:
        self._writer.write(self.topics[role], messages.serialize(message), stamp)

    def commit(self, metadata: EpisodeMetadata) -> Path:
        path = self._writer.commit(metadata)
        self._committed = True
        return path
