"""Data sets made by a short run of SAC: exact, repeatable, and ready to be imported."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import gymnasium
import numpy as np
import pytest

from gac_ros.buffer.importing.import_steps import check_environment, import_step_arrays
from gac_ros.buffer.importing.step_arrays import load_step_arrays
from gac_ros.embodiment import find_embodiment
from gac_ros.errors import ConfigurationError, OutputError
from tests.scripts import load_script


@pytest.fixture(scope="module")
def locomotion_data() -> ModuleType:
    return load_script("locomotion_data")


def test_a_short_run_makes_both_data_sets_and_the_seed_repeats_them(
    locomotion_data: ModuleType, tmp_path: Path
) -> None:
    pytest.importorskip("stable_baselines3")
    options = {"seed": 3, "medium_at": 120, "medium_steps": 60, "save_every": 50}

    first = locomotion_data.make_data("walker2d", 200, tmp_path / "a", **options)
    second = locomotion_data.make_data("walker2d", 200, tmp_path / "b", **options)

    assert [path.name for path in first] == [
        "walker2d_v5_medium_replay.npz",
        "walker2d_v5_medium.npz",
    ]
    robot = find_embodiment("walker2d")
    for left, right in zip(first, second, strict=True):
        one, other = load_step_arrays(left), load_step_arrays(right)
        check_environment(robot, one.env_id, origin=str(left))
        np.testing.assert_array_equal(one.observations, other.observations)
        np.testing.assert_array_equal(one.actions, other.actions)
        assert "seed 3" in one.note
        report = import_step_arrays(one, robot, tmp_path / "bags")
        assert report.imported == len(one)


def test_the_roll_out_leaves_learning_as_it_was(
    locomotion_data: ModuleType, tmp_path: Path
) -> None:
    pytest.importorskip("stable_baselines3")

    (alone,) = locomotion_data.make_data("hopper", 180, tmp_path / "a")
    both = locomotion_data.make_data("hopper", 180, tmp_path / "b", medium_at=110, medium_steps=20)

    np.testing.assert_array_equal(
        load_step_arrays(alone).observations, load_step_arrays(both[0]).observations
    )


def test_every_complete_episode_is_kept_as_the_environment_gave_it(
    locomotion_data: ModuleType,
) -> None:
    env = locomotion_data.RecordingWrapper(gymnasium.make("Hopper-v5", max_episode_steps=20))
    rng = np.random.default_rng(0)
    seen, rewards = [env.reset(seed=1)[0]], []
    while len(env.episodes) < 3:
        observation, reward, terminated, truncated, _ = env.step(rng.uniform(-1, 1, 3))
        seen.append(observation)
        rewards.append(reward)
        if terminated or truncated:
            seen.append(env.reset()[0])

    kept = np.concatenate([episode.observations for episode in env.episodes])
    np.testing.assert_array_equal(kept, np.array(seen[:-1], dtype=np.float32))
    np.testing.assert_array_equal(
        np.concatenate([episode.rewards for episode in env.episodes]), np.float32(rewards)
    )
    assert all(len(episode.observations) == len(episode.actions) + 1 for episode in env.episodes)
    assert all(episode.truncated or episode.terminated for episode in env.episodes)


def test_mistakes_are_told_before_anything_is_learnt(
    locomotion_data: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "hopper_v5_medium_replay.npz").touch()

    with pytest.raises(ConfigurationError, match="unknown robot 'ant'; known are hopper"):
        locomotion_data.make_data("ant", 10, tmp_path)
    with pytest.raises(ConfigurationError, match="must lie within the 10 steps"):
        locomotion_data.make_data("hopper", 10, tmp_path, medium_at=11)
    monkeypatch.setitem(sys.modules, "stable_baselines3", None)
    with pytest.raises(ConfigurationError, match=r"pip install -e '\.\[sb3\]'"):
        locomotion_data.make_data("hopper", 10, tmp_path)
    monkeypatch.undo()
    pytest.importorskip("stable_baselines3")
    with pytest.raises(OutputError, match="is there already"):
        locomotion_data.make_data("hopper", 10, tmp_path)
    with pytest.raises(OutputError, match="cannot be written"):
        locomotion_data.make_data("walker2d", 10, tmp_path / "file" / "out")
