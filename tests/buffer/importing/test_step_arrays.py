"""Files of step arrays: what is read from good ones, and how each bad one is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from step_files import arrays, save

from gac_ros.buffer.importing.step_arrays import load_step_arrays
from gac_ros.embodiment import find_embodiment
from gac_ros.errors import EpisodeError

HOPPER = find_embodiment("hopper")


def with_value(array: Any, index: Any, value: float) -> Any:
    changed = array.copy()
    changed[index] = value
    return changed


GOOD = arrays(HOPPER, [3, 1, 4])


def test_episodes_are_cut_out_of_the_file(tmp_path: Path) -> None:
    content = arrays(HOPPER, [3, 1, 4])
    found = load_step_arrays(save(tmp_path / "set.npz", content))

    assert len(found) == 3
    assert (found.name, found.env_id, found.note) == ("set", "Hopper-v5", "made by a test")
    last = found.episode(2)
    np.testing.assert_array_equal(last.observations, content["observations"][6:11])
    np.testing.assert_array_equal(last.actions, content["actions"][4:8])
    np.testing.assert_array_equal(last.rewards, content["rewards"][4:8])
    assert (last.terminated, last.truncated) == (True, False)
    assert last.observations.dtype == last.actions.dtype == last.rewards.dtype == np.float64


def test_the_origin_is_optional(tmp_path: Path) -> None:
    content = arrays(HOPPER, [2], env_id=None, note=None)

    found = load_step_arrays(save(tmp_path / "set.npz", content))

    assert found.env_id == found.note == ""


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"rewards": None}, "no array 'rewards'"),
        ({"lengths": np.array([3, 1, 5])}, "'observations' has 11 rows, but 'lengths'"),
        ({"lengths": np.array([2**62, 2**62, 8])}, "promises"),
        ({"lengths": np.array([3, 0, 5])}, "episode 1 has 0 steps"),
        ({"lengths": np.array([3, -1, 6])}, "episode 1 has -1 steps"),
        ({"lengths": np.array([3.0, 1.0, 4.0])}, "'lengths' must hold one whole number"),
        ({"lengths": np.array([], dtype=int)}, "'lengths' must hold one whole number"),
        ({"terminated": np.array([True])}, "'terminated' has 1 rows"),
        ({"truncated": np.array([0.5, 0.0, 1.0])}, "'truncated' must hold true or false"),
        ({"actions": GOOD["actions"].astype(complex)}, "'actions' holds complex128"),
        ({"actions": GOOD["actions"][:, 0]}, "'actions' has shape (8,); it needs 2 dimensions"),
        ({"rewards": GOOD["rewards"][:7]}, "'rewards' has 7 rows"),
        (
            {"observations": with_value(GOOD["observations"], (5, 2), np.nan)},
            "'observations' is not finite in episode 1, step 1",
        ),
        (
            {"actions": with_value(GOOD["actions"], (4, 0), np.inf)},
            "'actions' is not finite in episode 2, step 0",
        ),
        (
            {"rewards": with_value(GOOD["rewards"], 2, -np.inf)},
            "'rewards' is not finite in episode 0, step 2",
        ),
    ],
)
def test_arrays_that_do_not_agree_are_refused(
    tmp_path: Path, change: dict[str, Any], problem: str
) -> None:
    path = save(tmp_path / "set.npz", arrays(HOPPER, [3, 1, 4], **change))

    with pytest.raises(EpisodeError) as caught:
        load_step_arrays(path)

    assert problem in str(caught.value)
    assert str(path) in str(caught.value)


def test_pickled_objects_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "set.npz"
    np.savez(path, **arrays(HOPPER, [2], actions=np.array([{}, {}], dtype=object)))

    with pytest.raises(EpisodeError, match="holds pickled objects"):
        load_step_arrays(path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EpisodeError, match=r"cannot be read .*; check the path"):
        load_step_arrays(tmp_path / "missing.npz")


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "set.npz"
    for content in (b"", b"PK\x03\x04", b"\x80\x04N.", b"\x93NUMPY garbage"):
        path.write_bytes(content)
        with pytest.raises(EpisodeError, match="not a readable"):
            load_step_arrays(path)


def test_a_damaged_file_is_refused_or_read_as_it_was(tmp_path: Path) -> None:
    content = arrays(HOPPER, [20, 30])
    path = save(tmp_path / "set.npz", content)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for share in range(100):
        path.write_bytes(whole[: len(whole) * share // 100])
        with pytest.raises(EpisodeError):
            load_step_arrays(path)
    for _ in range(200):
        flipped = bytearray(whole)
        flipped[rng.integers(len(whole))] ^= 1 << rng.integers(8)
        path.write_bytes(flipped)
        try:
            found = load_step_arrays(path)
        except EpisodeError:
            continue
        for name in ("observations", "actions", "rewards", "lengths", "terminated", "truncated"):
            np.testing.assert_array_equal(getattr(found, name), content[name])
