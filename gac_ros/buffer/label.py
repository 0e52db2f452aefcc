"""Say later how an episode went: its return and its outcome, without touching its messages."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from gac_ros.buffer.folders import bags_in
from gac_ros.buffer.locks import try_lock
from gac_ros.buffer.reader import read_metadata
from gac_ros.buffer.tables import number, outcome, read_rows
from gac_ros.buffer.writer import METADATA_FILE, replace_metadata
from gac_ros.episode import EpisodeMetadata, Labels, Outcome
from gac_ros.errors import ConfigurationError, EpisodeError, OutputError

_COLUMNS = ("episode", "return", "outcome", "success")


@dataclass(frozen=True)
class Label:
    """What is said of an episode; None leaves it as it is."""

    episode_return: float | None = None
    outcome: Outcome | None = None


def label_episode(bag: Path, label: Label) -> bool:
    """Label an episode; what was said before is kept in its `earlier_labels`.

    Returns:
        Whether anything changed.

    Raises:
        EpisodeError: there is no such episode, or its metadata is damaged.
        OutputError: the bag cannot be written, or somebody else is labelling it.
    """
    bag = Path(bag)
    try:
        folder = os.open(bag, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise EpisodeError(f"{bag}: cannot be read ({error.strerror}); give a bag") from error
    try:
        if not try_lock(folder):
            raise OutputError(f"{bag}: is being labelled by another process; try again")
        known = read_metadata(bag)
        labelled = _labelled(known, label)
        if labelled is None:
            return False
        replace_metadata(bag, labelled)
    finally:
        os.close(folder)
    return True


def read_labels(table: Path, directory: Path) -> list[tuple[Path, Label]]:
    """Labels of a table, with the bags they are for; nothing is written.

    Args:
        table: CSV or YAML with the columns `episode` (its id) and `return`, `outcome` or `success`;
            what is left empty stays as it is.
        directory: the buffer directory.

    Raises:
        ConfigurationError: the table is wrong, or names an episode that is not there.
        EpisodeError: the directory cannot be read.
    """
    bags = {bag.name: bag for bag in bags_in(Path(directory))}
    found: list[tuple[Path, Label]] = []
    named: set[str] = set()
    for place, row in enumerate(read_rows(table), start=1):
        try:
            name, label = _read_row(row)
        except ValueError as error:
            raise ConfigurationError(f"{table}: row {place}: {error}") from error
        if name not in bags:
            raise ConfigurationError(f"{table}: row {place}: no episode {name} in {directory}")
        if name in named:
            raise ConfigurationError(f"{table}: row {place}: {name} comes twice")
        named.add(name)
        found.append((bags[name], label))
    if not found:
        raise ConfigurationError(f"{table}: holds no row; give one for each episode")
    return found


def find_bags(paths: Sequence[Path]) -> list[Path]:
    """The bags themselves, not folders of them: a label is for one episode.

    Raises:
        EpisodeError: a path is no bag.
    """
    for path in paths:
        if not (path / METADATA_FILE).exists():
            raise EpisodeError(
                f"{path}: not a bag; give the folder of one episode, or a --table for many"
            )
    return list(paths)


def _read_row(row: Mapping[Any, Any]) -> tuple[str, Label]:
    unknown = [key for key in row if key not in _COLUMNS]
    if unknown:
        raise ValueError(f"unknown column '{unknown[0]}'; there are {', '.join(_COLUMNS)}")
    values = {key: value for key, value in row.items() if value not in (None, "")}
    if "episode" not in values:
        raise ValueError("'episode' is missing")
    return str(values["episode"]), Label(number("return", values.get("return")), outcome(values))


def _labelled(known: EpisodeMetadata, label: Label) -> EpisodeMetadata | None:
    """The metadata with the label; None when they say so already."""
    said: dict[str, Any] = {}
    if label.episode_return is not None and label.episode_return != known.episode_return:
        said["episode_return"] = label.episode_return
    if label.outcome is not None and label.outcome != known.outcome:
        said["outcome"] = label.outcome
    if not said:
        return None
    earlier = Labels(
        until=datetime.now(timezone.utc).isoformat(),
        episode_return=known.episode_return,
        outcome=known.outcome,
    )
    return known.model_copy(update={**said, "earlier_labels": (*known.earlier_labels, earlier)})
