"""LeRobot data sets: those of LeRobot itself, and ours as LeRobot would read them."""

from __future__ import annotations

import json
import shutil
import sys
from functools import partial
from pathlib import Path
from typing import Any

import episode_bags
import exchanges as x
import numpy as np
import pyarrow.parquet as pq
import pytest

from gac_ros.buffer.dataset import EpisodeBuffer
from gac_ros.buffer.exchange import lerobot_layout as layout
from gac_ros.buffer.exchange.export import export_buffer
from gac_ros.buffer.exchange.lerobot_read import LeRobotDataset, is_lerobot
from gac_ros.buffer.exchange.lerobot_write import write_lerobot
from gac_ros.buffer.exchange.statistics import FeatureStatistics
from gac_ros.buffer.reader import read_episode, read_metadata
from gac_ros.errors import ConfigurationError, EmbodimentError, EpisodeError

BY_LEROBOT = Path(__file__).parent / "by_lerobot"


def test_a_data_set_of_lerobot_itself_is_read(tmp_path: Path) -> None:
    report = x.back("lerobot", BY_LEROBOT, tmp_path / "out")
    first, second = EpisodeBuffer.open(tmp_path / "out")

    for number, episode in enumerate((first, second)):
        steps = np.arange((4, 6)[number])
        np.testing.assert_array_equal(episode.observations[:-1, 0], np.full(len(steps), number))
        np.testing.assert_array_equal(episode.observations[:-1, 1], steps)
        np.testing.assert_array_equal(episode.observations[-1], episode.observations[-2])
        np.testing.assert_array_equal(episode.actions, np.stack([steps / 8, -steps / 16], axis=1))
        np.testing.assert_array_equal(episode.rewards, steps)
    assert (first.terminated, first.truncated) == (False, True)
    assert (second.terminated, second.truncated) == (True, False)
    assert second.metadata is not None
    assert second.metadata.outcome == "success"
    assert second.metadata.source is not None
    assert second.metadata.source["file"] == "by_lerobot"
    assert any("no observation after the last action" in loss for loss in report.losses)
    assert any("does not tell terminated from truncated" in loss for loss in report.losses)


def test_features_can_be_chosen_and_joined(tmp_path: Path) -> None:
    odometry = {
        "topic": "odom",
        "type": "std_msgs/msg/Float64MultiArray",
        "max_age": 1.0,
        "fields": [{"select": f"data.{index}", "unit": "any"} for index in range(5)],
    }
    robot = episode_bags.embodiment(observation=[odometry])
    keys = ("observation.environment_state", "observation.state")
    x.back("lerobot", BY_LEROBOT, tmp_path / "out", robot, keys=keys, limit=1)
    (episode,) = EpisodeBuffer.open(tmp_path / "out", embodiment=robot)
    np.testing.assert_array_equal(episode.observations[2], [12.0, 0.0, 0.0, 2.0, 0.5])


def changed_info(tmp_path: Path, **changes: Any) -> Path:
    path = tmp_path / "set"
    shutil.copytree(BY_LEROBOT, path)
    file = path / layout.INFO_FILE
    content = json.loads(file.read_text())
    for key, value in changes.items():
        if value is None:
            content.pop(key)
        else:
            content[key] = value
    file.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"codebase_version": "v2.1"}, "is of LeRobot's version v2.1; versions v3.* can be read"),
        ({"features": {}}, "has no numbers 'observation.state'"),
        ({"fps": None}, "lacks 'fps'"),
        ({"fps": 30}, "has 30 frames a second, the embodiment 'arm' acts 50 times"),
        ({"total_episodes": 3}, "lists 2 episodes of 10 frames, meta/info.json says 3 of 10"),
        ({"total_frames": 11}, "lists 2 episodes of 10 frames, meta/info.json says 2 of 11"),
        ({"data_path": "data/nothing"}, "data/nothing cannot be read"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_reason(
    tmp_path: Path, changes: dict[str, Any], problem: str
) -> None:
    with pytest.raises((ConfigurationError, EpisodeError)) as caught:
        x.back("lerobot", changed_info(tmp_path, **changes), tmp_path / "out")
    assert problem in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_feature_that_is_not_there_or_no_numbers_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no numbers 'observation\.image'.*onment_state"):
        LeRobotDataset(BY_LEROBOT, ["observation.image"])


def test_frames_that_are_missing_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "set"
    shutil.copytree(BY_LEROBOT, path)
    file = path / "data" / "chunk-000" / "file-000.parquet"
    table = pq.read_table(file)
    pq.write_table(table.slice(0, 9), file)
    with pytest.raises(EpisodeError, match="episode 1: its frames are missing or out of order"):
        x.back("lerobot", path, tmp_path / "out")


def test_our_data_sets_have_the_places_and_columns_of_version_3(tmp_path: Path) -> None:
    bags = [
        episode_bags.record(tmp_path / "bags", name, episode_bags.Trajectory.random(steps))
        for name, steps in (("a", 4), ("b", 6))
    ]
    x.there("lerobot", bags, tmp_path / "set")

    assert is_lerobot(tmp_path / "set")
    for name in (layout.INFO_FILE, layout.TASKS_FILE, layout.STATISTICS_FILE):
        assert (tmp_path / "set" / name).is_file()
    ours, theirs = (
        {
            name: pq.read_table(path / name)
            for name in (
                "data/chunk-000/file-000.parquet",
                "meta/episodes/chunk-000/file-000.parquet",
            )
        }
        for path in (tmp_path / "set", BY_LEROBOT)
    )
    for name, table in theirs.items():
        missing = {
            column
            for column in table.column_names
            # LeRobot's row of statistics has those of the features it was given.
            if "environment_state" not in column and column not in ours[name].column_names
        }
        assert missing == set(), name
    info, their_info = (
        json.loads((path / layout.INFO_FILE).read_text()) for path in (tmp_path / "set", BY_LEROBOT)
    )
    assert set(info) == set(their_info)
    assert (info["total_episodes"], info["total_frames"], info["fps"]) == (2, 10, 50)
    for feature, description in their_info["features"].items():
        if feature in ("timestamp", "frame_index", "episode_index", "index", "task_index"):
            assert info["features"][feature]["dtype"] == description["dtype"]
    # LeRobot reads the tasks with pandas, as the index of a table.
    tasks = pq.read_table(tmp_path / "set" / layout.TASKS_FILE)
    assert json.loads(tasks.schema.metadata[b"pandas"])["index_columns"] == ["task"]
    assert tasks.to_pylist() == [{"task_index": 0, "task": "wave"}]
    data = ours["data/chunk-000/file-000.parquet"]
    assert data["index"].to_pylist() == list(range(10))
    assert data["frame_index"].to_pylist() == [*range(4), *range(6)]
    assert data["next.truncated"].to_pylist() == [*[False] * 3, True, *[False] * 5, True]
    np.testing.assert_allclose(data["timestamp"].to_numpy()[:4], np.arange(4) / 50, rtol=1e-6)


def test_large_data_sets_are_split_into_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout, "MEGABYTES_IN_A_FILE", 1e-6)
    monkeypatch.setattr(layout, "FILES_IN_A_CHUNK", 2)
    bags = [
        episode_bags.record(tmp_path / "bags", f"{n}", episode_bags.Trajectory.random(3, seed=n))
        for n in range(5)
    ]
    x.there("lerobot", bags, tmp_path / "set")
    data = tmp_path / "set" / "data"
    files = sorted(str(path.relative_to(data)) for path in data.rglob("*.parquet"))
    assert files[-1] == "chunk-002/file-000.parquet"
    assert len(files) == 5
    x.back("lerobot", tmp_path / "set", tmp_path / "back")
    for bag in bags:
        x.same_episode(bag, tmp_path / "back" / bag.name)


def test_single_precision_loses_digits_and_says_so(tmp_path: Path) -> None:
    bag = episode_bags.record(tmp_path / "bags")
    write = partial(write_lerobot, task="wave", single_precision=True)
    report = export_buffer([bag], tmp_path / "set", write)
    x.back("lerobot", tmp_path / "set", tmp_path / "back")

    assert any("single precision" in loss for loss in report.losses)
    before, after = read_episode(bag), read_episode(tmp_path / "back" / bag.name)
    np.testing.assert_array_equal(after.observations[:-1], before.observations[:-1].astype("f4"))
    np.testing.assert_array_equal(after.actions, before.actions.astype("f4"))


def test_statistics_of_parts_join_to_those_of_the_whole() -> None:
    values = np.random.default_rng(0).normal(size=(50, 3))
    joined = FeatureStatistics.of(values[:13]).joined(FeatureStatistics.of(values[13:]))
    whole = FeatureStatistics.of(values)
    for name in ("minimum", "maximum", "mean", "variance"):
        np.testing.assert_allclose(getattr(joined, name), getattr(whole, name), rtol=1e-12)
    assert joined.to_dict()["count"] == [50]


def test_without_pyarrow_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigurationError, match="'lerobot' extra"):
        LeRobotDataset(BY_LEROBOT)


def test_an_episode_that_was_tampered_with_is_noticed(tmp_path: Path) -> None:
    x.there("lerobot", [episode_bags.record(tmp_path / "bags")], tmp_path / "set")
    file = tmp_path / "set" / "data" / "chunk-000" / "file-000.parquet"
    table = pq.read_table(file)
    place = table.column_names.index("next.truncated")
    flags = table["next.terminated"].combine_chunks()
    pq.write_table(table.set_column(place, "next.truncated", flags), file)
    with pytest.raises(EpisodeError, match="its arrays say truncated False, its metadata"):
        x.back("lerobot", tmp_path / "set", tmp_path / "out")


def rewrite(path: Path, column: str, values: list[Any]) -> None:
    """Change a column of a data set's only file, or add it."""
    file = path / "data" / "chunk-000" / "file-000.parquet"
    table = pq.read_table(file)
    if column in table.column_names:
        table = table.drop_columns([column])
    pq.write_table(table.append_column(column, [values]), file)


def test_a_success_on_the_way_is_none_at_the_end(tmp_path: Path) -> None:
    path = changed_info(tmp_path)
    rewrite(path, "next.success", [True, False, False, False, *[False] * 5, True])
    x.back("lerobot", path, tmp_path / "out")

    first, second = EpisodeBuffer.open(tmp_path / "out")

    assert (first.terminated, first.truncated) == (False, True)
    assert (second.terminated, second.truncated) == (True, False)
    assert [e.metadata.outcome for e in (first, second) if e.metadata] == ["unknown", "success"]


@pytest.mark.parametrize("flag", ["next.terminated", "next.truncated"])
def test_an_episode_that_goes_on_after_its_end_is_refused(tmp_path: Path, flag: str) -> None:
    path = changed_info(tmp_path)
    rewrite(path, flag, [False, False, True, False, *[False] * 5, True])

    with pytest.raises(EpisodeError, match=rf"episode 0: '{flag}' says it ended at step 2 of 4"):
        x.back("lerobot", path, tmp_path / "out")


def test_what_is_not_imported_of_a_data_set_is_named(tmp_path: Path) -> None:
    losses = x.back("lerobot", BY_LEROBOT, tmp_path / "out").losses

    assert "features are not imported: observation.environment_state" in losses
    assert "tasks are not imported: wave" in losses
    assert not any("control rate" in loss for loss in losses)


def test_nothing_is_named_of_a_data_set_of_ours(tmp_path: Path) -> None:
    x.there("lerobot", [episode_bags.record(tmp_path / "bags")], tmp_path / "set")

    (loss,) = x.back("lerobot", tmp_path / "set", tmp_path / "out").losses

    assert "messages are made anew" in loss


def test_single_precision_does_not_look_like_a_change(tmp_path: Path) -> None:
    bag = episode_bags.record(tmp_path / "bags", episode_return=1.5)
    write = partial(write_lerobot, task="wave", single_precision=True)
    export_buffer([bag], tmp_path / "set", write)

    report = x.back("lerobot", tmp_path / "set", tmp_path / "back")

    assert not any("were changed" in loss for loss in report.losses)
    assert read_metadata(tmp_path / "back" / bag.name).episode_return == 1.5


def test_numbers_beyond_the_limits_are_refused(tmp_path: Path) -> None:
    fields = [
        {"joint": "shoulder", "unit": "N*m", "limits": [-0.1, 0.1]},
        {"joint": "elbow", "unit": "N*m", "limits": [-1.0, 1.0]},
    ]
    robot = episode_bags.embodiment(action={**episode_bags.contract()["action"], "fields": fields})
    with pytest.raises(EmbodimentError, match=r"episode 0: 'actions' reach at shoulder"):
        x.back("lerobot", BY_LEROBOT, tmp_path / "out", robot)
