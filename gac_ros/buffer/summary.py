"""What a buffer directory holds: one row an episode, unfinished and broken ones too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gac_ros.buffer.index import indexed_rows
from gac_ros.buffer.remote import local_folder
from gac_ros.buffer.rows import EpisodeState, EpisodeSummaryRow, examine, unfinished
from gac_ros.buffer.writer import METADATA_FILE, RECORDING

__all__ = ["EpisodeState", "EpisodeSummaryRow", "list_episodes"]


def list_episodes(
    directory: Path | str, on_bag: Callable[[], None] | None = None
) -> list[EpisodeSummaryRow]:
    """Rows of a buffer directory, sorted by episode id.

    The digests of bags that are new, or look changed since the last time, are checked. A directory
    that is itself a bag gives one row, always checked.

    Args:
        directory: a buffer directory, a bag, or an address of object storage.
        on_bag: called for each bag that had to be read.

    Raises:
        EpisodeError: the directory cannot be read.
        ConfigurationError, OutputError: of addresses, see `remote`.
    """
    directory = local_folder(directory)
    if (directory / METADATA_FILE).exists():
        return [examine(directory)]
    rows = indexed_rows(directory, on_bag)
    recording = directory / RECORDING
    if recording.is_dir():
        rows += [unfinished(entry) for entry in recording.iterdir() if entry.is_dir()]
    return sorted(rows, key=lambda row: (row.episode_id, row.state))
