"""The commands of a recorded episode, to be sent once more, within the limits of the robot."""

from __future__ import annotations

import bisect
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gac_ros import messages
from gac_ros.action import decode_action
from gac_ros.buffer.reader import DECISION, RecordedMessage, read_messages, read_metadata
from gac_ros.embodiment import Embodiment, embodiment_from_dict
from gac_ros.errors import DecodeError, EmbodimentError, EpisodeError
from gac_ros.limiter import Limiter

_ROUNDING = 1e-9  # a change by no more is none


@dataclass(frozen=True, eq=False)
class RecordedCommands:
    """What an episode commanded.

    Attributes:
        bag: the episode's bag.
        topic: on which it was commanded.
        times: float64 (T,), ascending, seconds since the first.
        actions: float64 (T, A).
    """

    bag: Path
    topic: str
    times: NDArray[np.float64]
    actions: NDArray[np.float64]


def read_commands(bag: Path) -> tuple[RecordedCommands, Embodiment]:
    """The commands of an episode's steps, and the contract they were recorded with.

    Raises:
        EpisodeError: the bag is damaged or holds none.
    """
    metadata = read_metadata(bag)
    embodiment = embodiment_from_dict(metadata.embodiment, origin=str(bag))
    topic, decisions = metadata.topics[embodiment.action.topic], metadata.topics.get(DECISION)
    found: list[RecordedMessage] = []
    last: RecordedMessage | None = None
    for message in read_messages(bag):
        if message.topic == topic:
            last = message
        # A command without a decision was no step; a bag without decisions has one at each.
        if last is not None and message.topic == (topic if decisions is None else decisions):
            found.append(last)
            last = None
    found = found[: metadata.steps]
    if not found:
        raise EpisodeError(f"{bag}: holds no command")
    try:
        actions = [
            decode_action(embodiment, messages.deserialize(message.data, message.type))
            for message in found
        ]
    except DecodeError as error:
        raise EpisodeError(f"{bag}: {error}") from error
    stamps = np.array([message.stamp for message in found], dtype=np.int64)
    times = (stamps - stamps[0]) / messages.NANOSECONDS
    return RecordedCommands(bag, topic, times, np.array(actions)), embodiment


def check_same_commands(recorded: Embodiment, wanted: Embodiment, bag: Path) -> None:
    """Refuse to send an episode's commands to a robot that would understand them otherwise.

    Raises:
        EmbodimentError: message, joints, units or interface differ; limits may.
    """

    def meaning(embodiment: Embodiment) -> dict[str, object]:
        action = embodiment.action
        return {
            "type": action.type.value,
            "interface": action.interface,
            "joints": [(field.joint, field.unit) for field in action.fields],
        }

    mine, theirs = meaning(wanted), meaning(recorded)
    for key, value in mine.items():
        if value != theirs[key]:
            raise EmbodimentError(
                f"{bag}: commands {key} {theirs[key]}, the robot '{wanted.name}' takes {value}; "
                "give the robot that was recorded"
            )


class CommandPlayer:
    """Says what to command during a replay; one command a control period.

    A command is in force until the next one. What is sent is kept within the embodiment's limits
    of value, rate and acceleration, beginning at the safe action.

    Attributes:
        limited: commands so far that were not sent as they were recorded.
    """

    def __init__(self, commands: RecordedCommands, embodiment: Embodiment, rate: float) -> None:
        self._actions = commands.actions
        self._times = commands.times.tolist()
        self._rate = rate
        self._safe = embodiment.safe_action
        self._limiter = Limiter(embodiment)
        self.limited = 0
        # Seconds that the replay takes; the last command has its period too.
        self.duration = self._times[-1] / rate + embodiment.control_period

    def at(self, elapsed: float) -> NDArray[np.float64]:
        """The command, (A,), `elapsed` seconds after the start.

        A command that is not finite in the recording is the safe action.
        """
        index = max(0, bisect.bisect_right(self._times, elapsed * self._rate) - 1)
        recorded = self._actions[index]
        action = self._limiter.limit(recorded if np.isfinite(recorded).all() else self._safe)
        self._limiter.move(action)
        self.limited += not np.allclose(action, recorded, rtol=0.0, atol=_ROUNDING)
        return action

    def to_safety(self) -> NDArray[np.float64] | None:
        """The next command, (A,), of the way to the safe action; None when it was reached."""
        if np.array_equal(self._limiter.previous, self._safe):
            return None
        action = self._limiter.towards(self._safe)
        self._limiter.move(action)
        return action
