"""What a buffer directory holds: one row an episode, unfinished and broken ones too."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
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
    # Before the complete ones: what is completed meanwhile is then seen twice, not never.
    recorded = _unfinished_rows(directory / RECORDING)
    rows = indexed_rows(directory, on_bag)
    complete = {row.episode_id for row in rows}
    rows += [row for row in recorded if row.episode_id not in complete]
    return sorted(rows, key=lambda row: (row.episode_id, row.state))


def _unfinished_rows(recording: Path) -> list[EpisodeSummaryRow]:
    try:
        entries = list(recording.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    rows = []
    for entry in entries:
        # Completed or discarded by now, if it is gone.
        with suppress(FileNotFoundError, NotADirectoryError):
            if entry.is_dir():
                rows.append(unfinished(entry))
    return rows
