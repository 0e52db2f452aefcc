"""Makes recordings as `ros2 bag record` leaves them, with `rosbags` and by older layouts."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from gac_ros import messages
from gac_ros.embodiment import Embodiment
from tests.buffer import episode_bags

BOOL = "std_msgs/msg/Bool"
EMPTY = "std_msgs/msg/Empty"
START = 1_700_000_000_000_000_000
MS = 1_000_000
PERIOD = 20 * MS  # of the control rate of `episode_bags`
EVENTS = "/operator/episode"
INFORMATION = "rosbag2_bagfile_information"


class Recorded(NamedTuple):
    topic: str
    type: str
    stamp: int
    data: bytes


def robot(**changes: Any) -> Embodiment:
    """The arm of `episode_bags`, whose episodes somebody else's node recorded."""
    return episode_bags.embodiment(**changes)


def recorded(topic: str, message: Any, stamp: int) -> Recorded:
    return Recorded(topic, message.__msgtype__, stamp, messages.serialize(message))


def bool_message(value: bool) -> Any:
    return messages.message_class(BOOL)(data=value)


def empty_message() -> Any:
    return messages.message_class(EMPTY)()


def drive(
    steps: int,
    start: int = START,
    *,
    seed: int = 0,
    period: int = PERIOD,
    namespace: str = "",
    rewards: bool = True,
) -> list[Recorded]:
    """A drive of the arm: joints at 100 Hz, odometry at 40 Hz, commands and rewards at 50 Hz.

    The joint's position is the time in seconds since `start` and odometry's x is 100 times it, so
    that a test can see from which moment an observation is.
    """
    rng = np.random.default_rng(seed)
    end = start + steps * period + 12 * MS
    made = []
    for stamp in range(start, end, 10 * MS):
        seconds = (stamp - start) * 1e-9
        joints = episode_bags.joint_states(seconds, 2.0 * seconds)
        made.append(recorded(f"{namespace}/joint_states", joints, stamp))
    for stamp in range(start + 3 * MS, end, 25 * MS):
        seconds = (stamp - start) * 1e-9
        made.append(recorded(f"{namespace}/odom", episode_bags.odometry(seconds), stamp))
    for step in range(steps):
        stamp = start + 6 * MS + step * period + int(rng.integers(-2 * MS, 2 * MS))
        command = messages.float64_multi_array(rng.uniform(-1.0, 1.0, 2))
        made.append(recorded(f"{namespace}/commands", command, stamp))
        if rewards:
            reward = messages.float64(float(step))
            made.append(recorded(f"{namespace}/reward", reward, stamp + 15 * MS))
    return in_order(made)


def in_order(made: Iterable[Recorded]) -> list[Recorded]:
    return sorted(made, key=lambda each: each.stamp)


def record(
    path: Path,
    made: list[Recorded],
    *,
    storage: str = "mcap",
    compression: str = "none",
    version: int = 9,
) -> Path:
    """Write a recording's folder in one of the ways that rosbag2 has known."""
    writer = Writer(path, version=max(8, version), storage_plugin=StoragePlugin[storage.upper()])  # type: ignore[arg-type]
    writer.set_compression(CompressionMode[compression.upper()], CompressionFormat.ZSTD)
    with writer:
        connections = {}
        for each in made:
            key = each.topic, each.type
            if key not in connections:
                connections[key] = writer.add_connection(*key, typestore=messages.typestore())
            writer.write(connections[key], each.stamp, each.data)
    if version < 8:
        _make_older(path, version, storage, compression)
    return path


def _make_older(path: Path, version: int, storage: str, compression: str) -> None:
    """Take away what rosbag2 added after `version`."""
    file = path / "metadata.yaml"
    content = yaml.safe_load(file.read_text())[INFORMATION]
    content["version"] = version
    content.pop("ros_distro")
    if version < 6:
        content.pop("custom_data")
    if version < 5:
        content.pop("files")
    if version < 4:
        content["relative_file_paths"] = [
            f"{path.name}/{name}" for name in content["relative_file_paths"]
        ]
    if version < 3:
        content.pop("compression_format"), content.pop("compression_mode")
    for topic in content["topics_with_message_count"]:
        topic = topic["topic_metadata"]
        if version < 7:
            topic.pop("type_description_hash")
        if version < 4:
            topic.pop("offered_qos_profiles")
    file.write_text(yaml.safe_dump({INFORMATION: content}, sort_keys=False))
    if storage == "sqlite3" and compression != "file":
        with sqlite3.connect(path / f"{path.name}.db3") as database:
            if version < 7:
                database.execute("DROP TABLE message_definitions")
                database.execute("ALTER TABLE topics DROP COLUMN type_description_hash")
                database.execute("UPDATE schema SET schema_version = 3")
            if version < 5:
                database.execute("DROP TABLE schema")
                database.execute("DROP TABLE metadata")
            if version < 4:
                database.execute("ALTER TABLE topics DROP COLUMN offered_qos_profiles")
        database.close()


def split(path: Path, parts: list[list[Recorded]], **how: Any) -> Path:
    """A recording in several files, as `ros2 bag record --max-bag-size` makes it."""
    path.mkdir()
    whole: dict[str, Any] = {}
    for number, part in enumerate(parts):
        piece = record(path / f"{path.name}_{number}", part, **how)
        content = yaml.safe_load((piece / "metadata.yaml").read_text())[INFORMATION]
        for name in content["relative_file_paths"]:
            (piece / name).rename(path / name)
        (piece / "metadata.yaml").unlink()
        piece.rmdir()
        if not whole:
            whole = content
            continue
        whole["relative_file_paths"] += content["relative_file_paths"]
        whole["files"] += content["files"]
        whole["message_count"] += content["message_count"]
        known = {each["topic_metadata"]["name"]: each for each in _topics(whole)}
        for topic in _topics(content):
            name = topic["topic_metadata"]["name"]
            if name in known:
                known[name]["message_count"] += topic["message_count"]
            else:
                _topics(whole).append(topic)
    (path / "metadata.yaml").write_text(yaml.safe_dump({INFORMATION: whole}))
    return path


def _topics(content: dict[str, Any]) -> list[dict[str, Any]]:
    topics: list[dict[str, Any]] = content["topics_with_message_count"]
    return topics


def said(word: str, stamp: int) -> Recorded:
    return recorded(EVENTS, messages.string(word), stamp)


def state(word: str, stamp: int) -> Recorded:
    return said(json.dumps({"state": word}), stamp)
