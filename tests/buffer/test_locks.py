"""Who holds a file, seen by others."""

from __future__ import annotations

import errno
import fcntl
import os
import threading
from pathlib import Path
from typing import IO

import pytest
from episode_bags import TYPES

from gac_ros.buffer import locks, writer
from gac_ros.buffer.locks import in_use, is_locked
from gac_ros.buffer.repair import repair_buffer
from gac_ros.buffer.summary import list_episodes
from gac_ros.buffer.writer import EpisodeWriter


def test_two_who_look_at_once_do_not_take_each_other_for_a_recording(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (tmp_path / "file").open("rb") as first, (tmp_path / "file").open("rb") as second:
        assert not in_use(first)
        assert not in_use(second)


def test_a_recording_is_locked_although_somebody_looks_while_it_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / ".recording" / "a" / "a_0.mcap"
    take_lock = locks.take_lock

    def take_while_somebody_looks(stream: IO[bytes]) -> None:
        looking = path.open("rb")
        assert not in_use(looking)
        threading.Timer(0.01, looking.close).start()
        take_lock(stream)

    monkeypatch.setattr(writer, "take_lock", take_while_somebody_looks)
    recording = EpisodeWriter(tmp_path, "a", TYPES)

    assert is_locked(path)
    recording.discard()
    assert not is_locked(path)


def test_without_locks_what_is_being_written_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    recording = EpisodeWriter(tmp_path, "a", TYPES)
    recording.flush()

    assert [row.state for row in list_episodes(tmp_path)] == ["recording"]
    assert repair_buffer(tmp_path) == []

    recording.close()
    os.utime(tmp_path / ".recording" / "a" / "a_0.mcap", (0, 0))
    assert [row.state for row in list_episodes(tmp_path)] == ["unfinished"]
