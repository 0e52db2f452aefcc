"""gac bench control and gac bench soak: what is kept, whatever happens."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gac_ros.cli.app import main

pytestmark = pytest.mark.usefixtures("signals_as_before")

SMALL = """\
model:
  width: 8
  heads: 2
  layers: 1
  context: 4
"""


@pytest.mark.parametrize("command", [["control", "--decision"], ["soak"], ["planner"]])
def test_a_file_that_cannot_be_written_is_refused_before_minutes_have_gone(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "file" / "speed.json"):
        assert main(["bench", *command, "--json", str(path)]) == 2
        errors = capsys.readouterr().err
        assert f"--json {path}: cannot be written" in errors
        assert errors.count("\n") == 1


def test_what_was_measured_is_kept_when_a_later_part_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "small.yaml").write_text(SMALL)
    # Files of the other parts have no place.
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "small.yaml"))
    kept = tmp_path / "speed.json"
    parts = ["--decision", "--plans", "--repeats", "1"]
    files = ["--config", str(tmp_path / "small.yaml"), "--json", str(kept)]
    with pytest.raises(NotADirectoryError):
        main(["bench", "control", *parts, *files])
    content = json.loads(kept.read_text())
    assert "NotADirectoryError" in content["unfinished"]
    assert "decision" in content
    assert "plans" not in content
    assert [set(goal) for goal in content["goals"]] == [{"name", "value", "goal", "met"}] * 3
    assert "times faster than the whole history" in capsys.readouterr().out


def test_nothing_is_kept_of_a_run_that_measured_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "speed.json"
    kept.write_text("{}")
    monkeypatch.setattr("tempfile.tempdir", str(kept))
    with pytest.raises(NotADirectoryError):
        main(["bench", "control", "--plans", "--json", str(kept)])
    assert kept.read_text() == "{}"
