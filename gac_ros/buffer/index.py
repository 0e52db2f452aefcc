"""An index of a buffer directory, so that a look at it need not read every bag again.

It is an SQLite file in the directory's `.cache`, brought up to date whenever it is read: bags whose
files look as they did then (size, times, inode) are taken from it, others are read and checked.
Every entry has a digest; damaged bags get none and are read each time. An index that is lost,
damaged, or of another version is made again, and where none can be written all bags are read.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gac_ros.buffer.folders import bags_in, cache_folder
from gac_ros.buffer.rows import EpisodeSummaryRow, examine
from gac_ros.episode import EpisodeMetadata

FILE = "index.sqlite"
_VERSION = 1
# A file changed within this time, in seconds, before it was read may have been changed once more
# without its times telling: file systems count time in steps, some of 2 s.
_UNSURE = 2.0
_SAVED_AT_ONCE = 200
_PATIENCE = 10.0  # seconds to wait for another process that writes the index

_TABLES = """
CREATE TABLE IF NOT EXISTS bags (
    name TEXT PRIMARY KEY, signature TEXT, content TEXT, digest TEXT
);
CREATE TABLE IF NOT EXISTS embodiments (digest TEXT PRIMARY KEY, content TEXT);
"""


@dataclass(frozen=True)
class _Entry:
    """What the index says of a bag: how its files looked, and its row."""

    signature: str
    row: EpisodeSummaryRow


def indexed_rows(
    directory: Path, on_bag: Callable[[], None] | None = None
) -> list[EpisodeSummaryRow]:
    """Rows of the complete and the damaged bags in a buffer directory, by name.

    Args:
        directory: the buffer directory.
        on_bag: called for each bag that had to be read.

    Raises:
        EpisodeError: the directory cannot be read.
    """
    bags = bags_in(directory)
    folder = cache_folder(directory) if bags else None
    file = None if folder is None else folder / FILE
    known = {} if file is None else _load(file, directory)
    rows: dict[str, EpisodeSummaryRow] = {}
    fresh: dict[str, _Entry] = {}
    for bag in bags:
        signature, changed = _look(bag)
        entry = known.get(bag.name)
        if entry is not None and signature and entry.signature == signature:
            rows[bag.name] = entry.row
            continue
        begun = time.time()
        row = examine(bag)
        if row.state == "damaged" and not bag.exists():
            continue  # removed while we looked
        rows[bag.name] = row
        if row.usable and changed < begun - _UNSURE:
            fresh[bag.name] = _Entry(signature, row)
        if on_bag is not None:
            on_bag()
        if file is not None and len(fresh) >= _SAVED_AT_ONCE:
            _save(file, fresh, gone=())
            fresh = {}
    gone = sorted(set(known) - set(rows))
    if file is not None and (fresh or gone):
        _save(file, fresh, gone)
    return [rows[name] for name in sorted(rows)]


def _look(bag: Path) -> tuple[str, float]:
    """How a bag's files look, and when the youngest of them changed (seconds since the epoch)."""
    parts: list[str] = []
    changed = 0.0
    try:
        for entry in sorted(bag.iterdir()):
            stat = entry.stat()
            changed = max(changed, stat.st_mtime, stat.st_ctime)
            parts.append(
                f"{entry.name}:{stat.st_size}:{stat.st_mtime_ns}:{stat.st_ctime_ns}:{stat.st_ino}"
            )
    except OSError:
        return "", float("inf")
    return "/".join(parts), changed


# --- the file ------------------------------------------------------------------------------------


def _load(file: Path, directory: Path) -> dict[str, _Entry]:
    """Every sound entry; none when there is no index or it is damaged."""
    if not file.exists():
        return {}
    try:
        with closing(_connect(file)) as connection:
            embodiments = dict(_embodiments(connection))
            found = connection.execute("SELECT name, signature, content, digest FROM bags")
            entries = ((row[0], _entry(row, directory, embodiments)) for row in found)
            return {name: entry for name, entry in entries if entry is not None}
    except sqlite3.Error as error:
        if "locked" not in str(error):  # then another process is at work on it
            with suppress(OSError):
                file.unlink()
        return {}


def _save(file: Path, entries: dict[str, _Entry], gone: Sequence[str]) -> None:
    """Add and replace entries, and drop those of bags that are gone; a failure costs only time."""
    with suppress(sqlite3.Error, OSError), closing(_connect(file)) as connection, connection:
        connection.execute("BEGIN IMMEDIATE")
        for name, entry in entries.items():
            content, embodiment = _written(entry.row)
            if embodiment is not None:
                connection.execute("INSERT OR REPLACE INTO embodiments VALUES (?, ?)", embodiment)
            values = (name, entry.signature, content)
            connection.execute(
                "INSERT OR REPLACE INTO bags VALUES (?, ?, ?, ?)", (*values, _digest(*values))
            )
        connection.executemany("DELETE FROM bags WHERE name = ?", [(name,) for name in gone])


def _connect(file: Path) -> sqlite3.Connection:
    """The index, its tables there; one of another version is emptied.

    Raises:
        sqlite3.Error: it is damaged, or locked for long.
    """
    connection = sqlite3.connect(file, timeout=_PATIENCE, isolation_level=None)
    try:
        # It can be made again, so no power cut is worth waiting for the disk.
        connection.execute("PRAGMA synchronous = OFF")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version != _VERSION:
            connection.executescript(
                "BEGIN IMMEDIATE; DROP TABLE IF EXISTS bags; DROP TABLE IF EXISTS embodiments;"
                f"{_TABLES} PRAGMA user_version = {_VERSION}; COMMIT;"
            )
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _embodiments(connection: sqlite3.Connection) -> Iterator[tuple[str, dict[str, Any]]]:
    for digest, content in connection.execute("SELECT digest, content FROM embodiments"):
        if isinstance(content, str) and _digest(content) == digest:
            yield digest, json.loads(content)


def _entry(
    values: tuple[Any, ...], directory: Path, embodiments: dict[str, dict[str, Any]]
) -> _Entry | None:
    """An entry as it was saved; None when it is not."""
    *content, digest = values
    if not all(isinstance(value, str) for value in values) or _digest(*content) != digest:
        return None
    name, signature, text = content
    saved = json.loads(text)
    metadata = saved.pop("metadata")
    if metadata is not None:
        embodiment = embodiments.get(saved["embodiment"])
        if embodiment is None:
            return None
        metadata = EpisodeMetadata.model_validate({**metadata, "embodiment": embodiment})
    row = EpisodeSummaryRow(
        episode_id=saved["episode_id"],
        path=directory / name,
        state=saved["state"],
        problem=saved["problem"],
        size=saved["size"],
        metadata=metadata,
        digest=saved["digest"],
    )
    return _Entry(signature, row)


def _written(row: EpisodeSummaryRow) -> tuple[str, tuple[str, str] | None]:
    """A row as text, and apart from it the embodiment, which most rows share."""
    metadata = None if row.metadata is None else row.metadata.model_dump(mode="json")
    embodiment = None
    if metadata is not None:
        text = json.dumps(metadata.pop("embodiment"))
        embodiment = (_digest(text), text)
    content = {
        "episode_id": row.episode_id,
        "state": row.state,
        "problem": row.problem,
        "size": row.size,
        "metadata": metadata,
        "embodiment": embodiment and embodiment[0],
        "digest": row.digest,
    }
    return json.dumps(content), embodiment


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()
