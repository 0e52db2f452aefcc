"""Episodes in this process."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from gac_ros import messages
from gac_ros.buffer.reader import read_episode, read_messages, read_metadata, read_plan
from gac_ros.buffer.summary import list_episodes
from gac_ros.checkpoint import Checkpoint, load_checkpoint
from gac_ros.evaluation.evaluate import describe_actor
from gac_ros.evaluation.results import EpisodeResult
from gac_ros.evaluation.rollout import ActorDescription, run_episode
from gac_ros.sim import make_robot
from gac_ros.sim.behaviours import RandomBehaviour

UMAZE = "pointmaze_umaze"


@pytest.fixture(scope="module")
def checkpoint(umaze_checkpoint: Path) -> Checkpoint:
    return load_checkpoint(umaze_checkpoint)


def run(checkpoint: Checkpoint, seed: int, directory: Path | None = None) -> EpisodeResult:
    return run_episode(
        make_robot(UMAZE),
        checkpoint.make_actor("exploit"),
        seed,
        describe_actor(checkpoint, "exploit"),
        directory=directory,
    )


def test_equal_seeds_give_equal_episodes_and_other_seeds_others(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    first, again, other = (read_episode(run(checkpoint, seed, tmp_path).bag) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.actions, again.actions)
    np.testing.assert_array_equal(first.observations, again.observations)
    assert not np.array_equal(first.observations, other.observations)


def test_an_episode_that_is_not_recorded_has_the_same_result(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    recorded, unrecorded = run(checkpoint, 5, tmp_path), run(checkpoint, 5)
    assert unrecorded.bag is None
    for name in ("seed", "episode_return", "length", "truncated", "predicted_return"):
        assert getattr(recorded, name) == getattr(unrecorded, name)


def test_the_bag_holds_the_messages_in_the_controllers_order(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    bag = run(checkpoint, 1, tmp_path).bag
    assert bag is not None
    topics = [message.topic for message in read_messages(bag)]
    controller = "/gac_controller"
    step = ["/odom", f"{controller}/commands", f"{controller}/decision", "/reward"]
    end = ["/episode_end", "/odom", f"{controller}/commands"]
    assert topics == [f"{controller}/plan", *(step * 300), *end]


def test_the_log_times_are_those_of_the_simulation(checkpoint: Checkpoint, tmp_path: Path) -> None:
    bag = run(checkpoint, 1, tmp_path).bag
    assert bag is not None
    stamps = [m.stamp for m in read_messages(bag) if m.topic == "/odom"]
    # Messages of the same moment are a nanosecond apart.
    assert np.diff(stamps) == pytest.approx(np.full(300, 10_000_000), abs=10)


def test_the_metadata_tells_all_about_the_episode(checkpoint: Checkpoint, tmp_path: Path) -> None:
    result = run(checkpoint, 6, tmp_path)
    assert result.bag is not None
    metadata, plan = read_metadata(result.bag), read_plan(result.bag)
    assert plan is not None
    assert (metadata.robot, metadata.policy, metadata.mode) == (UMAZE, "gac", "exploit")
    assert (metadata.seed, metadata.steps, metadata.lock_step) == (6, 300, True)
    assert (metadata.terminated, metadata.truncated) == (False, True)
    assert metadata.checkpoint == str(checkpoint.path)
    assert metadata.checkpoint_digest == checkpoint.digest
    assert metadata.embodiment_digest == checkpoint.embodiment.digest
    assert metadata.episode_return == result.episode_return
    assert metadata.predicted_return == plan["predicted_return"] == result.predicted_return
    assert metadata.latency is not None
    assert metadata.latency == result.latency


def test_a_terminal_state_ends_the_episode_as_terminated(tmp_path: Path) -> None:
    robot = make_robot("hopper")
    actor = RandomBehaviour(robot.embodiment)
    result = run_episode(robot, actor, 0, ActorDescription("random"), directory=tmp_path)
    assert result.terminated
    assert not result.truncated
    assert result.length < robot.embodiment.episode_length
    assert result.bag is not None
    last = [m for m in read_messages(result.bag) if m.topic == "/episode_end"]
    assert [messages.deserialize(m.data, m.type).data for m in last] == ["terminated"]
    episode = read_episode(result.bag)
    assert episode.terminated
    assert len(episode) == result.length
    assert episode.episode_return == result.episode_return


class _Faulty:
    """An actor that gives nonsense at one step and stumbles at another."""

    def __init__(self, nan_at: int = -1, raise_at: int = -1) -> None:
        self._nan_at, self._raise_at = nan_at, raise_at
        self._step = 0

    def begin(self, seed: int) -> None:
        self._step = 0

    def act(self, observation: NDArray[np.float64]) -> NDArray[np.float64]:
        self._step += 1
        if self._step - 1 == self._raise_at:
            raise KeyboardInterrupt
        return np.full(2, np.nan if self._step - 1 == self._nan_at else 0.5)


def test_an_action_that_is_not_finite_becomes_the_safe_one_and_is_counted(tmp_path: Path) -> None:
    result = run_episode(
        make_robot(UMAZE), _Faulty(nan_at=7), 0, ActorDescription("faulty"), directory=tmp_path
    )
    assert result.bag is not None
    assert read_metadata(result.bag).safe_actions == 1
    episode = read_episode(result.bag)
    np.testing.assert_array_equal(episode.actions[7], [0.0, 0.0])
    assert np.flatnonzero(~episode.valid).tolist() == [7]


def test_an_interrupted_episode_leaves_no_bag(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_episode(
            make_robot(UMAZE), _Faulty(raise_at=9), 0, ActorDescription("x"), directory=tmp_path
        )
    assert list_episodes(tmp_path) == []


def test_a_robot_whose_return_is_a_label_has_no_return_yet(tmp_path: Path) -> None:
    import yaml

    robot = make_robot(UMAZE)
    content = {**robot.embodiment.to_dict(), "return": {"source": "label"}}
    path = tmp_path / "labelled.yaml"
    path.write_text(yaml.safe_dump(json.loads(json.dumps(content))))
    robot = make_robot(str(path))
    actor = RandomBehaviour(robot.embodiment)
    result = run_episode(robot, actor, 0, ActorDescription("random"), directory=tmp_path / "bags")
    assert result.episode_return is None
    assert result.normalized_score is None
    assert result.length == 300
