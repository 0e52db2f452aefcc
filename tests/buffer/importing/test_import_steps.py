"""Step arrays become bags that read back as the same numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import episode_bags
import numpy as np
import pytest
from step_files import arrays, save

from gac_ros.buffer.dataset import EpisodeBuffer
from gac_ros.buffer.importing.import_steps import (
    check_environment,
    episode_ids,
    import_step_arrays,
)
from gac_ros.buffer.importing.step_arrays import StepArrays, load_step_arrays
from gac_ros.buffer.reader import read_episode, read_metadata
from gac_ros.buffer.writer import RECORDING
from gac_ros.embodiment import Embodiment, find_embodiment, known_robots
from gac_ros.errors import EmbodimentError, OutputError

HOPPER = find_embodiment("hopper")


def step_arrays(
    tmp_path: Path, sizes: list[int], robot: Embodiment = HOPPER, **changes: Any
) -> StepArrays:
    content = arrays(robot, sizes, **changes)
    return load_step_arrays(save(tmp_path / "set.npz", content))


@pytest.mark.parametrize("name", known_robots())
def test_the_bags_hold_the_numbers_of_the_file(tmp_path: Path, name: str) -> None:
    robot = find_embodiment(name)
    data = step_arrays(tmp_path, [3, 1, 7], robot)

    report = import_step_arrays(data, robot, tmp_path / "out")
    made = EpisodeBuffer.open(tmp_path / "out", embodiment=robot)

    assert (report.imported, report.present, report.steps) == (3, 0, 11)
    assert made.ids == tuple(episode_ids(data, robot))
    assert made.problems == ()
    for index, episode in enumerate(made):
        expected = data.episode(index)
        np.testing.assert_array_equal(episode.observations, expected.observations)
        np.testing.assert_array_equal(episode.actions, expected.actions)
        np.testing.assert_array_equal(episode.rewards, expected.rewards)
        assert episode.valid.all()
        assert episode.terminated == expected.terminated
        assert episode.truncated == expected.truncated
        assert episode.episode_return == pytest.approx(expected.rewards.sum(), rel=1e-12)
        assert report.returns[index] == pytest.approx(episode.episode_return, rel=1e-12)


def test_double_precision_is_kept(tmp_path: Path) -> None:
    exact = np.random.default_rng(1).normal(size=(4, HOPPER.observation_size))
    data = step_arrays(tmp_path, [3], observations=exact, rewards=np.array([0.1, 0.2, 0.3]))

    import_step_arrays(data, HOPPER, tmp_path / "out")
    (bag,) = (tmp_path / "out").glob("set-*")
    episode = read_episode(bag, HOPPER)

    np.testing.assert_array_equal(episode.observations, exact)
    np.testing.assert_array_equal(episode.rewards, [0.1, 0.2, 0.3])


@pytest.mark.parametrize("terminated", [False, True])
@pytest.mark.parametrize("truncated", [False, True])
def test_terminated_and_truncated_are_kept_apart(
    tmp_path: Path, terminated: bool, truncated: bool
) -> None:
    ending = {"terminated": np.array([terminated]), "truncated": np.array([truncated])}

    import_step_arrays(step_arrays(tmp_path, [2], **ending), HOPPER, tmp_path / "out")
    (episode,) = EpisodeBuffer.open(tmp_path / "out")

    assert (episode.terminated, episode.truncated) == (terminated, truncated)


def test_the_metadata_say_where_an_episode_came_from(tmp_path: Path) -> None:
    data = step_arrays(tmp_path, [2, 3])

    import_step_arrays(data, HOPPER, tmp_path / "out", policy="sac")
    known = read_metadata(tmp_path / "out" / episode_ids(data, HOPPER)[1])

    assert known.policy == "sac"
    assert known.source == {
        "file": "set",
        "sha256": data.digest,
        "episode": 1,
        "env_id": "Hopper-v5",
        "note": "made by a test",
    }


def test_a_robot_without_reward_messages_keeps_the_return(tmp_path: Path) -> None:
    robot = episode_bags.embodiment(**{"return": {"source": "label"}})
    data = step_arrays(tmp_path, [3], robot)

    import_step_arrays(data, robot, tmp_path / "out")
    (episode,) = EpisodeBuffer.open(tmp_path / "out", embodiment=robot)

    assert episode.episode_return == pytest.approx(data.rewards.sum(), rel=1e-6)


def test_an_import_goes_on_where_it_stopped(tmp_path: Path) -> None:
    data = step_arrays(tmp_path, [2, 3, 4])
    first = import_step_arrays(data, HOPPER, tmp_path / "out", limit=1)
    told: list[None] = []

    rest = import_step_arrays(data, HOPPER, tmp_path / "out", on_episode=lambda: told.append(None))

    assert (first.imported, first.steps) == (1, 2)
    assert (rest.imported, rest.present, rest.steps) == (2, 1, 7)
    assert len(told) == 2
    assert rest.returns == pytest.approx([data.episode(1).rewards.sum(), data.rewards[5:].sum()])


def test_a_second_import_of_the_same_file_is_refused(tmp_path: Path) -> None:
    data = step_arrays(tmp_path, [2, 3])
    import_step_arrays(data, HOPPER, tmp_path / "out")

    with pytest.raises(OutputError, match="holds all 2 episodes of set already"):
        import_step_arrays(data, HOPPER, tmp_path / "out")


def test_an_interrupted_episode_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = step_arrays(tmp_path, [2, 3])

    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_step_arrays(data, HOPPER, tmp_path / "out", on_episode=stop)

    assert len(EpisodeBuffer.open(tmp_path / "out")) == 1
    assert list((tmp_path / "out" / RECORDING).iterdir()) == []
    assert import_step_arrays(data, HOPPER, tmp_path / "out").present == 1


@pytest.mark.parametrize(
    ("robot", "problem"),
    [
        ("walker2d", "'observations' has 11 numbers a step, the embodiment 'walker2d' has 17"),
        ("pointmaze_umaze", "'observations' has 11 numbers a step, .* has 4 "),
    ],
)
def test_sizes_that_do_not_fit_the_robot_are_refused(
    tmp_path: Path, robot: str, problem: str
) -> None:
    with pytest.raises(EmbodimentError, match=problem):
        import_step_arrays(step_arrays(tmp_path, [2]), find_embodiment(robot), tmp_path / "out")

    assert not (tmp_path / "out").exists()


def test_numbers_beyond_the_contract_are_refused(tmp_path: Path) -> None:
    observations = np.zeros((3, HOPPER.observation_size))
    observations[1, 6] = 10.1
    actions = np.zeros((2, HOPPER.action_size))
    actions[1, 2] = -1.5

    with pytest.raises(EmbodimentError, match=r"velocity\.rootz from 0 to 10\.1, beyond .* clip"):
        import_step_arrays(
            step_arrays(tmp_path, [2], observations=observations), HOPPER, tmp_path / "out"
        )
    with pytest.raises(EmbodimentError, match=r"foot_joint from -1\.5 to 0, beyond .* limits"):
        import_step_arrays(step_arrays(tmp_path, [2], actions=actions), HOPPER, tmp_path / "out")


def test_an_output_that_is_a_file_is_refused(tmp_path: Path) -> None:
    data = step_arrays(tmp_path, [2])
    (tmp_path / "out").write_text("in the way")

    with pytest.raises(OutputError, match="cannot be written"):
        import_step_arrays(data, HOPPER, tmp_path / "out")


@pytest.mark.parametrize(
    ("robot", "env_id"),
    [
        ("hopper", "Hopper-v5"),
        ("hopper", "Hopper-v2"),
        ("halfcheetah", "HalfCheetah-v5"),
        ("walker2d", "Walker2d-v5"),
        ("pointmaze_umaze", "PointMaze_UMaze-v3"),
        ("hopper", ""),
    ],
)
def test_the_environment_of_the_robot_is_accepted(robot: str, env_id: str) -> None:
    check_environment(find_embodiment(robot), env_id, origin="set.npz")


def test_another_environment_is_refused() -> None:
    with pytest.raises(EmbodimentError, match=r"holds episodes of Walker2d-v5, not of .* 'hopper'"):
        check_environment(HOPPER, "Walker2d-v5", origin="set.npz")
