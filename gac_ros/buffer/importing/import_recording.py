"""Cut a recording into episode bags."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from gac_ros import messages
from gac_ros.buffer.importing.align import Aligned, Alignment, ScriptLine, align, tail_length
from gac_ros.buffer.importing.cut import Cut, Window
from gac_ros.buffer.importing.cut_recording import CutBy, cut_recording, event_topic
from gac_ros.buffer.importing.imported import plain_name
from gac_ros.buffer.importing.recording import Recording
from gac_ros.buffer.importing.report import (
    IN_DROPPED,
    IN_PRESENT,
    EpisodeRow,
    Ledger,
    RecordingReport,
)
from gac_ros.buffer.importing.topics import find_topics
from gac_ros.buffer.layout import recorded_roles, topic_name
from gac_ros.buffer.reader import DECISION, read_metadata
from gac_ros.buffer.writer import EpisodeWriter, check_writable, discard_unfinished
from gac_ros.embodiment import Embodiment
from gac_ros.episode import EpisodeMetadata
from gac_ros.errors import OutputError


@dataclass(frozen=True)
class RecordingImport:
    """How a recording is imported.

    Attributes:
        embodiment: the robot that was recorded.
        cut: where its episodes are.
        alignment: how steps are laid.
        namespace: of the robot in the recording.
        renamed: recorded topic of topics of the embodiment that were called otherwise.
        policy: who acted, for the metadata.
    """

    embodiment: Embodiment
    cut: CutBy = field(default_factory=CutBy)
    alignment: Alignment = field(default_factory=Alignment)
    namespace: str = ""
    renamed: Mapping[str, str] = field(default_factory=dict)
    policy: str = "imported"


def import_recording(
    path: Path,
    out: Path,
    how: RecordingImport,
    *,
    dry_run: bool = False,
    on_episode: Callable[[int, int], None] | None = None,
) -> RecordingReport:
    """Cut a recording into bags; those that an earlier import has written are left alone.

    The recording is read twice: once to find the episodes, by which damage shows before anything
    is written, and once to write them.

    Args:
        path: folder or file of the recording.
        out: buffer directory; episodes are added to those it holds.
        how: what to import.
        dry_run: write nothing, only report.
        on_episode: called after each window with the windows done and all of them.

    Raises:
        EpisodeError: the recording is missing, damaged or of a kind that cannot be read.
        EmbodimentError: it is not of that robot.
        ConfigurationError: the cut does not fit.
        OutputError: `out` cannot be written, holds all its episodes, or the same recording cut
            otherwise.
    """
    with Recording(path) as recording:
        return _Import(recording, Path(out), how, dry_run=dry_run).run(on_episode)


class _Import:
    def __init__(
        self, recording: Recording, out: Path, how: RecordingImport, *, dry_run: bool
    ) -> None:
        self._recording = recording
        self._embodiment = how.embodiment
        self._out = out
        self._how = how
        self._dry_run = dry_run
        self._topics = find_topics(
            recording, how.embodiment, namespace=how.namespace, renamed=how.renamed
        )
        self._roles = {topic: role for role, topic in self._topics.items()}
        self._events = event_topic(recording, how.cut, how.embodiment, self._topics)
        kinds = recorded_roles(how.embodiment, with_plan=False)
        self._bag_topics = {**self._topics, DECISION: topic_name(DECISION)}
        self._types = {topic: kinds[role] for role, topic in self._bag_topics.items()}
        self._digest = recording.digest()

    def run(self, on_episode: Callable[[int, int], None] | None) -> RecordingReport:
        how = self._how
        cut = cut_recording(self._recording, how.cut, self._events, self._topics, self._embodiment)
        prefix = self._prefix()
        if not self._dry_run:
            check_writable(self._out)
            self._refuse_other_cuts(prefix)
        ledger = Ledger()
        rows: list[EpisodeRow] = []
        for index, (window, lines) in enumerate(self._windows(cut)):
            later = cut.windows[index + 1].start if index + 1 < len(cut.windows) else None
            row = self._take(f"{prefix}-{index:05d}", window, lines, ledger, later)
            rows += [] if row is None else [row]
            if on_episode is not None:
                on_episode(index + 1, len(cut.windows))
        if rows and all(row.state == "present" for row in rows):
            raise OutputError(
                f"{self._out}: holds all {len(rows)} episodes of {self._recording.name} already; "
                "choose another folder or leave it at that"
            )
        return RecordingReport(
            recording=str(self._recording.path),
            cut=how.cut.in_words(self._events),
            episodes=tuple(rows),
            topics={
                name: ledger.row(role, self._recording.topics[name].count)
                for name, role in self._roles.items()
            },
            unused_topics={
                name: topic.count
                for name, topic in self._recording.topics.items()
                if name not in self._roles and name != self._events
            },
            unknown_events=cut.unknown_events,
            has_rewards=self._embodiment.episode_return.topic in self._topics,
            has_checksums=self._recording.has_checksums,
            has_definitions=all(self._recording.topics[name].defined for name in self._used()),
            dry_run=self._dry_run,
        )

    def _used(self) -> set[str]:
        """Names of the topics of which messages are decoded."""
        return {*self._roles, *([self._events] if self._events in self._recording.topics else [])}

    def _windows(self, cut: Cut) -> Iterator[tuple[Window, list[ScriptLine]]]:
        """Each window with its messages, its tail among them; one pass over the recording."""
        tail = tail_length(self._embodiment)
        waiting = list(reversed(cut.windows))
        open_: list[tuple[Window, list[ScriptLine]]] = []
        for message in self._recording.messages(tuple(self._roles)):
            while waiting and waiting[-1].start <= message.stamp:
                open_.append((waiting.pop(), []))
            while open_ and open_[0][0].end + tail < message.stamp:
                yield open_.pop(0)
            line = ScriptLine(self._roles[message.topic], message.data, message.stamp)
            for window, lines in open_:
                # A window that overlaps with the one before only by that one's tail.
                if message.stamp <= window.end + tail:
                    lines.append(line)
        yield from open_
        yield from ((window, []) for window in reversed(waiting))

    def _take(
        self,
        episode_id: str,
        window: Window,
        lines: list[ScriptLine],
        ledger: Ledger,
        next_start: int | None,
    ) -> EpisodeRow | None:
        if (self._out / episode_id).exists() and not self._dry_run:
            ledger.whole_window(lines, window.end, IN_PRESENT)
            return self._present(episode_id, window)
        if window.discarded:
            aligned = Aligned(problem="it was discarded when it was recorded")
        else:
            aligned = align(lines, window, self._embodiment, self._how.alignment)
        if aligned.problem and window.rest and next_start is None:
            return None
        if aligned.problem:
            ledger.whole_window(lines, window.end, IN_DROPPED)
        else:
            ledger.window(aligned, next_start)
            if not self._dry_run:
                self._write(episode_id, window, aligned)
        return self._row(
            episode_id,
            window,
            state="left out" if aligned.problem else "imported",
            problem=aligned.problem,
            span=(aligned.script[0].stamp, aligned.script[-1].stamp) if aligned.script else None,
            steps=aligned.steps,
            usable=aligned.steps - sum(aligned.unusable.values()),
            held=aligned.held,
            unusable=aligned.unusable,
            episode_return=_return(window, aligned),
            outcome=window.outcome,
        )

    def _present(self, episode_id: str, window: Window) -> EpisodeRow:
        known = read_metadata(self._out / episode_id)
        return self._row(
            episode_id,
            window,
            state="present",
            steps=known.steps,
            usable=known.steps - known.safe_actions,
            episode_return=known.episode_return,
            outcome=known.outcome,
        )

    def _row(
        self,
        episode_id: str,
        window: Window,
        *,
        span: tuple[int, int] | None = None,
        **known: Any,
    ) -> EpisodeRow:
        start, end = span or (window.start, window.end)
        return EpisodeRow(
            episode_id=episode_id,
            start=(start - self._recording.start) / messages.NANOSECONDS,
            duration=(end - start) / messages.NANOSECONDS,
            ending=_ending(window.terminated, window.truncated),
            **known,
        )

    def _write(self, episode_id: str, window: Window, aligned: Aligned) -> None:
        # Without a draft on purpose: half an imported episode must not be recovered as a whole one.
        discard_unfinished(self._out, episode_id)
        writer = EpisodeWriter(self._out, episode_id, self._types)
        try:
            for line in aligned.script:
                writer.write(self._bag_topics[line.role], line.data, line.stamp)
            writer.commit(self._metadata(episode_id, window, aligned))
        except BaseException:
            # An import can be repeated, so half an episode is worth nothing.
            writer.discard()
            raise

    def _metadata(self, episode_id: str, window: Window, aligned: Aligned) -> EpisodeMetadata:
        embodiment = self._embodiment
        first, last = aligned.script[0].stamp, aligned.script[-1].stamp
        started = datetime.fromtimestamp(first / messages.NANOSECONDS, timezone.utc)
        scored = embodiment.episode_return.source == "function"
        return EpisodeMetadata(
            episode_id=episode_id,
            robot=embodiment.name,
            embodiment=embodiment.to_dict(),
            embodiment_digest=embodiment.digest,
            policy=self._how.policy,
            steps=aligned.steps,
            episode_return=window.episode_return if scored else _return(window, aligned),
            terminated=window.terminated,
            truncated=window.truncated,
            outcome=window.outcome,
            started=started.isoformat(),
            duration=(last - first) / messages.NANOSECONDS,
            safe_actions=sum(aligned.unusable.values()),
            source={
                "file": self._recording.name,
                "sha256": self._digest,
                "start_ns": window.start,
                "end_ns": window.end,
                "cut": self._how.cut.in_words(self._events),
            },
            topics=self._bag_topics,
        )

    def _prefix(self) -> str:
        """What the ids of the recording's episodes begin with: what was recorded, and how cut."""
        how = self._how
        plain = plain_name(self._recording.name, otherwise="recording")
        table = how.cut.table.read_text(encoding="utf-8-sig") if how.cut.table else None
        settings = {
            "embodiment": self._embodiment.digest,
            "topics": self._topics,
            "events": self._events,
            "gap": how.cut.gap,
            "table": table,
            "alignment": asdict(how.alignment),
        }
        text = json.dumps(settings, sort_keys=True)
        return f"{plain}-{self._digest[:8]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"

    def _refuse_other_cuts(self, prefix: str) -> None:
        """The same time twice in a buffer would count twice in a training."""
        same = f"-{self._digest[:8]}-"
        for entry in self._out.iterdir():
            if same in entry.name and not entry.name.startswith(f"{prefix}-"):
                raise OutputError(
                    f"{self._out}: holds {entry.name}, of the same recording but cut or aligned "
                    "otherwise; choose another folder, or move those episodes away"
                )


def _return(window: Window, aligned: Aligned) -> float | None:
    return aligned.rewards if window.episode_return is None else window.episode_return


def _ending(terminated: bool, truncated: bool) -> str:
    return " ".join(
        word for word, is_so in (("terminated", terminated), ("truncated", truncated)) if is_so
    )
