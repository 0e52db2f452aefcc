"""Notice new episodes of a buffer, by looking again and again.

Polling works on every file system, shared ones included, and needs no process of its own; with the
index a look costs some tens of microseconds an episode.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from threading import Event

from gac_ros.buffer.remote import is_address
from gac_ros.buffer.rows import EpisodeSummaryRow
from gac_ros.buffer.summary import list_episodes


class Watcher:
    """Tells of each complete episode once.

    Args:
        directories: buffer directories; one that is not there yet may appear later.
        known: bags that are no news.
    """

    def __init__(self, directories: Iterable[Path | str], known: Iterable[Path] = ()) -> None:
        self._directories = list(directories)
        self._known = set(known)

    def poll(self) -> list[EpisodeSummaryRow]:
        """Episodes that were completed since the last call, in the order of their ids."""
        rows = [
            row
            for directory in self._directories
            if is_address(directory) or Path(directory).is_dir()
            for row in list_episodes(directory)
            if row.usable and row.path not in self._known
        ]
        self._known.update(row.path for row in rows)
        return sorted(rows, key=lambda row: (row.episode_id, str(row.path)))

    def follow(self, *, period: float, stop: Event | None = None) -> Iterator[EpisodeSummaryRow]:
        """New episodes as they come.

        Args:
            period: seconds between two looks.
            stop: ends it when set; None: never.
        """
        stop = stop or Event()
        while True:
            yield from self.poll()
            if stop.wait(period):
                return
