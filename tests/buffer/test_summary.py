"""What a person sees of a buffer directory."""

from __future__ import annotations

from pathlib import Path

import pytest
from episode_bags import (
    TYPES,
    Trajectory,
    embodiment,
    metadata,
    record,
    script,
    write_messages,
)

from gac_ros.buffer.repair import repair_buffer
from gac_ros.buffer.summary import list_episodes
from gac_ros.buffer.writer import EpisodeWriter
from gac_ros.errors import EpisodeError


def test_a_row_tells_what_is_known_of_an_episode(tmp_path: Path) -> None:
    bag = record(tmp_path, "a", episode_return=4.5, outcome="success", terminated=True)

    (row,) = list_episodes(tmp_path)

    assert (row.episode_id, row.path, row.state, row.problem) == ("a", bag, "complete", "")
    assert (row.robot, row.policy, row.mode, row.steps) == ("arm", "gac", "exploit", 5)
    assert (row.episode_return, row.predicted_return) == (4.5, 12.5)
    assert (row.ending, row.outcome) == ("terminated truncated", "success")
    assert row.size == sum(path.stat().st_size for path in bag.iterdir())


def test_unfinished_and_damaged_episodes_are_listed_with_the_others(tmp_path: Path) -> None:
    record(tmp_path, "b")
    cut = record(tmp_path, "c") / "c_0.mcap"
    cut.write_bytes(cut.read_bytes()[:-9])
    (record(tmp_path, "d") / "metadata.yaml").unlink()
    writer = EpisodeWriter(tmp_path, "a", TYPES)
    write_messages(writer, list(script(Trajectory.random(100))))

    rows = list_episodes(tmp_path)

    assert [(row.episode_id, row.state) for row in rows] == [
        ("a", "recording"),
        ("b", "complete"),
        ("c", "damaged"),
        ("d", "damaged"),
    ]
    assert "does not match its SHA-256" in rows[2].problem
    assert "metadata.yaml" in rows[3].problem
    assert rows[0].size > 0
    assert (rows[0].steps, rows[0].robot, rows[0].ending, rows[0].outcome) == (None, "", "", "")


def test_a_recording_that_was_cut_off_is_unfinished_and_recovered_after_its_repair(
    tmp_path: Path,
) -> None:
    draft = metadata(embodiment(), "a", 0)
    writer = EpisodeWriter(tmp_path, "a", TYPES, draft=draft)
    write_messages(writer, list(script(Trajectory.random(10))))
    writer.close()

    assert [row.state for row in list_episodes(tmp_path)] == ["unfinished"]
    repair_buffer(tmp_path)
    (row,) = list_episodes(tmp_path)

    assert (row.state, row.usable, row.robot) == ("recovered", True, "arm")


def test_one_bag_is_one_row(tmp_path: Path) -> None:
    record(tmp_path, "a")
    bag = record(tmp_path, "b", mode=None, truncated=False, predicted_return=None)

    (row,) = list_episodes(bag)

    assert (row.episode_id, row.mode, row.ending, row.outcome) == ("b", "", "", "")
    assert (row.episode_return, row.predicted_return) == (None, None)


def test_other_files_are_no_episodes(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text("{}")
    (tmp_path / "folder").mkdir()

    assert list_episodes(tmp_path) == []


def test_a_folder_that_does_not_exist_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(EpisodeError, match="absent: cannot be read"):
        list_episodes(tmp_path / "absent")
