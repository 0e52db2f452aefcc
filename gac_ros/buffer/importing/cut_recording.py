"""Find the episodes of an open recording as the user asked for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gac_ros.buffer.importing.cut import EVENT_TYPES, Cut, cut_by_events, cut_by_gap, whole
from gac_ros.buffer.importing.recording import Recording
from gac_ros.buffer.importing.table import cut_by_table
from gac_ros.buffer.reader import RecordedMessage
from gac_ros.embodiment import Embodiment
from gac_ros.errors import ConfigurationError, EmbodimentError, EpisodeError
from gac_ros.messages import NANOSECONDS


@dataclass(frozen=True)
class CutBy:
    """What cuts a recording: at most one of these; without any, the embodiment's episode end.

    Attributes:
        event_topic: as recorded; see `cut.cut_by_events`.
        gap: longest pause of the commands within an episode, seconds.
        table: file of times; see `table.cut_by_table`.
    """

    event_topic: str | None = None
    gap: float | None = None
    table: Path | None = None

    def __post_init__(self) -> None:
        given = [each for each in (self.event_topic, self.gap, self.table) if each is not None]
        if len(given) > 1:
            raise ConfigurationError("cut by an event topic, a gap, or a table: only one of them")
        if self.gap is not None and not 0.0 < self.gap < 1e9:
            raise ConfigurationError(f"a gap of {self.gap} s is none; give seconds above 0")

    def in_words(self, events: str | None) -> str:
        """For people; `events` is the topic that cut it, if one did."""
        if self.gap is not None:
            return f"commands that pause longer than {self.gap:g} s"
        if self.table is not None:
            return f"the table {self.table.name}"
        return f"events on {events}" if events else "nothing: the whole recording is one episode"


def event_topic(
    recording: Recording, cut: CutBy, embodiment: Embodiment, topics: Mapping[str, str]
) -> str | None:
    """The recorded topic that tells the episodes; None when something else cuts them.

    Raises:
        EmbodimentError: it is missing, or holds messages that tell nothing.
    """
    name = cut.event_topic
    if name is None:
        end = embodiment.episode_end_topic
        return topics.get(end) if end and cut.gap is None and cut.table is None else None
    topic = recording.topics.get(name) or recording.topics.get(f"/{name}")
    if topic is None or topic.count == 0:
        names = [each.name for each in recording.topics.values() if each.types[0] in EVENT_TYPES]
        raise EmbodimentError(
            f"{recording.path}: no event on {name}; topics that could tell some: "
            f"{', '.join(names) or 'none'}"
        )
    if len(topic.types) > 1 or topic.types[0] not in EVENT_TYPES:
        raise EmbodimentError(
            f"{recording.path}: {name} holds {' and '.join(topic.types)}; events are told by "
            f"{', '.join(EVENT_TYPES)}"
        )
    return topic.name


def cut_recording(
    recording: Recording,
    cut: CutBy,
    events: str | None,
    topics: Mapping[str, str],
    embodiment: Embodiment,
) -> Cut:
    """Read the recording once and find its episodes.

    Args:
        recording: open.
        cut: what cuts it.
        events: the recorded topic that tells the episodes, if one does.
        topics: recorded topic of each of the embodiment's.
        embodiment: the robot's contract.

    Raises:
        EpisodeError: the recording is damaged, or the cut leaves no episode.
        ConfigurationError: the table is wrong.
    """
    start, end = recording.start, None
    commands: list[int] = []
    told: list[RecordedMessage] = []
    wanted = {*topics.values(), *([events] if events else [])}
    command_topic = topics[embodiment.action.topic]
    for message in recording.messages(wanted):
        end = message.stamp
        if message.topic == command_topic:
            commands.append(message.stamp)
        if message.topic == events:
            told.append(message)
    if end is None:
        raise EpisodeError(f"{recording.path}: holds no message of this robot")
    if cut.table is not None:
        found = cut_by_table(cut.table, start)
    elif cut.gap is not None:
        found = cut_by_gap(commands, round(cut.gap * NANOSECONDS), start, end)
    elif events is not None:
        found = cut_by_events(told, start, end)
    else:
        found = whole(start, end)
    if not found.windows:
        raise EpisodeError(f"{recording.path}: the events on {events} tell no episode")
    return found
