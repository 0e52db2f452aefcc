"""Where the episodes of a long recording begin and end: by events, by pauses, or by a table."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from gac_ros import messages
from gac_ros.buffer.reader import RecordedMessage
from gac_ros.episode import Outcome
from gac_ros.errors import EpisodeError

BOOL = "std_msgs/msg/Bool"
EMPTY = "std_msgs/msg/Empty"
EVENT_TYPES = (messages.STRING, BOOL, EMPTY)

# What a std_msgs/String may say, in the words of this package and of others.
START = ("start", "begin", "running", "reset")
END = ("end", "stop", "done", "idle", "truncated", "timeout")
TERMINATED = ("terminated",)
SUCCESS = ("success", "succeeded")
FAILURE = ("failure", "failed")
DISCARD = ("discard", "discarded", "rerecord")
# States between two episodes, which end none.
BETWEEN = ("planning", "ready", "waiting")


@dataclass(frozen=True)
class Window:
    """The part of a recording that may become an episode.

    Attributes:
        start: log time of the first message that may belong to it, nanoseconds.
        end: of the last one.
        terminated: ended by the task.
        truncated: ended by anything else.
        outcome: what was said about it.
        episode_return: what was said; None: the sum of the rewards, if there are any.
        discarded: whether it was taken back while it was recorded.
        rest: what was recorded after the last end: nobody misses it if it is no episode.
    """

    start: int
    end: int
    terminated: bool = False
    truncated: bool = False
    outcome: Outcome = "unknown"
    episode_return: float | None = None
    discarded: bool = False
    rest: bool = False


@dataclass(frozen=True)
class Cut:
    """The windows, in order of time and apart from each other, and events nobody understood."""

    windows: tuple[Window, ...]
    unknown_events: dict[str, int]


def whole(start: int, end: int) -> Cut:
    """One episode."""
    return Cut((Window(start, end, truncated=True),), {})


def cut_by_gap(commands: Sequence[int], gap: int, start: int, end: int) -> Cut:
    """An episode between any two pauses of the commands.

    Args:
        commands: log times of the commands, ascending, nanoseconds.
        gap: a longer time without a command ends an episode, nanoseconds.
        start: log time of the recording's first message.
        end: of its last.
    """
    windows = []
    first = start
    for earlier, later in pairwise(commands):
        if later - earlier > gap:
            # What came of the last command is still to be heard in the pause.
            middle = (earlier + later) // 2
            windows.append(Window(first, middle, truncated=True))
            first = middle + 1
    windows.append(Window(first, end, truncated=True))
    return Cut(tuple(windows), {})


def cut_by_events(events: Sequence[RecordedMessage], start: int, end: int) -> Cut:
    """Episodes as a topic tells them.

    A topic that says when an episode starts has episodes from there to the next end; messages
    outside them are left out. A topic that only says when one ends has the next one start there.
    An episode that was going on when the recording ended is truncated.

    Args:
        events: messages of the topic: std_msgs/String with a word of those above, or JSON with
            such a word as `state`; std_msgs/Bool, true while an episode goes on; or std_msgs/Empty,
            a border between two.
        start: log time of the recording's first message, nanoseconds.
        end: of its last.

    Raises:
        EpisodeError: no event can be understood.
    """
    said = [(event.stamp, _meaning(event)) for event in events]
    unknown = Counter(meaning.word for _, meaning in said if not meaning.known)
    known = [(stamp, meaning) for stamp, meaning in said if meaning.known and not meaning.idle]
    if not known:
        words = ", ".join(f"'{word}'" for word in list(unknown)[:3]) or "nothing"
        raise EpisodeError(
            f"the event topic says {words}; the words that are understood: "
            f"{', '.join((*START, *END, *TERMINATED, *SUCCESS, *FAILURE, *DISCARD))}"
        )
    explicit = any(meaning.starts for _, meaning in known)
    windows: list[Window] = []
    begun = None if explicit else start
    for stamp, meaning in known:
        if meaning.starts:
            # A start in the middle of an episode ends it, for whatever reason nobody said so.
            if begun is not None and explicit and not meaning.repeats:
                windows.append(Window(begun, stamp - 1, truncated=True))
                begun = stamp
            begun = stamp if begun is None else begun
        elif begun is not None:
            windows.append(replace(meaning.window, start=begun, end=stamp))
            begun = None if explicit else stamp + 1
        elif windows and meaning.verdict:
            # The verdict may come after the end.
            windows[-1] = replace(
                windows[-1], outcome=meaning.window.outcome, discarded=meaning.window.discarded
            )
    if begun is not None and begun < end:
        windows.append(Window(begun, end, truncated=True, rest=not explicit))
    return Cut(tuple(windows), dict(unknown))


@dataclass(frozen=True)
class _Meaning:
    """What an event says: a start, or an end with its verdict (in `window`)."""

    word: str
    known: bool = True
    idle: bool = False  # neither start nor end
    starts: bool = False
    repeats: bool = False  # a state that is published again and again
    window: Window = Window(0, 0)

    @property
    def verdict(self) -> bool:
        return self.window.outcome != "unknown" or self.window.discarded


_ENDS: dict[str, Window] = {
    **dict.fromkeys(END, Window(0, 0, truncated=True)),
    **dict.fromkeys(TERMINATED, Window(0, 0, terminated=True)),
    **dict.fromkeys(SUCCESS, Window(0, 0, terminated=True, outcome="success")),
    **dict.fromkeys(FAILURE, Window(0, 0, terminated=True, outcome="failure")),
    **dict.fromkeys(DISCARD, Window(0, 0, truncated=True, discarded=True)),
}


def _meaning(event: RecordedMessage) -> _Meaning:
    if event.type == EMPTY:
        return _Meaning("", window=_ENDS["end"])
    value = messages.deserialize(event.data, event.type).data
    if event.type == BOOL:
        return _Meaning(str(value), starts=bool(value), repeats=True, window=_ENDS["end"])
    word, repeats = _word(str(value))
    if word in START:
        return _Meaning(word, starts=True, repeats=repeats)
    if word in _ENDS:
        return _Meaning(word, window=_ENDS[word])
    return _Meaning(word, known=word in BETWEEN, idle=True)


def _word(text: str) -> tuple[str, bool]:
    """The word of a String, and whether it is a state that may come repeatedly."""
    try:
        content: Any = json.loads(text)
    except ValueError:
        return text.strip().lower(), False
    if isinstance(content, dict) and isinstance(content.get("state"), str):
        return str(content["state"]).strip().lower(), True
    return text.strip().lower(), False
