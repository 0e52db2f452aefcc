"""Recompute the actions of a recorded episode from its recorded inputs and plans.

The bag's observation messages go through the controller's own `ControlLoop` and `Policy` in the
order in which the controller handled them; each recorded command is compared with the one that
comes out. A difference means that the bag, the checkpoint or the code is not what acted.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gac_ros import messages
from gac_ros.action import decode_action
from gac_ros.buffer.reader import (
    DECISION,
    FAULT,
    PLAN,
    RecordedMessage,
    parse_plan,
    read_messages,
    read_metadata,
)
from gac_ros.buffer.summary import list_episodes
from gac_ros.checkpoint import Checkpoint, load_checkpoint
from gac_ros.control import ControlLoop
from gac_ros.embodiment import Embodiment, embodiment_from_dict
from gac_ros.episode import EpisodeMetadata
from gac_ros.errors import CheckpointError, EpisodeError
from gac_ros.evaluation.threads import one_thread
from gac_ros.faults import Fault
from gac_ros.planning import Plan
from gac_ros.policy import GacActor

TOLERANCE = 1e-5


def _no_commands() -> NDArray[np.float64]:
    return np.zeros((0, 0))


@dataclass(frozen=True)
class ReplayReport:
    """How well an episode was reproduced.

    Attributes:
        bag: the episode's bag.
        steps: decisions compared.
        largest_difference: between a recorded and a recomputed command number.
        largest_difference_step: where that was.
        sources_differ: decisions that were safe in only one of recording and replay.
        dropped_messages: messages that the recorder lost; inputs may be missing if not 0.
        joints: names of the numbers of a command.
        recorded: float64 (T, A), commands as recorded.
        recomputed: float64 (T, A), as they came out.
    """

    bag: Path
    steps: int
    largest_difference: float
    largest_difference_step: int
    sources_differ: int
    dropped_messages: int
    joints: tuple[str, ...] = ()
    recorded: NDArray[np.float64] = field(default_factory=_no_commands, compare=False, repr=False)
    recomputed: NDArray[np.float64] = field(default_factory=_no_commands, compare=False, repr=False)

    @property
    def faithful(self) -> bool:
        """Whether every recorded action came out again, within `TOLERANCE`."""
        return self.largest_difference <= TOLERANCE and self.sources_differ == 0


def replay_bag(
    bag: Path, checkpoint: Path | Checkpoint | None = None, *, device: str = "cpu"
) -> ReplayReport:
    """Recompute an episode's actions.

    Args:
        bag: of an episode in which a checkpoint acted.
        checkpoint: directory, or loaded; the one the metadata names when None.
        device: where the model runs.

    Raises:
        EpisodeError: no such bag, damaged, or not recorded with a checkpoint.
        CheckpointError: the checkpoint is missing or another one than the recorded.
    """
    metadata = read_metadata(bag)
    plan = recorded_plan(bag, metadata)
    loaded = recorded_checkpoint(bag, metadata, checkpoint, device)
    embodiment = embodiment_from_dict(metadata.embodiment, origin=str(bag))
    with one_thread():
        return _Replay(bag, metadata, embodiment, loaded.make_actor(plan.mode)).run(plan)


def replay_bags(
    bags: Sequence[Path], checkpoint: Path | None = None, *, device: str = "cpu"
) -> Iterator[ReplayReport]:
    """Recompute several episodes, loading each checkpoint once; errors as in `replay_bag`."""
    loaded: dict[str | None, Checkpoint] = {}
    for bag in bags:
        metadata = read_metadata(bag)
        key = None if checkpoint is not None else metadata.checkpoint
        if key not in loaded:
            # Episodes without a plan are told before a checkpoint is looked for.
            recorded_plan(bag, metadata)
            loaded[key] = recorded_checkpoint(bag, metadata, checkpoint, device)
        yield replay_bag(bag, loaded[key], device=device)


def find_bags(path: Path) -> list[Path]:
    """The episodes of a folder that have ended, or the bag itself.

    Raises:
        EpisodeError: there are none, or one is damaged.
    """
    rows = [row for row in list_episodes(path) if row.state not in ("recording", "unfinished")]
    for row in rows:
        if row.state == "damaged":
            raise EpisodeError(row.problem)
    if not rows:
        raise EpisodeError(f"{path}: no complete episode here; give a bag or a folder of bags")
    return [row.path for row in rows]


def recorded_plan(bag: Path, metadata: EpisodeMetadata) -> Plan:
    """The plan that an episode began with.

    Raises:
        EpisodeError: it followed none, or the plan is damaged.
    """
    if metadata.checkpoint_digest is None:
        raise EpisodeError(
            f"{bag}: '{metadata.policy}' acted here, not a checkpoint; only episodes with a plan "
            "can be replayed"
        )
    topic = metadata.topics.get(PLAN)
    first = next((message for message in read_messages(bag) if message.topic == topic), None)
    if first is None:
        raise EpisodeError(f"{bag}: the plan is missing; the actions cannot be recomputed")
    return Plan.from_dict(parse_plan(bag, first))


def recorded_checkpoint(
    bag: Path,
    metadata: EpisodeMetadata,
    checkpoint: Path | Checkpoint | None = None,
    device: str = "cpu",
) -> Checkpoint:
    """The checkpoint that acted in an episode.

    Raises:
        CheckpointError: it is missing, or it is another one than the recorded.
    """
    if isinstance(checkpoint, Checkpoint):
        loaded = checkpoint
    else:
        loaded = _load(bag, metadata, checkpoint, device)
    if loaded.digest != metadata.checkpoint_digest:
        raise CheckpointError(
            f"{loaded.path} (digest {loaded.digest[:12]}) is not the checkpoint that acted in "
            f"{bag} (digest {(metadata.checkpoint_digest or 'unknown')[:12]}); give that one with "
            "--checkpoint"
        )
    return loaded


def _load(bag: Path, metadata: EpisodeMetadata, checkpoint: Path | None, device: str) -> Checkpoint:
    if checkpoint is not None:
        return load_checkpoint(checkpoint, device)
    if metadata.checkpoint is None:
        raise CheckpointError(f"{bag} names no checkpoint; give it with --checkpoint")
    if not Path(metadata.checkpoint).exists():
        raise CheckpointError(
            f"the checkpoint of {bag}, {metadata.checkpoint}, is not there any more; give its new "
            "place with --checkpoint"
        )
    return load_checkpoint(metadata.checkpoint, device)


@dataclass(frozen=True)
class _Recorded:
    """One recorded decision."""

    step: int
    action: NDArray[np.float64]
    stamp: int
    source: int
    age: float


class _Replay:
    def __init__(
        self, bag: Path, metadata: EpisodeMetadata, embodiment: Embodiment, actor: GacActor
    ) -> None:
        self._bag = bag
        self._metadata = metadata
        self._embodiment = embodiment
        self._actor = actor
        self._loop = ControlLoop(embodiment, actor, check_age=not metadata.lock_step)
        self._channels = {
            metadata.topics[channel.topic]: channel.topic for channel in embodiment.observation
        }
        self._faults = metadata.topics.get(FAULT)
        self._messages = list(read_messages(bag))
        self._first_stamp = self._messages[0].stamp if self._messages else 0
        self._received: dict[str, float] = {}

    def run(self, plan: Plan) -> ReplayReport:
        self._actor.follow(plan)
        self._loop.begin()
        recorded, recomputed, other_sources = [], [], 0
        for item in self._events():
            if isinstance(item, RecordedMessage):
                if item.topic == self._faults:
                    self._hear_of_a_fault(item)
                else:
                    self._receive(item)
                continue
            if isinstance(item, Plan):
                self._actor.change(item)
                continue
            decision = self._loop.decide(self._time_of(item))
            recorded.append(item.action)
            recomputed.append(decision.action)
            other_sources += int(decision.source) != item.source
        if not recorded:
            raise EpisodeError(f"{self._bag}: it holds no decision")
        before, after = np.array(recorded), np.array(recomputed)
        differences = np.abs(after - before).max(axis=1)
        return ReplayReport(
            bag=self._bag,
            steps=len(recorded),
            largest_difference=float(differences.max()),
            largest_difference_step=int(np.argmax(differences)),
            sources_differ=other_sources,
            dropped_messages=self._metadata.dropped_messages,
            joints=self._embodiment.action_names,
            recorded=before,
            recomputed=after,
        )

    def _receive(self, item: RecordedMessage) -> None:
        topic = self._channels[item.topic]
        # Seconds since the first message: seconds since 1970 have too few digits left for ages.
        now = (item.stamp - self._first_stamp) / messages.NANOSECONDS
        self._received[topic] = now
        self._loop.receive(topic, messages.deserialize(item.data, item.type), now)

    def _hear_of_a_fault(self, item: RecordedMessage) -> None:
        """Take over what the recorded inputs cannot tell: an emergency stop, a reset, ..."""
        text = messages.deserialize(item.data, item.type).data
        try:
            content = json.loads(text)
            fault, raised = Fault(content["fault"]), content["event"] == "raised"
        except (ValueError, KeyError, TypeError) as error:
            raise EpisodeError(f"{self._bag}: '{text}' on {item.topic} is no fault") from error
        if fault is Fault.OBSERVATION_MALFORMED:
            # Bytes that were no message are not in the bag.
            if raised:
                self._loop.reject(item.topic, "as recorded")
            else:
                self._loop.accept(item.topic)
        elif not raised:
            self._loop.safety.clear(fault)
        elif fault.external:
            self._loop.safety.raise_fault(fault, "as recorded", 0.0, lasting=True)

    def _time_of(self, item: _Recorded) -> float:
        """When the decision was taken: as long after the oldest input as its age says."""
        if np.isfinite(item.age) and self._received:
            return min(self._received.values()) + item.age
        return (item.stamp - self._first_stamp) / messages.NANOSECONDS

    def _events(self) -> list[RecordedMessage | Plan | _Recorded]:
        """Observations, faults, plans and decisions in recorded order, up to the last step."""
        metadata = self._metadata
        plan_topic, begun = metadata.topics.get(PLAN), False
        command_topic = metadata.topics[self._embodiment.action.topic]
        decision_topic = metadata.topics[DECISION]
        events: list[RecordedMessage | Plan | _Recorded] = []
        command: tuple[int, RecordedMessage] | None = None
        for item in self._messages:
            if item.topic in self._channels or item.topic == self._faults:
                events.append(item)
            elif item.topic == plan_topic:
                if begun:  # the first one is what the episode began with
                    events.append(Plan.from_dict(parse_plan(self._bag, item)))
                begun = True
            elif item.topic == command_topic:
                command = len(events), item
            elif item.topic == decision_topic and command is not None:
                place, message = command
                recorded = self._recorded(message, item)
                # Where the command stands: an input in between came too late for it.
                events.insert(place, recorded)
                command = None
                if recorded.step + 1 >= metadata.steps:
                    break
        return events

    def _recorded(self, command: RecordedMessage, decision: RecordedMessage) -> _Recorded:
        numbers = messages.deserialize(decision.data, decision.type).data
        if len(numbers) != 4:
            raise EpisodeError(f"{self._bag}: a decision has {len(numbers)} numbers instead of 4")
        message = messages.deserialize(command.data, command.type)
        return _Recorded(
            step=int(numbers[0]),
            action=decode_action(self._embodiment, message),
            stamp=command.stamp,
            source=int(numbers[1]),
            age=float(numbers[3]),
        )
