"""A bag is whole or not there, whatever happens while it is written."""

from __future__ import annotations

import errno
import os
import resource
import signal
import struct
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import yaml
from episode_bags import (
    TOPICS,
    TYPES,
    Trajectory,
    embodiment,
    metadata,
    record,
    script,
    write_messages,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from mcap.reader import make_reader
from mcap.records import Message
from mcap.stream_reader import StreamReader
from mcap.writer import MCAP0_MAGIC
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import Reader

from gac_ros import messages
from gac_ros.buffer.dataset import EpisodeBuffer
from gac_ros.buffer.reader import read_episode, read_messages
from gac_ros.buffer.summary import list_episodes
from gac_ros.buffer.writer import CHUNK_SIZE, EpisodeWriter, check_writable
from gac_ros.errors import ConfigurationError, OutputError


def long_episode() -> Trajectory:
    """Enough messages for several chunks."""
    return Trajectory.random(300)


def sent(trajectory: Trajectory) -> list[tuple[str, bytes]]:
    return [(TOPICS[role], messages.serialize(message)) for role, message in script(trajectory)]


def test_rosbags_reads_a_bag_with_equal_counts_types_and_bytes(tmp_path: Path) -> None:
    trajectory = long_episode()
    bag = record(tmp_path, "episode", trajectory)
    expected = sent(trajectory)

    with Reader(bag) as reader:
        found = [(connection.topic, data) for connection, _, data in reader.messages()]
        types = {connection.topic: connection.msgtype for connection in reader.connections}
        counts = {connection.topic: connection.msgcount for connection in reader.connections}
        count, start, end = reader.message_count, reader.start_time, reader.end_time

    assert found == expected
    assert types == TYPES
    assert counts == Counter(topic for topic, _ in expected)
    assert count == len(expected)
    assert (start, end) == (1_000, 1_000 + 10_000_000 * (len(expected) - 1) + 1)


def test_rosbags_decodes_a_bag_by_its_own_message_definitions(tmp_path: Path) -> None:
    trajectory = Trajectory.random(4)
    bag = record(tmp_path, "episode", trajectory)

    with AnyReader([bag]) as reader:
        commands = [
            reader.deserialize(data, connection.msgtype).data.tolist()
            for connection, _, data in reader.messages()
            if connection.topic == "/gac_controller/commands"
        ]

    assert commands == trajectory.actions.tolist()


def test_the_indexed_reader_of_mcap_checks_every_crc_and_finds_the_same(tmp_path: Path) -> None:
    trajectory = long_episode()
    bag = record(tmp_path, "episode", trajectory)

    with (bag / "episode_0.mcap").open("rb") as stream:
        reader = make_reader(stream, validate_crcs=True)
        summary = reader.get_summary()
        found = [(channel.topic, message.data) for _, channel, message in reader.iter_messages()]
        header = reader.get_header()

    assert found == sent(trajectory)
    assert summary is not None
    assert summary.statistics is not None
    assert summary.statistics.message_count == len(found)
    assert len(summary.chunk_indexes) > 1
    assert all(index.uncompressed_size < 2 * CHUNK_SIZE for index in summary.chunk_indexes)
    assert header.profile == "ros2"


def test_the_streaming_reader_of_mcap_checks_the_crc_of_the_whole_data(tmp_path: Path) -> None:
    bag = record(tmp_path)

    with (bag / "episode_0.mcap").open("rb") as stream:
        assert list(StreamReader(stream, validate_crcs=True).records)


def test_our_own_reader_agrees_with_the_others(tmp_path: Path) -> None:
    bag = record(tmp_path, "episode", long_episode())

    ours = [(message.topic, message.stamp, message.data) for message in read_messages(bag)]

    with Reader(bag) as reader:
        assert ours == [(c.topic, stamp, data) for c, stamp, data in reader.messages()]


def test_the_metadata_is_what_rosbag2_expects_of_version_9(tmp_path: Path) -> None:
    bag = record(tmp_path, "episode", Trajectory.random(2))

    text = (bag / "metadata.yaml").read_text(encoding="utf-8")

    information = yaml.safe_load(text)["rosbag2_bagfile_information"]
    assert information["version"] == 9
    assert information["storage_identifier"] == "mcap"
    assert information["relative_file_paths"] == ["episode_0.mcap"]
    assert information["files"][0]["path"] == "episode_0.mcap"
    assert information["ros_distro"] == "jazzy"
    assert information["compression_mode"] == information["compression_format"] == ""
    for topic in information["topics_with_message_count"]:
        assert topic["topic_metadata"]["serialization_format"] == "cdr"
        assert topic["topic_metadata"]["type_description_hash"].startswith("RIHS01_")
    assert "&id" not in text  # anchors are legal, but not every parser of metadata knows them


def test_a_bag_without_messages_can_be_read_by_others(tmp_path: Path) -> None:
    writer = EpisodeWriter(tmp_path, "empty", TYPES)
    bag = writer.commit(metadata(embodiment(), "empty", 0))

    with Reader(bag) as reader:
        assert reader.message_count == 0
        assert {connection.topic for connection in reader.connections} == set(TYPES)


@settings(deadline=None)
@given(stamps=st.lists(st.integers(0, 50), min_size=1, max_size=30))
def test_log_times_are_strictly_increasing_in_the_order_of_writing(stamps: list[int]) -> None:
    with temporary_directory() as directory:
        writer = EpisodeWriter(directory, "episode", {"/value": messages.FLOAT64})
        for index, stamp in enumerate(stamps):
            writer.write("/value", messages.serialize(messages.float64(index)), stamp)
        bag = writer.commit(metadata(embodiment(), "episode", 0))

        found = list(read_messages(bag))

    times = [message.stamp for message in found]
    assert all(before < after for before, after in pairwise(times))
    assert all(time >= stamp for time, stamp in zip(times, stamps, strict=True))
    assert [messages.deserialize(m.data, m.type).data for m in found] == list(range(len(stamps)))


def test_a_path_with_spaces_and_accents_is_no_trouble(tmp_path: Path) -> None:
    directory = tmp_path / "my robot's épisodes"
    trajectory = Trajectory.random(3)

    bag = record(directory, "first try", trajectory)

    assert (read_episode(bag).actions == trajectory.actions).all()
    with Reader(bag) as reader:
        assert reader.message_count == len(sent(trajectory))
    assert EpisodeBuffer.open(directory).ids == ("first try",)


def test_nothing_is_visible_before_the_commit(tmp_path: Path) -> None:
    writer = EpisodeWriter(tmp_path, "episode", TYPES)
    write_messages(writer, list(script(Trajectory.random(3))))

    assert [path.name for path in tmp_path.iterdir()] == [".recording"]

    bag = writer.commit(metadata(embodiment(), "episode", 3))

    assert bag == tmp_path / "episode"
    assert sorted(path.name for path in bag.iterdir()) == ["episode_0.mcap", "metadata.yaml"]
    assert list((tmp_path / ".recording").iterdir()) == []


def test_an_episode_is_never_overwritten(tmp_path: Path) -> None:
    bag = record(tmp_path)
    before = (bag / "episode_0.mcap").read_bytes()

    with pytest.raises(OutputError, match=r"episode: the episode exists already; choose another"):
        record(tmp_path)

    assert (bag / "episode_0.mcap").read_bytes() == before


def test_an_episode_that_appears_meanwhile_is_not_overwritten_and_nothing_is_lost(
    tmp_path: Path,
) -> None:
    writer = EpisodeWriter(tmp_path, "episode", TYPES)
    write_messages(writer, list(script(Trajectory.random(3))))
    (tmp_path / "episode").mkdir()
    (tmp_path / "episode" / "note.txt").write_text("mine")

    with pytest.raises(OutputError, match="exists already"):
        writer.commit(metadata(embodiment(), "episode", 3))

    assert (tmp_path / "episode" / "note.txt").read_text() == "mine"
    assert (tmp_path / ".recording" / "episode" / "episode_0.mcap").stat().st_size > 0


def test_two_recordings_of_one_name_at_once_are_refused(tmp_path: Path) -> None:
    EpisodeWriter(tmp_path, "episode", TYPES)

    with pytest.raises(OutputError, match="another recording uses this name or a crashed one"):
        EpisodeWriter(tmp_path, "episode", TYPES)


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "a/b", "/abs"])
def test_a_name_that_would_leave_the_directory_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match="cannot name an episode"):
        EpisodeWriter(tmp_path, name, TYPES)

    assert list(tmp_path.iterdir()) == []


def test_a_discarded_episode_leaves_nothing(tmp_path: Path) -> None:
    writer = EpisodeWriter(tmp_path, "episode", TYPES)
    write_messages(writer, list(script(Trajectory.random(3))))

    writer.discard()

    assert list((tmp_path / ".recording").iterdir()) == []
    with pytest.raises(OutputError, match="closed"):
        writer.commit(metadata(embodiment(), "episode", 3))


def test_discarding_after_the_commit_does_not_touch_the_episode(tmp_path: Path) -> None:
    writer = EpisodeWriter(tmp_path, "episode", TYPES)
    write_messages(writer, list(script(Trajectory.random(3))))
    bag = writer.commit(metadata(embodiment(), "episode", 3))

    writer.discard()

    assert len(read_episode(bag)) == 3
    with pytest.raises(OutputError, match="complete already"):
        writer.write("/odom", b"", 0)


def test_a_topic_that_was_not_announced_is_refused_by_name(tmp_path: Path) -> None:
    writer = EpisodeWriter(tmp_path, "episode", {"/value": messages.FLOAT64})

    with pytest.raises(OutputError, match=r"'/other' was not announced; the bag has /value"):
        writer.write("/other", b"", 0)


def test_an_unknown_message_type_leaves_no_trace(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="my_msgs/msg/Thing"):
        EpisodeWriter(tmp_path / "new", "episode", {"/thing": "my_msgs/msg/Thing"})

    assert not (tmp_path / "new").exists()


# Tests may run as root, whom no permission stops: a file as a parent and /proc stop root, too.


def test_a_folder_below_a_file_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(OutputError, match=r"file.*cannot be.*another|choose another folder"):
        EpisodeWriter(tmp_path / "file" / "episodes", "episode", TYPES)
    with pytest.raises(OutputError, match="choose another folder"):
        check_writable(tmp_path / "file" / "episodes")
    with pytest.raises(OutputError, match="choose another folder"):
        check_writable(tmp_path / "file")


def test_a_folder_nobody_can_write_is_one_clear_error() -> None:
    with pytest.raises(OutputError, match=r"/proc/episodes.*choose another folder"):
        EpisodeWriter(Path("/proc/episodes"), "episode", TYPES)
    with pytest.raises(OutputError, match="choose another folder"):
        check_writable(Path("/proc/episodes"))


def test_checking_a_writable_folder_leaves_no_file(tmp_path: Path) -> None:
    check_writable(tmp_path / "new" / "episodes")

    assert list((tmp_path / "new" / "episodes" / ".recording").iterdir()) == []


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Let the system refuse to write beyond `size` bytes of a file, as a full disk would."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_while_writing_is_an_error_and_keeps_what_was_written(tmp_path: Path) -> None:
    writer = EpisodeWriter(tmp_path, "episode", TYPES)

    with (
        file_size_limit(3 * CHUNK_SIZE // 2),
        pytest.raises(OutputError, match=r"cannot be written .*free some space"),
    ):
        write_messages(writer, list(script(long_episode())))

    left = tmp_path / ".recording" / "episode" / "episode_0.mcap"
    assert left.stat().st_size >= CHUNK_SIZE
    with pytest.raises(OutputError, match="free some space"):
        writer.write("/odom", b"", 0)
    with pytest.raises(OutputError, match="free some space"):
        writer.commit(metadata(embodiment(), "episode", 300))
    assert not (tmp_path / "episode").exists()


def test_a_disk_that_fills_up_at_the_commit_shows_no_episode(tmp_path: Path) -> None:
    writer = EpisodeWriter(tmp_path, "episode", TYPES)
    write_messages(writer, list(script(Trajectory.random(3))))

    with file_size_limit(4096), pytest.raises(OutputError, match="free some space"):
        writer.commit(metadata(embodiment(), "episode", 3))

    assert [path.name for path in tmp_path.iterdir()] == [".recording"]
    assert (tmp_path / ".recording" / "episode").exists()
    record(tmp_path, "next")
    assert EpisodeBuffer.open(tmp_path).ids == ("next",)


def test_a_sync_that_fails_shows_no_episode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some disks tell that they are full only when asked to sync."""
    writer = EpisodeWriter(tmp_path, "episode", TYPES)

    def fail(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OutputError, match="No space left on device"):
        writer.commit(metadata(embodiment(), "episode", 0))

    assert not (tmp_path / "episode").exists()


def test_everything_is_synced_before_it_is_visible(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = EpisodeWriter(tmp_path, "episode", TYPES)
    write_messages(writer, list(script(Trajectory.random(3))))
    synced: list[tuple[int, bool]] = []

    def note(descriptor: int) -> None:
        synced.append((os.fstat(descriptor).st_ino, (tmp_path / "episode").exists()))

    monkeypatch.setattr(os, "fsync", note)
    bag = writer.commit(metadata(embodiment(), "episode", 3))

    for path in (bag / "episode_0.mcap", bag / "metadata.yaml", bag):
        assert (path.stat().st_ino, False) in synced
    assert (tmp_path.stat().st_ino, True) in synced


KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from episode_bags import TYPES, Trajectory, script, write_messages
from gac_ros.buffer.writer import EpisodeWriter
writer = EpisodeWriter(Path(sys.argv[1]), "killed", TYPES)
write_messages(writer, list(script(Trajectory.random(300))))
print("written", flush=True)
sys.stdin.read()
"""


def test_a_process_killed_in_an_episode_leaves_nothing_visible(tmp_path: Path) -> None:
    record(tmp_path, "before")
    here = Path(__file__).parent
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path), str(here)],
        cwd=here.parent.parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "written\n"
    process.kill()
    process.communicate()

    assert EpisodeBuffer.open(tmp_path).ids == ("before",)
    assert EpisodeBuffer.open(tmp_path).problems == ()
    rows = {row.episode_id: row.state for row in list_episodes(tmp_path)}
    assert rows == {"before": "complete", "killed": "unfinished"}
    # At most the chunk in progress is lost: a streaming reader gets back all before it.
    left = tmp_path / ".recording" / "killed" / "killed_0.mcap"
    expected = [data for _, data in sent(Trajectory.random(300))]
    found = readable_messages(left)
    assert found == expected[: len(found)]
    assert sum(len(data) for data in expected[len(found) :]) < CHUNK_SIZE
    assert ends_with_a_whole_record(left.read_bytes())


def ends_with_a_whole_record(content: bytes) -> bool:
    position = len(MCAP0_MAGIC)
    while position < len(content):
        _, length = struct.unpack_from("<BQ", content, position)
        position += 9 + length
    return position == len(content)


def readable_messages(path: Path) -> list[bytes]:
    found = []
    with path.open("rb") as stream:
        records = StreamReader(stream).records
        while True:
            try:
                each = next(records)
            except Exception:  # the end of a file that was cut short
                return found
            if isinstance(each, Message):
                found.append(each.data)


def test_two_writers_at_once_into_one_directory_both_complete(tmp_path: Path) -> None:
    trajectories = {f"writer{number}": Trajectory.random(60, seed=number) for number in range(2)}
    together = threading.Barrier(2)
    failures: list[BaseException] = []

    def write(name: str) -> None:
        try:
            for episode in range(3):
                together.wait(timeout=30)
                record(tmp_path, f"{name}-{episode}", trajectories[name])
        except BaseException as error:
            failures.append(error)
            together.abort()

    threads = [threading.Thread(target=write, args=(name,)) for name in trajectories]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    buffer = EpisodeBuffer.open(tmp_path)
    assert len(buffer) == 6
    for name, episode in zip(buffer.ids, buffer.episodes, strict=True):
        assert (episode.actions == trajectories[name.split("-")[0]].actions).all()


@contextmanager
def temporary_directory() -> Iterator[Path]:
    """A directory for each example; pytest's `tmp_path` is one for all of them."""
    with TemporaryDirectory() as name:
        yield Path(name)
