"""What a buffer directory holds, for people: one row an episode, unfinished and broken ones too."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gac_ros.buffer.locks import is_locked
from gac_ros.buffer.reader import verify
from gac_ros.buffer.writer import METADATA_FILE, RECORDING
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
    """

    episode_id: str
    path: Path
    state: EpisodeState
    problem: str
    size: int
    metadata: EpisodeMetadata | None

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


def list_episodes(directory: Path) -> list[EpisodeSummaryRow]:
    """Rows of a buffer directory, sorted by episode id; every digest is checked.

    A directory that is itself a bag gives one row.

    Raises:
        EpisodeError: the directory cannot be read.
    """
    directory = Path(directory)
    if (directory / METADATA_FILE).exists():
        return [_row(directory)]
    try:
        bags = [entry for entry in directory.iterdir() if _is_bag(entry)]
    except OSError as error:
        raise EpisodeError(
            f"{directory}: cannot be read ({error.strerror}); give a folder of episodes"
        ) from error
    rows = [_row(bag) for bag in bags]
    recording = directory / RECORDING
    if recording.is_dir():
        rows += [_unfinished(entry) for entry in recording.iterdir() if entry.is_dir()]
    return sorted(rows, key=lambda row: (row.episode_id, row.state))


def _is_bag(entry: Path) -> bool:
    if entry.name.startswith(".") or not entry.is_dir():
        return False
    return (entry / METADATA_FILE).exists() or any(entry.glob("*.mcap"))


def _row(bag: Path) -> EpisodeSummaryRow:
    try:
        metadata = verify(bag)
    except EpisodeError as error:
        return EpisodeSummaryRow(bag.name, bag, "damaged", str(error), _size(bag), None)
    state: EpisodeState = "recovered" if metadata.recovered else "complete"
    return EpisodeSummaryRow(metadata.episode_id, bag, state, "", _size(bag), metadata)


def _unfinished(path: Path) -> EpisodeSummaryRow:
    state: EpisodeState = "recording" if any(map(is_locked, path.glob("*.mcap"))) else "unfinished"
    return EpisodeSummaryRow(path.name, path, state, "", _size(path), None)


def _size(path: Path) -> int:
    """Bytes of a bag's files; one that is being renamed or removed meanwhile counts for nothing."""
    total = 0
    for entry in path.rglob("*"):
        try:
            total += entry.stat().st_size if entry.is_file() else 0
        except OSError:
            continue
    return total
