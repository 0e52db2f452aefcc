"""The recorder never holds up its caller, and tells what went wrong through its futures."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from episode_bags import TOPICS, TYPES, Trajectory, embodiment, metadata, script

from gac_ros import messages
from gac_ros.buffer import recorder as recorder_module
from gac_ros.buffer.reader import read_episode, read_messages, read_metadata
from gac_ros.buffer.recorder import EpisodeRecorder
from gac_ros.buffer.salvage import salvage
from gac_ros.buffer.writer import EpisodeWriter
from gac_ros.episode import EpisodeMetadata
from gac_ros.errors import OutputError

SOON = 30.0  # seconds; a test that waits longer has failed


@pytest.fixture
def recorder() -> Iterator[EpisodeRecorder]:
    with EpisodeRecorder() as made:
        yield made


def write_all(recorder: EpisodeRecorder, trajectory: Trajectory) -> int:
    count = 0
    for role, message in script(trajectory):
        recorder.write(TOPICS[role], messages.serialize(message), count)
        count += 1
    return count


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SOON
    while not condition() and time.monotonic() < deadline:
        time.sleep(0)
    assert condition()


def about(episode_id: str, steps: int) -> EpisodeMetadata:
    return metadata(embodiment(), episode_id, steps)


class GatedWriter(EpisodeWriter):
    """A disk that stands still until the test opens the gate."""

    gate = threading.Event()
    reached = threading.Event()

    def write(self, topic: str, data: bytes, stamp: int, sequence: int | None = None) -> None:
        self.reached.set()
        assert self.gate.wait(SOON)
        super().write(topic, data, stamp, sequence)


@pytest.fixture
def gated(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[GatedWriter]]:
    GatedWriter.gate.clear()
    GatedWriter.reached.clear()
    monkeypatch.setattr(recorder_module, "EpisodeWriter", GatedWriter)
    yield GatedWriter
    GatedWriter.gate.set()


def test_an_episode_is_recorded_in_the_order_of_the_calls(
    tmp_path: Path, recorder: EpisodeRecorder
) -> None:
    trajectory = Trajectory.random(40)

    recorder.begin(tmp_path, "episode", TYPES).result(SOON)
    write_all(recorder, trajectory)
    bag = recorder.commit(about("episode", 40)).result(SOON)

    assert bag == tmp_path / "episode"
    episode = read_episode(bag)
    assert (episode.observations == trajectory.observations).all()
    assert (episode.actions == trajectory.actions).all()
    assert read_metadata(bag).dropped_messages == 0


def test_several_episodes_follow_each_other_without_waiting(
    tmp_path: Path, recorder: EpisodeRecorder
) -> None:
    trajectories = [Trajectory.random(5, seed=seed) for seed in range(4)]

    futures = []
    for number, trajectory in enumerate(trajectories):
        recorder.begin(tmp_path, f"episode-{number}", TYPES)
        write_all(recorder, trajectory)
        futures.append(recorder.commit(about(f"episode-{number}", 5)))

    for future, trajectory in zip(futures, trajectories, strict=True):
        assert (read_episode(future.result(SOON)).actions == trajectory.actions).all()


def test_a_full_queue_drops_counts_and_says_so_in_the_metadata(
    tmp_path: Path, gated: type[GatedWriter]
) -> None:
    with EpisodeRecorder(capacity=10) as recorder:
        recorder.begin(tmp_path, "episode", TYPES).result(SOON)
        recorder.write("/reward", messages.serialize(messages.float64(0.0)), 0)
        assert gated.reached.wait(SOON)  # the worker now holds one message and stands still
        for number in range(1, 16):
            recorder.write("/reward", messages.serialize(messages.float64(number)), number)
        assert recorder.dropped == 5

        future = recorder.commit(about("episode", 0))
        assert not future.done()
        gated.gate.set()
        bag = future.result(SOON)

        values = [messages.deserialize(m.data, m.type).data for m in read_messages(bag)]
        assert values == list(range(11))
        assert read_metadata(bag).dropped_messages == 5


def test_drops_of_one_episode_are_not_counted_in_the_next(
    tmp_path: Path, gated: type[GatedWriter]
) -> None:
    with EpisodeRecorder(capacity=1) as recorder:
        recorder.begin(tmp_path, "first", TYPES).result(SOON)
        for number in range(4):
            recorder.write("/reward", messages.serialize(messages.float64(1.0)), number)
        first = recorder.commit(about("first", 0))
        dropped = recorder.dropped
        recorder.begin(tmp_path, "second", TYPES)
        assert recorder.dropped == 0
        second = recorder.commit(about("second", 0))
        gated.gate.set()

        assert dropped >= 2
        assert read_metadata(first.result(SOON)).dropped_messages == dropped
        assert read_metadata(second.result(SOON)).dropped_messages == 0


def test_metadata_can_be_made_on_the_worker_after_the_last_message(
    tmp_path: Path, recorder: EpisodeRecorder
) -> None:
    threads: list[str] = []

    def make() -> EpisodeMetadata:
        threads.append(threading.current_thread().name)
        return about("episode", 5)

    recorder.begin(tmp_path, "episode", TYPES)
    write_all(recorder, Trajectory.random(5))
    bag = recorder.commit(make).result(SOON)

    assert threads == ["episode-recorder"]
    assert len(read_episode(bag)) == 5


def test_metadata_that_cannot_be_made_is_told_and_keeps_what_was_written(
    tmp_path: Path, recorder: EpisodeRecorder
) -> None:
    def fail() -> EpisodeMetadata:
        raise ZeroDivisionError

    recorder.begin(tmp_path, "episode", TYPES)
    write_all(recorder, Trajectory.random(5))

    with pytest.raises(ZeroDivisionError):
        recorder.commit(fail).result(SOON)

    assert (tmp_path / ".recording" / "episode" / "episode_0.mcap").stat().st_size > 1000
    assert not (tmp_path / "episode").exists()


def test_an_unwritable_folder_is_told_at_the_start_and_at_the_commit(
    tmp_path: Path, recorder: EpisodeRecorder
) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(OutputError, match="choose another folder"):
        recorder.begin(tmp_path / "file" / "x", "episode", TYPES).result(SOON)
    write_all(recorder, Trajectory.random(2))
    with pytest.raises(OutputError, match="choose another folder"):
        recorder.commit(about("episode", 2)).result(SOON)

    recorder.begin(tmp_path, "next", TYPES)
    write_all(recorder, Trajectory.random(2))
    assert len(read_episode(recorder.commit(about("next", 2)).result(SOON))) == 2


def test_a_disk_that_fails_in_the_middle_is_told_and_the_next_episode_works(
    tmp_path: Path, recorder: EpisodeRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    class FullDisk(EpisodeWriter):
        def write(self, topic: str, data: bytes, stamp: int, sequence: int | None = None) -> None:
            if stamp == 7:
                raise OutputError("the disk is full")
            super().write(topic, data, stamp, sequence)

    with monkeypatch.context() as patch:
        patch.setattr(recorder_module, "EpisodeWriter", FullDisk)
        recorder.begin(tmp_path, "episode", TYPES)
        write_all(recorder, Trajectory.random(5))
        with pytest.raises(OutputError, match="the disk is full"):
            recorder.commit(about("episode", 5)).result(SOON)

    assert (tmp_path / ".recording" / "episode").exists()
    recorder.begin(tmp_path, "next", TYPES)
    write_all(recorder, Trajectory.random(5))
    assert len(read_episode(recorder.commit(about("next", 5)).result(SOON))) == 5


def test_even_a_defect_in_the_writer_does_not_end_the_worker(
    tmp_path: Path, recorder: EpisodeRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def defect(*_: Any) -> None:
        raise RuntimeError("a defect")

    with monkeypatch.context() as patch:
        patch.setattr(EpisodeWriter, "write", defect)
        recorder.begin(tmp_path, "episode", TYPES)
        write_all(recorder, Trajectory.random(1))
        with pytest.raises(RuntimeError, match="a defect"):
            recorder.commit(about("episode", 1)).result(SOON)

    recorder.begin(tmp_path, "next", TYPES)
    write_all(recorder, Trajectory.random(1))
    assert recorder.commit(about("next", 1)).result(SOON).exists()


def test_a_discarded_episode_leaves_nothing_and_the_next_one_works(
    tmp_path: Path, recorder: EpisodeRecorder
) -> None:
    recorder.begin(tmp_path, "episode", TYPES)
    write_all(recorder, Trajectory.random(5))
    recorder.discard()
    recorder.begin(tmp_path, "next", TYPES)
    write_all(recorder, Trajectory.random(5))
    bag = recorder.commit(about("next", 5)).result(SOON)

    assert sorted(path.name for path in tmp_path.iterdir()) == [".recording", "next"]
    assert list((tmp_path / ".recording").iterdir()) == []
    assert len(read_episode(bag)) == 5


def test_a_begin_without_a_commit_before_it_keeps_the_unfinished_episode(
    tmp_path: Path, recorder: EpisodeRecorder
) -> None:
    recorder.begin(tmp_path, "first", TYPES)
    write_all(recorder, Trajectory.random(5))
    recorder.begin(tmp_path, "second", TYPES).result(SOON)

    assert (tmp_path / ".recording" / "first" / "first_0.mcap").stat().st_size > 1000


def test_without_an_episode_messages_are_ignored_and_a_commit_says_why(
    recorder: EpisodeRecorder,
) -> None:
    recorder.write("/odom", b"", 0)
    recorder.discard()

    with pytest.raises(OutputError, match="begin one first"):
        recorder.commit(about("episode", 0)).result(SOON)


def test_closing_writes_everything_out_first(tmp_path: Path) -> None:
    recorder = EpisodeRecorder()
    recorder.begin(tmp_path, "episode", TYPES)
    write_all(recorder, Trajectory.random(30))
    future = recorder.commit(about("episode", 30))

    recorder.close()

    assert future.done()
    assert len(read_episode(future.result())) == 30


def test_closing_in_an_episode_keeps_it_unfinished_but_readable(tmp_path: Path) -> None:
    recorder = EpisodeRecorder()
    recorder.begin(tmp_path, "episode", TYPES)
    count = write_all(recorder, Trajectory.random(30))

    recorder.close()

    from mcap.reader import make_reader

    left = tmp_path / ".recording" / "episode" / "episode_0.mcap"
    with left.open("rb") as stream:
        reader = make_reader(stream, validate_crcs=True)
        assert sum(1 for _ in reader.iter_messages()) == count


def test_a_closed_recorder_refuses_kindly(tmp_path: Path) -> None:
    recorder = EpisodeRecorder()
    recorder.close()
    recorder.close()

    recorder.write("/odom", b"", 0)
    recorder.discard()

    assert recorder.dropped == 1
    with pytest.raises(OutputError, match="closed; make a new one"):
        recorder.begin(tmp_path, "episode", TYPES).result(SOON)
    with pytest.raises(OutputError, match="closed; make a new one"):
        recorder.commit(about("episode", 0)).result(SOON)


def test_what_was_recorded_is_in_the_file_before_the_episode_ends(tmp_path: Path) -> None:
    """What a crash would find: nothing is closed or committed here."""
    trajectory = Trajectory.random(30)
    draft = metadata(embodiment(), "episode", 0, lock_step=True)
    with EpisodeRecorder(sync_period=0.001) as recorder:
        recorder.begin(tmp_path, "episode", TYPES, draft).result(SOON)
        count = write_all(recorder, trajectory)
        path = tmp_path / ".recording" / "episode" / "episode_0.mcap"
        found = salvage(path.read_bytes())
        deadline = time.monotonic() + SOON
        while len(found.messages) < count and time.monotonic() < deadline:
            found = salvage(path.read_bytes())

        assert len(found.messages) == count
        assert found.metadata == draft


def test_what_was_recorded_is_synced_by_another_thread_on_schedule(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = threading.Event()
    threads: list[str] = []

    def note(_: EpisodeWriter) -> None:
        threads.append(threading.current_thread().name)
        if len(threads) == 3:
            synced.set()

    monkeypatch.setattr(EpisodeWriter, "sync", note)
    with EpisodeRecorder(sync_period=0.001) as recorder:
        recorder.begin(tmp_path, "episode", TYPES).result(SOON)
        number = 0
        while not synced.is_set() and number < 1_000_000:
            recorder.write("/reward", messages.serialize(messages.float64(0.0)), number)
            number += 1
            synced.wait(0.002)

    assert synced.is_set()
    assert all(name.startswith("episode-sync") for name in threads)


def test_a_disk_that_hangs_in_a_sync_does_not_hold_up_the_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging, gate = threading.Event(), threading.Event()

    def hang(_: EpisodeWriter) -> None:
        hanging.set()
        assert gate.wait(SOON)

    monkeypatch.setattr(EpisodeWriter, "sync", hang)
    with EpisodeRecorder(sync_period=0.001) as recorder:
        recorder.begin(tmp_path, "episode", TYPES).result(SOON)
        count = write_all(recorder, Trajectory.random(30))
        assert hanging.wait(SOON)
        path = tmp_path / ".recording" / "episode" / "episode_0.mcap"
        deadline = time.monotonic() + SOON
        while len(salvage(path.read_bytes()).messages) < count and time.monotonic() < deadline:
            pass
        assert len(salvage(path.read_bytes()).messages) == count
        gate.set()
        assert len(read_episode(recorder.commit(about("episode", 30)).result(SOON))) == 30


def test_a_sync_that_fails_is_told_by_the_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: EpisodeWriter) -> None:
        raise OutputError("the disk is gone")

    with EpisodeRecorder(sync_period=0.001) as recorder:
        with monkeypatch.context() as patch:
            patch.setattr(EpisodeWriter, "sync", fail)
            recorder.begin(tmp_path, "episode", TYPES).result(SOON)
            # Two flushes: the second one finds out how the first one's sync went.
            for number in range(2000):
                recorder.write("/reward", messages.serialize(messages.float64(0.0)), number)
            with pytest.raises(OutputError, match="the disk is gone"):
                recorder.commit(about("episode", 0)).result(SOON)
        recorder.begin(tmp_path, "next", TYPES)
        write_all(recorder, Trajectory.random(5))
        assert len(read_episode(recorder.commit(about("next", 5)).result(SOON))) == 5


def test_a_sync_that_fails_after_the_last_message_is_told_by_the_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system tells of a failed sync once; the one of the commit would succeed."""
    begun, gate = threading.Event(), threading.Event()

    def fail(_: EpisodeWriter) -> None:
        begun.set()
        assert gate.wait(SOON)
        raise OutputError("the disk is gone")

    monkeypatch.setattr(EpisodeWriter, "sync", fail)
    with EpisodeRecorder() as recorder:
        recorder.begin(tmp_path, "episode", TYPES).result(SOON)
        assert begun.wait(SOON)
        committed = recorder.commit(about("episode", 0))
        gate.set()
        with pytest.raises(OutputError, match="the disk is gone"):
            committed.result(SOON)


def test_a_disk_that_fails_is_told_while_the_episode_goes_on(
    tmp_path: Path, recorder: EpisodeRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise OutputError("the disk is full")

    recorder.begin(tmp_path, "episode", TYPES).result(SOON)
    assert recorder.failure == ""
    with monkeypatch.context() as patch:
        patch.setattr(EpisodeWriter, "write", fail)
        count = write_all(recorder, Trajectory.random(5))
        until(lambda: recorder.dropped == count)
    assert recorder.failure == "the disk is full"

    with pytest.raises(OutputError, match="the disk is full"):
        recorder.commit(about("episode", 5)).result(SOON)
    recorder.begin(tmp_path, "next", TYPES).result(SOON)
    assert (recorder.failure, recorder.dropped) == ("", 0)


def test_a_failed_sync_is_told_although_no_message_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: EpisodeWriter) -> None:
        raise OutputError("the disk is gone")

    monkeypatch.setattr(recorder_module, "LOOK_PERIOD", 0.001)
    monkeypatch.setattr(EpisodeWriter, "sync", fail)
    with EpisodeRecorder() as recorder:
        recorder.begin(tmp_path, "episode", TYPES).result(SOON)
        until(lambda: recorder.failure == "the disk is gone")


@pytest.mark.parametrize("sync_period", [0.0, 60.0])
def test_a_disk_that_fills_up_is_told_however_rarely_it_is_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sync_period: float
) -> None:
    monkeypatch.setattr(recorder_module, "LOOK_PERIOD", 0.001)
    with EpisodeRecorder(sync_period=sync_period, min_free=1) as recorder:
        recorder.begin(tmp_path, "episode", TYPES).result(SOON)
        monkeypatch.setattr(recorder, "_min_free", 2**60)
        until(lambda: "free some space" in recorder.low_space)


def test_a_disk_that_fills_up_is_told_and_the_episode_can_still_be_completed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with EpisodeRecorder(sync_period=0.001, min_free=1) as recorder:
        recorder.begin(tmp_path, "episode", TYPES).result(SOON)
        assert recorder.low_space == ""
        monkeypatch.setattr(recorder, "_min_free", 2**60)
        write_all(recorder, Trajectory.random(5))
        deadline = time.monotonic() + SOON
        while not recorder.low_space and time.monotonic() < deadline:
            pass
        assert "MiB left, less than the" in recorder.low_space
        assert "free some space" in recorder.low_space
        assert len(read_episode(recorder.commit(about("episode", 5)).result(SOON))) == 5

        with pytest.raises(OutputError, match="free some space"):
            recorder.begin(tmp_path, "next", TYPES).result(SOON)
        assert not (tmp_path / ".recording" / "next").exists()
        monkeypatch.setattr(recorder, "_min_free", 0)
        recorder.begin(tmp_path, "next", TYPES).result(SOON)
        assert recorder.low_space == ""


def test_readers_see_where_messages_were_dropped(tmp_path: Path, gated: type[GatedWriter]) -> None:
    """A step must not be taken for complete that lost its observation on the way to the disk."""
    trajectory = Trajectory.random(6)
    roles = list(script(trajectory))
    with EpisodeRecorder(capacity=1) as recorder:
        recorder.begin(tmp_path, "episode", TYPES).result(SOON)
        for number, (role, message) in enumerate(roles):
            if number not in (11, 12):  # the observation before the third command and its reward
                gated.gate.set()
                while recorder._queue.qsize():
                    pass
                recorder.write(TOPICS[role], messages.serialize(message), number)
            else:
                recorder._dropped += 1
        bag = recorder.commit(about("episode", 6)).result(SOON)

    episode = read_episode(bag)
    right = (episode.observations[:-1] == trajectory.observations[:-1]).all(axis=1)
    assert right[episode.valid].all()
    assert not episode.valid.all()
    assert episode.episode_return is None
