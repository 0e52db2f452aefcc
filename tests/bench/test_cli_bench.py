"""gac bench."""

from __future__ import annotations

from pathlib import Path

import pytest

from gac_ros.bench.learning import harness
from gac_ros.bench.learning.harness import BenchmarkRequest
from gac_ros.bench.learning.records import write_record
from gac_ros.cli.app import main
from tests.bench.learning.example_runs import example_record

pytestmark = pytest.mark.usefixtures("signals_as_before")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--tasks", "pointmaze_huge"], "choose among pointmaze_umaze"),
        (["--methods", "gac,sac"], "unknown method 'sac'"),
        (["--seeds", "a"], "give whole numbers"),
        (["--config", "settings.yaml"], "--variant"),
        (["--variant", "../up"], "letters"),
    ],
)
def test_a_wrong_option_is_one_line_before_anything_runs(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "learning", *arguments]) == 2
    errors = capsys.readouterr().err
    assert complaint in errors
    assert errors.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["soak", "--ticks", "0", "--minutes", "0"], "nothing to do"),
        (["soak", "--device", "cuda:99"], "cuda:99"),
        (["control", "--latency", "--device", "cuda:99"], "cuda:99"),
    ],
)
def test_a_measurement_that_cannot_be_made_is_refused_at_once(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", *arguments]) == 2
    errors = capsys.readouterr().err
    assert complaint in errors
    assert errors.count("\n") == 1


def test_what_cannot_be_run_is_told_and_does_not_fail(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = ["--results", str(tmp_path / "r"), "--work", str(tmp_path / "w")]
    chosen = ["--tasks", "hopper_medium", "--methods", "gac,data_mean", "--seeds", "0"]
    assert main(["bench", "learning", *chosen, *folders]) == 0
    assert "2 runs left as before: " in capsys.readouterr().err


def test_a_run_with_settings_of_its_own_records_their_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tmp_path / "half.yaml"
    settings.write_text("langevin_temperature: 0.15\n")
    asked: list[BenchmarkRequest] = []

    def note(request: BenchmarkRequest, observer: object) -> list[object]:
        asked.append(request)
        return []

    monkeypatch.setattr(harness, "run_benchmark", note)
    assert main(["bench", "learning", "--variant", "half", "--config", str(settings)]) == 0
    (request,) = asked
    assert request.base.langevin_temperature == 0.15
    assert [*request.command[3:]] == ["--variant", "half", "--config", str(settings)]


def test_the_report_is_rendered_from_a_folder_of_runs(tmp_path: Path) -> None:
    write_record(tmp_path / "results" / "learning", example_record())
    page = tmp_path / "results.md"
    arguments = ["--results", str(tmp_path / "results"), "--out", str(page)]
    assert main(["bench", "report", *arguments]) == 0
    assert "pointmaze_umaze" in page.read_text()
