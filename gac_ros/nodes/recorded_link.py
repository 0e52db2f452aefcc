"""Publishes and records the same bytes, so that a bag holds exactly what happened."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

from numpy import float64, zeros
from numpy.typing import NDArray

from gac_ros.action import ActionEncoder
from gac_ros.buffer.reader import DECISION, FAULT, PLAN
from gac_ros.buffer.recorder import EpisodeRecorder
from gac_ros.control import Decision
from gac_ros.embodiment import Embodiment
from gac_ros.episode import EpisodeMetadata
from gac_ros.faults import Fault
from gac_ros.messages import float64_multi_array, serialize, string
from gac_ros.nodes.link import Link
from gac_ros.patterns import Template
from gac_ros.planning import Plan
from gac_ros.safety import FaultEvent


class Place(NamedTuple):
    """Of a message in the bag: behind how many that wait to be recorded, and the log time."""

    before: int
    stamp: int


class RecordedLink:
    """The link to the robot with the episode's bag behind it.

    Log times are those of the system's clock: they order the messages and never stand still, as
    simulated time does. What is to be recorded waits for `hand_over`, which wakes the recorder: its
    thread must not take turns with a decision that is under way.

    Args:
        embodiment: the robot's contract.
        link: the topics; owned by the caller.
        recorder: None when nothing is recorded; owned by the caller.
        directory: where the bags go.
        ros_time: nanoseconds of the node's clock, for the stamps of commands.

    Attributes:
        turn: held from the last look at the faults to the end of the publish call, so that commands
            of two threads do not cross.
    """

    def __init__(
        self,
        embodiment: Embodiment,
        link: Link,
        recorder: EpisodeRecorder | None,
        directory: Path | None,
        ros_time: Callable[[], int],
    ) -> None:
        self._embodiment = embodiment
        self._link = link
        self._recorder = recorder
        self._directory = directory
        self._ros_time = ros_time
        self._actions = ActionEncoder(embodiment)
        self._nothing = zeros(embodiment.action_size)
        self._decisions = Template(float64_multi_array([0.0] * 4), lambda message: message.data)
        self._recording = False
        # Taken out one by one: the guardian's thread may add to it meanwhile.
        self._waiting: deque[tuple[str, bytes, int]] = deque()
        self.turn = Lock()

    @property
    def embodiment(self) -> Embodiment:
        """The robot's contract."""
        return self._embodiment

    @property
    def command_topic(self) -> str:
        """The command topic's name in the graph."""
        return self._link.topics[self._embodiment.action.topic]

    @property
    def topics(self) -> dict[str, str]:
        """Embodiment topic or role to topic name in the bag."""
        return self._link.topics

    @property
    def dropped(self) -> int:
        """Messages of the episode that the recorder lost."""
        return self._recorder.dropped if self._recorder is not None else 0

    @property
    def low_space(self) -> str:
        """Why the episode should end: the disk is filling up; empty while there is room."""
        return self._recorder.low_space if self._recorder is not None else ""

    @property
    def recording_failure(self) -> str:
        """Why the episode is not recorded any further; empty while it is."""
        return self._recorder.failure if self._recorder is not None else ""

    def begin(self, draft: EpisodeMetadata) -> Future[None]:
        """Open the episode's bag; done when it is open, or holds the error.

        Args:
            draft: what is known of the episode before its first step.
        """
        if self._recorder is None or self._directory is None:
            done: Future[None] = Future()
            done.set_result(None)
            return done
        self._recording = True
        return self._recorder.begin(self._directory, draft.episode_id, self._link.types, draft)

    def heard(self, topic: str, data: bytes) -> None:
        """Record a message that the controller uses; topic as in the embodiment."""
        self._record(topic, data)

    def place(self) -> Place:
        """The present place in the bag, for what is sent a little later."""
        return Place(before=len(self._waiting), stamp=time.time_ns())

    def send_plan(self, plan: Plan, place: Place | None = None) -> None:
        """Publish and record the plan.

        Args:
            plan: that is followed from now on.
            place: where it belongs in the bag; since then nothing has been handed over.
        """
        data = serialize(string(plan.to_json()))
        self._link.send_plan(data)
        self._record(PLAN, data, place)

    def send_action(self, action: NDArray[float64]) -> float:
        """Publish and record a command; returns when it was sent, in monotonic seconds."""
        stamp = self._ros_time() if self._actions.stamped else 0
        data = self._actions.encode(action, stamp)
        self._link.send_command(data)
        sent = time.monotonic()
        self._record(self._embodiment.action.topic, data)
        return sent

    def rehearse(self) -> None:
        """Write a command and what is told of it, and send neither; see `Policy.rehearse`."""
        self._actions.encode(self._nothing, self._ros_time() if self._actions.stamped else 0)
        self._decisions.fill([0.0] * 4)

    def send_decision(self, decision: Decision, latency: float) -> None:
        """Publish and record what is known of the command just sent."""
        numbers = [decision.step, decision.source, latency, decision.observation_age]
        data = self._decisions.fill(numbers)
        self._link.send_decision(data)
        self._record(DECISION, data)

    def record_faults(self, events: Iterable[FaultEvent]) -> list[bytes]:
        """Record faults that begin or end; returns what is still to be published of them.

        They come before the command that answers them, so that the bag tells why it was sent, but
        the robot does not wait for their publication.
        """
        told = [serialize(string(event.to_json())) for event in events]
        for data in told:
            self._record(FAULT, data)
        return told

    def send_faults(self, told: Iterable[bytes]) -> None:
        """Publish what `record_faults` returned."""
        for data in told:
            self._link.send_fault(data)

    def announce_faults(self, active: Iterable[Fault]) -> None:
        """Publish which faults last, for those who come late."""
        content = {"event": "state", "active": [fault.value for fault in active]}
        self._link.send_fault(serialize(string(json.dumps(content))))

    @property
    def ros_time(self) -> int:
        """Nanoseconds of the node's clock."""
        return self._ros_time()

    def announce(self, content: dict[str, Any]) -> None:
        """Publish the episode's state."""
        self._link.send_episode(serialize(string(json.dumps(content))))

    def hand_over(self) -> None:
        """Have everything recorded so far written; whoever sends or hears something calls it."""
        if self._recorder is not None:
            while self._waiting:
                self._recorder.write(*self._waiting.popleft())

    def commit(self, metadata: EpisodeMetadata) -> Future[Path] | None:
        """Complete the bag; None when there is none."""
        self.hand_over()
        self._recording = False
        return self._recorder.commit(metadata) if self._recorder is not None else None

    def discard(self) -> None:
        """Delete the bag."""
        self._waiting.clear()
        if self._recording and self._recorder is not None:
            self._recorder.discard()
        self._recording = False

    def _record(self, role: str, data: bytes, place: Place | None = None) -> None:
        if self._recording and self._recorder is not None:
            topic = self._link.topics[role]
            if place is None:
                self._waiting.append((topic, data, time.time_ns()))
            else:
                self._waiting.insert(place.before, (topic, data, place.stamp))
