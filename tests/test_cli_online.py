"""gac online, from the command line to the table and the files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gac_ros.checkpoint import load_checkpoint, save_checkpoint
from gac_ros.cli.app import main
from tests.toy import untrained_checkpoint

pytestmark = pytest.mark.usefixtures("signals_as_before")
SETTINGS = """
round_episodes: 1
evaluation_episodes: 2
gate_episodes: 1
plan_trials: 0
finetune: {iterations: 2, batch_episodes: 2, windows: 2, window_length: 4}
"""


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("first")
    return save_checkpoint(untrained_checkpoint("pointmaze_umaze"), folder / "checkpoint")


def online(first: Path, out: Path, *more: str) -> int:
    settings = out.with_suffix(".yaml")
    settings.write_text(SETTINGS)
    arguments = ["--checkpoint", str(first), "--out", str(out), "--config", str(settings)]
    return main(["online", "--robot", "pointmaze_umaze", *arguments, *more])


def test_a_run_ends_with_a_table_results_and_a_checkpoint(
    first: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert online(first, out, "--episodes", "1", "--collect", "posterior") == 0
    output = capsys.readouterr()
    assert "collecting by posterior" in output.out
    for column in ("y+", "Δy", "reached", "exploitation"):
        assert column in output.out
    assert "round 1: fine-tuning 2/2" in output.err
    content = json.loads((out / "results.json").read_text())
    assert [entry["episodes"] for entry in content["rounds"]] == [0, 1]
    assert content["run"]["command_line"].startswith("gac online")
    learner = load_checkpoint(out / content["rounds"][1]["learner"])
    assert learner.lineage.parent == load_checkpoint(first).digest
    assert online(first, out, "--episodes", "1", "--collect", "posterior", "--resume") == 0


def test_mistakes_end_with_one_line_and_exit_code_2(
    first: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    robot = ["online", "--robot", "pointmaze_umaze", "--out"]
    cases = [
        (main([*robot, str(tmp_path / "a")]), "--initial-data, --checkpoint or both"),
        (main([*robot, str(tmp_path / "a"), "--resume"]), "no online run to resume"),
        (main([*robot, str(tmp_path / "a"), "--checkpoint", "none"]), "no checkpoint"),
        (main([*robot, str(tmp_path / "a"), "--initial-data", "none"]), "cannot be read"),
    ]
    assert [code for code, _ in cases] == [2] * len(cases)
    lines = [
        line for line in capsys.readouterr().err.splitlines() if line.startswith("gac: error: ")
    ]
    for line, (_, remedy) in zip(lines, cases, strict=True):
        assert remedy in line
