"""Normalised scores and where their ends come from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from gac_ros.embodiment import known_robots
from gac_ros.sim import scores
from gac_ros.sim.maze import maze_names
from gac_ros.sim.scores import measure_reference_scores, normalized_score


def test_random_is_zero_and_the_expert_a_hundred() -> None:
    references = yaml.safe_load(scores.REFERENCE_FILE.read_text(encoding="utf-8"))
    assert set(references) == set(known_robots())
    for robot, ends in references.items():
        assert normalized_score(robot, ends["random"]["mean"]) == 0.0
        assert normalized_score(robot, ends["expert"]["mean"]) == 100.0


def test_scores_are_linear_between_the_ends() -> None:
    assert normalized_score("halfcheetah", 0.5 * (12135.0 - 280.178953)) == pytest.approx(50.0)
    assert normalized_score("hopper", 3234.3 + 0.1 * (3234.3 + 20.272305)) == pytest.approx(110.0)


def test_an_array_of_returns_gives_an_array_of_scores() -> None:
    result = normalized_score("hopper", np.array([-20.272305, 3234.3]))
    assert result is not None
    assert result.tolist() == [0.0, 100.0]


def test_a_robot_without_references_has_no_score() -> None:
    assert normalized_score("cartpole", 3.0) is None


@pytest.mark.parametrize("robot", maze_names())
def test_a_few_episodes_agree_with_the_stored_expert(robot: str) -> None:
    measured = measure_reference_scores(robot, episodes=4, seed=0)
    score = normalized_score(robot, measured.expert.mean)
    assert score is not None
    assert 70.0 < score < 130.0
    assert measured.random.mean < 0.5 * measured.expert.mean


def test_the_command_writes_what_it_measured_and_keeps_the_rest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "scores.yaml"
    path.write_text("hopper: {kept: true}\n", encoding="utf-8")
    command = ["pointmaze_umaze", "--episodes", "2", "--seed", "5", "--file", str(path)]
    assert scores.main(command) == 0
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert content["hopper"] == {"kept": True}
    assert content["pointmaze_umaze"]["random"]["seed"] == 5
    assert content["pointmaze_umaze"]["expert"]["episodes"] == 2
    assert "pointmaze_umaze: random" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["hopper"], ["--episodes", "1"]])
def test_the_command_refuses_what_it_cannot_measure(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert scores.main(arguments) == 2
    assert capsys.readouterr().err.startswith("scores: error: ")
