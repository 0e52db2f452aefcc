"""Buffers in object storage, tried with fsspec's own in memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from episode_bags import Trajectory, record

from gac_ros.buffer import index
from gac_ros.buffer.dataset import EpisodeBuffer
from gac_ros.buffer.leases import hold
from gac_ros.buffer.remote import as_place, local_folder
from gac_ros.buffer.summary import list_episodes
from gac_ros.buffer.watch import Watcher
from gac_ros.cli import main
from gac_ros.errors import ConfigurationError, EpisodeError, OutputError
from gac_ros.online.experience import choose_bags
from gac_ros.resources import packaged_checkpoint

fsspec = pytest.importorskip("fsspec")
ADDRESS = "memory://bucket/my episodes"


@pytest.fixture(autouse=True)
def storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(index, "_UNSURE", -60.0)
    storage = fsspec.filesystem("memory")
    yield storage
    storage.rm("/bucket", recursive=True)


def upload(tmp_path: Path, storage: Any, name: str, seed: int = 0) -> None:
    bag = record(tmp_path / f"made-{seed}", name, Trajectory.random(5, seed=seed))
    for file in bag.iterdir():
        storage.pipe(f"/bucket/my episodes/{name}/{file.name}", file.read_bytes())


def test_a_buffer_in_object_storage_is_opened_like_a_folder(tmp_path: Path, storage: Any) -> None:
    upload(tmp_path, storage, "a", seed=1)
    upload(tmp_path, storage, "b", seed=2)

    made = EpisodeBuffer.open(ADDRESS)

    local = EpisodeBuffer.open([tmp_path / "made-1", tmp_path / "made-2"])
    assert made.digest == local.digest
    assert made.ids == ("a", "b")
    assert [row.episode_id for row in list_episodes(ADDRESS)] == ["a", "b"]


def test_only_new_and_changed_bags_are_copied(
    tmp_path: Path, storage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied: list[str] = []
    get_file = type(storage).get_file

    def note(self: Any, path: str, *arguments: Any, **options: Any) -> Any:
        copied.append(path.split("/")[-2])
        return get_file(self, path, *arguments, **options)

    monkeypatch.setattr(type(storage), "get_file", note)
    upload(tmp_path, storage, "a")
    watcher = Watcher([ADDRESS])
    assert [row.episode_id for row in watcher.poll()] == ["a"]
    assert watcher.poll() == []
    upload(tmp_path, storage, "b")
    assert [row.episode_id for row in watcher.poll()] == ["b"]
    assert copied == ["a", "a", "b", "b"]

    before = EpisodeBuffer.open(ADDRESS)
    upload(tmp_path, storage, "a", seed=3)
    after = EpisodeBuffer.open(ADDRESS)
    assert copied[4:] == ["a", "a"]
    assert (before[0].observations != after[0].observations).any()


def test_bags_that_are_gone_there_are_gone_here_unless_a_run_needs_them(
    tmp_path: Path, storage: Any
) -> None:
    for name in "abc":
        upload(tmp_path, storage, name)
    copy = local_folder(ADDRESS)
    storage.rm("/bucket/my episodes/a", recursive=True)
    storage.rm("/bucket/my episodes/b", recursive=True)

    with hold([copy / "b"], tmp_path / "run"):
        assert [row.episode_id for row in list_episodes(ADDRESS)] == ["b", "c"]
    assert [row.episode_id for row in list_episodes(ADDRESS)] == ["c"]


def test_a_bag_that_is_still_being_copied_there_is_left_out(tmp_path: Path, storage: Any) -> None:
    upload(tmp_path, storage, "a")
    upload(tmp_path, storage, "b")
    storage.rm("/bucket/my episodes/b/metadata.yaml")

    assert [row.episode_id for row in list_episodes(ADDRESS)] == ["a"]


def test_what_was_damaged_there_is_told(tmp_path: Path, storage: Any) -> None:
    upload(tmp_path, storage, "a")
    storage.pipe("/bucket/my episodes/a/a_0.mcap", b"cut")

    (row,) = list_episodes(ADDRESS)
    assert row.state == "damaged"


def test_a_copy_whose_state_is_lost_is_made_again(tmp_path: Path, storage: Any) -> None:
    upload(tmp_path, storage, "a")
    copy = local_folder(ADDRESS)
    (copy / ".remote.json").write_text("[")
    (copy / "a" / "a_0.mcap").unlink()

    assert [row.state for row in list_episodes(ADDRESS)] == ["complete"]


@pytest.mark.parametrize(
    ("address", "kind", "problem"),
    [
        ("memory://bucket/nothing", EpisodeError, "cannot be read .*check the address"),
        ("nosuch://bucket", ConfigurationError, "nosuch"),
    ],
)
def test_a_wrong_address_is_one_clear_error(
    address: str, kind: type[Exception], problem: str, tmp_path: Path, storage: Any
) -> None:
    upload(tmp_path, storage, "a")

    with pytest.raises(kind, match=problem):
        EpisodeBuffer.open(address)


def test_without_room_for_the_copy_the_remedy_is_told(
    tmp_path: Path, storage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(tmp_path, storage, "a")
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))

    with pytest.raises(OutputError, match="set XDG_CACHE_HOME"):
        list_episodes(ADDRESS)


def test_an_address_of_a_local_folder_is_the_folder(tmp_path: Path, storage: Any) -> None:
    upload(tmp_path, storage, "a")
    record(tmp_path / "here", "b")

    assert EpisodeBuffer.open(f"file://{tmp_path / 'here'}").bags == (tmp_path / "here" / "b",)


@pytest.mark.usefixtures("signals_as_before")
def test_commands_that_only_read_take_an_address(
    tmp_path: Path, storage: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, name in enumerate("ab"):
        upload(tmp_path, storage, name, seed=number)

    assert main(["buffer", "info", ADDRESS, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["episodes"] == 2
    out = tmp_path / "minari" / "arm-v0"
    assert main(["buffer", "export", ADDRESS, "--format", "minari", "--out", str(out)]) == 0
    assert "2 episodes, 10 steps" in capsys.readouterr().out
    checkpoint = str(packaged_checkpoint("pointmaze_umaze"))
    assert main(["lineage", checkpoint, "--data", ADDRESS]) == 1
    assert "800 of its 800 episodes are missing" in capsys.readouterr().err


def test_online_learning_begins_with_the_bags_of_an_address(tmp_path: Path, storage: Any) -> None:
    for number, name in enumerate("ab"):
        upload(tmp_path, storage, name, seed=number)

    place = as_place(ADDRESS)

    assert [bag.name for bag in choose_bags([place], "all")] == ["a", "b"]
    assert as_place("a folder/") == Path("a folder")
