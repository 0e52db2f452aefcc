"""results.json."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gac_ros import __version__
from gac_ros.episode import LatencySummary
from gac_ros.errors import OutputError
from gac_ros.evaluation.results import (
    EpisodeResult,
    EvaluationResult,
    RunDescription,
    prepare_folder,
    write_results,
)

RUN = RunDescription(
    robot="pointmaze_umaze",
    policy="gac",
    mode="exploit",
    checkpoint="/somewhere",
    checkpoint_digest="abc",
    transport="inproc",
    seed=3,
    lock_step=True,
    command_line="gac evaluate",
)


def episode(value: float | None, score: float | None, bag: Path | None = None) -> EpisodeResult:
    return EpisodeResult(
        seed=9,
        episode_return=value,
        length=300,
        terminated=False,
        truncated=True,
        normalized_score=score,
        latency=LatencySummary(p50=0.001, p99=0.002, maximum=0.004),
        predicted_return=250.0,
        bag=bag,
    )


def written(result: EvaluationResult, folder: Path) -> dict[str, object]:
    content: dict[str, object] = json.loads(write_results(result, folder).read_text())
    return content


def test_the_file_holds_what_the_issue_asks_for(tmp_path: Path) -> None:
    bag = tmp_path / "episodes" / "one"
    result = EvaluationResult(RUN, (episode(200.0, 80.0, bag), episode(240.0, 100.0)))
    assert written(result, tmp_path) == {
        "episodes": [
            {
                "seed": 9,
                "return": 200.0,
                "length": 300,
                "terminated": False,
                "truncated": True,
                "normalized_score": 80.0,
                "latency": {"p50": 0.001, "p99": 0.002, "max": 0.004},
                "predicted_return": 250.0,
                "bag": "episodes/one",
            },
            {
                "seed": 9,
                "return": 240.0,
                "length": 300,
                "terminated": False,
                "truncated": True,
                "normalized_score": 100.0,
                "latency": {"p50": 0.001, "p99": 0.002, "max": 0.004},
                "predicted_return": 250.0,
                "bag": None,
            },
        ],
        "return_mean": 220.0,
        "normalized_score_mean": 90.0,
        "normalized_score_ci95": pytest.approx([90.0 - 127.062, 90.0 + 127.062], abs=1e-3),
        "run": {
            "robot": "pointmaze_umaze",
            "policy": "gac",
            "mode": "exploit",
            "checkpoint": "/somewhere",
            "checkpoint_digest": "abc",
            "transport": "inproc",
            "seed": 3,
            "lock_step": True,
            "command_line": "gac evaluate",
            "replanning": "never",
            "package_version": __version__,
            "episodes": 2,
        },
    }


def test_what_is_unknown_is_null(tmp_path: Path) -> None:
    content = written(EvaluationResult(RUN, (episode(None, None),)), tmp_path)
    assert content["return_mean"] is None
    assert content["normalized_score_mean"] is None
    assert content["normalized_score_ci95"] is None


def test_an_earlier_result_is_not_overwritten_by_accident(tmp_path: Path) -> None:
    write_results(EvaluationResult(RUN, (episode(1.0, 2.0),)), tmp_path)
    with pytest.raises(OutputError, match="--overwrite"):
        prepare_folder(tmp_path)
    prepare_folder(tmp_path, overwrite=True)


def test_a_folder_that_cannot_be_written_is_refused_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        prepare_folder(tmp_path / "file" / "out")


def test_only_the_file_is_left_in_the_folder(tmp_path: Path) -> None:
    prepare_folder(tmp_path)
    write_results(EvaluationResult(RUN, ()), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]
