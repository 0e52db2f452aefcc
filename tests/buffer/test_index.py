"""The index of a buffer directory: right whatever happened to it, and rarely in need of a bag."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest
from episode_bags import record

from gac_ros.buffer import index
from gac_ros.buffer.folders import CACHE
from gac_ros.buffer.repair import repair_buffer
from gac_ros.buffer.rows import EpisodeSummaryRow
from gac_ros.buffer.summary import list_episodes
from gac_ros.buffer.watch import Watcher


@pytest.fixture(autouse=True)
def _own_user_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(autouse=True)
def _sure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files just written are trusted, which otherwise takes two seconds."""
    monkeypatch.setattr(index, "_UNSURE", -60.0)


def look(directory: Path) -> tuple[list[EpisodeSummaryRow], int]:
    """Rows, and how many bags were read for them."""
    read: list[None] = []
    return list_episodes(directory, lambda: read.append(None)), len(read)


def file_of(directory: Path) -> Path:
    return directory / CACHE / "index.sqlite"


def test_only_new_and_changed_bags_are_read(tmp_path: Path) -> None:
    record(tmp_path, "a", episode_return=1.5)
    record(tmp_path, "b")
    first, read = look(tmp_path)
    assert read == 2

    assert look(tmp_path) == (first, 0)
    record(tmp_path, "c")
    assert look(tmp_path)[1] == 1
    (tmp_path / "a" / "a_0.mcap").touch()
    rows, read = look(tmp_path)
    assert (rows[0], read) == (first[0], 1)


def test_a_bag_that_was_damaged_later_is_noticed_and_its_repair_too(tmp_path: Path) -> None:
    mcap = record(tmp_path, "a") / "a_0.mcap"
    look(tmp_path)

    content = bytearray(mcap.read_bytes())
    content[-20] ^= 1
    mcap.write_bytes(content)
    assert [row.state for row in look(tmp_path)[0]] == ["damaged"]
    repair_buffer(tmp_path)
    assert [row.state for row in look(tmp_path)[0]] == ["recovered"]
    assert look(tmp_path)[1] == 0


def test_a_bag_that_was_just_written_is_read_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "_UNSURE", 60.0)
    record(tmp_path, "a")

    assert look(tmp_path)[1] == 1
    assert look(tmp_path)[1] == 1


def test_bags_that_are_gone_are_forgotten(tmp_path: Path) -> None:
    record(tmp_path, "a")
    record(tmp_path, "b").rename(tmp_path / ".b")
    look(tmp_path)
    (tmp_path / "a").rename(tmp_path / ".a")

    assert look(tmp_path) == ([], 0)


@pytest.mark.parametrize("harm", ["lost", "emptied", "rubbish", "cut", "other version"])
def test_an_index_that_is_lost_or_damaged_is_made_again(tmp_path: Path, harm: str) -> None:
    record(tmp_path, "a")
    rows, _ = look(tmp_path)
    file = file_of(tmp_path)
    content = file.read_bytes()
    if harm == "lost":
        file.unlink()
    elif harm == "other version":
        with sqlite3.connect(file) as connection:
            connection.execute("PRAGMA user_version = 99")
    else:
        file.write_bytes({"emptied": b"", "rubbish": b"x" * 9000, "cut": content[:5000]}[harm])

    assert look(tmp_path) == (rows, 1)
    assert look(tmp_path) == (rows, 0)


def test_flipped_bits_in_the_index_never_show_wrong_numbers(tmp_path: Path) -> None:
    record(tmp_path, "a", episode_return=1.5)
    rows, _ = look(tmp_path)
    file = file_of(tmp_path)
    content = file.read_bytes()

    for place in range(0, len(content), 151):
        flipped = bytearray(content)
        flipped[place] ^= 1 << place % 8
        file.write_bytes(flipped)
        assert look(tmp_path)[0] == rows, f"bit flipped at {place}"


def test_without_a_place_for_an_index_all_bags_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    episodes = tmp_path / "episodes"
    record(episodes, "a")
    (episodes / CACHE).write_text("in the way")

    assert look(episodes)[1] == 1
    assert look(episodes)[1] == 1


def test_a_folder_without_bags_gets_no_index(tmp_path: Path) -> None:
    assert look(tmp_path) == ([], 0)
    assert list(tmp_path.iterdir()) == []


def test_several_may_look_at_once(tmp_path: Path) -> None:
    for name in "abcdef":
        record(tmp_path, name)
    found: list[list[str]] = []

    def names() -> None:
        found.append([row.episode_id for row in list_episodes(tmp_path)])

    threads = [threading.Thread(target=names) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert found == [list("abcdef")] * 6
    assert look(tmp_path)[1] == 0


def test_a_watcher_tells_of_each_episode_once(tmp_path: Path) -> None:
    old = record(tmp_path / "one", "a")
    watcher = Watcher([tmp_path / "one", tmp_path / "two"], known=[old])
    assert watcher.poll() == []

    record(tmp_path / "two", "b")
    record(tmp_path / "one", "c")

    assert [row.episode_id for row in watcher.poll()] == ["b", "c"]
    assert watcher.poll() == []


def test_following_ends_when_it_is_told_to(tmp_path: Path) -> None:
    record(tmp_path, "a")
    stop = threading.Event()
    seen = []
    for row in Watcher([tmp_path]).follow(period=0.01, stop=stop):
        seen.append(row.episode_id)
        if len(seen) == 1:
            record(tmp_path, "b")
        else:
            stop.set()

    assert seen == ["a", "b"]
