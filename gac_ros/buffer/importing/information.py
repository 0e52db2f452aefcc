"""`metadata.yaml` of a recording, rosbag2 versions 1 to 9."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import yaml

from gac_ros.buffer.writer import METADATA_FILE, METADATA_KEY
from gac_ros.errors import EpisodeError

NEWEST_VERSION = 9


@dataclass(frozen=True)
class Information:
    """What `metadata.yaml` promises.

    Attributes:
        files: names of the storage files, in the order of recording.
        counts: messages of each topic.
    """

    files: tuple[str, ...]
    counts: dict[str, int]


def read_information(path: Path) -> Information | None:
    """Read the metadata of a recording's folder; None without one (a file alone, or a lost one).

    Raises:
        EpisodeError: it cannot be read, or names a kind of recording that cannot be.
    """
    file = path / METADATA_FILE if path.is_dir() else path
    if file.name != METADATA_FILE or not file.is_file():
        return None
    try:
        text = file.read_text(encoding="utf-8")
        content = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        content = content["rosbag2_bagfile_information"]
        version = int(content["version"])
        storage = str(content["storage_identifier"])
        # Before version 4 the names began with the folder's.
        files = tuple(PurePosixPath(str(name)).name for name in content["relative_file_paths"])
        compression = str(content.get("compression_format") or "")
        counts: dict[str, int] = {}
        for topic in content.get("topics_with_message_count") or ():
            name = str(topic["topic_metadata"]["name"])
            counts[name] = counts.get(name, 0) + int(topic["message_count"])
        foreign = METADATA_KEY not in (content.get("custom_data") or {})
    # Damaged YAML breaks in more ways than can be listed (recursion and overflow among them).
    except Exception as error:
        raise EpisodeError(
            f"{path}: {METADATA_FILE} is not that of a rosbag2 recording; restore it, or make it "
            "anew with ros2 bag reindex"
        ) from error
    if version > NEWEST_VERSION:
        raise EpisodeError(
            f"{path}: is of rosbag2 version {version}; versions 1 to {NEWEST_VERSION} can be read"
        )
    if storage not in ("sqlite3", "mcap"):
        raise EpisodeError(
            f"{path}: its storage is '{storage}'; convert it to mcap with ros2 bag convert"
        )
    if compression not in ("", "none", "zstd"):
        raise EpisodeError(
            f"{path}: is compressed with '{compression}'; only zstd can be read: convert it with "
            "ros2 bag convert"
        )
    if not foreign:
        raise EpisodeError(
            f"{path}: is an episode of gac_ros already; a training reads it as it is"
        )
    if not files:
        raise EpisodeError(f"{path}: {METADATA_FILE} names no file; nothing was recorded")
    return Information(files, counts)
