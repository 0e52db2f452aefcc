"""The data of the tasks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gac_ros.bench.learning.tasks import best_share, load_data, read_arrays
from gac_ros.embodiment import find_embodiment
from gac_ros.errors import EpisodeError
from tests.bench.learning.conftest import SMALL_TASK
from tests.toy import toy_buffer


def write_hopper(path: Path, **changes: np.ndarray) -> None:
    arrays = {
        "observations": np.arange(7 * 11, dtype=np.float32).reshape(7, 11),
        "actions": np.full((5, 3), 0.5, dtype=np.float32),
        "rewards": np.arange(5, dtype=np.float32),
        "lengths": np.array([2, 3], dtype=np.int32),
        "terminated": np.array([True, False]),
        "truncated": np.array([False, True]),
    }
    np.savez(path, **{**arrays, **changes})


def test_arrays_end_to_end_become_episodes(tmp_path: Path) -> None:
    write_hopper(tmp_path / "hopper.npz")
    buffer = read_arrays(tmp_path / "hopper.npz", find_embodiment("hopper"))
    assert list(buffer.lengths) == [2, 3]
    assert list(buffer.returns) == [1.0, 9.0]
    first, second = buffer.episodes
    assert first.terminated
    assert second.truncated
    assert first.observations[:, 0].tolist() == [0.0, 11.0, 22.0]
    assert second.observations[:, 0].tolist() == [33.0, 44.0, 55.0, 66.0]


def test_arrays_of_another_robot_are_refused(tmp_path: Path) -> None:
    write_hopper(tmp_path / "hopper.npz", actions=np.zeros((5, 6), dtype=np.float32))
    with pytest.raises(EpisodeError, match=r"actions has the shape \(5, 6\)"):
        read_arrays(tmp_path / "hopper.npz", find_embodiment("hopper"))


def test_a_file_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "hopper.npz").write_text("no archive")
    with pytest.raises(EpisodeError, match="cannot be read"):
        read_arrays(tmp_path / "hopper.npz", find_embodiment("hopper"))


def test_the_best_share_are_the_episodes_with_the_highest_returns() -> None:
    buffer = toy_buffer(40)
    best = best_share(buffer, 0.1)
    assert sorted(best.returns) == sorted(buffer.returns)[-4:]
    assert len(best_share(buffer, 0.001)) == 1


def test_data_whose_collection_was_interrupted_are_collected_anew(tmp_path: Path) -> None:
    def interrupt(result: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load_data(SMALL_TASK, work=tmp_path, data_folder=tmp_path, on_episode=interrupt)
    data = load_data(SMALL_TASK, work=tmp_path, data_folder=tmp_path)
    assert len(data.buffer) == 4
    again = load_data(SMALL_TASK, work=tmp_path, data_folder=tmp_path)
    assert again.buffer.digest == data.buffer.digest
    assert again.collected == data.collected
