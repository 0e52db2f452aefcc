"""`gac buffer import` of recordings from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from gac_ros.cli import main
from tests.buffer.importing import recordings as r

pytestmark = pytest.mark.usefixtures("signals_as_before")


@pytest.fixture
def arm(tmp_path: Path) -> str:
    path = tmp_path / "arm.yaml"
    path.write_text(yaml.safe_dump(r.robot().to_dict()))
    return str(path)


def test_a_recording_becomes_a_buffer_and_a_report(
    tmp_path: Path, arm: str, capsys: pytest.CaptureFixture[str]
) -> None:
    made = [*r.drive(30), *r.drive(20, r.START + 3_000_000_000, seed=1)]
    path = r.record(tmp_path / "a recording", made, storage="sqlite3", compression="message")
    command = ["buffer", "import", str(path), "--robot", arm, "--cut-gap", "1"]
    report = tmp_path / "reports" / "report.json"

    assert main([*command, "--out", str(tmp_path / "out"), "--report", str(report)]) == 0
    printed = capsys.readouterr()
    assert "2 episodes, 50 steps; cut by commands that pause longer than 1 s" in printed.out
    assert "the recording has no checksums" in printed.out
    assert "importing: 2/2" in printed.err
    content = json.loads(report.read_text())
    assert [row["steps"] for row in content["episodes"]] == [30, 20]

    assert main(["buffer", "verify", str(tmp_path / "out")]) == 0
    assert "2 bags with" in capsys.readouterr().out
    dry = [*command, "--out", str(tmp_path / "other"), "--dry-run", "--json"]
    assert main(dry) == 0
    assert json.loads(capsys.readouterr().out)["dry_run"]
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--cut-event", "/none"], "no event on /none"),
        (["--cut-gap", "1", "--cut-event", "/x"], "only one of them"),
        (["--cut-gap", "-1"], "a gap of -1.0 s is none"),
        (["--cut-table", "none.csv"], "none.csv: cannot be read"),
        (["--topic", "odom"], "must read NAME=RECORDED"),
        (["--namespace", "right"], "no message on /right/joint_states"),
        (["--robot", "hopper"], "the embodiment 'hopper'"),
        (["--report", "/proc/none/report.json"], "cannot be written"),
        (["--limit", "3"], "--limit has no meaning with a recording"),
    ],
)
def test_a_mistake_is_one_line(
    tmp_path: Path,
    arm: str,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    problem: str,
) -> None:
    path = r.record(tmp_path / "rec", r.drive(5))
    command = ["buffer", "import", str(path), "--robot", arm, "--out", str(tmp_path / "out")]

    assert main([*command, *options]) == 2
    told = capsys.readouterr().err.replace("importing: 1/1\n", "")
    assert told.startswith("gac: error: ")
    assert told.count("\n") == 1
    assert problem in told


def test_a_recording_that_teaches_nothing_is_an_error(
    tmp_path: Path, arm: str, capsys: pytest.CaptureFixture[str]
) -> None:
    made = [each for each in r.drive(5) if each.topic != "/odom"]
    made.append(next(each for each in reversed(r.drive(5)) if each.topic == "/odom"))
    path = r.record(tmp_path / "rec", made)

    assert main(["buffer", "import", str(path), "--robot", arm, "--out", str(tmp_path / "o")]) == 2
    told = capsys.readouterr()
    assert "left out: no command between the first complete observation" in told.out
    assert "no episode could be taken from it" in told.err
