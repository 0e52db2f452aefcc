"""Minari data sets: those of Minari itself, and ours as Minari reads them."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import episode_bags
import exchanges as x
import minari
import numpy as np
import pytest
from gymnasium import spaces
from minari.data_collector.episode_buffer import EpisodeBuffer as MinariEpisode

from gac_ros.buffer.dataset import EpisodeBuffer
from gac_ros.buffer.exchange.minari_format import MinariDataset, default_id, find_minari
from gac_ros.buffer.reader import read_episode
from gac_ros.errors import ConfigurationError, EmbodimentError, EpisodeError, OutputError

BOX = spaces.Box(-np.inf, np.inf, (3,), np.float32)
ACTIONS = spaces.Box(-1.0, 1.0, (2,), np.float32)


@pytest.fixture
def datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where Minari keeps its data sets."""
    folder = tmp_path / "minari"
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(folder))
    return folder


def by_minari(datasets: Path, observations: Any, space: Any = BOX, **changes: Any) -> Path:
    """A data set of one episode of three steps that Minari itself writes."""
    content: dict[str, Any] = {
        "seed": 5,
        "observations": observations,
        "actions": np.linspace(-1.0, 1.0, 6, dtype=np.float32).reshape(3, 2),
        "rewards": np.array([1.0, 2.0, 4.0]),
        "terminations": np.array([False, False, True]),
        "truncations": np.array([False, False, False]),
        "infos": {"speed": np.arange(4.0)},
        **changes,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        minari.create_dataset_from_buffers(
            "somebody/else-v3",
            [MinariEpisode(**content)],
            observation_space=space,
            action_space=ACTIONS,
        )
    return datasets / "somebody" / "else-v3"


def test_a_data_set_of_minari_itself_is_read(tmp_path: Path, datasets: Path) -> None:
    observations = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    path = by_minari(datasets, observations)
    report = x.back("minari", path, tmp_path / "out", policy="expert")

    (episode,) = EpisodeBuffer.open(tmp_path / "out")
    np.testing.assert_array_equal(episode.observations, observations)
    np.testing.assert_array_equal(episode.rewards, [1.0, 2.0, 4.0])
    assert (episode.terminated, episode.truncated, episode.episode_return) == (True, False, 7.0)
    assert episode.metadata is not None
    assert (episode.metadata.seed, episode.metadata.policy) == (5, "expert")
    assert episode.metadata.episode_id.startswith("somebody-else-v3-")
    infos, rate = report.losses
    assert infos == "infos and options of episodes are not imported"
    assert "does not tell its control rate: the embodiment's 50 Hz are taken for it" in rate
    assert find_minari(path) == find_minari(path / "data") == path / "data"


def test_parts_of_a_dictionary_are_chosen_in_order(tmp_path: Path, datasets: Path) -> None:
    parts = {
        "observation": np.arange(8, dtype=np.float32).reshape(4, 2),
        "goal": {"desired": np.full((4, 1), 9.0, np.float32)},
    }
    one = spaces.Box(-np.inf, np.inf, (1,), np.float32)
    two = spaces.Box(-np.inf, np.inf, (2,), np.float32)
    space = spaces.Dict({"observation": two, "goal": spaces.Dict({"desired": one})})
    path = by_minari(datasets, parts, space)

    with pytest.raises(ConfigurationError, match="are a dictionary of goal, observation; name"):
        x.back("minari", path, tmp_path / "out")
    with pytest.raises(ConfigurationError, match="no observation 'goal/far'"):
        MinariDataset(path, ["goal/far"])
    x.back("minari", path, tmp_path / "out", keys=("goal/desired", "observation"))
    (episode,) = EpisodeBuffer.open(tmp_path / "out")
    np.testing.assert_array_equal(episode.observations[2], [9.0, 4.0, 5.0])


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"terminations": np.array([False, True, True])}, "ended at step 1 of 3; cut it there"),
        ({"rewards": np.array([1.0, np.nan, 2.0])}, "episode 0: 'rewards' is not finite"),
        ({"actions": np.zeros((2, 2), np.float32)}, "has 4 observations and 2 actions"),
        ({"actions": np.full((3, 2), 3.0, np.float32)}, "'actions' reach at shoulder from 3 to 3"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_reason(
    tmp_path: Path, datasets: Path, changes: dict[str, Any], problem: str
) -> None:
    path = by_minari(datasets, np.zeros((4, 3), np.float32), **changes)
    with pytest.raises((EpisodeError, EmbodimentError)) as caught:
        x.back("minari", path, tmp_path / "out")
    assert problem in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_minari_loads_what_we_export(tmp_path: Path, datasets: Path) -> None:
    bags = [
        episode_bags.record(tmp_path / "bags", "a", terminated=True, truncated=False, seed=3),
        episode_bags.record(tmp_path / "bags", "b", terminated=False, truncated=True),
    ]
    x.there("minari", bags, datasets / "arm" / "test-v0")

    loaded = minari.load_dataset("arm/test-v0")
    assert (loaded.total_episodes, loaded.total_steps) == (2, 10)
    for bag, episode in zip(bags, loaded.iterate_episodes(), strict=True):
        expected = read_episode(bag)
        np.testing.assert_array_equal(episode.observations, expected.observations)
        np.testing.assert_array_equal(episode.actions, expected.actions)
        np.testing.assert_array_equal(episode.rewards, expected.rewards)
        assert episode.terminations[-1] == expected.terminated
        assert episode.truncations[-1] == expected.truncated
        assert not episode.terminations[:-1].any()
        assert loaded.action_space.contains(episode.actions[0])
    assert [each["seed"] for each in loaded.storage.get_episode_metadata([0, 1])] == [3, 7]


def test_an_export_stops_before_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bags = [episode_bags.record(tmp_path / "bags", name) for name in ("a", "b")]
    free = iter([2**40, 2**20])
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=next(free)))
    with pytest.raises(OutputError, match="less than 16 MiB are left"):
        x.there("minari", bags, tmp_path / "set")
    assert [path.name for path in tmp_path.iterdir()] == ["bags"]


def test_the_id_comes_from_the_robot_and_the_folder() -> None:
    robot = episode_bags.embodiment()
    assert default_id(robot, Path("/x/my set")) == "arm/my_set-v0"
    assert default_id(robot, Path("/x/wave-v12")) == "arm/wave-v12"


def test_without_minari_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ConfigurationError, match="'minari' extra"):
        MinariDataset(tmp_path)
