"""Evaluation over real DDS: exact, repeatable, and nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gac_ros.buffer.reader import read_episode, read_messages
from gac_ros.buffer.summary import list_episodes
from gac_ros.errors import TransportError
from gac_ros.evaluation.evaluate import EvaluationRequest, evaluate
from gac_ros.evaluation.replay import replay_bags
from gac_ros.evaluation.results import EpisodeResult, EvaluationResult
from tests.ros_support import REPOSITORY, TIMEOUT

pytestmark = pytest.mark.usefixtures("ros_domain")


def both_transports(
    robot: str, checkpoint: Path, episodes: int, folder: Path
) -> tuple[EvaluationResult, EvaluationResult]:
    over_ros, in_process = (
        evaluate(
            EvaluationRequest(
                robot,
                folder / transport,
                episodes,
                seed=11,
                transport=transport,
                checkpoint=checkpoint,
            )
        )
        for transport in ("ros", "inproc")
    )
    return over_ros, in_process


def bags(result: EvaluationResult) -> list[Path]:
    return [episode.bag for episode in result.episodes if episode.bag is not None]


def check_same_episodes(over_ros: EvaluationResult, in_process: EvaluationResult) -> None:
    for one, other in zip(over_ros.episodes, in_process.episodes, strict=True):
        for name in ("seed", "episode_return", "length", "terminated", "predicted_return"):
            assert getattr(one, name) == getattr(other, name)
    for one_bag, other_bag in zip(bags(over_ros), bags(in_process), strict=True):
        one_episode, other_episode = read_episode(one_bag), read_episode(other_bag)
        np.testing.assert_array_equal(one_episode.actions, other_episode.actions)
        np.testing.assert_array_equal(one_episode.observations, other_episode.observations)
        np.testing.assert_array_equal(one_episode.rewards, other_episode.rewards)
        assert {m.topic for m in read_messages(one_bag)} == {
            m.topic for m in read_messages(other_bag)
        }


def check_replays(result: EvaluationResult) -> None:
    reports = list(replay_bags(bags(result)))
    assert len(reports) == len(result.episodes)
    assert all(report.largest_difference == 0.0 and report.faithful for report in reports)


def test_a_maze_over_ros_is_the_same_as_in_process(umaze_checkpoint: Path, tmp_path: Path) -> None:
    over_ros, in_process = both_transports("pointmaze_umaze", umaze_checkpoint, 2, tmp_path)
    check_same_episodes(over_ros, in_process)
    check_replays(over_ros)


def test_a_hopper_over_ros_is_the_same_as_in_process(
    hopper_checkpoint: Path, tmp_path: Path
) -> None:
    over_ros, in_process = both_transports("hopper", hopper_checkpoint, 4, tmp_path)
    assert all(episode.terminated for episode in over_ros.episodes)
    check_same_episodes(over_ros, in_process)
    check_replays(over_ros)


def test_a_controller_that_is_killed_gives_one_clear_error_and_keeps_the_finished_episodes(
    umaze_checkpoint: Path, tmp_path: Path
) -> None:
    def kill_the_controller(_: EpisodeResult) -> None:
        (controller,) = [
            pid for pid in _children(os.getpid()) if "nodes.controller" in _command(pid)
        ]
        os.kill(controller, signal.SIGKILL)

    # Other tests may have left one of their own, such as multiprocessing's resource tracker.
    before = _children(os.getpid())
    request = EvaluationRequest("pointmaze_umaze", tmp_path, 3, checkpoint=umaze_checkpoint)
    with pytest.raises(TransportError) as caught:
        evaluate(request, kill_the_controller)
    assert "controller was ended by SIGKILL" in str(caught.value)
    assert str(tmp_path / "logs" / "controller.log") in str(caught.value)
    assert [r.state for r in list_episodes(tmp_path / "episodes")].count("complete") == 1
    assert _children(os.getpid()) == before


def test_a_simulator_that_cannot_start_is_named_with_its_own_words(
    umaze_checkpoint: Path, tmp_path: Path
) -> None:
    before = _children(os.getpid())
    request = EvaluationRequest(
        "pointmaze_umaze",
        tmp_path,
        1,
        checkpoint=umaze_checkpoint,
        mjcf=tmp_path / "missing.xml",
    )
    with pytest.raises(TransportError, match=r"simulator ended with exit code 2.*missing\.xml"):
        evaluate(request)
    assert _children(os.getpid()) == before


def test_ctrl_c_ends_the_evaluation_with_130_and_leaves_no_process(
    umaze_checkpoint: Path, tmp_path: Path
) -> None:
    command = ["evaluate", "--robot", "pointmaze_umaze", "--checkpoint", str(umaze_checkpoint)]
    command += ["--episodes", "20", "--out", str(tmp_path / "out")]
    with subprocess.Popen(
        [sys.executable, "-m", "gac_ros.cli", *command],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Tests in the background inherit a SIGINT that is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        assert process.stderr is not None
        assert "episode 1/20" in process.stderr.readline()
        children = _children(process.pid)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert len(children) == 2
    assert not any(Path(f"/proc/{pid}").exists() for pid in children)
    states = [row.state for row in list_episodes(tmp_path / "out" / "episodes")]
    assert "complete" in states
    assert "damaged" not in states
    assert not (tmp_path / "out" / "results.json").exists()


def _children(pid: int) -> list[int]:
    return [
        int(child)
        for task in Path(f"/proc/{pid}/task").iterdir()
        for child in (task / "children").read_text().split()
    ]


def _command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
