"""Recordings in every storage, compression and version, whole and broken."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import recordings as r
import yaml
from mcap.writer import CompressionType, IndexType
from mcap.writer import Writer as McapWriter

from gac_ros.buffer.importing.import_recording import RecordingImport, import_recording
from gac_ros.buffer.importing.recording import Recording
from gac_ros.buffer.reader import read_episode
from gac_ros.episode import Episode
from gac_ros.errors import EpisodeError, GacError

# MCAP came with version 6 and compression with 3; each is written wherever rosbag2 could.
WAYS = [
    (storage, compression, version)
    for storage in ("sqlite3", "mcap")
    for compression in ("none", "file", "message", "storage")
    for version in range(1, 10)
    if (storage == "mcap" or compression != "storage")
    and (storage == "sqlite3" or version >= 4)
    and (compression == "none" or version >= 3)
]
DRIVE = r.drive(12)
TOPICS = ("/joint_states", "/odom", "/commands", "/reward")


def imported(path: Path, out: Path) -> Episode:
    (row,) = import_recording(path, out, RecordingImport(r.robot())).episodes
    return read_episode(out / row.episode_id)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Episode:
    folder = tmp_path_factory.mktemp("expected")
    return imported(r.record(folder / "plain", DRIVE), folder / "out")


def same(episode: Episode, expected: Episode) -> None:
    for name in ("observations", "actions", "rewards", "valid"):
        np.testing.assert_array_equal(getattr(episode, name), getattr(expected, name))


@pytest.mark.parametrize(("storage", "compression", "version"), WAYS)
def test_every_storage_compression_and_version_gives_the_same_episode(
    tmp_path: Path, expected: Episode, storage: str, compression: str, version: int
) -> None:
    path = r.record(
        tmp_path / "rec", DRIVE, storage=storage, compression=compression, version=version
    )
    same(imported(path, tmp_path / "out"), expected)


@pytest.mark.parametrize("storage", ["sqlite3", "mcap"])
@pytest.mark.parametrize("compression", ["none", "file", "message"])
def test_a_file_alone_and_a_folder_without_metadata_will_do(
    tmp_path: Path, expected: Episode, storage: str, compression: str
) -> None:
    path = r.record(tmp_path / "rec", DRIVE, storage=storage, compression=compression)
    (path / "metadata.yaml").unlink()
    same(imported(path, tmp_path / "folder"), expected)
    (file,) = path.iterdir()
    same(imported(file, tmp_path / "file"), expected)


def test_a_file_beside_its_compressed_self_is_read_once(tmp_path: Path, expected: Episode) -> None:
    path = r.record(tmp_path / "rec", DRIVE, storage="sqlite3", compression="file")
    (path / "metadata.yaml").unlink()
    plain = r.record(tmp_path / "plain" / "rec", DRIVE, storage="sqlite3")
    shutil.copy(plain / "rec.db3", path)

    assert sorted(file.name for file in path.iterdir()) == ["rec.db3", "rec.db3.zstd"]
    same(imported(path, tmp_path / "out"), expected)


def test_a_folder_with_files_of_two_storages_is_refused(tmp_path: Path) -> None:
    path = r.record(tmp_path / "rec", DRIVE)
    (path / "metadata.yaml").unlink()
    shutil.copy(r.record(tmp_path / "other", DRIVE, storage="sqlite3") / "other.db3", path)

    with pytest.raises(EpisodeError, match="files of sqlite3 and of MCAP"):
        imported(path, tmp_path / "out")


def test_a_journal_that_was_used_up_is_no_obstacle(tmp_path: Path, expected: Episode) -> None:
    path = r.record(tmp_path / "rec", DRIVE, storage="sqlite3")
    (path / "rec.db3-journal").write_bytes(bytes(512))

    same(imported(path, tmp_path / "out"), expected)


@pytest.mark.parametrize("storage", ["sqlite3", "mcap"])
def test_a_split_recording_is_read_across_its_files(
    tmp_path: Path, expected: Episode, storage: str
) -> None:
    # Files overlap a little, as a recorder's threads leave them; eleven have two digits.
    parts = [*(DRIVE[start : start + 6] for start in range(0, 66, 6)), DRIVE[66:]]
    parts[3][-1], parts[4][0] = parts[4][0], parts[3][-1]
    path = r.split(tmp_path / "rec", parts, storage=storage)
    same(imported(path, tmp_path / "out"), expected)
    (path / "metadata.yaml").unlink()
    same(imported(path, tmp_path / "again"), expected)


def test_messages_of_all_files_come_in_order(tmp_path: Path) -> None:
    with Recording(r.split(tmp_path / "rec", [DRIVE[::2], DRIVE[1::2]])) as recording:
        stamps = [message.stamp for message in recording.messages(TOPICS)]
        assert set(recording.topics) == set(TOPICS)
        assert recording.start == r.START
    assert stamps == sorted(each.stamp for each in DRIVE)


def information(path: Path, **changes: object) -> None:
    file = path / "metadata.yaml"
    content = yaml.safe_load(file.read_text())
    content[r.INFORMATION].update(changes)
    file.write_text(yaml.safe_dump(content))


def drop_last_row(path: Path) -> None:
    import sqlite3

    with sqlite3.connect(path / "rec.db3") as database:
        database.execute("DELETE FROM messages WHERE id = (SELECT MAX(id) FROM messages)")
    database.close()


HOT_JOURNAL = bytes.fromhex("d9d505f920a163d7") + bytes(504)
BREAKS: list[tuple[str, Callable[[Path], object], str]] = [
    ("mcap", lambda p: information(p, version=10), "version 10; versions 1 to 9 can be read"),
    ("mcap", lambda p: information(p, storage_identifier="rocks"), "its storage is 'rocks'"),
    ("mcap", lambda p: information(p, compression_format="lz4"), "compressed with 'lz4'"),
    ("mcap", lambda p: information(p, relative_file_paths=[]), "names no file"),
    ("mcap", lambda p: (p / "metadata.yaml").write_text("a: ["), "is not that of a rosbag2"),
    ("mcap", lambda p: (p / "metadata.yaml").write_text(""), "is not that of a rosbag2"),
    ("mcap", lambda p: (p / "rec.mcap").unlink(), "names rec.mcap, which is not there"),
    ("mcap", lambda p: (p / "rec.mcap").write_bytes(b""), "rec.mcap: cannot be read"),
    ("sqlite3", lambda p: (p / "rec.db3").write_bytes(b""), "rec.db3: cannot be read"),
    ("sqlite3", lambda p: (p / "rec.db3-wal").write_bytes(b"x"), "has not closed it"),
    ("sqlite3", lambda p: (p / "rec.db3-journal").write_bytes(HOT_JOURNAL), "takes back half"),
    ("sqlite3", drop_last_row, "where metadata.yaml promises"),
]


@pytest.mark.parametrize(("storage", "break_it", "problem"), BREAKS)
def test_what_cannot_be_read_is_refused_with_the_reason(
    tmp_path: Path, storage: str, break_it: Callable[[Path], object], problem: str
) -> None:
    path = r.record(tmp_path / "rec", DRIVE, storage=storage)
    break_it(path)
    with pytest.raises(EpisodeError) as caught:
        imported(path, tmp_path / "out")
    assert problem in str(caught.value)
    assert "rec" in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "options",
    [
        {"compression": CompressionType.LZ4},
        {"compression": CompressionType.ZSTD, "chunk_size": 500},
        {"use_chunking": False},
        {"index_types": IndexType.NONE, "use_statistics": False},
    ],
)
def test_mcap_of_other_writers_is_read(
    tmp_path: Path, expected: Episode, options: dict[str, Any]
) -> None:
    same(imported(by_another_writer(tmp_path / "rec.mcap", DRIVE, options), tmp_path), expected)


def by_another_writer(path: Path, made: list[r.Recorded], options: dict[str, Any]) -> Path:
    """With the `mcap` library's own writer, and without any definition of the messages."""
    with path.open("wb") as stream:
        writer = McapWriter(stream, **options)
        writer.start(profile="ros2")
        channels = {}
        for each in made:
            if each.topic not in channels:
                schema = writer.register_schema(each.type, "ros2msg", b"")
                channels[each.topic] = writer.register_channel(each.topic, "cdr", schema)
            writer.add_message(channels[each.topic], each.stamp, each.data, each.stamp)
        writer.finish()
    return path


def test_unordered_mcap_without_an_index_is_refused(tmp_path: Path) -> None:
    path = by_another_writer(tmp_path / "rec.mcap", DRIVE[::-1], {"use_chunking": False})
    with pytest.raises(EpisodeError, match="not in timestamp order"):
        imported(path, tmp_path / "out")


def test_mcap_whose_index_lacks_the_types_is_refused(tmp_path: Path) -> None:
    path = by_another_writer(tmp_path / "rec.mcap", DRIVE, {"repeat_schemas": False})
    with pytest.raises(GacError, match=r"does not tell the types of messages; .* mcap recover"):
        imported(path, tmp_path / "out")


def test_mcap_of_other_worlds_is_told_apart(tmp_path: Path) -> None:
    with (tmp_path / "other.mcap").open("wb") as stream:
        writer = McapWriter(stream)
        writer.start(profile="ros1")
        writer.finish()
    with pytest.raises(EpisodeError, match="holds no recording of ROS 2"):
        imported(tmp_path / "other.mcap", tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("missing", "no such recording"),
        ("old.bag", "a bag of ROS 1"),
        ("notes.txt", "not a recording that is known"),
        ("empty", "no recording here"),
    ],
)
def test_what_is_no_recording_is_refused(tmp_path: Path, name: str, problem: str) -> None:
    if name == "empty":
        (tmp_path / name).mkdir()
    elif name != "missing":
        (tmp_path / name).write_text("something")
    with pytest.raises(EpisodeError, match=problem):
        imported(tmp_path / name, tmp_path / "out")


@pytest.mark.parametrize(
    ("storage", "compression"), sorted({(storage, compression) for storage, compression, _ in WAYS})
)
def test_a_file_that_was_cut_short_is_refused(
    tmp_path: Path, storage: str, compression: str
) -> None:
    path = r.record(tmp_path / "rec", DRIVE, storage=storage, compression=compression)
    (file,) = (each for each in path.iterdir() if each.name != "metadata.yaml")
    whole = file.read_bytes()
    for with_metadata in (True, False):
        if not with_metadata:
            (path / "metadata.yaml").unlink()
        for share in range(0, 100, 8):
            file.write_bytes(whole[: len(whole) * share // 100])
            with pytest.raises(EpisodeError):
                imported(path, tmp_path / "out")
            assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("storage", ["sqlite3", "mcap"])
def test_flipped_bits_never_end_in_a_traceback(tmp_path: Path, storage: str) -> None:
    path = r.record(tmp_path / "rec", DRIVE, storage=storage)
    (file,) = (each for each in path.iterdir() if each.name != "metadata.yaml")
    whole = file.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(40):
        flipped = bytearray(whole)
        for _ in range(30):
            flipped[rng.integers(len(whole))] ^= 1 << rng.integers(8)
        file.write_bytes(flipped)
        try:
            imported(path, tmp_path / "out")
        except GacError:
            refused += 1
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
    assert refused > 0


@pytest.mark.parametrize("options", [{"chunk_size": 500}, {"compression": CompressionType.NONE}])
def test_a_flipped_bit_in_a_file_with_checksums_never_becomes_a_number(
    tmp_path: Path, expected: Episode, options: dict[str, Any]
) -> None:
    path = by_another_writer(tmp_path / "rec.mcap", DRIVE, options)
    with Recording(path) as recording:
        assert recording.has_checksums
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for number in range(40):
        flipped = bytearray(whole)
        flipped[rng.integers(len(whole))] ^= 1 << rng.integers(8)
        path.write_bytes(flipped)
        try:
            found = imported(path, tmp_path / f"out-{number}")
        except GacError:
            continue
        same(found, expected)


@pytest.mark.parametrize(
    ("storage", "options"),
    [
        ("sqlite3", {}),
        ("mcap", {}),  # rosbags leaves them out
        ("mcap", {"use_chunking": False}),
        ("mcap", {"enable_crcs": False}),
    ],
)
def test_a_recording_without_checksums_is_told(
    tmp_path: Path, storage: str, options: dict[str, Any]
) -> None:
    if options:
        path = by_another_writer(tmp_path / "rec.mcap", DRIVE, options)
    else:
        path = r.record(tmp_path / "rec", DRIVE, storage=storage)
    report = import_recording(path, tmp_path / "out", RecordingImport(r.robot()))
    assert not report.has_checksums


@pytest.mark.parametrize(
    ("storage", "version", "carried"),
    [("sqlite3", 6, False), ("sqlite3", 7, True), ("mcap", 6, True)],
)
def test_a_recording_without_definitions_is_told(
    tmp_path: Path, storage: str, version: int, carried: bool
) -> None:
    path = r.record(tmp_path / "rec", DRIVE, storage=storage, version=version)
    report = import_recording(path, tmp_path / "out", RecordingImport(r.robot()))
    assert report.has_definitions == carried


def test_mcap_with_empty_definitions_is_told(tmp_path: Path) -> None:
    path = by_another_writer(tmp_path / "rec.mcap", DRIVE, {})
    report = import_recording(path, tmp_path / "out", RecordingImport(r.robot()))
    assert not report.has_definitions
