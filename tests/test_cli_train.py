"""gac train and gac finetune, from bags to a checkpoint that acts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gac_ros.checkpoint import load_checkpoint
from gac_ros.cli.app import main
from gac_ros.lineage import read_scores

pytestmark = pytest.mark.usefixtures("signals_as_before")
SETTINGS = """
batch_episodes: 4
windows: 2
window_length: 4
model: {width: 16, heads: 2, layers: 1, plan_token_size: 4, prior_hidden: 16, return_hidden: 16}
"""


@pytest.fixture(scope="module")
def episodes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("with a space") / "episodes"
    arguments = ["collect", "--robot", "pointmaze_umaze", "--behaviour", "waypoint"]
    assert main([*arguments, "--episodes", "5", "--out", str(folder)]) == 0
    return folder


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    path = tmp_path / "settings.yaml"
    path.write_text(SETTINGS)
    return path


def train(data: Path, out: Path, settings: Path, *more: str) -> int:
    return main(["train", "--data", str(data), "--out", str(out), "--config", str(settings), *more])


def test_bags_become_a_checkpoint_that_is_evaluated_and_fine_tuned(
    episodes: Path, settings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, child = tmp_path / "run", tmp_path / "child"
    assert train(episodes, run, settings, "--iterations", "3") == 0
    output = capsys.readouterr()
    assert "5 episodes, 1500 steps" in output.out
    assert "Action error with an episode's own plan" in output.out
    assert "iteration 3/3" in output.err
    evaluate = ["evaluate", "--robot", "pointmaze_umaze", "--checkpoint", str(run)]
    out = tmp_path / "results"
    options = ["--episodes", "1", "--transport", "inproc", "--out", str(out)]
    assert main([*evaluate, *options]) == 0
    results = json.loads((out / "results.json").read_text())
    assert results["episodes"][0]["length"] == 300
    assert [score.return_mean for score in read_scores(load_checkpoint(run).path)] == [
        results["return_mean"]
    ]
    arguments = ["finetune", "--from", str(run), "--data", str(episodes), "--out", str(child)]
    fine = tmp_path / "fine.yaml"
    fine.write_text("{batch_episodes: 4, windows: 2, window_length: 4, chain_warmup: 1}")
    assert main([*arguments, "--config", str(fine), "--iterations", "2"]) == 0
    assert load_checkpoint(child).lineage.parent == load_checkpoint(run).digest
    assert load_checkpoint(child).model.config == load_checkpoint(run).model.config


def test_behaviour_cloning_is_a_method(
    episodes: Path, settings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--iterations", "2", "--method", "behaviour_cloning")
    assert train(episodes, tmp_path / "bc", settings, *options) == 0
    assert load_checkpoint(tmp_path / "bc").lineage.method == "behaviour_cloning"
    assert "return" not in capsys.readouterr().err


def test_a_finished_run_is_resumed_to_the_same_checkpoint(
    episodes: Path, settings: Path, tmp_path: Path
) -> None:
    assert train(episodes, tmp_path / "run", settings, "--iterations", "2") == 0
    before = load_checkpoint(tmp_path / "run").digest
    assert train(episodes, tmp_path / "run", settings, "--iterations", "2", "--resume") == 0
    assert load_checkpoint(tmp_path / "run").digest == before


def test_mistakes_end_with_one_line_and_exit_code_2(
    episodes: Path, settings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("iterationz: 3")
    (tmp_path / "file").write_text("")
    cases = [
        (train(tmp_path / "nothing", tmp_path / "a", settings), "cannot be read"),
        (train(tmp_path, tmp_path / "a", settings), "no usable episode"),
        (train(episodes, tmp_path / "a", wrong), "iterationz: unknown key"),
        (train(episodes, tmp_path / "a", tmp_path / "none.yaml"), "none.yaml"),
        (train(episodes, tmp_path / "file" / "a", settings), "choose another --out"),
        (train(episodes, tmp_path / "a", settings, "--resume"), "nothing to resume"),
        (train(episodes, tmp_path / "a", settings, "--robot", "hopper"), "hopper"),
        (train(episodes, tmp_path / "a", settings, "--device", "tpu"), "use auto, cpu"),
        (
            main(["finetune", "--from", str(tmp_path), "--data", str(episodes), "--out", "x"]),
            "holds no checkpoint",
        ),
    ]
    errors = capsys.readouterr().err.splitlines()
    lines = [line for line in errors if line.startswith("gac: error: ")]
    assert [code for code, _ in cases] == [2] * len(cases)
    assert len(lines) == len(cases)
    for line, (_, remedy) in zip(lines, cases, strict=True):
        assert remedy in line
    assert not any("Traceback" in line for line in errors)
