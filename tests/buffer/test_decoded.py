"""The cache of decoded episodes: the same numbers as the bags', whatever happened to it."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from episode_bags import Trajectory, embodiment, record

from gac_ros.buffer import decoded as tables_of
from gac_ros.buffer.dataset import EpisodeBuffer
from gac_ros.buffer.folders import CACHE
from gac_ros.buffer.reader import read_episode


@pytest.fixture(autouse=True)
def _own_user_cache(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


def open_buffer(*folders: Path) -> tuple[EpisodeBuffer, int]:
    """A buffer, and how many of its episodes had to be decoded."""
    decoded: list[None] = []
    return EpisodeBuffer.open(list(folders), on_episode=lambda: decoded.append(None)), len(decoded)


def assert_as_recorded(buffer: EpisodeBuffer) -> None:
    for bag, made in zip(buffer.bags, buffer, strict=True):
        expected = read_episode(bag)
        for name in ("observations", "actions", "rewards", "valid"):
            np.testing.assert_array_equal(getattr(made, name), getattr(expected, name))
        assert made.metadata == expected.metadata
        assert made.episode_return == expected.episode_return


def tables(folder: Path) -> list[Path]:
    return sorted((folder / CACHE / "tables").iterdir())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three episodes; one of them has no step to learn from."""
    record(tmp_path / "my episodes", "a", Trajectory.random(5), episode_return=2.5)
    blocked = Trajectory.random(3)
    blocked.sources = [1, 1, 1]
    record(tmp_path / "my episodes", "b", blocked)
    record(tmp_path / "my episodes", "c", Trajectory.random(7, seed=1))
    return tmp_path / "my episodes"


def test_a_second_start_decodes_nothing_and_finds_the_same(folder: Path) -> None:
    first, decoded = open_buffer(folder)
    second, again = open_buffer(folder)

    assert (decoded, again) == (3, 0)
    assert first.ids == second.ids == ("a", "c")
    assert first.digest == second.digest
    assert first.problems == second.problems
    assert "no step can be learnt from" in second.problems[0].reason
    assert str(folder / "b") in second.problems[0].reason
    assert_as_recorded(second)


def test_arrays_are_mapped_and_cannot_be_changed(folder: Path) -> None:
    made, _ = open_buffer(folder)

    base = made.arrays.observations
    while isinstance(base.base, np.ndarray):
        base = base.base
    assert isinstance(base, np.memmap)
    assert made[1].observations.base is not None
    with pytest.raises(ValueError, match="read-only"):
        made[0].observations[0, 0] = 1.0


def test_only_new_episodes_are_decoded(folder: Path) -> None:
    open_buffer(folder)
    record(folder, "aa", Trajectory.random(4, seed=2))
    shutil.rmtree(folder / "a")

    made, decoded = open_buffer(folder)

    assert decoded == 1
    assert made.ids == ("aa", "c")
    assert_as_recorded(made)


def test_a_new_label_is_seen(folder: Path) -> None:
    open_buffer(folder)
    shutil.rmtree(folder / "a")
    record(folder, "a", Trajectory.random(5), episode_return=99.0)

    made, decoded = open_buffer(folder)

    assert decoded == 1
    assert made.returns[0] == 99.0


def test_folders_of_one_buffer_share_what_each_has_decoded(folder: Path, tmp_path: Path) -> None:
    record(tmp_path / "two", "d")
    open_buffer(folder)
    open_buffer(tmp_path / "two")

    made, decoded = open_buffer(tmp_path / "two", folder)

    assert (made.ids, decoded) == (("a", "c", "d"), 0)
    assert_as_recorded(made)


def test_another_contract_is_another_table(folder: Path) -> None:
    open_buffer(folder)
    decoded: list[None] = []
    other = embodiment(description="in other words")
    assert other.digest == embodiment().digest
    EpisodeBuffer.open(folder, embodiment=other, on_episode=lambda: decoded.append(None))

    assert decoded == []
    assert len(tables(folder)) == 1


def test_few_tables_are_kept(folder: Path) -> None:
    for number in range(6):
        record(folder, f"d{number}")
        open_buffer(folder)

    assert len(tables(folder)) == tables_of._KEPT


@pytest.mark.parametrize(
    "harm", ["lost", "lost manifest", "emptied", "cut", "flipped", "manifest flipped", "foreign"]
)
def test_a_table_that_is_lost_or_damaged_is_made_again(folder: Path, harm: str) -> None:
    open_buffer(folder)
    (made,) = tables(folder)
    file = made / ("manifest.json" if "manifest" in harm else "observations.npy")
    content = file.read_bytes()
    flipped = bytearray(content)
    flipped[-30] ^= 4
    if harm == "lost":
        shutil.rmtree(made)
    elif harm == "lost manifest":
        file.unlink()
    else:
        file.write_bytes(
            {"emptied": b"", "cut": content[:-8], "foreign": b"[]"}.get(harm, bytes(flipped))
        )

    buffer, decoded = open_buffer(folder)

    assert decoded == 3
    assert_as_recorded(buffer)
    assert open_buffer(folder)[1] == 0


def test_flipped_bits_never_make_wrong_numbers(folder: Path) -> None:
    open_buffer(folder)
    (made,) = tables(folder)
    for file in made.glob("[!l]*"):
        content = file.read_bytes()
        for place in range(0, len(content), 97):
            flipped = bytearray(content)
            flipped[place] ^= 1 << place % 8
            file.write_bytes(flipped)
            loaded = tables_of._load(made)
            assert loaded is None, f"{file.name}, byte {place}"
        file.write_bytes(content)
    assert tables_of._load(made) is not None


def test_without_a_place_for_it_the_buffer_is_in_memory(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / CACHE).write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / CACHE))

    assert open_buffer(folder)[1] == 3
    made, decoded = open_buffer(folder)

    assert decoded == 3
    assert_as_recorded(made)


def test_a_full_disk_costs_only_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tables_of._Growing, "append", full)
    made, _ = open_buffer(folder)

    assert_as_recorded(made)
    assert tables(folder) == []


def test_many_may_make_it_at_once(folder: Path) -> None:
    for number in range(8):
        record(folder, f"d{number}", Trajectory.random(20, seed=number))
    made: list[EpisodeBuffer] = []
    threads = [
        threading.Thread(target=lambda: made.append(open_buffer(folder)[0])) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len({each.digest for each in made}) == 1
    assert len(made) == 4
    assert_as_recorded(made[-1])
    assert [path.name[0] for path in tables(folder)].count(".") == 0


def test_what_a_killed_process_left_is_removed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = folder / CACHE / "tables" / ".making-1-x"
    left.mkdir(parents=True)
    (left / "lock").touch()
    monkeypatch.setattr(tables_of, "_BEGINNING", -60.0)

    open_buffer(folder)

    assert not left.exists()


def test_episodes_of_which_none_can_be_used_are_told_of_at_each_start(tmp_path: Path) -> None:
    blocked = Trajectory.random(3)
    blocked.sources = [1, 1, 1]
    record(tmp_path, "b", blocked)
    for _ in range(2):
        with pytest.raises(Exception, match=r"no usable episode; the first problem: .*b: no step"):
            EpisodeBuffer.open(tmp_path)
