"""What became of a recording: which episodes, which messages were left out, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from gac_ros.buffer.importing.align import SURPLUS, Aligned, ScriptLine
from gac_ros.episode import Outcome

OUTSIDE = "outside the episodes"
IN_DROPPED = "in an episode that was left out"
IN_PRESENT = "in an episode that is there already"


@dataclass(frozen=True)
class EpisodeRow:
    """One window of the recording.

    Attributes:
        episode_id: its id, in the buffer or if it had come there.
        state: `imported`, `present` (an earlier import wrote it) or `left out`.
        start: seconds from the recording's first message.
        duration: seconds.
        steps: of the episode.
        usable: steps that can be learnt from.
        episode_return: what was said, or the sum of the rewards; None without either.
        ending: terminated, truncated, or both.
        outcome: what was said.
        problem: why it was left out.
        held: steps at which a command was held.
        unusable: the steps that cannot be learnt from, by why.
    """

    episode_id: str
    state: Literal["imported", "present", "left out"]
    start: float
    duration: float
    steps: int
    usable: int
    episode_return: float | None
    ending: str
    outcome: Outcome
    problem: str = ""
    held: int = 0
    unusable: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class TopicRow:
    """Where a topic's messages went: `recorded` is `used` and those `dropped`, by why.

    `surplus` of those used are commands that came faster than the control rate: kept in the bag,
    but no step.
    """

    recorded: int
    used: int
    dropped: Mapping[str, int]
    surplus: int = 0


@dataclass(frozen=True)
class RecordingReport:
    """What an import of a recording did.

    Attributes:
        recording: its path.
        cut: what cut it, in words.
        episodes: a row for each window, in order of time.
        topics: a row for each topic of the embodiment, by its recorded name.
        unused_topics: messages of the other topics.
        unknown_events: words of the event topic that were not understood, and how often.
        has_rewards: whether rewards were recorded.
        has_checksums: whether a flipped bit in a message would have been noticed.
        has_definitions: whether it says how its messages are laid out, so that others than expected
            would have been noticed.
        dry_run: whether nothing was written.
    """

    recording: str
    cut: str
    episodes: tuple[EpisodeRow, ...]
    topics: Mapping[str, TopicRow]
    unused_topics: Mapping[str, int]
    unknown_events: Mapping[str, int]
    has_rewards: bool
    has_checksums: bool
    has_definitions: bool
    dry_run: bool

    def count(self, state: str) -> int:
        """Number of windows in a state."""
        return sum(row.state == state for row in self.episodes)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


@dataclass
class Ledger:
    """Counts where the messages of each role go while windows are taken in."""

    used: Counter[str] = field(default_factory=Counter)
    dropped: Counter[tuple[str, str]] = field(default_factory=Counter)
    surplus: Counter[str] = field(default_factory=Counter)

    def whole_window(self, lines: Iterable[ScriptLine], end: int, why: str) -> None:
        """None of a window's messages was used."""
        self.dropped.update((line.role, why) for line in lines if line.stamp <= end)

    def window(self, aligned: Aligned, next_start: int | None) -> None:
        """The messages of a window went as its alignment says."""
        self.used.update(aligned.used)
        # The next window counts its own, even if they told this one's outcome.
        self.used.update(
            line.role for line in aligned.tail if next_start is None or line.stamp < next_start
        )
        for (role, why), count in aligned.dropped.items():
            if why == SURPLUS:
                self.surplus[role] += count
            else:
                self.dropped[role, why] += count

    def row(self, role: str, recorded: int) -> TopicRow:
        """The row of a topic; what no window has claimed was outside."""
        dropped = {why: count for (name, why), count in self.dropped.items() if name == role}
        outside = recorded - self.used[role] - sum(dropped.values())
        if outside > 0:
            dropped[OUTSIDE] = outside
        return TopicRow(recorded, self.used[role], dropped, self.surplus[role])
