"""One row for each episode of a buffer directory: what people and programs choose by."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gac_ros.buffer.locks import is_locked
from gac_ros.buffer.reader import verify_digests
from gac_ros.episode import EpisodeMetadata
from gac_ros.errors import EpisodeError

EpisodeState = Literal["complete", "recovered", "damaged", "recording", "unfinished"]


@dataclass(frozen=True)
class EpisodeSummaryRow:
    """One episode of a buffer directory.

    Attributes:
        episode_id: its id; the directory's name where the metadata cannot be read.
        path: its bag.
        state: `complete`; `recovered` when its recording was cut off or damaged and this is what
            was left; `damaged` when it does not match its digests; `recording` while it is written;
            `unfinished` when the recording was cut off.
        problem: why it is damaged, one line; empty otherwise.
        size: bytes on the disk.
        metadata: None unless usable.
        digest: SHA-256 of the content, metadata and messages; empty unless usable.
    """

    episode_id: str
    path: Path
    state: EpisodeState
    problem: str
    size: int
    metadata: EpisodeMetadata | None
    digest: str = ""

    @property
    def usable(self) -> bool:
        """Whether a training can learn from it."""
        return self.metadata is not None

    @property
    def robot(self) -> str:
        """Name of the embodiment; empty when unknown."""
        return self.metadata.robot if self.metadata else ""

    @property
    def policy(self) -> str:
        """What acted; empty when unknown."""
        return self.metadata.policy if self.metadata else ""

    @property
    def mode(self) -> str:
        """How the plan was made; empty without a plan."""
        return (self.metadata.mode or "") if self.metadata else ""

    @property
    def steps(self) -> int | None:
        """Number of actions; None when unknown."""
        return self.metadata.steps if self.metadata else None

    @property
    def episode_return(self) -> float | None:
        """The return; None without a label."""
        return self.metadata.episode_return if self.metadata else None

    @property
    def predicted_return(self) -> float | None:
        """What the plan promised; None without a plan."""
        return self.metadata.predicted_return if self.metadata else None

    @property
    def ending(self) -> str:
        """`terminated`, `truncated`, both, or neither (empty)."""
        if self.metadata is None:
            return ""
        endings = {"terminated": self.metadata.terminated, "truncated": self.metadata.truncated}
        return " ".join(name for name, happened in endings.items() if happened)

    @property
    def outcome(self) -> str:
        """The verdict; empty when unknown."""
        if self.metadata is None or self.metadata.outcome == "unknown":
            return ""
        return self.metadata.outcome

    @property
    def faults(self) -> int | None:
        """Steps at which the safe action took over, plus messages lost; None when unknown.

        Which faults there were, the messages on the bag's fault topic tell.
        """
        if self.metadata is None:
            return None
        return self.metadata.safe_actions + self.metadata.dropped_messages


def examine(bag: Path) -> EpisodeSummaryRow:
    """Row of a bag; its digests are checked, which reads all of it."""
    try:
        metadata, digest = verify_digests(bag)
    except EpisodeError as error:
        return EpisodeSummaryRow(bag.name, bag, "damaged", str(error), bytes_of(bag), None)
    state: EpisodeState = "recovered" if metadata.recovered else "complete"
    return EpisodeSummaryRow(metadata.episode_id, bag, state, "", bytes_of(bag), metadata, digest)


def unfinished(path: Path) -> EpisodeSummaryRow:
    """Row of a bag under `.recording`."""
    state: EpisodeState = "recording" if any(map(is_locked, path.glob("*.mcap"))) else "unfinished"
    return EpisodeSummaryRow(path.name, path, state, "", bytes_of(path), None)


def bytes_of(path: Path) -> int:
    """Bytes of a folder's files; those renamed or removed meanwhile count for nothing."""
    total = 0
    # Unlike a glob, a walk goes on where a folder is gone by the time that it gets there.
    for folder, _, files in os.walk(path):
        for name in files:
            with suppress(OSError):
                total += Path(folder, name).stat().st_size
    return total
